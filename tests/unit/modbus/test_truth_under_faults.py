"""Whatever goes wrong on the wire: what the driver calls done is done, and what it reads back is so."""

import asyncio
import random

import pytest

from drivers.api import Aspect, DeviceError, SignalHead
from tests.unit.modbus.lane_io_bench import bench

pytestmark = pytest.mark.real_time

FAULTS = (
    "mute",
    "wrong_echo",
    "wrong_function",
    "wrong_transaction",
    "zero_transaction",
    "wrong_unit",
    "wrong_length",
    "wrong_protocol",
    "delay",
    "drop",
    "exception",
)
COMMANDED = {Aspect.RED: [False] * 4, Aspect.GREEN: [True, False, False, False], Aspect.AMBER: [False] * 3 + [True]}


@pytest.mark.parametrize("seed", range(4))
async def test_success_is_never_claimed_falsely(seed: int) -> None:
    """Bits of a read changed on the way are beyond Modbus TCP, so that fault hits writes only."""
    chance = random.Random(seed)
    async with bench() as b:
        done = 0
        for _ in range(8):
            b.module.faults.clear()
            b.seen.clear()
            io = b.session(misses_allowed=10)
            head: SignalHead = io
            async with b.running(io) as session:
                while not session.done() and done < 30:
                    fault = chance.choice(FAULTS)
                    b.module.faults.clear()
                    writes_only = fault == "wrong_echo" or chance.random() < 0.5
                    times = chance.choice([1, 2])
                    if chance.random() < 0.5:
                        b.module.faults.set({"fault": fault, "times": times, "writes_only": writes_only, "ms": 230})
                    aspect = chance.choice(list(COMMANDED))
                    try:
                        await head.write(aspect)
                        assert b.module.state.outputs[:4] == COMMANDED[aspect], (fault, aspect)
                        found = await head.read()
                        if not found.tripped:
                            assert found.coils is aspect, (fault, aspect)
                        done += 1
                    except DeviceError:
                        await asyncio.sleep(0)
        assert done > 3
