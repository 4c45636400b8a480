"""The LLRP driver on the virtual clock: start-up, odd answers, losses, and the cable cut at every byte."""

import asyncio
import random
from dataclasses import replace
from struct import pack

import pytest

from drivers.api import (
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    LinkLost,
    Observation,
    ProtocolViolation,
    ReaderEvent,
    ReaderEventCode,
    Stamp,
    TagRead,
)
from drivers.rfid.settings.llrp import LlrpSettings, load_llrp_profile
from hil.devices import llrp_wire as wire
from hil.devices.llrp_module import Tag
from tests.conformance.rfid import llrp_memory
from tests.conformance.rfid.llrp_memory import SETTINGS, TAG, LlrpBench
from tests.unit.rfid.llrp_messages import MESSAGES

NOTHING = Stamp(0, 0)


def bench_with_tag(**changes: object) -> LlrpBench:
    bench = LlrpBench(SETTINGS.model_copy(update=changes))
    bench.module.tags = (TAG,)
    return bench


def without_time(items: list[Observation]) -> list[Observation]:
    """Observations less what depends on when the test ran."""
    bare: list[Observation] = []
    for item in items:
        if isinstance(item, DeviceUp):
            bare.append(replace(item, stamp=NOTHING, info=replace(item.info, details={})))
        elif isinstance(item, TagRead):
            bare.append(replace(item, stamp=NOTHING, reader_ms=0))
        else:
            bare.append(replace(item, stamp=NOTHING))
    return bare


async def test_a_session_reads_and_ends_politely() -> None:
    bench = bench_with_tag()
    assert await bench.session() is None
    assert isinstance(bench.seen[0], DeviceUp)
    assert sum(isinstance(item, DeviceUp) for item in bench.seen) == 1
    assert len(bench.tags()) > 20
    assert ReaderEventCode.KEEPALIVE in bench.codes()
    assert bench.requests.count(72) == bench.codes().count(ReaderEventCode.KEEPALIVE)
    assert bench.requests[-3:] == [21, 41, 14], "what was asked for is deleted, then the connection closed"
    stamps = [item.stamp.mono_ns for item in bench.seen]
    assert stamps == sorted(stamps)


async def test_the_start_up_in_order() -> None:
    bench = LlrpBench(SETTINGS.model_copy(update={"profile": "llrp_impinj"}))
    assert await bench.session(pause_s=0.5) is None
    assert [kind for kind in bench.requests if kind != 72][:-3] == [1, 1023, 2, 3, 21, 41, 20, 24, 26, 64]
    generic = LlrpBench()
    assert await generic.session(pause_s=0.5) is None
    assert [kind for kind in generic.requests if kind != 72][:-3] == [1, 1023, 2, 3, 21, 41, 20, 24, 22, 64]


async def test_one_byte_at_a_time_is_the_same() -> None:
    whole, chopped = bench_with_tag(), LlrpBench(chop=1)
    chopped.module.tags = (TAG,)
    await whole.session(pause_s=1.5)
    await chopped.session(pause_s=1.5)
    assert without_time(whole.seen) == without_time(chopped.seen)


async def test_the_cable_cut_at_every_byte_of_a_session() -> None:
    whole = bench_with_tag()
    await whole.session(pause_s=0.2)
    # The capabilities are long and all alike: every byte of the rest, and every seventh of them.
    for room in [*range(64), *range(64, whole.sent - 600, 7), *range(whole.sent - 600, whole.sent)]:
        bench = bench_with_tag()
        bench.room = room
        error = await bench.session(pause_s=0.5)
        assert isinstance(error, LinkLost), room
        assert bench.link.closed


async def test_silence_at_any_point_is_noticed_in_time() -> None:
    whole = bench_with_tag()
    await whole.session(pause_s=0.2)
    for room in range(0, whole.sent, 97):
        bench = bench_with_tag()
        bench.room = room
        bench.peer.cut = lambda: None  # type: ignore[method-assign]
        error = await bench.session(pause_s=10.0)
        assert isinstance(error, DeviceTimeout | ProtocolViolation), room
        assert error.code in {"RFID_NO_ANSWER", "RFID_SILENT", "RFID_GARBLED"}


async def test_silence_is_told_as_a_gap_with_its_length() -> None:
    bench = bench_with_tag()
    error = await bench.session(lambda b: setattr(b, "answering", False), pause_s=4.0)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_SILENT"
    assert [
        item.value for item in bench.seen if isinstance(item, ReaderEvent) and item.code is ReaderEventCode.GAP
    ] == [2.5]


async def test_answers_are_matched_by_id_and_type() -> None:
    bench = bench_with_tag()

    def confuse(asked: wire.Request) -> list[bytes] | None:
        if asked.type == 3:  # the right type with another id, the right id with another type, an error about another
            refused = wire.status(100, "not yours")
            return [
                wire.message(13, asked.id + 7, refused),
                wire.message(30, asked.id, refused),
                wire.message(100, asked.id + 7, refused),
                wire.message(13, asked.id, wire.status()),
            ]
        if asked.type == 64:  # some readers answer what has no answer
            return [wire.message(100, asked.id, wire.status(109))]
        return None

    bench.rewrite = confuse
    bench.module.session.keepalive_ms = 1000
    assert await bench.session(pause_s=0.8) is None
    assert isinstance(bench.seen[0], DeviceUp)


@pytest.mark.parametrize("code", [100, 109, 209, 301])
async def test_a_refused_setting_parks_the_reader(code: int) -> None:
    bench = bench_with_tag()
    bench.rewrite = lambda asked: [wire.message(30, asked.id, wire.status(code, "no"))] if asked.type == 20 else None
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert error.code == "RFID_SETTING_REFUSED"
    assert str(code) in error.message
    assert "no" in error.message
    assert not bench.seen


async def test_a_failing_device_is_asked_again() -> None:
    bench = bench_with_tag()
    bench.rewrite = lambda asked: [wire.message(13, asked.id, wire.status(401))] if asked.type == 3 else None
    error = await bench.session()
    assert isinstance(error, ProtocolViolation)
    assert error.code == "RFID_COMMAND_FAILED"


async def test_an_error_message_is_the_answer() -> None:
    bench = bench_with_tag()
    bench.rewrite = lambda asked: [wire.message(100, asked.id, wire.status(109))] if asked.type == 1 else None
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert "unsupported message (109)" in error.message


async def test_readers_that_lack_extras_are_read_all_the_same() -> None:
    """No identity, no extensions, no access operations, no deletion of all ROSpecs at once."""
    bench = bench_with_tag()
    bench.module.request(wire.Request(20, 1, wire.param(177, pack(">IBB", 5, 0, 0), _triggers())), 1)

    def refuse(asked: wire.Request) -> list[bytes] | None:
        if asked.type in (2, 41, 1023) or (asked.type == 21 and asked.body == bytes(4)):
            return [wire.message(100, asked.id, wire.status(109))]
        return None

    bench.rewrite = refuse
    assert await bench.session() is None
    assert bench.tags()
    assert 5 not in bench.module.rospecs


def _triggers() -> bytes:
    return wire.param(178, wire.param(179, b"\0"), wire.param(182, bytes(5)))


@pytest.mark.parametrize(("status", "code"), [(1, "RFID_TAKEN"), (2, "RFID_TAKEN"), (3, "RFID_TAKEN")])
async def test_a_taken_reader_is_told_nothing(status: int, code: str) -> None:
    bench = bench_with_tag()
    bench.greeting = bench.module.greet(1, status)
    error = await bench.session()
    assert isinstance(error, LinkLost)
    assert (error.code, bench.requests) == (code, [])
    assert bench.link.closed


@pytest.mark.parametrize("ahead_s", [3600, -86_400])
async def test_a_reader_whose_clock_is_wrong_is_told_by_how_much_and_not_believed(
    ahead_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right_us = llrp_memory._now_us
    monkeypatch.setattr(llrp_memory, "_now_us", lambda: right_us() + ahead_s * 1_000_000)
    bench = bench_with_tag()

    def set_back(_bench: LlrpBench) -> None:
        monkeypatch.setattr(llrp_memory, "_now_us", lambda: right_us() + (ahead_s - 7200) * 1_000_000)

    assert await bench.session(set_back) is None
    up = bench.seen[0]
    assert isinstance(up, DeviceUp)
    assert up.info.details["reader_clock_offset_ms"] == str(ahead_s * 1000)
    stamps = [item.stamp for item in bench.seen]
    assert stamps == sorted(stamps, key=lambda stamp: stamp.mono_ns)
    assert all(0 <= stamp.utc_ns // 1000 - right_us() + 4_100_000 <= 4_200_000 for stamp in stamps), "this lane's time"
    times = [tag.reader_ms for tag in bench.tags()]
    assert 1500 < max(times) < 2500, "since the reader's greeting"
    assert times[-1] == 0, "set back behind its greeting: it tells no time"


async def test_what_an_earlier_inventory_left_in_the_buffer_is_no_read_of_now() -> None:
    bench = bench_with_tag()
    old = wire.record(wire.Sighting(bytes(12), 1, -5000, 1), wire.Content(), 77)
    error = await bench.session(lambda b: b.send(wire.message(61, 0, old)))
    assert error is None
    assert all(tag.epc.value != bytes(12) for tag in bench.tags())
    assert [i.value for i in bench.seen if isinstance(i, ReaderEvent) and i.code is ReaderEventCode.DROPPED_RECORD] == [
        1.0
    ]


async def test_a_broken_record_is_counted_and_the_stream_goes_on() -> None:
    bench = bench_with_tag()
    broken = wire.message(61, 0, wire.param(240, wire.param(241, b"\x02\x00", bytes(64))))
    assert await bench.session(lambda b: b.send(broken)) is None
    drops = [i for i in bench.seen if isinstance(i, ReaderEvent) and i.code is ReaderEventCode.DROPPED_RECORD]
    assert [drop.value for drop in drops] == [1.0]
    assert isinstance(bench.seen[-1], TagRead | ReaderEvent)
    assert bench.seen.index(drops[0]) < len(bench.seen) - 5


async def test_whatever_a_reader_sends_is_read_counted_or_one_fault() -> None:
    corpus = list(MESSAGES.values())
    for seed in range(150):
        chance = random.Random(seed)
        bench = bench_with_tag()
        changed = bytearray(b"".join(chance.choices(corpus, k=3)))
        for _ in range(chance.randint(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        error = await bench.session(lambda b, data=bytes(changed): b.send(data), pause_s=0.5)  # type: ignore[misc]
        assert error is None or error.code in {"RFID_GARBLED", "RFID_BAD_REPLY", "TCP_LINK_LOST"}, seed
        assert bench.link.closed


async def test_an_inventory_ended_again_and_again_is_given_up() -> None:
    bench = bench_with_tag()

    def end(b: LlrpBench) -> None:
        for spec in b.module.active():
            b.module.end(spec)

    error = await bench.session(end, end, end, end, end)
    assert isinstance(error, DeviceTimeout)
    assert error.code == "RFID_RESTARTING"
    assert bench.codes().count(ReaderEventCode.RESTARTED) == 4
    assert sum(isinstance(item, DeviceUp) for item in bench.seen) == 1


async def test_the_old_inventory_of_the_previous_session_stops() -> None:
    first = bench_with_tag()
    assert isinstance(await first.session(lambda b: b.peer.cut()), LinkLost)
    assert first.module.active(), "a cut cable leaves the reader reading"
    await asyncio.sleep(5)
    second = LlrpBench(module=first.module)
    assert await second.session() is None
    assert second.tags()
    assert not first.module.rospecs


async def test_cancelled_at_every_moment_of_the_start() -> None:
    for step in range(40):
        bench = bench_with_tag()
        loop = asyncio.get_running_loop()
        began = loop.time()
        session = loop.create_task(bench.session(pause_s=step * 0.0005))
        await session
        assert loop.time() - began < 1.1
        assert bench.link.closed


async def test_temperature_is_told_from_time_to_time() -> None:
    bench = bench_with_tag()
    assert await bench.session(lambda b: setattr(b.module, "temperature_c", 40), pause_s=70.0) is None
    told = [i.value for i in bench.seen if isinstance(i, ReaderEvent) and i.code is ReaderEventCode.TEMPERATURE]
    assert told[0] == 31.0
    assert told[-1] == 40.0
    assert len(told) == 3


async def test_memory_is_flat_with_many_tags() -> None:
    bench = LlrpBench()
    bench.module.tags = tuple(
        Tag(number.to_bytes(2, "big") * (1 + number % 31), -50.0, 1 + number % 2) for number in range(1, 400)
    )
    assert await bench.session(pause_s=1.0) is None
    assert len({tag.epc.value for tag in bench.tags()}) == 399


def test_profiles_and_settings_are_checked() -> None:
    assert load_llrp_profile("llrp_impinj").models[2001052] == "R700"
    with pytest.raises(DeviceRefused) as caught:
        load_llrp_profile("llrp_none")
    assert caught.value.code == "PROFILE_MISSING"
    for wrong in ({"antennas": (1, 1)}, {"antennas": ()}, {"session": 4}, {"reader_id": "xyz"}, {"host": "a b"}):
        with pytest.raises(ValueError, match="validation error"):
            LlrpSettings(**{"host": "h", "antennas": (1,), **wrong})  # type: ignore[arg-type]
