"""Captures of device links: begun and ended by a technician through the core, which keeps the record of who and why.

The core rules on every act and remembers what runs; the desk makes the tapes and files, ends what has run long enough,
and tells the core of what ended by itself. It holds no key that could read a capture.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from drivers.api import Clock, EdgeError, Source, Stamp
from drivers.link.capture_codec import KEY_BYTES, CaptureSealer, Header, key_id_of
from drivers.link.tape import DIRECT, Splice, Tape, TapedSource, TapedSplice
from edge_agent.model.decision import ActResult, OfficerAct
from edge_agent.model.effects import AnswerAct, Severity
from edge_agent.model.inputs import CaptureEnded, CoreInput
from edge_agent.model.lane import LaneIdentity
from edge_agent.passage.state import Capturing
from edge_agent.runtime.health import Condition, HealthBoard
from edge_agent.store.capture_files import CaptureFolder, CaptureFound, CaptureWriter

TICK_S = 0.5
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """`reserve_bytes` of disk that a capture must leave free; `files` kept at the lane."""

    longest_s: float
    most_bytes: int
    reserve_bytes: int
    files: int = 20


@dataclass(frozen=True, slots=True)
class CapturePorts:
    """What the desk needs of the agent. `running`: what the core says is being captured; `restart(device)`: begin the
    device's session anew."""

    clock: Clock
    act: Callable[[OfficerAct], Awaitable[AnswerAct]]
    submit: Callable[[CoreInput], None]
    running: Callable[[], tuple[Capturing, ...]]
    restart: Callable[[str], None]
    board: HealthBoard


@dataclass(frozen=True, slots=True)
class CaptureSubject:
    """A device whose link can be captured. `describe(expected identity)`: what a session is made from; `digest` of its
    profile's file, EdgeError when it cannot be read."""

    kind: str
    profile: str
    describe: Callable[[str], bytes]
    digest: Callable[[], str]


@dataclass(slots=True)
class _Running:
    capture: str
    device: str
    tape: Tape
    sealer: CaptureSealer
    writer: CaptureWriter


class CaptureDesk:
    """The lane's captures."""

    def __init__(
        self,
        ports: CapturePorts,
        identity: LaneIdentity,
        devices: Mapping[str, CaptureSubject],
        folder: Path,
        public_key: Path,
        limits: CaptureLimits,
    ) -> None:
        self._ports = ports
        self._identity = identity
        self._devices = devices
        self._public_key = public_key
        self._limits = limits
        self._files = CaptureFolder(folder)
        self._running: dict[str, _Running] = {}
        self._beginning: set[str] = set()

    def told_and_spliced(self, device: str) -> tuple[Clock, Splice]:
        """The clock and splice for a new session of this device: the agent's clock and nothing when it is not being
        captured."""
        running = self._running.get(device)
        return (self._ports.clock, DIRECT) if running is None else (running.tape, TapedSplice(running.tape))

    def source_of(self, device: str, session: Source) -> Source:
        """The session as it is to be run."""
        running = self._running.get(device)
        if running is None:
            return session
        made_from = self._devices[device].describe(getattr(session, "expected_identity", ""))
        return TapedSource(session, running.tape, made_from)

    async def start(self, act: OfficerAct) -> AnswerAct:
        """Begin a capture of `act.device`; its name is the act's request id, so that a repeat begins no other."""
        capture = act.request_id.lower()
        if self._files.path_of(capture).exists():
            return await self._ports.act(replace(act, capture=capture))
        try:
            public_key = await asyncio.to_thread(self._fit_to_begin, act)
        except _UnfitError as unfit:
            return AnswerAct(self._ports.clock.stamp(), act.request_id, unfit.result, str(unfit), "")
        length_s = min(act.duration_s or self._limits.longest_s, self._limits.longest_s)
        answer = await self._ports.act(replace(act, capture=capture, duration_s=length_s))
        begun = {running.capture for running in self._running.values()} | self._beginning
        if answer.result is ActResult.OK and capture not in begun:
            self._beginning.add(capture)  # a repeat that comes while the file is made finds it begun
            try:
                await self._begin(capture, act.device, public_key)
            finally:
                self._beginning.discard(capture)
        return answer

    async def stop(self, act: OfficerAct) -> AnswerAct:
        """End a capture; the file is whole when the answer comes."""
        writers = [running.writer for running in self._running.values() if running.capture == act.capture]
        answer = await self._ports.act(act)
        self.sweep()
        for writer in writers:
            await asyncio.to_thread(writer.join, _CLOSE_S)
        return answer

    async def delete(self, act: OfficerAct) -> AnswerAct:
        """Delete the file of a capture that has ended."""
        if not self._files.path_of(act.capture).exists():
            text = "no such capture is at the lane"
            return AnswerAct(self._ports.clock.stamp(), act.request_id, ActResult.NOT_FOUND, text, "")
        answer = await self._ports.act(act)
        if answer.result is ActResult.OK:
            await asyncio.to_thread(self._files.delete, act.capture)
        return answer

    async def found(self) -> tuple[CaptureFound, ...]:
        """The captures at the lane, newest first."""
        return await asyncio.to_thread(self._files.found)

    async def run(self) -> None:
        """Flush tapes and end captures in time, until cancelled; then end them all."""
        try:
            while True:
                await asyncio.sleep(TICK_S)
                self.sweep()
        finally:
            for running in tuple(self._running.values()):
                self._finish(running)
                # The last chunk, which says that the capture is whole, is worth the moment.
                running.writer.join(_CLOSE_S)

    def sweep(self) -> None:
        """End what the core has ended, what has run its time and what failed; write the rest."""
        core = {running.capture: running for running in self._ports.running()}
        now = self._ports.clock.stamp()
        for running in tuple(self._running.values()):
            running.tape.flush()
            known = core.get(running.capture)
            cause = "" if known is None else self._ending(running, known, now)
            if known is None or cause:
                self._finish(running)
            if cause:
                self._ports.submit(CaptureEnded(now, running.capture, cause, running.writer.size_bytes))

    def _ending(self, running: _Running, known: Capturing, now: Stamp) -> str:
        """Why it must end now; "" when it goes on."""
        if running.writer.fault:
            self._tell_failure(running.device, running.writer.fault, now)
            return "disk"
        if running.writer.size_bytes >= self._limits.most_bytes:
            return "size"
        return "time" if now.mono_ns >= known.until_ns else ""

    async def _begin(self, capture: str, device: str, public_key: bytes) -> None:
        clock = self._ports.clock
        start = clock.stamp()
        subject = self._devices[device]
        header = Header(
            capture=capture,
            lane=self._identity.lane,
            device=device,
            kind=subject.kind,
            profile=subject.profile,
            profile_digest=subject.digest(),
            agent_version=self._identity.agent_version,
            started_utc_ns=start.utc_ns,
            started_mono_ns=start.mono_ns,
            key_id=key_id_of(public_key),
        )
        sealer = CaptureSealer(header, public_key, os.urandom(KEY_BYTES))
        try:
            writer = await asyncio.to_thread(CaptureWriter, self._files.path_of(capture), sealer.opening)
        except OSError as error:
            self._tell_failure(device, error.strerror or str(error), start)
            self._ports.submit(CaptureEnded(clock.stamp(), capture, "disk", 0))
            return
        tape = Tape(clock, start, lambda chunk: writer.put(sealer.chunk(chunk)))
        self._running[device] = _Running(capture, device, tape, sealer, writer)
        self._ports.board.clear("CAPTURE_FAILED", device)
        self._ports.restart(device)

    def _finish(self, running: _Running) -> None:
        del self._running[running.device]
        running.tape.end()
        running.writer.put(running.sealer.chunk(b"", last=True))
        running.writer.close()

    def _fit_to_begin(self, act: OfficerAct) -> bytes:
        """The key to seal to. _UnfitError: why no capture can begin; blocks."""
        if act.device not in self._devices:
            raise _UnfitError(ActResult.NOT_FOUND, f"the lane has no reader or module {act.device}")
        subject = self._devices[act.device]
        try:
            public_key = self._public_key.read_bytes()
            subject.digest()
            free = self._files.free_bytes()
            files = len(self._files.found())
        except EdgeError as error:
            raise _UnfitError(ActResult.FAILED_PRECONDITION, str(error)) from error
        except OSError as error:
            raise _UnfitError(ActResult.FAILED_PRECONDITION, f"{error.filename}: {error.strerror}") from error
        if len(public_key) != KEY_BYTES:
            text = f"{self._public_key} is no X25519 public key ({KEY_BYTES} bytes): nothing is captured without one"
            raise _UnfitError(ActResult.FAILED_PRECONDITION, text)
        if free < self._limits.reserve_bytes + self._limits.most_bytes:
            raise _UnfitError(ActResult.FAILED_PRECONDITION, "the disk has no room for a capture beside its reserve")
        if files >= self._limits.files:
            text = f"{files} captures are at the lane already: delete some (lanectl capture delete)"
            raise _UnfitError(ActResult.FAILED_PRECONDITION, text)
        return public_key

    def _tell_failure(self, device: str, why: str, now: Stamp) -> None:
        title = f"the capture of {device} ended early: {why}"
        hint = "free space, then capture again; what was written can be replayed"
        self._ports.board.raise_condition(
            Condition("CAPTURE_FAILED", Severity.WARNING, title, hint, now, device=device)
        )  # fmt: skip


class _UnfitError(Exception):
    """No capture can begin now."""

    def __init__(self, result: ActResult, why: str) -> None:
        super().__init__(why)
        self.result = result
