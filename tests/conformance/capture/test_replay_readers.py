"""Every reader family: a session on the virtual clock, with what goes wrong in one, is replayed byte for byte."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from drivers.api import DeviceError, DeviceRefused, Observation, ReaderEvent, ReaderEventCode, Source, TagRead
from drivers.link.capture_codec import Capture, End, RecordKind, open_capture
from drivers.link.link import Link
from drivers.rfid.encompass_reader import EncompassReader
from drivers.rfid.llrp_reader import LlrpReader
from drivers.rfid.mercury_reader import MercuryReader
from drivers.rfid.settings.encompass import load_encompass_profile
from drivers.rfid.settings.llrp import load_llrp_profile
from drivers.rfid.settings.mercury import load_mercury_profile
from hil.rig.virtual_loop import VirtualClock, VirtualLoop
from tests.conformance.rfid import encompass_bench, llrp_memory, memory_module

from .recorder import KEY, Recorder, as_bytes, assert_same, replayed


@dataclass
class Live:
    """A recorded session."""

    file: bytes
    capture: Capture
    seen: list[Observation]
    ended: str


def record(family: str, *steps: Callable[[Any], object], pause_s: float = 2.0, prepare: Any = None) -> Live:
    """Run a session of this family with these steps, and record it."""

    async def run() -> Live:
        bench: Any
        settings: Any
        if family == "mercury":
            bench, settings = memory_module.Bench(), memory_module.SETTINGS
        elif family == "encompass":
            bench, settings = encompass_bench.Bench(), encompass_bench.SETTINGS
        else:
            bench, settings = llrp_memory.LlrpBench(), llrp_memory.SETTINGS
        recorder = Recorder(VirtualClock(), family, settings)
        bench.reader = recorder.session(lambda clock, splice: _driver(bench, family, settings, clock, splice))
        if prepare is not None:
            prepare(bench)
        error: DeviceError | None = await bench.session(*steps, pause_s=pause_s)
        file = recorder.finished()
        return Live(file, open_capture(file, KEY.private_bytes_raw()), bench.seen, "" if error is None else error.code)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def _driver(bench: Any, family: str, settings: Any, clock: Any, splice: Any) -> Source:
    open_link: Callable[[], Awaitable[Link]] = bench._open
    if family == "mercury":
        profile = load_mercury_profile(settings.profile)
        return MercuryReader("reader-1", settings, profile, clock, splice.link(open_link))
    if family == "encompass":
        profile_ = load_encompass_profile(settings.profile)
        return EncompassReader("reader-1", settings, profile_, clock, splice.link(open_link))
    return LlrpReader("reader-1", settings, load_llrp_profile(settings.profile), clock, splice.stream(open_link))


FAMILIES = ("mercury", "encompass", "llrp")
TAGS: dict[str, Any] = {"mercury": memory_module.TAG, "encompass": encompass_bench.TAG, "llrp": llrp_memory.TAG}


def tags_come(bench: Any) -> None:
    """One tag in the field."""
    tags = [TAGS[family] for family in FAMILIES if type(TAGS[family]).__module__ == type(bench.module).__module__]
    bench.module.tags = tuple(tags)


def cut(bench: Any) -> None:
    """The cable goes."""
    bench.peer.cut()


def mute(bench: Any) -> None:
    """The device falls silent."""
    bench.answering = False


def idle(_bench: Any) -> None:
    """Time passes."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_session_is_replayed_byte_for_byte(family: str) -> None:
    live = record(family, tags_come, idle)
    assert len([seen for seen in live.seen if isinstance(seen, TagRead)]) > 10
    assert live.capture.end is End.COMPLETE
    assert_same(live.capture, live.seen)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fault", [cut, mute])
def test_a_session_that_a_fault_ends_is_replayed_to_the_same_fault(family: str, fault: Callable[[Any], object]) -> None:
    live = record(family, tags_come, fault, *(idle,) * 20)
    assert live.ended
    assert_same(live.capture, live.seen, live.ended)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_device_that_never_answers_is_replayed_to_the_same_fault(family: str) -> None:
    live = record(family, *(idle,) * 60, prepare=mute)
    assert live.ended
    assert_same(live.capture, live.seen, live.ended)


def test_heat_of_ten_minutes_is_replayed_byte_for_byte() -> None:
    def warm(bench: Any) -> None:
        tags_come(bench)
        bench.heat = memory_module.Heat(60.0, 40.0)

    live = record("mercury", idle, pause_s=300.0, prepare=warm)
    codes = {seen.code for seen in live.seen if isinstance(seen, ReaderEvent)}
    assert ReaderEventCode.OVER_TEMPERATURE in codes
    assert_same(live.capture, live.seen)


def test_two_sessions_of_one_capture_are_replayed_one_after_the_other() -> None:
    first, second = record("encompass", tags_come, cut, idle), record("encompass", tags_come, idle)
    later_ns = first.capture.records[-1].offset_ns
    both = Capture(
        first.capture.header,
        first.capture.records + tuple(replace(r, offset_ns=r.offset_ns + later_ns) for r in second.capture.records),
        2,
        End.COMPLETE,
    )
    sessions = replayed(both)
    assert [session.ended for session in sessions] == ["MEMORY_LINK_LOST", ""]
    assert as_bytes(sessions[0].observations) == as_bytes(first.seen)
    assert len(sessions[1].observations) == len(second.seen)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_capture_cut_anywhere_is_replayed_as_far_as_it_goes(family: str) -> None:
    live = record(family, tags_come, idle)
    whole = as_bytes(live.seen)
    records = live.capture.records
    for end in range(1, len(records) - 1, 7):
        (session,) = replayed(replace(live.capture, records=records[:end]))
        assert session.divergence is None
        assert as_bytes(session.observations) == whole[: len(session.observations)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_write_that_differs_is_named(family: str) -> None:
    live = record(family, tags_come, idle)
    records = list(live.capture.records)
    at = [n for n, record in enumerate(records) if record.kind is RecordKind.TX][3]
    changed = bytes((records[at].payload[0] ^ 1,)) + records[at].payload[1:]
    records[at] = replace(records[at], payload=changed)
    (session,) = replayed(replace(live.capture, records=tuple(records)))
    assert session.divergence is not None
    assert session.divergence.record == at
    assert "different from byte 0 on" in session.divergence.replayed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_record_is_a_divergence_and_never_a_hang(family: str) -> None:
    live = record(family, tags_come, idle)
    records = live.capture.records
    for at in range(1, min(len(records) - 1, 60)):
        (session, *_) = replayed(replace(live.capture, records=records[:at] + records[at + 1 :]))
        # Without its clock reading or its bytes the driver does something else, sooner or later; or nothing is missed.
        assert session.divergence is not None or session.observations


def test_a_profile_that_is_not_the_captured_one_is_refused() -> None:
    live = record("mercury", tags_come)
    begun = live.capture.records[0]
    told = json.loads(begun.payload) | {"profile_digest": "0" * 64}
    records = (replace(begun, payload=json.dumps(told).encode()), *live.capture.records[1:])
    with pytest.raises(DeviceRefused, match="PROFILE_DIFFERS"):
        replayed(replace(live.capture, records=records))


def test_nothing_of_a_tag_stands_in_the_file_or_in_a_repr() -> None:
    for family in FAMILIES:
        live = record(family, tags_come, idle)
        epc = next(seen.epc.reveal() for seen in live.seen if isinstance(seen, TagRead))
        assert any(epc in record.payload for record in live.capture.records)
        for needle in (epc, epc.hex().encode(), epc.hex().upper().encode()):
            assert needle not in live.file
        assert epc.hex() not in repr(live.capture)
        assert repr(epc)[2:-1] not in repr(live.capture)
