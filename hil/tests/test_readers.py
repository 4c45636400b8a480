"""How soon a lost reader is noticed, a silent one given up, and both are read again: every family, as a process of its
own on a real line, under the agent's own retry loop."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from drivers.api import DeviceError, DeviceTimeout, LinkLost, Observation, Source, TagRead
from edge_agent.runtime.supervise import LOCAL_CAP_S, Backoff, keep_running
from hil.rig.target import Limits
from hil.tests.stage import measured
from tests.conformance.rfid.encompass_pty import virtual_encompass
from tests.conformance.rfid.llrp_process import virtual_llrp
from tests.conformance.rfid.pty_reader import virtual_reader

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(120), pytest.mark.capability("set_tags")]

T = TypeVar("T")

REPEATS = 3
_WAIT_S = 20.0
_EPC_TAG = {"epc": "300833B2DDD9014000000001", "rssi_dbm": -54, "antenna": 1}


class Device(Protocol):
    """A virtual reader."""

    async def do(self, verb: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """One verb of its control channel."""
        ...

    def source(self, **changes: Any) -> Source:  # noqa: ANN401 - values of settings
        """A driver session on it."""
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """How a family's virtual reader is started, what is in its field, its sign-of-life period (s) as configured, and
    the verbs that lose its line, give it back, and wake one that was silent (what a restart does to connections)."""

    start: Callable[[Path], AbstractAsyncContextManager[Device]]
    tag: dict[str, Any]
    settings: dict[str, Any]
    keepalive_s: float
    lose: str
    give_back: tuple[str, ...]
    wake: tuple[str, ...]


FAMILIES = {
    "mercury": Family(virtual_reader, _EPC_TAG, {"cycle_ms": 500}, 0.5, "unplug", ("replug",), ()),
    "encompass": Family(
        virtual_encompass,
        {"epc": b"KING 1302".hex(), "rssi_dbm": -54, "antenna": 1},
        {"keepalive_s": 2},
        2.0,
        "unplug",
        ("replug",),
        (),
    ),
    "llrp": Family(virtual_llrp, _EPC_TAG, {"keepalive_ms": 400}, 0.4, "drop", (), ("drop",)),
}


class Kept:
    """A reader under the agent's retry loop: when it was read, and what its sessions ended with."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.read_at: list[float] = []
        self.faults: list[tuple[float, DeviceError]] = []

    def emit(self, item: Observation) -> None:
        if isinstance(item, TagRead):
            self.read_at.append(self._loop.time())
            self._changed.set()

    def fault(self, error: DeviceError) -> None:
        self.faults.append((self._loop.time(), error))
        self._changed.set()

    async def next_read(self) -> float:
        """When the next read comes."""
        return await self._next(self.read_at)

    async def next_fault(self) -> tuple[float, DeviceError]:
        """When and how the next session ends."""
        return await self._next(self.faults)

    async def _next(self, kept: list[T]) -> T:
        kept.clear()
        async with asyncio.timeout(_WAIT_S):
            while not kept:
                self._changed.clear()
                await self._changed.wait()
        return kept[0]


@asynccontextmanager
async def kept(family: Family, folder: Path) -> AsyncIterator[tuple[Device, Kept]]:
    """A reader that is being read."""
    async with family.start(folder) as device:
        await device.do("field", tags=[family.tag])
        reader = Kept()
        backoff = Backoff(LOCAL_CAP_S, random.Random(1))
        work = keep_running(lambda: device.source(**family.settings), reader.emit, backoff, reader.fault)
        async with asyncio.TaskGroup() as tasks:
            agent = tasks.create_task(work)
            await reader.next_read()
            yield device, reader
            agent.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await agent


@pytest.mark.capability("cut_reader")
@pytest.mark.parametrize("name", sorted(FAMILIES))
async def test_a_pulled_cable_is_noticed_and_the_reader_read_again(tmp_path: Path, limits: Limits, name: str) -> None:
    family = FAMILIES[name]
    loop = asyncio.get_running_loop()
    lost, again = [], []
    async with kept(family, tmp_path) as (device, reader):
        for _ in range(REPEATS):
            await reader.next_read()
            began = loop.time()
            fault = asyncio.ensure_future(reader.next_fault())
            await asyncio.sleep(0)
            await device.do(family.lose)
            at, error = await fault
            assert isinstance(error, LinkLost)
            lost.append(at - began)
            back = loop.time()
            for verb in family.give_back:
                await device.do(verb)
            again.append(await reader.next_read() - back)
    measured(f"{name}: cable pulled to fault", lost, "s", limits.reader_loss_s)
    measured(f"{name}: reader back to read", again, "s", limits.reader_again_s)
    assert max(lost) <= limits.reader_loss_s
    assert max(again) <= limits.reader_again_s


@pytest.mark.capability("mute_device")
@pytest.mark.parametrize("name", sorted(FAMILIES))
async def test_a_silent_reader_is_given_up_and_read_again(tmp_path: Path, limits: Limits, name: str) -> None:
    family = FAMILIES[name]
    loop = asyncio.get_running_loop()
    async with kept(family, tmp_path) as (device, reader):
        fault = asyncio.ensure_future(reader.next_fault())
        await asyncio.sleep(0)
        began = loop.time()
        await device.do("mute", on=True)
        at, error = await fault
        assert isinstance(error, DeviceTimeout)
        assert error.code == "RFID_SILENT"
        await asyncio.sleep(0.7)  # into the search for it
        back = loop.time()
        await device.do("mute", on=False)
        for verb in family.wake:
            await device.do(verb)
        again = await reader.next_read() - back
    periods = (at - began) / family.keepalive_s
    measured(f"{name}: silence to fault", [periods], "keepalive periods", limits.reader_silence_periods)
    measured(f"{name}: speaking again to read", [again], "s", limits.reader_again_s)
    assert periods <= limits.reader_silence_periods
    assert again <= limits.reader_again_s
