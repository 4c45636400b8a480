"""The same bus on a serial line (a pty): no transaction ids, so matching and the quiet window carry the weight."""

import asyncio
import os
import threading
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from drivers.api import DeviceRefused, DeviceTimeout, LinkLost, ProtocolViolation
from drivers.modbus.bus import BusTiming, ModbusBus, Priority
from drivers.modbus.pdu_codec import read_bits, read_registers, write_bits
from drivers.modbus.settings.line import SerialLine
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time

TIMING = BusTiming(reply_ms=100, quiet_ms=150)
GREEN, RED, READ = write_bits(0, (True,)), write_bits(0, (False,)), read_bits(1, 0, 8)


def crc(data: bytes) -> bytes:
    """CRC-16 of the serial line guide, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def framed(pdu: bytes, unit: int = 1) -> bytes:
    return bytes([unit]) + pdu + crc(bytes([unit]) + pdu)


@dataclass
class Slave:
    """The far end of the line: `answer` sees each request (unit and PDU, CRC checked) with its time."""

    answer: Callable[["Slave", bytes], None]
    master: int
    requests: list[tuple[float, bytes]] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def receive(self) -> None:
        data = os.read(self.master, 300)
        assert crc(data[:-2]) == data[-2:]
        self.requests.append((asyncio.get_running_loop().time(), data[1:-2]))
        self.answer(self, data[1:-2])


@asynccontextmanager
async def line(answer: Callable[[Slave, bytes], None]) -> AsyncIterator[tuple[Slave, ModbusBus]]:
    master, slave_end = os.openpty()
    tty.setraw(master)
    tty.setraw(slave_end)
    slave = Slave(answer, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, slave.receive)
    bus = ModbusBus("io-1", SerialLine(os.ttyname(slave_end), 19200, "N"), TIMING)
    try:
        await bus.open()
        yield slave, bus
    finally:
        bus.close()
        loop.remove_reader(master)
        await asyncio.sleep(0.01)
        os.close(slave_end)
        os.close(master)


def right(slave: Slave, pdu: bytes) -> None:
    slave.send(framed(bytes([pdu[0], 1, 0x0F]) if pdu[0] == 1 else pdu[:5]))


async def test_exchanges_and_the_gap_before_a_request() -> None:
    async with line(right) as (slave, bus):
        assert await bus.transact(1, READ, Priority.POLL) == (1, 1, 1, 1, 0, 0, 0, 0)
        assert await bus.transact(1, GREEN, Priority.WRITE) == ()
        (first, _), (second, _) = slave.requests
        assert second - first >= SerialLine("", 19200, "N").silence_s * 0.9


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (GREEN, bytes([1, 1, 0])),
        (GREEN, bytes([15, 0, 2, 0, 1])),
        (READ, bytes([1, 2, 0, 0])),
        (read_registers(3, 0, 2), bytes([3, 2, 0, 0])),
    ],
)
async def test_somebody_elses_reply_is_never_success(asked: object, reply: bytes) -> None:
    """Row 1."""
    async with line(lambda slave, _pdu: slave.send(framed(reply))) as (_, bus):
        with pytest.raises(ProtocolViolation):
            await bus.transact(1, asked, Priority.WRITE)  # type: ignore[arg-type]


async def test_the_line_rests_after_a_timeout_so_that_a_late_reply_passes() -> None:
    """Row 2: the late answer to a green comes within the quiet window and acknowledges nothing."""

    def late(slave: Slave, pdu: bytes) -> None:
        if len(slave.requests) == 1:
            asyncio.get_running_loop().call_later(0.18, slave.send, framed(pdu[:5]))
        else:
            right(slave, pdu)

    async with line(late) as (slave, bus):
        with pytest.raises(DeviceTimeout):
            await bus.transact(1, GREEN, Priority.WRITE)
        assert await bus.transact(1, READ, Priority.READBACK) == (1, 1, 1, 1, 0, 0, 0, 0)
        assert slave.requests[1][0] - slave.requests[0][0] >= (TIMING.reply_ms + TIMING.quiet_ms) / 1000 * 0.95


async def test_red_that_comes_during_the_rest_goes_first() -> None:
    """Row 4: who waits out the rest lets red pass."""

    def first_silent(slave: Slave, pdu: bytes) -> None:
        if len(slave.requests) > 1:
            right(slave, pdu)

    async with line(first_silent) as (slave, bus), asyncio.TaskGroup() as group:
        with pytest.raises(DeviceTimeout):
            await bus.transact(1, READ, Priority.POLL)
        group.create_task(bus.transact(1, READ, Priority.POLL))
        await asyncio.sleep(0.02)
        await bus.transact(1, RED, Priority.RED)
        await until(lambda: len(slave.requests) == 3)
        assert [pdu for _, pdu in slave.requests[1:]] == [RED.pdu(), READ.pdu()]


async def test_a_cancelled_call_rests_the_line_too() -> None:
    async with line(lambda slave, pdu: right(slave, pdu) if len(slave.requests) > 1 else None) as (slave, bus):
        call = asyncio.ensure_future(bus.transact(1, GREEN, Priority.WRITE))
        await until(lambda: bool(slave.requests))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await bus.transact(1, RED, Priority.RED)
        assert slave.requests[1][0] - slave.requests[0][0] >= TIMING.quiet_ms / 1000 * 0.95


async def test_exceptions_noise_and_the_end_of_the_line() -> None:
    """Row 9: noise costs one bounded time-out, and the next exchange works."""

    def awkward(slave: Slave, pdu: bytes) -> None:
        if len(slave.requests) == 1:
            slave.send(b"\x00\x5a" + framed(pdu[:5])[:-1] + b"\x00")
        elif len(slave.requests) == 2:
            slave.send(framed(bytes([pdu[0] | 0x80, 2])))
        else:
            right(slave, pdu)

    async with line(awkward) as (_, bus):
        with pytest.raises(DeviceTimeout):
            await bus.transact(1, GREEN, Priority.WRITE)
        with pytest.raises(DeviceRefused):
            await bus.transact(1, GREEN, Priority.WRITE)
        assert await bus.transact(1, RED, Priority.RED) == ()
        bus.close()
        with pytest.raises(LinkLost):
            await bus.transact(1, RED, Priority.RED)


async def test_a_reader_on_the_line_is_told_without_what_it_reads() -> None:
    async with line(lambda slave, _pdu: slave.send(b"#4KING 13029A91\r\n")) as (_, bus):
        with pytest.raises(DeviceTimeout) as told:
            await bus.transact(1, read_bits(1, 0, 4), Priority.POLL)
    assert "17 bytes that are none: a text" in told.value.message
    assert "KING" not in str(told.value)
    assert b"KING".hex() not in str(told.value)
    async with line(lambda slave, _pdu: slave.send(bytes.fromhex("0f00ee01e2801170000002"))) as (_, bus):
        with pytest.raises(DeviceTimeout) as told:
            await bus.transact(1, read_bits(1, 0, 4), Priority.POLL)
    assert told.value.message.endswith("0f00ee01")


async def test_an_adapter_that_holds_whoever_opens_it_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, late = threading.Event(), threading.Event()

    def hangs(*_: object, **__: object) -> object:
        let_go.wait(10)
        return SimpleNamespace(close=late.set)

    monkeypatch.setattr("pymodbus.transport.serialtransport.serial.serial_for_url", hangs)
    bus = ModbusBus("io-1", SerialLine("/dev/null", 19200, "N"), BusTiming(connect_ms=200))
    loop = asyncio.get_running_loop()
    began, ticks = loop.time(), 0
    opening = asyncio.ensure_future(bus.open())
    while not opening.done():
        await asyncio.sleep(0.01)
        ticks += 1
    with pytest.raises(LinkLost, match="no answer to the connection attempt"):
        await opening
    assert loop.time() - began < 2
    assert ticks > 5, "the loop went on meanwhile"
    bus.close()
    let_go.set()
    assert await asyncio.to_thread(late.wait, 5), "a port that opens after all is closed"
