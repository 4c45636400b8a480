"""The LLRP driver over real TCP against the virtual reader, and both against LLRP programs that are not ours."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

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
    Secret,
    TagRead,
)
from tests.conformance.rfid.llrp_process import EPC, TAG, llrp_source, run_peer, running, virtual_llrp
from tests.conformance.rfid.pty_reader import Session

pytestmark = pytest.mark.real_time


def is_up(item: Observation) -> bool:
    return isinstance(item, DeviceUp)


def is_tag(item: Observation) -> bool:
    return isinstance(item, TagRead)


def is_event(code: ReaderEventCode) -> Callable[[Observation], bool]:
    return lambda item: isinstance(item, ReaderEvent) and item.code is code


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.asynccontextmanager
async def listener(first: bytes) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A TCP service that says `first` and then takes whatever comes; its port, and whether somebody came."""
    came = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.write(first)
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()


async def test_tags_come_with_all_a_lane_uses(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        tid = "E2801105000000000000ABCD"
        await reader.do("field", tags=[{**TAG, "tid": tid}, {"epc": "E20000170101", "rssi_dbm": -61, "antenna": 2}])
        session = Session(reader.source(read_tid=True, profile="llrp_impinj"))
        up = await session.until(is_up)
        first = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 1)
        second = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 2)
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        await session.until(is_event(ReaderEventCode.TEMPERATURE))
        assert isinstance(up, DeviceUp)
        assert isinstance(first, TagRead)
        assert isinstance(second, TagRead)
        assert session.seen[0] is up
        assert up.info.model == "Impinj Speedway R420"
        assert (up.info.details["started"], up.info.details["rf_mode"]) == ("by itself", "1002")
        assert (first.epc.reveal().hex().upper(), second.epc.reveal().hex().upper()) == (EPC, "E20000170101")
        assert first.tid is not None
        assert first.tid.reveal().hex().upper() == tid
        assert (first.tag_crc_ok, first.pc, second.pc) == (True, 0x3000, 0x1800)
        assert -5900 < first.rssi_cdbm < -4900
        assert first.rssi_cdbm % 100, "the vendor's centi-dBm"
        assert 902_000 < first.frequency_khz < 928_000
        assert 0 <= first.phase_deg < 180
        assert 0 <= first.reader_ms < 60_000
        await session.end()
        state = await reader.until_state(connected=False)
        assert (state["streaming"], state["rospecs"]) == (False, {})


async def test_a_reader_of_another_maker_gives_whole_decibels(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path, "--maker", "161") as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source(read_tid=True))
        up = await session.until(is_up)
        tag = await session.until(is_tag)
        assert isinstance(up, DeviceUp)
        assert isinstance(tag, TagRead)
        assert up.info.details["extensions"] == "none"
        assert (tag.rssi_cdbm % 100, tag.tid) == (0, None)
        await session.end()


async def test_tag_numbers_are_read_by_the_standards_operation_where_no_extension_has_them(tmp_path: Path) -> None:
    tid = "E2801160200074CF1D970934"
    async with virtual_llrp(tmp_path, "--maker", "161") as reader:
        await reader.do("field", tags=[{**TAG, "tid": tid}, {"epc": "E20000170101", "rssi_dbm": -60, "antenna": 2}])
        session = Session(reader.source(read_tid=True))
        up = await session.until(is_up)
        assert isinstance(up, DeviceUp)
        assert up.info.details["tid"] == "read operation"
        first = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 1)
        second = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 2)
        assert isinstance(first, TagRead)
        assert isinstance(second, TagRead)
        assert first.tid == Secret(bytes.fromhex(tid))
        assert second.tid is None
        await session.end()
        await reader.until_state(accessspecs=[], rospecs={})


async def test_a_reader_without_the_operation_is_read_without_tag_numbers(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path, "--maker", "161", "--no-access") as reader:
        await reader.do("field", tags=[{**TAG, "tid": "E2801160200074CF1D970934"}])
        session = Session(reader.source(read_tid=True))
        up = await session.until(is_up)
        assert isinstance(up, DeviceUp)
        assert up.info.details["tid"] == "not offered: unsupported message (109): access operations"
        tag = await session.until(is_tag)
        assert isinstance(tag, TagRead)
        assert tag.tid is None
        await session.end()


async def test_a_reader_that_ignores_the_start_trigger_is_started(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path, "--ignore-start-trigger") as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source(profile="llrp_impinj"))
        up = await session.until(is_up)
        assert isinstance(up, DeviceUp)
        assert up.info.details["started"] == "on request"
        await session.until(is_tag)
        await session.end()


async def test_an_independent_client_finds_the_virtual_reader_in_order_sllurp(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        told, complaints = await run_peer("tests.conformance.rfid.llrp_peer_sllurp", str(reader.port))
        assert complaints == ""
        assert told["in_time"]
        assert told["reports"] >= 20
        assert not told["alive"]
        assert bytes.fromhex(told["first"]["EPC-96"]).decode().upper() == EPC
        assert told["first"]["ImpinjPeakRSSI"] < 0
        state = await reader.until_state(connected=False)
        assert (state["streaming"], state["rospecs"]) == (False, {})


async def test_an_independent_client_finds_the_virtual_reader_in_order_llrpkit(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[{**TAG, "tid": "E2801105000000000000ABCD"}])
        told, complaints = await run_peer("tests.conformance.rfid.llrp_peer_llrpkit", "client", str(reader.port))
        assert complaints == ""
        assert (told["epc"].upper(), told["tid"].upper()) == (EPC, "E2801105000000000000ABCD")
        assert (told["reports"], told["dropped"], told["antennas"], told["temperature"]) == (20, 0, 4, 31)
        assert told["rssi"] < 0


async def test_an_independent_reader_is_read() -> None:
    async with running("-m", "tests.conformance.rfid.llrp_peer_llrpkit", "emulator") as (_, ready):
        session = Session(llrp_source(ready["port"]))
        await session.until(is_up)
        first = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 1)
        second = await session.until(lambda item: isinstance(item, TagRead) and item.antenna == 2)
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        assert isinstance(first, TagRead)
        assert isinstance(second, TagRead)
        assert (first.epc.reveal().hex().upper(), second.epc.reveal().hex().upper()) == (EPC, "E20000170101")
        await session.end()
        again = Session(llrp_source(ready["port"]))
        await again.until(is_tag)
        await again.end()


async def test_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        descriptors, threads = set(), threading.active_count()
        for _ in range(20):
            session = Session(reader.source())
            await session.until(is_up)
            await session.end()
            descriptors.add(open_descriptors())
        assert len(descriptors) == 1
        assert threading.active_count() == threads
        assert len(asyncio.all_tasks()) == 1


async def test_a_dropped_connection_is_link_lost_and_reading_comes_back(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source())
        await session.until(is_tag)
        await reader.do("drop")
        error = await session.error()
        assert isinstance(error, LinkLost)
        assert error.code == "TCP_LINK_LOST"
        await reader.do("reset")
        again = Session(reader.source())
        await again.until(is_tag)
        await again.end()


async def test_a_killed_reader_is_link_lost_then_unreachable(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        reader.process.kill()
        assert getattr(await session.error(), "code", "") == "TCP_LINK_LOST"
        await reader.process.wait()
        absent = await Session(reader.source()).error()
        assert isinstance(absent, LinkLost)
        assert absent.code == "TCP_UNREACHABLE"
        assert absent.hint


async def test_a_taken_reader_says_so_and_is_told_nothing(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        first = Session(reader.source())
        await first.until(is_up)
        error = await Session(reader.source()).error()
        assert isinstance(error, LinkLost)
        assert error.code == "RFID_TAKEN"
        assert "client" in error.hint
        await first.until(is_tag, after=len(first.seen))
        await first.end()


async def test_a_half_open_link_is_given_back_in_time(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        await reader.do("occupy")
        assert getattr(await Session(reader.source()).error(), "code", "") == "RFID_TAKEN"
        await reader.do("occupy", on=False)
        session = Session(reader.source())
        await session.until(is_tag)
        await session.end()


@pytest.mark.parametrize("verb", ["mute", "keepalive"])
async def test_silence_ends_the_session(tmp_path: Path, verb: str) -> None:
    async with virtual_llrp(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_event(ReaderEventCode.KEEPALIVE))
        await reader.do(verb, on=verb == "mute")
        gap = await session.until(is_event(ReaderEventCode.GAP))
        error = await session.error()
        assert isinstance(error, DeviceTimeout)
        assert error.code == "RFID_SILENT"
        assert isinstance(gap, ReaderEvent)
        assert gap.value == 1.0, "2.5 periods of 400 ms"


async def test_tags_are_a_sign_of_life_too(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source())
        await session.until(is_tag)
        await reader.do("keepalive", on=False)
        after = session.seen[-1].stamp.mono_ns + 1_500_000_000
        await session.until(lambda item: item.stamp.mono_ns > after)
        assert not session.task.done()
        await session.end()


async def test_garbage_ends_the_session(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("raw", hex="ffffffffffffffffffffffff")
        error = await session.error()
        assert isinstance(error, ProtocolViolation)
        assert error.code == "RFID_GARBLED"


async def test_events_of_the_reader(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        session = Session(reader.source())
        await session.until(is_up)
        await reader.do("antenna", port=2, connected=False)
        gone = await session.until(is_event(ReaderEventCode.ANTENNA_NOT_CONNECTED))
        assert isinstance(gone, ReaderEvent)
        assert gone.antenna == 2
        await reader.do("antenna", port=2, connected=True)
        back = await session.until(is_event(ReaderEventCode.ANTENNA_CONNECTED))
        assert isinstance(back, ReaderEvent)
        assert back.antenna == 2
        await reader.do("overflow")
        lost = await session.until(is_event(ReaderEventCode.DROPPED_RECORD))
        assert isinstance(lost, ReaderEvent)
        assert lost.value is None
        await reader.do("exception", text="PA bias")
        await session.until(lambda item: isinstance(item, ReaderEvent) and item.value == 252)
        await reader.do("fill", percent=90)
        await session.until(lambda item: isinstance(item, ReaderEvent) and item.value == 250)
        await reader.do("close_event")
        assert getattr(await session.error(), "code", "") == "TCP_LINK_LOST"


async def test_an_inventory_that_ends_is_begun_again(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source())
        await session.until(is_tag)
        await reader.do("end_rospec")
        await session.until(is_event(ReaderEventCode.RESTARTED))
        await session.until(is_tag, after=len(session.seen))
        assert sum(is_up(item) for item in session.seen) == 1
        await session.end()


async def test_wrong_devices_and_settings_are_refused(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader:
        wanted: dict[str, dict[str, Any]] = {
            "RFID_ANTENNA_UNKNOWN": {"antennas": (1, 9)},
            "RFID_POWER_OUT_OF_RANGE": {"power_cdbm": 3300},
            "RFID_SETTING_REFUSED": {"rf_mode": 77},
            "WRONG_DEVICE": {"reader_id": "001625ffff10ba48"},
        }
        for code, changes in wanted.items():
            error = await Session(reader.source(**changes)).error()
            assert isinstance(error, DeviceRefused)
            assert (error.code, bool(error.hint)) == (code, True)
        session = Session(reader.source(reader_id="001625FFFF10BA47"))
        await session.until(is_up)
        await session.end()


@pytest.mark.parametrize("first", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64)])
async def test_another_service_is_the_wrong_device(first: bytes) -> None:
    async with listener(first) as (port, _):
        error = await Session(llrp_source(port)).error()
        assert isinstance(error, DeviceRefused)
        assert error.code == "WRONG_DEVICE"


async def test_a_cancelled_session_ends_soon_whatever_the_reader_does(tmp_path: Path) -> None:
    async with virtual_llrp(tmp_path) as reader, listener(b"") as (silent, came):
        running_session = Session(reader.source())
        await running_session.until(is_up)
        await reader.do("mute")
        waiting = Session(llrp_source(silent))
        await came.wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await running_session.end()
        await waiting.end()
        assert loop.time() - began < 3.0


async def test_a_name_that_is_none(tmp_path: Path) -> None:
    error = await Session(llrp_source(5084, host="no-such-reader.invalid")).error()
    assert isinstance(error, LinkLost)
    assert error.code in {"TCP_UNREACHABLE", "TCP_OPEN_TIMEOUT"}
