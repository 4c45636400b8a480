"""Serial port as a Link: pyserial opens and configures it, the event loop reads and writes the descriptor.

Opened exclusively and raw (8N1, no flow control). Opening and closing run in threads of their own with a deadline,
because a broken adapter can block either in the kernel for ever.
"""

import asyncio
import errno
import os
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import serial

from drivers.api import LinkLost

OPEN_DEADLINE_S = 3.0
CLOSE_DEADLINE_S = 0.6

_PORT_HINT = "check the cable, the adapter's power, the udev name (ls -l /dev/serial/by-id) and the port in lane.yaml"
_BUSY_HINT = "another program holds it: see `fuser -v` on the port; one agent or one lane per reader"
_RIGHTS_HINT = "the agent's user needs group dialout (or the udev rule of the package)"

_Result = TypeVar("_Result")


async def open_serial(port: str, baud: int, deadline_s: float = OPEN_DEADLINE_S) -> "SerialLink":
    """Open `port` at `baud` bits/s. LinkLost: SERIAL_PORT_MISSING, SERIAL_PORT_BUSY, SERIAL_PORT_DENIED,
    SERIAL_PORT_UNUSABLE, SERIAL_OPEN_TIMEOUT."""

    def open_port() -> serial.Serial:
        # inter_byte_timeout 0 makes pyserial set VMIN 1: without it an idle read looks like the end of the stream.
        return serial.Serial(port, baud, timeout=0, inter_byte_timeout=0, exclusive=True)

    try:
        async with asyncio.timeout(deadline_s):
            opened = await in_thread(open_port, lambda late: late.close())
    except TimeoutError:
        raise LinkLost("SERIAL_OPEN_TIMEOUT", f"{port} did not open within {deadline_s:g} s", _PORT_HINT) from None
    except (OSError, termios.error, ValueError) as error:
        raise _open_fault(port, error) from error
    return SerialLink(opened)


class SerialLink:
    """An open port. Unplugging ends a pending read with LinkLost SERIAL_LINK_LOST at once."""

    def __init__(self, opened: serial.Serial) -> None:
        self._serial = opened
        self._port = str(opened.port)
        self._fd: int = opened.fileno()
        self._closed = False
        os.set_blocking(self._fd, False)

    async def read(self, max_bytes: int) -> bytes:
        """At least one byte, at most `max_bytes`. LinkLost on end or error."""
        loop = asyncio.get_running_loop()
        while True:
            data = self._read_now(max_bytes)
            if data:
                return data
            await self._ready(loop.add_reader, loop.remove_reader)

    async def write(self, data: bytes) -> None:
        """Hand all bytes to the kernel. LinkLost on error."""
        loop = asyncio.get_running_loop()
        rest = memoryview(data)
        while rest:
            self._check_open()
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await self._ready(loop.add_writer, loop.remove_writer)
            except OSError as error:
                raise self._lost(error) from error

    def set_baud(self, baud: int) -> None:
        """Change the rate, bits/s, and drop what was received at the old one. LinkLost on error."""
        self._check_open()
        try:
            if self._serial.baudrate != baud:
                self._serial.baudrate = baud
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except (OSError, termios.error, ValueError) as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """Release the port within 0.6 s; a close that blocks in the kernel is left to its thread."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await in_thread(self._close_port, lambda _nothing: None)
        except (TimeoutError, OSError, termios.error):
            return

    def _close_port(self) -> None:
        # Unsent bytes would hold close() for up to 30 s on an adapter that no longer drains.
        try:
            termios.tcflush(self._fd, termios.TCOFLUSH)
        except (OSError, termios.error):
            pass
        finally:
            self._serial.close()

    def _read_now(self, max_bytes: int) -> bytes:
        """What is there now, b"" when nothing is."""
        self._check_open()
        try:
            data = os.read(self._fd, max_bytes)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise LinkLost("SERIAL_LINK_LOST", f"{self._port} hung up", _PORT_HINT)
        return data

    async def _ready(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        add(self._fd, _complete, ready)
        try:
            await ready
        finally:
            remove(self._fd)

    def _check_open(self) -> None:
        if self._closed:
            raise LinkLost("SERIAL_LINK_LOST", f"{self._port} is closed")

    def _lost(self, error: Exception) -> LinkLost:
        return LinkLost("SERIAL_LINK_LOST", f"{self._port}: {_reason(error)}", _PORT_HINT)


def _complete(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _reason(error: Exception) -> str:
    number = _errno_of(error)
    return os.strerror(number) if number else str(error)


def _errno_of(error: Exception) -> int:
    """The system error behind a pyserial or termios exception, 0 when there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) else 0


def _open_fault(port: str, error: Exception) -> LinkLost:
    number = _errno_of(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or not Path(port).exists():
        return LinkLost("SERIAL_PORT_MISSING", f"{port} does not exist", _PORT_HINT)
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return LinkLost("SERIAL_PORT_BUSY", f"{port} is in use", _BUSY_HINT)
    if number in (errno.EACCES, errno.EPERM):
        return LinkLost("SERIAL_PORT_DENIED", f"no right to open {port}", _RIGHTS_HINT)
    return LinkLost("SERIAL_PORT_UNUSABLE", f"{port} is no usable serial port: {_reason(error)}", _PORT_HINT)


async def in_thread(work: Callable[[], _Result], discard: Callable[[_Result], object]) -> _Result:
    """Run `work` in a daemon thread, so that a call stuck in the kernel can hold neither the loop nor the process;
    raises what it raises. When the wait has ended early, a late result goes to `discard`, in a thread too."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def deliver(result: _Result) -> None:
        if done.done():
            threading.Thread(target=discard, args=(result,), daemon=True).start()
        else:
            done.set_result(result)

    def fail(error: Exception) -> None:
        if not done.done():
            done.set_exception(error)

    def body() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - carried to the awaiting task and raised there
            _from_thread(loop, fail, error)
            return
        if not _from_thread(loop, deliver, result):
            discard(result)

    threading.Thread(target=body, name="serial-port", daemon=True).start()
    return await done


def _from_thread(loop: asyncio.AbstractEventLoop, call: Callable[[_Result], object], value: _Result) -> bool:
    """Run `call(value)` on the loop; False when the loop has ended meanwhile."""
    try:
        loop.call_soon_threadsafe(call, value)
    except RuntimeError:
        return False
    return True
