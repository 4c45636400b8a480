"""TCP connection as a byte stream for network readers."""

import asyncio
import contextlib
import os
import socket
from typing import Protocol

from drivers.api import LinkLost

CLOSE_DEADLINE_S = 0.6
WRITE_DEADLINE_S = 2.0

_HINT = "check the device's power, the network cable and switch, and its address in lane.yaml"
_PORT_HINT = "the device is on the network but nothing listens there: check the port in lane.yaml and its services"


class Stream(Protocol):
    """A byte stream without a bit rate: what is common to `Link` and a network connection."""

    async def read(self, max_bytes: int) -> bytes:
        """At least one byte, at most `max_bytes`, as soon as there is any. LinkLost on end or error, never b""."""
        ...

    async def write(self, data: bytes) -> None:
        """Hand all bytes to the line. LinkLost on error."""
        ...

    async def close(self) -> None:
        """Let go. Safe to call twice; never raises, never takes longer than 1 s."""
        ...


async def open_tcp(host: str, port: int, deadline_s: float) -> "TcpLink":
    """Connect within `deadline_s`. LinkLost: TCP_OPEN_TIMEOUT, TCP_UNREACHABLE."""
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise LinkLost("TCP_OPEN_TIMEOUT", f"{place} did not take the connection in {deadline_s:g} s", _HINT) from None
    except ConnectionRefusedError as error:
        raise LinkLost("TCP_UNREACHABLE", f"{place} refused the connection", _PORT_HINT) from error
    except (OSError, UnicodeError) as error:
        raise LinkLost("TCP_UNREACHABLE", f"{place} cannot be reached: {_reason(error)}", _HINT) from error
    return TcpLink(place, reader, writer)


class TcpLink:
    """An open connection. A reset or an end of the stream ends a pending read with LinkLost TCP_LINK_LOST at once."""

    def __init__(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._place = place
        self._reader = reader
        self._writer = writer
        self._closed = False

    async def read(self, max_bytes: int) -> bytes:
        """At least one byte, at most `max_bytes`. LinkLost on end or error."""
        self._check_open()
        try:
            data = await self._reader.read(max_bytes)
        except OSError as error:
            raise self._lost(_reason(error)) from error
        if not data:
            raise self._lost("the device closed the connection")
        return data

    async def write(self, data: bytes) -> None:
        """Hand all bytes to the kernel within 2 s. LinkLost on error or when the device takes no more."""
        self._check_open()
        try:
            self._writer.write(data)
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await self._writer.drain()
        except TimeoutError as error:
            raise self._lost("the device takes no more bytes") from error
        except OSError as error:
            raise self._lost(_reason(error)) from error

    async def close(self) -> None:
        """Close; after 0.6 s the connection is dropped instead."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()

    def _check_open(self) -> None:
        if self._closed:
            raise self._lost("closed here")

    def _lost(self, why: str) -> LinkLost:
        return LinkLost("TCP_LINK_LOST", f"connection to {self._place} ended: {why}", _HINT)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the name is unknown"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else str(error) or type(error).__name__
