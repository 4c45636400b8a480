"""A reader that lost its power is read again within two seconds of its return, whatever the driver was doing then.

On the virtual clock, with the agent's own retry loop, for every family and every moment of the search.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from drivers.api import DeviceError, LinkLost, Observation, ReaderEvent, ReaderEventCode, Source, TagRead
from drivers.link.memory import MemoryLink, memory_pair
from drivers.rfid.encompass_reader import EncompassReader
from drivers.rfid.llrp_reader import LlrpReader
from drivers.rfid.mercury_reader import MercuryReader
from drivers.rfid.settings.encompass import load_encompass_profile
from drivers.rfid.settings.llrp import load_llrp_profile
from drivers.rfid.settings.mercury import load_mercury_profile
from edge_agent.runtime.supervise import LOCAL_CAP_S, Backoff, keep_running
from hil.rig.virtual_loop import VirtualClock
from tests.conformance.rfid import encompass_bench, llrp_memory, memory_module

READ_AGAIN_S = 2.0
PHASES = [second / 8 for second in range(64)]
"""How long the power was off, beyond what it takes the driver to notice: past every stage of its search."""


class Powered(Protocol):
    """A device on a line that can lose its power. `keepalive_s` is the sign-of-life period its driver expects."""

    keepalive_s: float

    def source(self, tasks: asyncio.TaskGroup) -> Source:
        """One driver session; its device answers in `tasks`."""
        ...

    def helpers(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What the device does by itself."""
        ...

    def power(self, *, on: bool) -> None:
        """Cut the power, or give it back: the device has forgotten everything then."""
        ...


class PoweredMercury:
    keepalive_s = memory_module.SETTINGS.cycle_ms / 1000

    def __init__(self) -> None:
        self.bench = memory_module.Bench()
        self.bench.module.tags = (memory_module.TAG,)

    def source(self, tasks: asyncio.TaskGroup) -> Source:
        async def plug() -> MemoryLink:
            self.bench.link, self.bench.peer = memory_pair()
            tasks.create_task(self.bench.serve())
            return self.bench.link

        settings = memory_module.SETTINGS
        return MercuryReader("r", settings, load_mercury_profile(settings.profile), VirtualClock(), plug)

    def helpers(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (self.bench.air,)

    def power(self, *, on: bool) -> None:
        self.bench.answering = False
        self.bench.module.reset()
        self.bench.answering = on


class PoweredLlrp:
    keepalive_s = llrp_memory.SETTINGS.keepalive_ms / 1000

    def __init__(self) -> None:
        self.bench = llrp_memory.LlrpBench()
        self.bench.module.tags = (llrp_memory.TAG,)

    def source(self, tasks: asyncio.TaskGroup) -> Source:
        async def connect() -> MemoryLink:
            if not self.bench.answering:
                raise LinkLost("TCP_UNREACHABLE", "nobody is there")
            self.bench.link, self.bench.peer = memory_pair()
            self.bench.module.begin_session()
            tasks.create_task(self.bench._serve())
            return self.bench.link

        settings = llrp_memory.SETTINGS
        return LlrpReader("r", settings, load_llrp_profile(settings.profile), VirtualClock(), connect)

    def helpers(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (self.bench._air, self.bench._keep_alive)

    def power(self, *, on: bool) -> None:
        self.bench.answering = False
        self.bench.module.rospecs.clear()
        self.bench.answering = on


class PoweredEncompass:
    keepalive_s = encompass_bench.SETTINGS.keepalive_s

    def __init__(self) -> None:
        self.bench = encompass_bench.Bench(early=True)
        self.bench.module.tags = (encompass_bench.TAG,)

    def source(self, tasks: asyncio.TaskGroup) -> Source:
        async def plug() -> MemoryLink:
            self.bench.link, self.bench.peer = memory_pair()
            tasks.create_task(self.bench.serve())
            return self.bench.link

        settings = encompass_bench.SETTINGS
        return EncompassReader("r", settings, load_encompass_profile(settings.profile), VirtualClock(), plug)

    def helpers(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (self.bench.air,)

    def power(self, *, on: bool) -> None:
        self.bench.answering = on
        if on:
            self.bench.module.restart(asyncio.get_running_loop().time())


FAMILIES: dict[str, Callable[[], Powered]] = {
    "mercury": PoweredMercury,
    "llrp": PoweredLlrp,
    "encompass": PoweredEncompass,
}


async def outage(device: Powered, phase_s: float) -> tuple[float, float]:
    """A power cut of three sign-of-life periods and `phase_s`: seconds from the cut to the fault, and from the return
    of the power to the next read."""
    loop = asyncio.get_running_loop()
    reads: list[float] = []
    gaps: list[float] = []
    faults: list[float] = []
    read = asyncio.Event()

    def emit(item: Observation) -> None:
        if isinstance(item, TagRead):
            reads.append(loop.time())
            read.set()
        elif isinstance(item, ReaderEvent) and item.code is ReaderEventCode.GAP:
            gaps.append(loop.time())

    def fault(_error: DeviceError) -> None:
        faults.append(loop.time())

    async with asyncio.TaskGroup() as lines, asyncio.TaskGroup() as tasks:
        backoff = Backoff(LOCAL_CAP_S, random.Random(phase_s))
        agent = tasks.create_task(keep_running(lambda: device.source(lines), emit, backoff, fault))
        work = [agent, *(tasks.create_task(_forever(helper)) for helper in device.helpers())]
        await asyncio.sleep(3.0)
        assert reads
        off = loop.time()
        device.power(on=False)
        await asyncio.sleep(3 * device.keepalive_s + phase_s)
        reads.clear()
        read.clear()
        on = loop.time()
        device.power(on=True)
        async with asyncio.timeout(30):
            await read.wait()
        for task in work:
            task.cancel()
    assert faults, "the silence was noticed"
    assert gaps, "and told"
    return faults[0] - off, reads[0] - on


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_silence_is_noticed_and_the_reader_read_again_in_time(family: str) -> None:
    noticed, again = [], []
    for phase_s in PHASES:
        device = FAMILIES[family]()
        late, back = await outage(device, phase_s)
        noticed.append(late / device.keepalive_s)
        again.append(back)
    worst = max(range(len(again)), key=again.__getitem__)
    print(f"{family}: noticed within {max(noticed):.2f} periods, read again within {again[worst]:.2f} s")  # noqa: T201
    assert max(noticed) <= 3.0
    assert again[worst] <= READ_AGAIN_S, f"{again[worst]:.2f} s after an outage of 3 periods and {PHASES[worst]} s"
