"""An LLRP reader on an in-memory link, on the virtual clock: the virtual device's own logic, none of the driver's."""

import asyncio
from collections.abc import Callable

from drivers.api import DeviceError, LinkLost, Observation, ReaderEvent, ReaderEventCode, TagRead
from drivers.link.memory import memory_pair
from drivers.link.tcp import Stream
from drivers.rfid.llrp_reader import LlrpReader
from drivers.rfid.settings.llrp import LlrpSettings, load_llrp_profile
from hil.devices import llrp_wire as wire
from hil.devices.llrp_answers import HANDLERS
from hil.devices.llrp_module import Module, Tag
from hil.rig.virtual_loop import VirtualClock

TAG = Tag(epc=bytes.fromhex("300833B2DDD9014000000001"), rssi_dbm=-54.0, antenna=1)
SETTINGS = LlrpSettings(host="memory", antennas=(1, 2), keepalive_ms=1000)
READS_PER_S = 20.0

Rewrite = Callable[[wire.Request], list[bytes] | None]


class LlrpBench:
    """One reader session against one module. `answering` False mutes it; `rewrite` may answer a request in its place;
    `room` is how many bytes it can send before the cable is cut."""

    def __init__(
        self, settings: LlrpSettings = SETTINGS, chop: int | None = None, module: Module | None = None
    ) -> None:
        self.link, self.peer = memory_pair(chop)
        self.module = module or Module(self.send, lambda *_args, **_fields: None, HANDLERS)
        self.module._send = self.send
        self.seen: list[Observation] = []
        self.answering = True
        self.rewrite: Rewrite = lambda _asked: None
        self.greeting: bytes | None = None
        self.room: int | None = None
        self.sent = 0
        self.requests: list[int] = []
        self.reader = LlrpReader("reader-1", settings, load_llrp_profile(settings.profile), VirtualClock(), self._open)

    async def _open(self) -> Stream:
        return self.link

    def send(self, data: bytes) -> None:
        """To the driver, as far as the cable goes."""
        if not self.answering:
            return
        if self.room is not None and self.sent + len(data) > self.room:
            self.peer.send(data[: self.room - self.sent])
            self.sent = self.room
            self.answering = False
            asyncio.get_running_loop().call_later(0.01, self.peer.cut)
            return
        self.sent += len(data)
        self.peer.send(data)

    async def session(self, *steps: Callable[["LlrpBench"], None], pause_s: float = 2.0) -> DeviceError | None:
        """Run the session; every `pause_s` the next step happens, then it is cancelled. The error it ended with."""
        self.module.begin_session()
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(work()) for work in (self._serve, self._air, self._keep_alive)]
            session = tasks.create_task(self._guarded())
            for step in (None, *steps):
                if step is not None:
                    step(self)
                await asyncio.wait([session], timeout=pause_s)
            session.cancel()
            await asyncio.wait([session])
            for helper in helpers:
                helper.cancel()
        return None if session.cancelled() else session.result()

    async def _guarded(self) -> DeviceError | None:
        try:
            await self.reader.run(self.seen.append)
        except DeviceError as error:
            return error
        return None

    async def _serve(self) -> None:
        requests = wire.RequestReader()
        self.send(self.module.greet(_now_us()) if self.greeting is None else self.greeting)
        try:
            while True:
                for asked in requests.feed(await self.peer.read()):
                    self.requests.append(asked.type)
                    answers = self.rewrite(asked)
                    if answers is None:
                        self.module.request(asked, _now_us())
                    for answer in answers or ():
                        self.send(answer)
        except LinkLost:
            return

    async def _air(self) -> None:
        while True:
            await asyncio.sleep(1 / READS_PER_S)
            for tag in self.module.readable_tags():
                self.module.sight(tag, _now_us())

    async def _keep_alive(self) -> None:
        number = 0
        while True:
            period_ms = self.module.session.keepalive_ms
            await asyncio.sleep(period_ms / 1000 if period_ms else 0.1)
            if period_ms:
                number += 1
                self.send(wire.message(62, number))

    def codes(self) -> list[ReaderEventCode]:
        """Reader events in order."""
        return [item.code for item in self.seen if isinstance(item, ReaderEvent)]

    def tags(self) -> list[TagRead]:
        """Tag reads in order."""
        return [item for item in self.seen if isinstance(item, TagRead)]


def _now_us() -> int:
    return VirtualClock().stamp().utc_ns // 1000
