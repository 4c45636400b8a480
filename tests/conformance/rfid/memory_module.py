"""A Mercury module on an in-memory line, on the virtual clock: the virtual device's own logic, none of the driver's."""

import asyncio
import math
from collections.abc import Callable

from drivers.api import DeviceError, LinkLost, Observation, ReaderEvent, ReaderEventCode, TagRead
from drivers.link.link import Link
from drivers.link.memory import memory_pair
from drivers.rfid.mercury_reader import MercuryReader
from drivers.rfid.settings.mercury import MercuryProfile, MercurySettings, load_mercury_profile
from hil.devices import mercury_wire as wire
from hil.devices.mercury_module import Module, Tag
from hil.rig.virtual_loop import VirtualClock

TAG = Tag(epc=bytes.fromhex("300833B2DDD9014000000001"), rssi_dbm=-54.0, antenna=1)
SETTINGS = MercurySettings(port="memory", region="na", antennas=(1, 2))


class Heat:
    """How warm a module gets: it nears its surroundings plus a rise for the share of time it transmits, with a time
    constant of a minute; over `LIMIT_C` it stops transmitting until it is 3 degrees below."""

    LIMIT_C = 85.0
    TIME_S = 60.0

    def __init__(self, ambient_c: float, rise_c: float) -> None:
        self.ambient_c = ambient_c
        self._rise_c = rise_c
        self._celsius = ambient_c

    def pass_time(self, module: Module, share: float, seconds: float) -> None:
        """Warm or cool the module for so long."""
        aim = self.ambient_c + self._rise_c * (0.0 if module.hot else share)
        self._celsius += (aim - self._celsius) * (1 - math.exp(-seconds / self.TIME_S))
        module.temperature_c = round(self._celsius)
        if self._celsius >= self.LIMIT_C:
            module.hot = True
        elif self._celsius < self.LIMIT_C - 3:
            module.hot = False


class Bench:
    """One reader session against one module; `answering` False mutes the module, `baud` is the rate it speaks and
    hears, `heat` warms it."""

    def __init__(
        self,
        settings: MercurySettings = SETTINGS,
        chop: int | None = None,
        reads_per_s: float = 20.0,
        profile: MercuryProfile | None = None,
    ) -> None:
        self.link, self.peer = memory_pair(chop)
        self.events: list[tuple[str, object]] = []
        self.module = Module(self._send, lambda name, **fields: self.events.append((name, fields)))
        self.seen: list[Observation] = []
        self.answering = True
        self.baud = 115_200
        self._reads_per_s = reads_per_s
        self.heat: Heat | None = None
        profile = profile or load_mercury_profile(settings.profile)
        self.reader = MercuryReader("reader-1", settings, profile, VirtualClock(), self._open)

    async def _open(self) -> Link:
        return self.link

    def _send(self, data: bytes) -> None:
        if self.answering and self.link.baud == self.baud:
            self.peer.send(data)

    async def session(self, *steps: Callable[["Bench"], None], pause_s: float = 2.0) -> DeviceError | None:
        """Run the session; every `pause_s` the next step happens, then it is cancelled. The error it ended with."""
        async with asyncio.TaskGroup() as tasks:
            device = tasks.create_task(self.serve())
            air = tasks.create_task(self.air())
            session = tasks.create_task(self._guarded())
            for step in (None, *steps):
                if step is not None:
                    step(self)
                await asyncio.wait([session], timeout=pause_s)
            session.cancel()
            await asyncio.wait([session])
            device.cancel()
            air.cancel()
        return None if session.cancelled() else session.result()

    async def _guarded(self) -> DeviceError | None:
        try:
            await self.reader.run(self.seen.append)
        except DeviceError as error:
            return error
        return None

    async def serve(self) -> None:
        """Answer commands until the line is cut."""
        commands = wire.CommandReader()
        loop = asyncio.get_running_loop()
        try:
            while True:
                heard = await self.peer.read()
                for op, data in commands.feed(heard if self.link.baud == self.baud else b""):
                    await asyncio.sleep(0.002)
                    if self.answering:
                        self.module.command(op, data, loop.time() * 1000)
        except LinkLost:
            return

    async def air(self) -> None:
        """Read cycles."""
        loop = asyncio.get_running_loop()
        while True:
            stream = self.module.stream
            if stream is None:
                await asyncio.sleep(0.01)
                if self.heat is not None:
                    self.heat.pass_time(self.module, 0.0, 0.01)
                continue
            seen = 0
            end = loop.time() + stream.on_ms / 1000
            while self.module.stream is stream and (left := end - loop.time()) > 1e-6:
                for tag in self.module.readable_tags():
                    self.module.sight(tag, loop.time() * 1000)
                    seen += 1
                await asyncio.sleep(min(left, 1 / self._reads_per_s))
            if self.module.stream is stream:
                if self.heat is not None:
                    cycle_ms = stream.on_ms + stream.off_ms
                    self.heat.pass_time(self.module, stream.on_ms / cycle_ms, cycle_ms / 1000)
                self.module.end_cycle(seen)
                await asyncio.sleep(stream.off_ms / 1000)

    def codes(self) -> list[ReaderEventCode]:
        """Reader events in order."""
        return [item.code for item in self.seen if isinstance(item, ReaderEvent)]

    def events_of(self, code: ReaderEventCode) -> list[ReaderEvent]:
        """Reader events of one kind, in order."""
        return [item for item in self.seen if isinstance(item, ReaderEvent) and item.code is code]

    def count(self, code: ReaderEventCode) -> int:
        """How often one event came."""
        return self.codes().count(code)

    def tags(self) -> list[TagRead]:
        """Tag reads in order."""
        return [item for item in self.seen if isinstance(item, TagRead)]

    def starts(self) -> int:
        """How often reading was started."""
        return sum(name == "started" for name, _ in self.events)
