"""The bus layer beside plain pymodbus and libmodbus: the same server (libmodbus), the same line, turn by turn.

Bare wire time is the median of what the C client needs in the same run: the line with its far end, and no more than the
bytes' own time on a serial one. Both figures of the bus are held against it, its median and its slowest hundredth. So
that a busy machine is not counted as the bus, everything here runs at real-time priority where that is allowed; the C
client's own slowest hundredth tells what the machine still added. Between two exchanges everybody rests for the silence
that a serial line asks for, which only the bus would keep by itself.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from drivers.modbus.bus import BusTiming, ModbusBus, Priority
from drivers.modbus.pdu_codec import read_bits
from drivers.modbus.settings.line import SerialLine, TcpLine
from tests.conformance.modbus.libmodbus import Client
from tests.conformance.modbus.null_modem import NullModem

pytestmark = [pytest.mark.bench, pytest.mark.real_time, pytest.mark.needs("libmodbus"), pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
REST_S = 0.003
_CHARACTERS = 8 + 6
"""Of request and reply, 8N1."""
_CPU_MS: dict[str, list[float]] = {}
"""Processor time of this process for one exchange, by client: the figure that a busy machine leaves alone. On RTU it
includes the cable."""
P50_MS, P99_MS = 0.5, 5.0


@contextmanager
def server(*arguments: str) -> Iterator[int]:
    """libmodbus in a process of its own; its TCP port."""
    command = [sys.executable, "-m", "tests.conformance.modbus.libmodbus_server", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(json.loads(process.stdout.readline())["port"])
        finally:
            process.kill()


async def sampled(client: str, ask: Callable[[], Awaitable[object]], count: int, rest_s: float) -> list[float]:
    """Milliseconds of `count` exchanges. What the processor did for them goes into the table, too."""
    taken = []
    used = 0.0
    for _ in range(count):
        await asyncio.sleep(rest_s)
        began, used_before = time.perf_counter(), time.process_time()
        await ask()
        taken.append((time.perf_counter() - began) * 1e3)
        used += time.process_time() - used_before
    _CPU_MS.setdefault(client, []).append(used / count * 1e3)
    return taken


async def through_bus(line: TcpLine | SerialLine, count: int, rest_s: float) -> list[float]:
    bus = ModbusBus("bench", line, BusTiming())
    await bus.open()
    try:
        return await sampled("bus", lambda: bus.transact(1, read_bits(1, 0, 8), Priority.POLL), count, rest_s)
    finally:
        bus.close()
        await asyncio.sleep(0.02)


async def through_pymodbus(
    client: AsyncModbusTcpClient | AsyncModbusSerialClient, count: int, rest_s: float
) -> list[float]:
    assert await client.connect()
    try:
        return await sampled("pymodbus", lambda: client.read_coils(0, count=8, device_id=1), count, rest_s)
    finally:
        client.close()
        await asyncio.sleep(0.02)


async def through_libmodbus(client: Client, count: int, rest_s: float) -> list[float]:
    async def ask() -> None:
        client.read_bits(0, 8)

    with contextlib.closing(client):
        return await sampled("libmodbus", ask, count, rest_s)


def quantiles(taken: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[str]:
    """Real-time priority for this process and all it starts, where that is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield "normal priority"
        return
    yield "real-time priority"
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def told(name: str, samples: dict[str, list[float]], bytes_ms: float = 0.0) -> None:
    """Print the table, and hold the bus to its figures. `bytes_ms`: what the bytes of an exchange take on the line."""
    wire, _ = quantiles(samples["libmodbus"])
    assert wire >= bytes_ms, "a line that is faster than its rate"
    print(f"\nModbus {name}, milliseconds an exchange (FC01 of 8 coils), libmodbus server")  # noqa: T201
    print(f"  bare wire time {wire:.3f}, the bytes' own {bytes_ms:.3f}")  # noqa: T201
    for client, taken in samples.items():
        (p50, p99), n = quantiles(taken), len(taken)
        over = f"p50 {p50 - wire:6.3f}  p99 {p99 - wire:6.3f}"
        spent = f"processor {statistics.median(_CPU_MS.pop(client)):.3f}"
        print(f"  {client:9} p50 {p50:7.3f}  p99 {p99:7.3f}  over bare wire time: {over}  {spent}  (n={n})")  # noqa: T201
    p50, p99 = quantiles(samples["bus"])
    assert p50 - wire <= P50_MS
    assert p99 - wire <= P99_MS


async def test_modbus_bus_over_bare_wire_time_tcp(unhurried: str) -> None:
    samples: dict[str, list[float]] = {"libmodbus": [], "pymodbus": [], "bus": []}
    with server() as port:
        for _ in range(5):
            samples["libmodbus"] += await through_libmodbus(Client(port), 400, 0)
            client = AsyncModbusTcpClient("127.0.0.1", port=port)
            samples["pymodbus"] += await through_pymodbus(client, 400, 0)
            samples["bus"] += await through_bus(TcpLine("127.0.0.1", port), 400, 0)
    told(f"TCP, loopback, {unhurried}", samples)


@pytest.mark.parametrize("baud", [19200, 115200])
async def test_modbus_bus_over_bare_wire_time_rtu(baud: int, unhurried: str) -> None:
    samples: dict[str, list[float]] = {"libmodbus": [], "pymodbus": [], "bus": []}
    with NullModem(baud) as cable, server(cable.ends[1], str(baud)):
        near = cable.ends[0]
        for _ in range(5):
            samples["libmodbus"] += await through_libmodbus(Client.rtu(near, baud), 60, REST_S)
            client = AsyncModbusSerialClient(near, baudrate=baud)
            samples["pymodbus"] += await through_pymodbus(client, 60, REST_S)
            samples["bus"] += await through_bus(SerialLine(near, baud, "N"), 60, REST_S)
    told(f"RTU, {baud} bit/s paced, {unhurried}", samples, _CHARACTERS * 10 / baud * 1e3)
