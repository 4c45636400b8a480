"""The Mercury driver on a real port (a pty) against the virtual reader as a process of its own."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.api import DeviceRefused, DeviceUp, LinkLost, Observation, ReaderEvent, ReaderEventCode, Secret, TagRead
from drivers.rfid.mercury_reader import MercuryReader
from tests.conformance.rfid.pty_reader import PtyReader, Session, virtual_reader

pytestmark = pytest.mark.real_time

EPC = "300833B2DDD9014000000001"
TAG = {"epc": EPC, "rssi_dbm": -54.2, "antenna": 1}


def is_up(item: Observation) -> bool:
    return isinstance(item, DeviceUp)


def is_tag(item: Observation) -> bool:
    return isinstance(item, TagRead)


def is_event(code: ReaderEventCode) -> Callable[[Observation], bool]:
    return lambda item: isinstance(item, ReaderEvent) and item.code is code


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_tags_come_with_their_antenna_and_level(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        await reader.do("field", tags=[TAG, {"epc": "00" * 12, "rssi_dbm": -61, "antenna": 2}])
        second = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 2)
        first = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 1)
        assert isinstance(first, TagRead)
        assert isinstance(second, TagRead)
        assert (first.epc.reveal(), second.epc.reveal()) == (bytes.fromhex(EPC), bytes(12))
        assert -5900 < first.rssi_cdbm < -4900
        assert first.tag_crc_ok is True
        await session.end()
        assert (await reader.do("get"))["streaming"] is False


async def test_tag_numbers_and_duty_on_the_wire(tmp_path: Path) -> None:
    tid = "E2801160200074CF1D970934"
    async with virtual_reader(tmp_path) as reader:
        await reader.do("field", tags=[{**TAG, "tid": tid}, {"epc": "00" * 12, "rssi_dbm": -61, "antenna": 2}])
        source = reader.source(read_tid=True, cycle_ms=200, off_ms=100)
        session = Session(source)
        first = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 1)
        second = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 2)
        assert isinstance(first, TagRead)
        assert isinstance(second, TagRead)
        assert first.tid == Secret(bytes.fromhex(tid))
        assert second.tid is None
        await session.until(is_event(ReaderEventCode.TEMPERATURE))
        state = await reader.do("get")
        assert (state["tid_words"], state["off_ms"]) == (6, 100)
        await session.end()
        assert isinstance(source, MercuryReader)
        counters = source.counters()
        assert counters["tid_failures"] >= 1
        assert counters["duty_percent"] == 66.7


async def test_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        descriptors, threads = set(), threading.active_count()
        for _ in range(12):
            session = Session(reader.source())
            await session.until(is_up)
            await session.end()
            descriptors.add(open_descriptors())
            # The thread that closed the port may still be on its way out.
            assert threading.active_count() <= threads + 1
        assert len(descriptors) == 1


async def test_unplug_is_link_lost_and_replug_works(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("unplug")
        error = await session.error()
        assert isinstance(error, LinkLost)
        assert error.code == "SERIAL_LINK_LOST"

        absent = await Session(reader.source()).error()
        assert isinstance(absent, LinkLost)
        assert absent.code == "SERIAL_PORT_MISSING"

        await reader.do("replug")
        again = Session(reader.source())
        await again.until(is_up)
        await again.end()


async def test_a_killed_device_is_link_lost(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        reader.process.kill()
        assert isinstance(await session.error(), LinkLost)


@pytest.mark.parametrize("options", [("--baud", "9600"), ("--already-streaming",), ("--bootloader",)])
async def test_the_module_is_found_however_it_was_left(tmp_path: Path, options: tuple[str, ...]) -> None:
    async with virtual_reader(tmp_path, *options) as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source())
        await session.until(is_tag)
        state = await reader.do("get")
        assert (state["baud"], state["in_bootloader"]) == (115200, False)
        await session.end()


async def test_wrong_device_is_refused(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path, "--persona", "ascii") as reader:
        error = await Session(reader.source()).error()
        assert isinstance(error, DeviceRefused)
        assert error.code == "WRONG_DEVICE"


async def test_reset_noise_and_bad_crcs_are_survived(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source())
        await session.until(is_tag)
        await reader.do("corrupt", count=3)
        await reader.do("noise", bytes=200)
        await session.until(is_event(ReaderEventCode.DROPPED_RECORD))
        await reader.do("reset")
        await session.until(is_event(ReaderEventCode.RESTARTED))
        await session.until(is_tag, after=len(session.seen))
        assert sum(is_up(item) for item in session.seen) == 1
        assert all(item.epc.value == bytes.fromhex(EPC) for item in session.seen if isinstance(item, TagRead))
        await session.end()


async def test_faults_of_the_module_are_events(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        await reader.do("return_loss")
        await session.until(is_event(ReaderEventCode.HIGH_RETURN_LOSS))
        await reader.do("temperature", celsius=45)
        await session.until(lambda item: isinstance(item, ReaderEvent) and item.value == 45.0)
        await reader.do("antenna", port=2, connected=False)
        await session.until(lambda item: isinstance(item, ReaderEvent) and item.antenna == 2)
        await reader.do("over_temperature")
        await session.until(is_event(ReaderEventCode.OVER_TEMPERATURE))
        assert not session.task.done()
        await session.end()


async def test_silence_ends_the_session(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        await reader.do("mute")
        await session.until(is_event(ReaderEventCode.GAP))
        error = await session.error()
        assert getattr(error, "code", "") == "RFID_SILENT"


async def test_a_port_in_use_says_so(tmp_path: Path) -> None:
    async with virtual_reader(tmp_path) as reader:
        first = Session(reader.source())
        await first.until(is_up)
        error = await Session(reader.source()).error()
        assert isinstance(error, LinkLost)
        assert error.code == "SERIAL_PORT_BUSY"
        assert error.hint
        await first.end()


@pytest.mark.parametrize("kind", ["missing", "file", "fifo", "dangling", "folder"])
async def test_a_port_that_is_no_port_says_so(tmp_path: Path, kind: str) -> None:
    port = tmp_path / "reader"
    if kind == "file":
        port.write_bytes(b"x" * 100)
    elif kind == "fifo":
        os.mkfifo(port)
    elif kind == "dangling":
        port.symlink_to(tmp_path / "gone")
    elif kind == "folder":
        port.mkdir()
    before = open_descriptors()
    error = await Session(PtyReader.source_on(port)).error()
    assert isinstance(error, LinkLost)
    absent = kind in ("missing", "dangling")
    assert error.code == ("SERIAL_PORT_MISSING" if absent else "SERIAL_PORT_UNUSABLE")
    assert str(port) in error.message
    assert open_descriptors() == before
