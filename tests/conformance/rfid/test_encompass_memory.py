"""The Encompass driver keeps the device contract over a faulty line, on the virtual clock."""

import asyncio
import random
from typing import Any

import pytest

from drivers.api import (
    RSSI_UNKNOWN_CDBM,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    LinkLost,
    ProtocolViolation,
    ReaderEventCode,
)
from drivers.rfid.settings.encompass import EncompassSettings
from edge_agent.control.sightings import TagClass
from edge_agent.model.identity import IdentityKind
from hil.devices import encompass_wire as wire
from hil.devices.encompass_module import Tag
from tests.conformance.rfid.encompass_bench import SETTINGS, TAG, Bench

BASIC = EncompassSettings(**{**SETTINGS.model_dump(), "protocol": "basic"})
BOTH = pytest.mark.parametrize("settings", [SETTINGS, BASIC], ids=["ecp", "basic"])


def settings_with(**changes: Any) -> EncompassSettings:
    return EncompassSettings(**{**SETTINGS.model_dump(), **changes})


def clear(bench: Bench) -> None:
    bench.module.tags = ()


def with_tags(*tags: Tag, settings: EncompassSettings = SETTINGS, **options: Any) -> Bench:
    bench = Bench(settings, **options)
    bench.module.tags = tags or (TAG,)
    return bench


@BOTH
async def test_a_session_identifies_configures_and_reads(settings: EncompassSettings) -> None:
    bench = with_tags(TAG, Tag("AB 0042", 2), settings=settings)
    assert await bench.session(clear) is None
    first = bench.seen[0]
    assert isinstance(first, DeviceUp)
    assert (first.info.kind, first.info.model, first.info.firmware) == ("encompass", "E4 Series", "1.30")
    assert (first.info.serial, first.info.profile, len(first.info.profile_digest)) == ("012345", "encompass_e4", 64)
    assert first.info.details["frequency_khz"] == "915000"
    assert first.info.details["refused_settings"] == ""
    tags = bench.tags()
    assert {(tag.epc.reveal(), tag.antenna) for tag in tags} == {(b"KING 1302", 1), (b"AB 0042", 2)}
    assert all((tag.protocol, tag.reads, tag.pc, tag.rssi_cdbm) == ("ata", 1, 0, RSSI_UNKNOWN_CDBM) for tag in tags)
    assert len(tags) == bench.module.tag_count
    state = bench.module.settings
    assert (state.ecp, state.flow, state.filter, state.auxiliary) == (settings.protocol == "ecp", 0, "U4", True)
    assert (state.presence_reports, state.input_reports, state.rf_reports) == (True, 3, True)
    assert not bench.module.command_mode
    stamps = [item.stamp.mono_ns for item in bench.seen]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("was_ecp", [False, True])
@pytest.mark.parametrize("left_in_command_mode", [False, True])
@pytest.mark.parametrize("echo", [False, True])
@BOTH
async def test_the_reader_is_found_however_it_was_left(
    settings: EncompassSettings, was_ecp: bool, left_in_command_mode: bool, echo: bool
) -> None:
    bench = with_tags(settings=settings, early=True)
    bench.module.settings.ecp = was_ecp
    bench.module.settings.echo = echo
    bench.module.command_mode = left_in_command_mode
    assert await bench.session() is None
    assert bench.tags()
    assert bench.module.settings.ecp is (settings.protocol == "ecp")


async def test_a_session_on_the_sequence_of_the_last_one_is_executed() -> None:
    for last in (1, 3, 5, 15):
        bench = with_tags()
        bench.module.settings.ecp = True
        bench.module._last = (last, "Done")
        assert await bench.session() is None
        assert bench.tags()


async def test_every_message_is_acknowledged_and_none_sent_twice() -> None:
    bench = with_tags()
    assert await bench.session(clear, pause_s=5.0) is None
    reads = bench.module.tag_count
    assert reads > 30
    assert (bench.module.acks, bench.module.naks, bench.module.resends) == (reads, 0, 0)
    acknowledged = [wire.read_ecp(line) for line in bench.heard if line[1:2] == "@"]
    assert [item[0] for item in acknowledged if item] == [2 * at % 16 for at in range(reads)]


async def test_a_lost_acknowledgement_makes_no_second_read() -> None:
    bench = with_tags(reads_per_s=1.0)

    def lose(b: Bench) -> None:
        b.module.lose_acks = 3

    assert await bench.session(lose, lambda _: None, pause_s=4.0) is None
    assert bench.module.resends >= 3
    assert len(bench.tags()) == bench.module.tag_count - len(bench.module._queue)


async def test_a_damaged_message_is_refused_and_comes_again() -> None:
    bench = with_tags(reads_per_s=2.0)

    def spoil_next(b: Bench) -> None:
        def spoil(data: bytes) -> bytes:
            b.alter = None
            return data[:5] + bytes((data[5] ^ 0x01,)) + data[6:]

        b.alter = spoil

    assert await bench.session(spoil_next, spoil_next, spoil_next) is None
    assert bench.module.naks == 3
    assert len(bench.tags()) == bench.module.tag_count
    assert all(tag.epc.reveal() == b"KING 1302" for tag in bench.tags())
    assert sum(event.value or 0 for event in bench.events_of(ReaderEventCode.DROPPED_RECORD)) == 3


async def test_commands_survive_damage_in_both_directions() -> None:
    chance = random.Random(4)
    bench = with_tags()
    bench.module.settings.ecp = True

    def spoil(data: bytes) -> bytes:
        if chance.random() > 0.15:
            return data
        at = chance.randrange(len(data))
        return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]

    bench.alter = spoil
    assert await bench.session(pause_s=20.0) is None
    assert {tag.epc.reveal() for tag in bench.tags()} == {b"KING 1302"}
    unsent = len(bench.module._queue) + bench.module.lost
    assert len(bench.tags()) >= bench.module.tag_count - unsent - 1


async def test_late_answers_are_not_the_next_commands() -> None:
    for slow_s in (0.4, 0.56, 0.6, 0.64):
        bench = with_tags(settings=BASIC)
        original = bench.module.line

        def line(
            text: str, now_s: float, bench: Bench = bench, original: Any = original, wait_s: float = slow_s
        ) -> None:
            # One command is answered after the driver has sent it again.
            if text == "300" and text not in bench.module.commands:
                bench.module.commands[text] = 0
                asyncio.get_running_loop().call_later(wait_s, original, text, now_s)
            else:
                original(text, now_s)

        bench.module.line = line  # type: ignore[method-assign]
        bench.module.settings.refused = frozenset({"320"})
        assert await bench.session() is None
        up = bench.seen[0]
        assert isinstance(up, DeviceUp)
        assert up.info.details["refused_settings"] == "tag_page_off"


@pytest.mark.parametrize("seed", range(12))
@BOTH
async def test_any_damage_is_reads_or_one_documented_error(settings: EncompassSettings, seed: int) -> None:
    chance = random.Random(seed)
    bench = with_tags(settings=EncompassSettings(**{**settings.model_dump(), "keepalive_s": 2}), early=True)

    def spoil(data: bytes) -> bytes:
        kind = chance.random()
        if kind < 0.7:
            return data
        if kind < 0.8:
            return data[: chance.randrange(len(data))]
        if kind < 0.9:
            return chance.randbytes(chance.randrange(200)) + data
        spoiled = bytearray(data)
        spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        return bytes(spoiled)

    bench.alter = spoil
    error = await bench.session(lambda _: None, clear, lambda _: None, pause_s=10.0)
    assert error is None or isinstance(error, DeviceTimeout | ProtocolViolation | DeviceRefused)
    assert all(isinstance(item, DeviceUp) == (at == 0) for at, item in enumerate(bench.seen))
    assert bench.link.closed


async def test_a_message_in_the_way_of_a_command_costs_nothing() -> None:
    bench = Bench(settings_with(keepalive_s=2))

    def collide(b: Bench) -> None:
        # Just ahead of the answer to 01, where the manual tells hosts to ignore it.
        original = b.module.line

        def line(text: str, now_s: float) -> None:
            if (said := wire.read_ecp(text)) and said[1] == "01":
                b.module.line = original  # type: ignore[method-assign]
                b.module.sight(TAG, now_s)
            original(text, now_s)

        b.module.line = line  # type: ignore[method-assign]

    assert await bench.session(collide, lambda _: None, pause_s=3.0) is None
    assert len(bench.tags()) == 1
    assert not bench.module._queue
    # Nothing but commands goes to a reader in command mode: it could take an acknowledgement for one.
    said = [item[1] for line in bench.heard if (item := wire.read_ecp(line))]
    at = said.index("@")
    assert said[at - 1] == "00"
    assert said.count("@") == 1


async def test_an_echo_is_nobodys_tag() -> None:
    bench = Bench(EncompassSettings(**{**BASIC.model_dump(), "keepalive_s": 2}))
    bench.module.settings.echo = True
    bench.module.settings.refused = frozenset({"6170"})
    assert await bench.session(pause_s=9.0) is None
    assert bench.module.settings.echo
    assert len(bench.events_of(ReaderEventCode.KEEPALIVE)) >= 3
    assert not bench.tags()


@BOTH
async def test_command_mode_is_short(settings: EncompassSettings) -> None:
    bench = with_tags(settings=EncompassSettings(**{**settings.model_dump(), "keepalive_s": 2}))

    assert await bench.session(clear, lambda _: None, pause_s=10.0) is None
    # One visit to configure, and a look every keepalive; none while tags come.
    assert bench.module.visits == 1 + len(bench.events_of(ReaderEventCode.KEEPALIVE))
    assert bench.module.rf_off_longest_s < 0.5
    looks = [fields["rf_off_s"] for name, fields in bench.events if name == "data_mode" and isinstance(fields, dict)]
    assert max(looks[1:]) < 0.05


async def test_the_readers_own_sign_of_life_spares_the_look() -> None:
    bench = Bench(settings_with(keepalive_s=200))
    assert await bench.session(pause_s=1000.0) is None
    assert len(bench.events_of(ReaderEventCode.KEEPALIVE)) == 5
    assert bench.module.visits == 1


@BOTH
async def test_a_vehicle_without_a_tag_is_an_event_of_its_own(settings: EncompassSettings) -> None:
    bench = Bench(settings)
    inputs = [lambda b: b.module.set_inputs(1, b.now_s()), lambda b: b.module.set_inputs(0, b.now_s())]
    assert await bench.session(*inputs) is None
    assert [event.antenna for event in bench.events_of(ReaderEventCode.UNREAD_VEHICLE)] == [1]
    assert [event.value for event in bench.events_of(ReaderEventCode.INPUT_CHANGED)] == [1.0, 0.0]
    assert not bench.tags()


async def test_a_vehicle_with_a_tag_is_not_unread() -> None:
    bench = Bench()
    steps = [
        lambda b: b.module.set_inputs(1, b.now_s()),
        lambda b: b.module.sight(TAG, b.now_s()),
        lambda b: b.module.set_inputs(0, b.now_s()),
    ]
    assert await bench.session(*steps) is None
    assert len(bench.tags()) == 1
    assert not bench.events_of(ReaderEventCode.UNREAD_VEHICLE)


async def test_error_reports_are_events_and_a_reader_without_frequency_is_refused() -> None:
    bench = with_tags()
    error = await bench.session(
        lambda b: b.module.say("Error08", b.now_s()), lambda b: b.module.say("Error06", b.now_s())
    )
    assert [event.value for event in bench.events_of(ReaderEventCode.DEVICE_STATUS)] == [8.0, 6.0]
    assert isinstance(error, DeviceRefused)
    assert error.code == "RFID_SETTING_REFUSED"

    mute = with_tags()
    mute.module.settings.frequency = "XXX"
    error = await mute.session()
    assert isinstance(error, DeviceRefused)
    assert not mute.seen
    assert not mute.module.command_mode


@BOTH
async def test_a_restart_is_told_and_the_reader_configured_again(settings: EncompassSettings) -> None:
    bench = with_tags(settings=settings)

    def restart(b: Bench) -> None:
        b.module.settings.filter = "U0"
        b.module.restart(b.now_s())

    assert await bench.session(restart, lambda _: None) is None
    assert len(bench.events_of(ReaderEventCode.RESTARTED)) == 1
    assert sum(isinstance(item, DeviceUp) for item in bench.seen) == 1
    assert bench.module.settings.filter == "U4"
    assert len(bench.tags()) > 40


async def test_a_reader_that_keeps_restarting_is_given_up() -> None:
    bench = with_tags()
    error = await bench.session(*[lambda b: b.module.restart(b.now_s())] * 4)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_RESTARTING"


async def test_refused_settings_are_told_or_park_the_device() -> None:
    bench = with_tags()
    bench.module.settings.refused = frozenset({"831", "320"})
    assert await bench.session() is None
    up = bench.seen[0]
    assert isinstance(up, DeviceUp)
    assert up.info.details["refused_settings"] == "tag_page_off periodic_rf_status"

    bench = with_tags()
    bench.module.settings.refused = frozenset({"40"})
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert (error.code, bench.seen) == ("RFID_SETTING_REFUSED", [])
    assert not bench.module.command_mode


@pytest.mark.parametrize(("flow", "set_to"), [("none", 0), ("software", 1), ("hardware", 2)])
async def test_flow_control_is_set(flow: str, set_to: int) -> None:
    bench = with_tags(settings=settings_with(flow=flow))
    assert await bench.session() is None
    assert bench.module.settings.flow == set_to


@pytest.mark.parametrize("baud", [19200, 115200, 1200])
async def test_a_reader_at_another_rate_is_found_there(baud: int) -> None:
    bench = with_tags()
    bench.baud = baud
    assert await bench.session(pause_s=12.0) is None
    up = bench.seen[0]
    assert isinstance(up, DeviceUp)
    assert up.info.details["baud"] == str(baud)


async def test_another_device_is_refused_and_nothing_is_a_timeout() -> None:
    silent = Bench()
    silent.answering = False
    error = await silent.session(pause_s=20.0)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_NO_ANSWER"

    stranger = Bench()
    stranger.alter = lambda _data: b"?ERR unknown\r\n"
    error = await stranger.session(pause_s=20.0)
    assert isinstance(error, DeviceRefused)
    assert error.code == "WRONG_DEVICE"


async def test_silence_is_a_gap_and_a_timeout_within_three_keepalives() -> None:
    bench = with_tags(settings=settings_with(keepalive_s=2))

    def fall_silent(b: Bench) -> None:
        b.answering = False

    error = await bench.session(fall_silent, pause_s=8.0)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_SILENT"
    (gap,) = bench.events_of(ReaderEventCode.GAP)
    assert 2.0 <= (gap.value or 0) <= 6.0


async def test_babble_is_a_protocol_violation() -> None:
    bench = with_tags(settings=settings_with(keepalive_s=2))
    noise = random.Random(7)

    def babble(b: Bench) -> None:
        b.answering = False
        for at in range(900):
            asyncio.get_running_loop().call_later(at * 0.01, b.peer.send, noise.randbytes(8))

    error = await bench.session(babble, pause_s=8.0)
    assert isinstance(error, ProtocolViolation)
    assert error.code == "RFID_GARBLED"


async def test_noise_between_messages_costs_no_read() -> None:
    noise = random.Random(3)
    for settings in (SETTINGS, BASIC):
        bench = with_tags(settings=settings)
        bench.alter = lambda data: noise.randbytes(noise.randrange(6)).replace(b"#", b"") + data
        assert await bench.session(pause_s=4.0) is None
        assert len(bench.tags()) == bench.module.tag_count


async def test_one_byte_at_a_time_gives_the_same_observations() -> None:
    async def values(chop: int | None) -> list[object]:
        bench = with_tags(chop=chop)
        assert await bench.session(lambda b: b.module.restart(b.now_s())) is None
        return [(tag.epc.value, tag.antenna, tag.reads) for tag in bench.tags()]

    whole, single = await values(None), await values(1)
    assert whole == single
    assert len(whole) > 25


async def test_leaving_leaves_data_mode_at_any_moment_within_a_second() -> None:
    loop = asyncio.get_running_loop()
    for settings in (SETTINGS, BASIC):
        for steps in range(130):
            bench = with_tags(settings=settings)
            work = [loop.create_task(bench.serve()), loop.create_task(bench.air())]
            session = loop.create_task(bench.reader.run(bench.seen.append))
            await asyncio.sleep(steps * 0.004)
            session.cancel()
            before = loop.time()
            with pytest.raises(asyncio.CancelledError):
                await session
            assert loop.time() - before <= 1.0
            assert bench.link.closed
            assert not bench.module.command_mode, steps
            for task in work:
                task.cancel()
            await asyncio.wait(work)


@BOTH
async def test_unplug_at_every_moment_is_link_lost(settings: EncompassSettings) -> None:
    for steps in range(150):
        bench = with_tags(settings=settings)
        error = await bench.session(lambda b: b.peer.cut(), pause_s=steps * 0.004 + 0.0005)
        assert isinstance(error, LinkLost)


async def test_opens_and_closes_a_hundred_times() -> None:
    for _ in range(100):
        bench = with_tags()
        assert await bench.session(pause_s=1.0) is None
        assert isinstance(bench.seen[0], DeviceUp)


async def test_a_day_of_tags_keeps_memory_flat() -> None:
    bench = with_tags(reads_per_s=5.0)
    assert await bench.session(pause_s=600.0) is None
    assert len(bench.tags()) > 2_000
    bench.seen.clear()
    assert await Bench(settings_with(keepalive_s=10)).session(pause_s=3_600.0) is None


async def test_text_identities_are_classed_by_their_prefix() -> None:
    bench = with_tags(Tag("KING 1302"), Tag("FST 000042"))
    assert await bench.session() is None
    fast = TagClass(IdentityKind.TRANSPONDER, b"FST ")
    classed = {tag.epc.reveal(): fast.matches(tag.epc.reveal()) for tag in bench.tags()}
    assert classed == {b"KING 1302": False, b"FST 000042": True}
    assert bytes.fromhex("46535420") == b"FST "  # as `prefix_hex` has it
