"""An Encompass reader on an in-memory line, on the virtual clock: the virtual device's logic, none of the driver's."""

import asyncio
from collections.abc import Callable

from drivers.api import DeviceError, LinkLost, Observation, ReaderEvent, ReaderEventCode, TagRead
from drivers.link.link import Link
from drivers.link.memory import memory_pair
from drivers.rfid.encompass_reader import EncompassReader
from drivers.rfid.settings.encompass import EncompassSettings, load_encompass_profile
from hil.devices.encompass_module import Module, Tag
from hil.devices.encompass_wire import LineReader
from hil.rig.virtual_loop import VirtualClock

TAG = Tag("KING 1302")
SETTINGS = EncompassSettings(port="memory", antennas=(1, 2))
_TICK_S = 0.01


class Bench:
    """One session against one reader; `answering` False mutes it, `alter` rewrites each of its messages. Tags are read
    once the session is up, or from the beginning with `early`."""

    def __init__(
        self,
        settings: EncompassSettings = SETTINGS,
        chop: int | None = None,
        reads_per_s: float = 10.0,
        answer_s: float = 0.01,
        early: bool = False,
    ) -> None:
        self.link, self.peer = memory_pair(chop)
        self.events: list[tuple[str, object]] = []
        self.module = Module(self._send, lambda name, **fields: self.events.append((name, fields)))
        self.heard: list[str] = []
        self.seen: list[Observation] = []
        self.answering = True
        self.alter: Callable[[bytes], bytes] | None = None
        self.baud = 9600
        self._reads_per_s = reads_per_s
        self._answer_s = answer_s
        self._early = early
        self.settings = settings
        profile = load_encompass_profile(settings.profile)
        self.reader = EncompassReader("reader-1", settings, profile, VirtualClock(), self._open)

    async def _open(self) -> Link:
        return self.link

    def _send(self, data: bytes) -> None:
        if self.answering and self.link.baud == self.baud:
            self.peer.send(self.alter(data) if self.alter else data)

    async def session(self, *steps: Callable[["Bench"], object], pause_s: float = 2.0) -> DeviceError | None:
        """Run the session; every `pause_s` the next step happens, then it is cancelled. The error it ended with."""
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(self.serve()), tasks.create_task(self.air())]
            session = tasks.create_task(self._guarded())
            for step in (None, *steps):
                if step is not None:
                    step(self)
                await asyncio.wait([session], timeout=pause_s)
            session.cancel()
            await asyncio.wait([session])
            for task in work:
                task.cancel()
        return None if session.cancelled() else session.result()

    async def _guarded(self) -> DeviceError | None:
        try:
            await self.reader.run(self.seen.append)
        except DeviceError as error:
            return error
        return None

    async def serve(self) -> None:
        """Take what the host says until the line is cut."""
        lines = LineReader()
        loop = asyncio.get_running_loop()
        try:
            while True:
                data = await self.peer.read()
                if self.link.baud != self.baud:
                    lines.forget()
                    continue
                for line in lines.feed(data):
                    self.heard.append(line)
                    await asyncio.sleep(self._answer_s)
                    if self.answering:
                        self.module.line(line, loop.time())
        except LinkLost:
            return

    async def air(self) -> None:
        """Tags in the field, and the passing of time."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await asyncio.sleep(_TICK_S)
            self.module.tick(loop.time())
            if loop.time() >= due:
                due = loop.time() + 1 / self._reads_per_s
                for tag in self.module.tags if self.seen or self._early else ():
                    self.module.sight(tag, loop.time())

    def now_s(self) -> float:
        """The time of the virtual clock."""
        return asyncio.get_running_loop().time()

    def codes(self) -> list[ReaderEventCode]:
        """Reader events in order."""
        return [item.code for item in self.seen if isinstance(item, ReaderEvent)]

    def events_of(self, code: ReaderEventCode) -> list[ReaderEvent]:
        """Reader events of one kind, in order."""
        return [item for item in self.seen if isinstance(item, ReaderEvent) and item.code is code]

    def tags(self) -> list[TagRead]:
        """Tag reads in order."""
        return [item for item in self.seen if isinstance(item, TagRead)]
