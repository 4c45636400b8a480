"""Captures as the agent makes them, on virtual time, with a virtual reader behind the tape."""

import asyncio
import errno
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.api import TagRead
from drivers.link.capture_codec import Capture, End, open_capture
from drivers.rfid.mercury_reader import MercuryReader
from drivers.rfid.settings.mercury import load_mercury_profile
from edge_agent.control.capture_desk import CaptureDesk, CaptureLimits, CapturePorts, CaptureSubject
from edge_agent.model.decision import ActKind, ActResult, OfficerAct, Role
from edge_agent.model.effects import AnswerAct, EmitEvent
from edge_agent.runtime.health import HealthBoard
from hil.rig.virtual_loop import VirtualClock
from tests.conformance.capture.recorder import KEY, PUBLIC
from tests.conformance.rfid import memory_module
from tests.unit.passage.story import CONFIG, Lane, stamp

MB = 1 << 20
NAMES = [f"0190e1c2-5a70-7000-8000-{number:012x}" for number in range(40)]


class Site:
    """A lane under maintenance: the core, the desk, and one reader whose session begins anew when asked."""

    def __init__(self, folder: Path, limits: CaptureLimits | None = None, public: bytes = PUBLIC) -> None:
        self.core = Lane(now=1000.0).start()
        self.board = HealthBoard()
        self.folder = folder / "captures"
        self.restarted: list[str] = []
        self.clock = VirtualClock()
        (folder / "key").write_bytes(public)
        settings = memory_module.SETTINGS
        subject = CaptureSubject(
            "mercury",
            settings.profile,
            lambda expected: registry.describe("mercury", "reader-1", settings, expected),
            lambda: registry.profile_digest(settings),
        )
        ports = CapturePorts(
            self.clock,
            self.act,
            self.submit,
            lambda: self.core.state.captures,
            self.restarted.append,
            self.board,
        )
        self.desk = CaptureDesk(
            ports,
            CONFIG.identity,
            {"reader-1": subject, "reader-2": subject},
            self.folder,
            folder / "key",
            limits or CaptureLimits(600.0, 64 * MB, 0),
        )

    def now(self) -> None:
        """The core's time is the loop's."""
        self.core.now = asyncio.get_running_loop().time()

    async def act(self, act: OfficerAct) -> AnswerAct:
        self.now()
        return self.core.send(act)

    def submit(self, event: Any) -> None:
        self.now()
        self.core.feed(event)

    async def maintain(self) -> "Site":
        """The lane is closed and maintained."""
        self.now()
        self.core.act(ActKind.SET_MODE, mode="closed")
        self.core.act(ActKind.SET_MODE, mode="maintenance", duration_s=3600.0)
        return self

    async def start(self, number: int = 0, device: str = "reader-1", **more: Any) -> AnswerAct:
        """Ask for a capture."""
        act = OfficerAct(ActKind.START_CAPTURE, NAMES[number], "tech-1", Role.TECHNICIAN, device=device)
        return await self.desk.start(replace(act, reason="no reads", **more))

    async def stop(self, number: int = 0) -> AnswerAct:
        """End a capture."""
        act = OfficerAct(ActKind.STOP_CAPTURE, NAMES[30 + number], "tech-1", Role.TECHNICIAN, capture=NAMES[number])
        return await self.desk.stop(act)

    async def session(self, seconds: float) -> list[Any]:
        """A session of the reader, with a tag in the field, for so long: what it observed."""
        bench = memory_module.Bench()
        bench.module.tags = (memory_module.TAG,)
        clock, splice = self.desk.told_and_spliced("reader-1")
        profile = load_mercury_profile(memory_module.SETTINGS.profile)
        reader = MercuryReader("reader-1", memory_module.SETTINGS, profile, clock, splice.link(bench._open))
        bench.reader = self.desk.source_of("reader-1", reader)  # type: ignore[assignment]
        assert await bench.session(pause_s=seconds) is None
        return bench.seen

    def file(self, number: int = 0) -> Path:
        """Where the capture is."""
        return self.folder / f"{NAMES[number]}.lanecap"

    def capture(self, number: int = 0) -> Capture:
        """What is in it, once it is written: its thread does not know of virtual time."""
        for thread in threading.enumerate():
            if thread.name == "capture-writer":
                thread.join(10.0)
        return open_capture(self.file(number).read_bytes(), KEY.private_bytes_raw())

    def causes(self) -> list[str]:
        """How captures ended."""
        events = [e for e in self.core.effects if isinstance(e, EmitEvent) and e.code == "CAPTURE_ENDED"]
        return [dict(event.facts)["cause"] for event in events]


async def running(site: Site, seconds: float) -> list[Any]:
    """The desk at work while the reader reads for so long."""
    async with asyncio.TaskGroup() as group:
        desk = group.create_task(site.desk.run())
        seen = await site.session(seconds)
        desk.cancel()
    return seen


async def test_a_capture_is_sealed_private_and_whole(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    answer = await site.start()
    assert answer.result is ActResult.OK
    assert site.restarted == ["reader-1"]
    seen = await site.session(5.0)
    assert (await site.stop()).result is ActResult.OK
    assert stat.S_IMODE(site.file().stat().st_mode) == 0o600
    assert stat.S_IMODE(site.folder.stat().st_mode) == 0o700
    capture = site.capture()
    assert capture.end is End.COMPLETE
    assert (capture.header.device, capture.header.kind) == ("reader-1", "mercury")
    assert len(capture.records) > len(seen) > 50
    epc = next(item.epc.reveal() for item in seen if isinstance(item, TagRead))
    assert any(epc in record.payload for record in capture.records)
    told = repr(site.core.effects) + repr(answer) + site.file().name
    for value in (epc, epc.hex().encode(), epc.hex().upper().encode()):
        assert value not in site.file().read_bytes()
        assert value not in told.encode()
    (found,) = await site.desk.found()
    assert found.header == capture.header


async def test_a_repeat_of_the_request_begins_no_second_capture(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    first = await site.start()
    again = await site.start()
    assert (again.result, again.message) == (first.result, first.message)
    assert site.restarted == ["reader-1"]
    await site.stop()
    assert (await site.start()).result is ActResult.OK
    assert site.core.state.captures == ()


@pytest.mark.real_time
async def test_a_repeat_that_overtakes_the_first_harms_nothing(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    answers = await asyncio.gather(site.start(), site.start())
    assert [answer.result for answer in answers] == [ActResult.OK, ActResult.OK]
    assert site.restarted == ["reader-1"]
    assert [running.capture for running in site.core.state.captures] == [NAMES[0]]
    assert not site.board.raised()
    await site.stop()


async def test_a_device_that_is_not_captured_gets_its_link_and_clock_as_they_are(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    await site.start()
    clock, splice = site.desk.told_and_spliced("reader-2")
    bench = memory_module.Bench()
    assert clock is site.clock
    assert splice.link(bench._open) == bench._open
    assert site.desk.source_of("reader-2", bench.reader) is bench.reader
    await site.stop()


async def test_time_ends_it_and_the_session_goes_on(tmp_path: Path) -> None:
    site = await Site(tmp_path, CaptureLimits(3.0, 64 * MB, 0)).maintain()
    await site.start(duration_s=3600.0)
    seen = await running(site, 8.0)
    assert site.causes() == ["time"]
    assert seen[-1].stamp.mono_ns > site.capture().records[-1].offset_ns + site.capture().header.started_mono_ns
    assert site.capture().end is End.COMPLETE
    assert site.capture().records[-1].offset_ns <= 3.6e9


async def test_the_end_of_maintenance_ends_it(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    await site.start()

    def close() -> None:
        site.now()
        site.core.act(ActKind.SET_MODE, mode="closed")

    asyncio.get_running_loop().call_later(2.0, close)
    await running(site, 4.0)
    assert site.causes() == ["maintenance_over"]
    assert site.capture().end is End.COMPLETE


async def test_its_size_is_bounded(tmp_path: Path) -> None:
    site = await Site(tmp_path, CaptureLimits(600.0, 20_000, 0)).maintain()
    await site.start()
    await running(site, 30.0)
    assert site.causes() == ["size"]
    assert site.file().stat().st_size < 60_000


async def test_a_full_disk_ends_the_capture_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await Site(tmp_path).maintain()
    await site.start()
    write, written = os.write, 0

    def fill_up(descriptor: int, data: Any) -> int:
        nonlocal written
        if written > 2000:
            raise OSError(errno.ENOSPC, "no room")
        count = write(descriptor, bytes(data)[:700])
        written += count
        return count

    monkeypatch.setattr(os, "write", fill_up)
    seen = await site.session(6.0)
    writer = site.desk._running["reader-1"].writer
    site.desk.sweep()
    writer.close()
    writer.join(10.0)
    site.desk.sweep()
    assert site.causes() == ["disk"]
    assert [c.code for c in site.board.raised()] == ["CAPTURE_FAILED"]
    assert "No space left" in site.board.raised()[0].title
    assert sum(isinstance(item, TagRead) for item in seen) > 50
    assert site.capture().end is End.CUT
    monkeypatch.undo()
    assert (await site.start(1)).result is ActResult.OK
    assert site.board.raised() == ()
    await site.stop(1)


async def test_an_agent_that_dies_leaves_what_was_written(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    await site.start()
    await site.session(3.0)
    site.desk.sweep()
    site.desk._running["reader-1"].writer.close()
    site.desk._running["reader-1"].writer.join(5.0)
    assert site.capture().end is End.CUT
    assert len(site.capture().records) > 100


@pytest.mark.parametrize("mode", ["closed", "remote"])
async def test_nothing_is_made_outside_maintenance(tmp_path: Path, mode: str) -> None:
    site = Site(tmp_path)
    site.core.act(ActKind.SET_MODE, mode=mode)
    answer = await site.start()
    assert answer.result is ActResult.FAILED_PRECONDITION
    assert "maintenance" in answer.message
    assert site.restarted == []
    assert await site.desk.found() == ()


async def test_no_key_no_capture(tmp_path: Path) -> None:
    site = await Site(tmp_path, public=b"short").maintain()
    answer = await site.start()
    assert answer.result is ActResult.FAILED_PRECONDITION
    assert "nothing is captured without one" in answer.message
    (tmp_path / "key").unlink()
    assert "key: No such file" in (await site.start()).message
    assert await site.desk.found() == ()


async def test_what_else_is_refused(tmp_path: Path) -> None:
    site = await Site(tmp_path, CaptureLimits(600.0, 64 * MB, 0, files=1)).maintain()
    assert (await site.start(device="camera-1")).result is ActResult.NOT_FOUND
    assert (await site.start()).result is ActResult.OK
    full = await site.start(1, device="reader-2")
    assert (full.result, "delete some" in full.message) == (ActResult.FAILED_PRECONDITION, True)
    await site.stop()
    tight = await Site(tmp_path, CaptureLimits(600.0, 64 * MB, 1 << 60)).maintain()
    assert "no room" in (await tight.start(2)).message


async def test_a_capture_is_deleted_with_its_file_and_only_when_it_has_ended(tmp_path: Path) -> None:
    site = await Site(tmp_path).maintain()
    await site.start()
    act = OfficerAct(ActKind.DELETE_CAPTURE, NAMES[20], "tech-1", Role.TECHNICIAN, capture=NAMES[0])
    assert (await site.desk.delete(act)).result is ActResult.FAILED_PRECONDITION
    assert site.file().exists()
    await site.stop()
    assert (await site.desk.delete(replace(act, request_id=NAMES[21]))).result is ActResult.OK
    assert not site.file().exists()
    assert (await site.desk.delete(replace(act, request_id=NAMES[22]))).result is ActResult.NOT_FOUND


assert stamp(1000.0).mono_ns == 1_000_000_000_000, "the story's clock and the virtual loop's begin at one time"
