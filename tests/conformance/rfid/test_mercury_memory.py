"""The Mercury driver keeps the device contract over a faulty line, on the virtual clock."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import (
    DeviceError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    LinkLost,
    ProtocolViolation,
    ReaderEventCode,
)
from drivers.rfid.settings.mercury import MercurySettings, load_mercury_profile
from hil.devices import mercury_wire as wire
from hil.devices.mercury_module import Tag
from tests.conformance.rfid.memory_module import SETTINGS, TAG, Bench


def with_tags(*tags: Tag) -> Bench:
    bench = Bench()
    bench.module.tags = tags or (TAG,)
    return bench


def settings_with(**changes: object) -> MercurySettings:
    return MercurySettings(**{**SETTINGS.model_dump(), **changes})


async def test_a_session_identifies_configures_and_reads() -> None:
    bench = with_tags(TAG, Tag(bytes(12), -61.0, 2))
    assert await bench.session() is None
    first = bench.seen[0]
    assert isinstance(first, DeviceUp)
    assert (first.info.kind, first.info.model, first.info.firmware) == ("mercury", "M6e", "01.09.00.14")
    assert first.info.profile_digest
    tags = bench.tags()
    assert {tag.antenna for tag in tags} == {1, 2}
    assert {tag.epc.reveal() for tag in tags} == {TAG.epc, bytes(12)}
    assert all(tag.tag_crc_ok and tag.protocol == "gen2" and tag.pc == 0x3000 for tag in tags)
    assert all(-7000 < tag.rssi_cdbm < -4500 for tag in tags)
    assert bench.module.settings.region == 1
    assert bench.module.settings.options == {0x09: 1, 0x0C: 0, 0x05: 1, 0x04: 1, 0x02: 1}
    assert bench.module.settings.power_cdbm == 2700
    stamps = [item.stamp.mono_ns for item in bench.seen]
    assert stamps == sorted(stamps)


async def test_leaving_stops_the_module_and_closes_the_line() -> None:
    bench = with_tags()
    assert await bench.session() is None
    assert bench.module.stream is None
    assert bench.link.closed


async def test_opens_and_closes_a_hundred_times() -> None:
    for _ in range(100):
        bench = with_tags()
        assert await bench.session(pause_s=0.3) is None
        assert isinstance(bench.seen[0], DeviceUp)


async def test_cancellation_at_any_moment_ends_within_a_second() -> None:
    loop = asyncio.get_running_loop()
    for steps in range(0, 400, 3):
        bench = with_tags()
        device = loop.create_task(bench.serve())
        air = loop.create_task(bench.air())
        session = loop.create_task(bench.reader.run(bench.seen.append))
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        session.cancel()
        before = loop.time()
        with pytest.raises(asyncio.CancelledError):
            await session
        assert loop.time() - before <= 1.0
        assert bench.module.stream is None
        for task in (device, air):
            task.cancel()
        await asyncio.wait([device, air])


async def test_cancellation_of_a_dead_line_ends_within_a_second() -> None:
    bench = with_tags()
    bench.answering = False
    loop = asyncio.get_running_loop()
    session = loop.create_task(bench.reader.run(bench.seen.append))
    await asyncio.sleep(0.5)
    before = loop.time()
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert loop.time() - before <= 1.0


async def test_one_byte_at_a_time_gives_the_same_observations() -> None:
    async def values(chop: int | None) -> list[object]:
        bench = Bench(chop=chop)
        bench.module.tags = (TAG,)
        assert await bench.session(lambda _: None, lambda b: b.module.reset()) is None
        return [(tag.epc.value, tag.rssi_cdbm, tag.antenna, tag.reads) for tag in bench.tags()]

    whole, single = await values(None), await values(1)
    assert whole == single
    assert len(whole) > 40


@pytest.mark.parametrize("moment_s", [0.0, 0.001, 0.01, 0.03, 0.05, 0.1, 1.0, 2.5])
async def test_unplug_at_any_moment_is_link_lost(moment_s: float) -> None:
    bench = with_tags()
    error = await bench.session(lambda b: b.peer.cut(), pause_s=moment_s + 0.001)
    assert isinstance(error, LinkLost)


async def test_silence_is_a_gap_and_a_timeout() -> None:
    bench = with_tags()

    def fall_silent(b: Bench) -> None:
        b.answering = False

    error = await bench.session(fall_silent, pause_s=4.0)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_SILENT"
    assert [gap.value for gap in bench.events_of(ReaderEventCode.GAP)] == [2.5]


async def test_keepalive_every_cycle_without_tags() -> None:
    bench = Bench()
    assert await bench.session(pause_s=10.5) is None
    assert bench.count(ReaderEventCode.KEEPALIVE) == 10


async def test_babble_is_a_protocol_violation() -> None:
    bench = with_tags()
    noise = random.Random(7)

    def babble(b: Bench) -> None:
        b.answering = False
        for at in range(400):
            asyncio.get_running_loop().call_later(at * 0.01, b.peer.send, noise.randbytes(8))

    error = await bench.session(babble, pause_s=5.0)
    assert isinstance(error, ProtocolViolation)
    assert error.code == "RFID_GARBLED"


async def test_noise_between_frames_costs_no_read() -> None:
    bench = with_tags()
    noise = random.Random(3)
    bench.peer.alter = lambda data: noise.randbytes(noise.randrange(6)).replace(b"\xff", b"") + data
    assert await bench.session(pause_s=3.0) is None
    assert len(bench.tags()) == bench.module.tag_count


async def test_corrupt_and_malformed_records_are_counted_and_the_stream_goes_on() -> None:
    bench = with_tags()

    def spoil(b: Bench) -> None:
        b.peer.send(wire.tag_frame(wire.Sighting(TAG.epc, -50, 1), 0x57, 0x1B)[:-1] + b"\x00")
        # Captured from an M6e: air noise in a frame whose CRC is right.
        b.peer.send(bytes.fromhex("FF1C22000010001B01FF0101D9220DC65E0000001400B105000000002002 1817AB1336"))

    assert await bench.session(spoil, pause_s=2.0) is None
    assert sum(item.value or 0 for item in bench.events_of(ReaderEventCode.DROPPED_RECORD)) == 2
    assert len(bench.tags()) == bench.module.tag_count


async def test_previous_session_streaming_is_stopped_first() -> None:
    bench = with_tags()
    bench.module.start_as_left(1000)
    assert await bench.session() is None
    assert isinstance(bench.seen[0], DeviceUp)
    assert bench.starts() == 1


async def test_previous_session_streaming_without_tags_in_the_field() -> None:
    bench = Bench()
    bench.module.start_as_left(1000)
    assert await bench.session() is None
    assert isinstance(bench.seen[0], DeviceUp)


async def test_bootloader_is_left() -> None:
    bench = with_tags()
    bench.module.in_bootloader = True
    assert await bench.session() is None
    assert bench.tags()


async def test_reset_notice_configures_again_in_the_same_session() -> None:
    bench = with_tags()
    assert await bench.session(lambda b: b.module.reset(), lambda _: None) is None
    assert bench.count(ReaderEventCode.RESTARTED) == 1
    assert sum(isinstance(item, DeviceUp) for item in bench.seen) == 1
    assert bench.module.settings.options[0x09] == 1
    (restarted,) = bench.events_of(ReaderEventCode.RESTARTED)
    assert bench.tags()[-1].stamp.mono_ns > restarted.stamp.mono_ns


async def test_settings_lost_without_a_notice_are_restored() -> None:
    bench = with_tags()

    def forget(b: Bench) -> None:
        b.module.settings.region = 0
        b.module.stream = None
        b.peer.send(wire.reply(0x22, 0x0405))

    assert await bench.session(forget, lambda _: None) is None
    assert bench.module.settings.region == 1
    assert bench.starts() == 2


async def test_a_module_that_keeps_restarting_ends_the_session() -> None:
    bench = with_tags()
    error = await bench.session(*[lambda b: b.module.reset()] * 5)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_RESTARTING"


async def test_heat_lowers_the_duty_once_and_full_duty_comes_back() -> None:
    bench = with_tags()

    def heat(b: Bench) -> None:
        for at in range(50):
            asyncio.get_running_loop().call_later(at * 0.5, b.peer.send, wire.reply(0x22, 0x0504))

    assert await bench.session(heat, lambda _: None, pause_s=30.0) is None
    assert bench.starts() == 2
    assert bench.module.stream is None
    assert [fields["off_ms"] for name, fields in bench.events if name == "started"] == [0, 750]  # type: ignore[index]
    # Complaints come at most once a second, and with every temperature told while the duty is low.
    assert 20 <= bench.count(ReaderEventCode.OVER_TEMPERATURE) <= 32

    cooled = Bench(profile=load_mercury_profile("mercury_m6e").model_copy(update={"statistics_flags": 0}))
    hot = wire.reply(0x22, 0x0504)
    assert await cooled.session(lambda b: b.peer.send(hot), pause_s=119.0) is None
    assert [fields["off_ms"] for name, fields in cooled.events if name == "started"] == [0, 750]  # type: ignore[index]
    cooled = Bench(profile=load_mercury_profile("mercury_m6e").model_copy(update={"statistics_flags": 0}))
    assert await cooled.session(lambda b: b.peer.send(hot), pause_s=125.0) is None
    assert [fields["off_ms"] for name, fields in cooled.events if name == "started"] == [0, 750, 0]  # type: ignore[index]


async def test_a_module_too_hot_to_start_is_asked_again_slowly() -> None:
    bench = with_tags()
    bench.module.hot = True

    def cool(b: Bench) -> None:
        assert b.module.commands[0x2F] <= 8
        b.module.hot = False

    assert await bench.session(cool, lambda _: None, pause_s=30.0) is None
    assert bench.count(ReaderEventCode.OVER_TEMPERATURE) >= 2
    assert bench.tags()


async def test_missing_antenna_is_named_and_the_others_go_on() -> None:
    bench = with_tags(TAG, Tag(bytes(12), -61.0, 2))

    def pull(b: Bench) -> None:
        b.module.connected[2] = False
        b.peer.send(wire.reply(0x22, 0x0503))

    def mend(b: Bench) -> None:
        assert b.module.settings.search == (1,)
        b.module.connected[2] = True

    assert await bench.session(pull, mend, lambda _: None, pause_s=16.0) is None
    named = [item.antenna for item in bench.events_of(ReaderEventCode.ANTENNA_NOT_CONNECTED)]
    assert 2 in named
    assert bench.module.settings.search == (1, 2)
    assert {tag.antenna for tag in bench.tags()[-20:]} == {1, 2}


async def test_return_loss_is_reported_and_reading_goes_on() -> None:
    bench = with_tags()
    assert await bench.session(lambda b: b.peer.send(wire.reply(0x22, 0x0505))) is None
    assert bench.count(ReaderEventCode.HIGH_RETURN_LOSS) == 1
    assert bench.starts() == 1


async def test_full_buffer_is_cleared() -> None:
    bench = with_tags()
    assert await bench.session(lambda b: b.peer.send(wire.reply(0x22, 0x0601))) is None
    assert bench.module.commands[0x2A] == 1
    assert bench.starts() == 2


async def test_temperature_report() -> None:
    bench = with_tags()
    assert await bench.session(lambda b: b.peer.send(wire.temperature_frame(45))) is None
    values = [item.value for item in bench.events_of(ReaderEventCode.TEMPERATURE)]
    assert values == [31.0, 45.0, 31.0], "the report of the next cycle says 31 again"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"power_cdbm": 3300}, "RFID_POWER_OUT_OF_RANGE"),
        ({"antennas": (1, 9)}, "RFID_ANTENNA_UNKNOWN"),
    ],
)
async def test_settings_the_module_cannot_do_are_refused(changes: dict[str, object], code: str) -> None:
    bench = Bench(settings_with(**changes))
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert error.code == code
    assert error.hint
    assert not bench.seen


async def test_another_kind_of_device_is_refused() -> None:
    bench = Bench()

    async def answer_in_ascii() -> None:
        try:
            while await bench.peer.read():
                bench.peer.send(b"?ERR unknown command\r\n")
        except LinkLost:
            return

    bench.serve = answer_in_ascii  # type: ignore[method-assign]
    error = await bench.session(pause_s=30.0)
    assert isinstance(error, DeviceRefused)
    assert error.code == "WRONG_DEVICE"
    assert "ERR" not in str(error)


async def test_nothing_there_is_a_timeout_with_advice() -> None:
    bench = Bench()
    bench.answering = False
    error = await bench.session(pause_s=30.0)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_NO_ANSWER"
    assert error.hint


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0.0, 0.2), st.binary(min_size=1, max_size=60)), max_size=40), st.booleans())
async def test_any_bytes_end_in_a_device_error_or_are_survived(
    babble: list[tuple[float, bytes]], with_module: bool
) -> None:
    bench = with_tags()
    bench.answering = with_module
    at = 0.0
    for pause_s, data in babble:
        at += pause_s
        asyncio.get_running_loop().call_later(at, bench.peer.send, data)
    error = await bench.session(pause_s=15.0)
    assert error is None or isinstance(error, DeviceError)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
async def test_flipped_bits_in_answers_end_in_a_device_error_or_are_survived(chance: random.Random) -> None:
    bench = with_tags()

    def flip(data: bytes) -> bytes:
        if chance.random() > 0.1:
            return data
        broken = bytearray(data)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        return bytes(broken)

    bench.peer.alter = flip
    error = await bench.session(pause_s=15.0)
    assert error is None or isinstance(error, DeviceError)
    assert all(tag.epc.value == TAG.epc for tag in bench.tags())
