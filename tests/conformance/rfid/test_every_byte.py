"""The cable is pulled at every byte a serial reader sends: LinkLost each time, and no read that came whole is lost."""

import asyncio
from typing import Protocol

import pytest

from drivers.api import DeviceError, DeviceUp, LinkLost, Observation, TagRead
from drivers.link.memory import MemoryPeer
from tests.conformance.rfid import encompass_bench, memory_module

_SESSION_S = 0.6


class SerialBench(Protocol):
    """A session on an in-memory line."""

    peer: MemoryPeer
    seen: list[Observation]

    async def session(self, *, pause_s: float = 2.0) -> DeviceError | None:
        """Run it to its end."""
        ...


class Cable:
    """Lets so many bytes of the device through, then it is pulled; None: all."""

    def __init__(self, peer: MemoryPeer, room: int | None) -> None:
        self.passed = 0
        self._peer = peer
        self._room = room
        peer.alter = self._alter

    def _alter(self, data: bytes) -> bytes:
        if self._room is not None and self.passed + len(data) > self._room:
            data = data[: self._room - self.passed]
            asyncio.get_running_loop().call_later(0.001, self._peer.cut)
        self.passed += len(data)
        return data


def bench(family: str) -> SerialBench:
    if family == "mercury":
        mercury = memory_module.Bench()
        mercury.module.tags = (memory_module.TAG,)
        return mercury
    encompass = encompass_bench.Bench()
    encompass.module.tags = (encompass_bench.TAG,)
    return encompass


@pytest.mark.parametrize("family", ["mercury", "encompass"])
async def test_the_cable_pulled_at_every_byte_of_a_session(family: str) -> None:
    whole = bench(family)
    cable = Cable(whole.peer, None)
    sent: list[int] = []  # by the end of the session, before what answers its leaving
    asyncio.get_running_loop().call_later(_SESSION_S - 0.01, lambda: sent.append(cable.passed))
    assert await whole.session(pause_s=_SESSION_S) is None
    reads = 0
    for room in range(sent[0]):
        cut = bench(family)
        Cable(cut.peer, room)
        error = await cut.session(pause_s=_SESSION_S)
        assert isinstance(error, LinkLost), room
        ups = [item for item in cut.seen if isinstance(item, DeviceUp)]
        assert ups == cut.seen[: len(ups)]
        assert len(ups) <= 1
        seen = sum(isinstance(item, TagRead) for item in cut.seen)
        assert seen >= reads, "one byte more is never a read less"
        reads = seen
    assert reads > 0
