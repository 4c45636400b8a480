"""Serial links: an adapter that blocks in the kernel holds up neither the loop nor the next session."""

import asyncio
import os
import termios
import threading
import tty
from pathlib import Path

import pytest
import serial

from drivers.api import LinkLost
from drivers.link.serial import open_serial

pytestmark = pytest.mark.real_time


class BlockingSerial:
    """Opens only when released; remembers that it was closed."""

    released = threading.Event()
    closed = threading.Event()

    def __init__(self, *_arguments: object, **_options: object) -> None:
        self.released.wait(10)

    def close(self) -> None:
        self.closed.set()


async def test_an_open_that_blocks_ends_at_its_deadline_and_is_closed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "Serial", BlockingSerial)
    with pytest.raises(LinkLost) as lost:
        await open_serial("/dev/stuck", 9600, deadline_s=0.05)
    assert lost.value.code == "SERIAL_OPEN_TIMEOUT"
    BlockingSerial.released.set()
    closed = await asyncio.get_running_loop().run_in_executor(None, BlockingSerial.closed.wait, 10)
    assert closed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied"), "SERIAL_PORT_DENIED"),
        (serial.SerialException(16, "could not open port: device busy"), "SERIAL_PORT_BUSY"),
        (serial.SerialException("Could not exclusively lock port"), "SERIAL_PORT_BUSY"),
        (termios.error(22, "Invalid argument"), "SERIAL_PORT_UNUSABLE"),
        (ValueError("Invalid baud rate"), "SERIAL_PORT_UNUSABLE"),
    ],
    ids=str,
)
async def test_every_way_an_open_fails_has_a_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, code: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(serial, "Serial", fail)
    port = tmp_path / "port"
    port.touch()
    with pytest.raises(LinkLost) as lost:
        await open_serial(str(port), 9600)
    assert (lost.value.code, str(port) in lost.value.message) == (code, True)


async def test_every_byte_value_passes_unchanged_both_ways_and_a_full_line_waits() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    link = await open_serial(os.ttyname(slave), 115200)
    everything = bytes(range(256)) * 100
    received = bytearray()
    ended = asyncio.Event()

    def drain() -> None:
        received.extend(os.read(master, 65536))
        if len(received) >= len(everything):
            ended.set()

    try:
        # More than the line holds: the write waits until the other side reads.
        write = asyncio.get_running_loop().create_task(link.write(everything))
        await asyncio.wait([write], timeout=0.05)
        asyncio.get_running_loop().add_reader(master, drain)
        async with asyncio.timeout(10):
            await write
            await ended.wait()
        assert bytes(received) == everything
        asyncio.get_running_loop().remove_reader(master)
        os.write(master, bytes(range(256)))
        back = b""
        async with asyncio.timeout(10):
            while len(back) < 256:
                back += await link.read(50)
        assert back == bytes(range(256))
    finally:
        await link.close()
        await link.close()
        os.close(slave)
        os.close(master)
    with pytest.raises(LinkLost):
        await link.read(1)
    with pytest.raises(LinkLost):
        await link.write(b"x")
    with pytest.raises(LinkLost):
        link.set_baud(9600)


async def test_a_cancelled_read_leaves_the_link_usable() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    link = await open_serial(os.ttyname(slave), 115200)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await link.read(10)
        os.write(master, b"after")
        async with asyncio.timeout(10):
            assert await link.read(10) == b"after"
        link.set_baud(57600)
        os.write(master, b"again")
        async with asyncio.timeout(10):
            assert await link.read(10) == b"again"
    finally:
        await link.close()
        os.close(slave)
        os.close(master)
