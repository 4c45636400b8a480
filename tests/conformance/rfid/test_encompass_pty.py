"""The Encompass driver on a real port (a pty) against the virtual reader as a process of its own."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.api import DeviceRefused, DeviceUp, LinkLost, Observation, ReaderEvent, ReaderEventCode, TagRead
from tests.conformance.rfid.encompass_pty import virtual_encompass
from tests.conformance.rfid.pty_reader import Session

pytestmark = pytest.mark.real_time

TAG = {"id": "KING 1302", "antenna": 1}


def is_up(item: Observation) -> bool:
    return isinstance(item, DeviceUp)


def is_tag(item: Observation) -> bool:
    return isinstance(item, TagRead)


def is_event(code: ReaderEventCode) -> Callable[[Observation], bool]:
    return lambda item: isinstance(item, ReaderEvent) and item.code is code


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("protocol", ["ecp", "basic"])
async def test_tags_come_with_their_antenna(tmp_path: Path, protocol: str) -> None:
    async with virtual_encompass(tmp_path) as reader:
        session = Session(reader.source(protocol=protocol))
        await session.until(is_up)
        await reader.do("field", tags=[TAG, {"epc": "0fa5000000000000000000a1", "antenna": 2}])
        second = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 2)
        first = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 1)
        assert isinstance(first, TagRead)
        assert isinstance(second, TagRead)
        assert (first.epc.reveal(), second.epc.reveal()) == (b"KING 1302", b"0FA5000000000000000000A1")
        state = await reader.do("get")
        assert (state["ecp"], state["command_mode"], state["filter"]) == (protocol == "ecp", False, "U4")
        assert state["rf_off_longest_s"] < 2.0
        await session.end()
        assert (await reader.do("get"))["command_mode"] is False


async def test_acknowledged_damaged_and_unacknowledged_messages(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("rate", per_s=4)
        await reader.do("field", tags=[TAG])
        await session.until(is_tag)
        await reader.do("lose_ack", count=2)
        await reader.do("corrupt", count=2)
        await session.until(is_event(ReaderEventCode.DROPPED_RECORD))
        await reader.do("noise", bytes=100)
        await session.until(is_tag, after=len(session.seen))
        await reader.do("field", tags=[])
        # The look at a quiet reader comes after everything that was under way.
        await session.until(is_event(ReaderEventCode.KEEPALIVE), after=len(session.seen))
        state = await reader.do("get")
        tags = [item for item in session.seen if isinstance(item, TagRead)]
        assert {tag.epc.reveal() for tag in tags} == {b"KING 1302"}
        assert (len(tags), state["unacknowledged"]) == (state["tags_reported"], 0)
        assert state["resends"] >= 3
        await session.end()


async def test_presence_inputs_errors_and_restart(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path, "--ecp", "--command-mode") as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("presence", on=True)
        await reader.do("presence", on=False)
        await session.until(is_event(ReaderEventCode.UNREAD_VEHICLE))
        assert [item.value for item in session.seen if is_event(ReaderEventCode.INPUT_CHANGED)(item)] == [1.0, 0.0]  # type: ignore[union-attr]
        await reader.do("error", number=11)
        await session.until(is_event(ReaderEventCode.DEVICE_STATUS))
        await reader.do("reset")
        await session.until(is_event(ReaderEventCode.RESTARTED))
        await reader.do("field", tags=[TAG])
        await session.until(is_tag)
        assert sum(is_up(item) for item in session.seen) == 1
        await session.end()


async def test_command_mode_is_as_short_as_the_line_allows(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        configured = await reader.do("get")
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        looked = await reader.do("get")
        assert looked["visits"] == configured["visits"] + 1
        # One question and one answer of 9600 bits/s, and the scheduling of two processes.
        assert looked["rf_off_s"] - configured["rf_off_s"] < 0.5
        assert not looked["command_mode"]
        await session.end()


async def test_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path) as reader:
        descriptors, threads = set(), threading.active_count()
        for _ in range(5):
            session = Session(reader.source())
            await session.until(is_up)
            await session.end()
            descriptors.add(open_descriptors())
            # The thread that closed the port may still be on its way out.
            assert threading.active_count() <= threads + 1
        assert len(descriptors) == 1


async def test_unplug_is_link_lost_and_replug_works(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("unplug")
        error = await session.error()
        assert isinstance(error, LinkLost)
        assert error.code == "SERIAL_LINK_LOST"
        await reader.do("replug")
        again = Session(reader.source())
        await again.until(is_up)
        await again.end()


async def test_silence_ends_the_session(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("mute")
        await session.until(is_event(ReaderEventCode.GAP))
        assert getattr(await session.error(), "code", "") == "RFID_SILENT"


async def test_another_rate_is_found(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path, "--baud", "19200") as reader:
        session = Session(reader.source())
        up = await session.until(is_up)
        assert isinstance(up, DeviceUp)
        assert up.info.details["baud"] == "19200"
        await session.end()


async def test_wrong_device_is_refused(tmp_path: Path) -> None:
    async with virtual_encompass(tmp_path, "--persona", "ascii") as reader:
        error = await Session(reader.source()).error()
        assert isinstance(error, DeviceRefused)
        assert error.code == "WRONG_DEVICE"
