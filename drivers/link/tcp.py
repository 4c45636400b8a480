"""TCP connection as a byte stream for network readers."""

import asyncio
import contextlib
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from drivers.api import DeviceRefused, LinkLost

CLOSE_DEADLINE_S = 0.6
WRITE_DEADLINE_S = 2.0

_HINT = "check the device's power, the network cable and switch, and its address in lane.yaml"
_TRUST_HINT = "another device may be at this address; after an exchange, put the new certificate into ca_file"
_TLS_HINT = (
    "check that the port is the device's TLS port, that TLS is on there, and whether it wants a certificate of ours"
)
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


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: certificates the other side's must be signed by (or be), and our own certificate with its key."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS as a client makes it; `server_name` what the certificate must be made out to, the host when None."""

    context: ssl.SSLContext
    server_name: str | None


def client_tls(files: TlsFiles, server_name: str | None) -> ClientTls:
    """TLS 1.2 or later that trusts only `files.ca_file`. DeviceRefused TLS_FILES_UNUSABLE."""
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
        # A reader makes its own certificate: it is trusted as it stands, without an authority above it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except OSError as error:  # SSLError is one
        names = ", ".join(str(path) for path in (files.ca_file, files.cert_file, files.key_file) if path is not None)
        raise DeviceRefused(
            "TLS_FILES_UNUSABLE",
            f"certificates or key cannot be used ({_reason(error)}): {names}",
            "check that they are PEM, belong together and may be read by the agent's user",
        ) from error
    return ClientTls(context, server_name)


async def open_tcp(host: str, port: int, deadline_s: float, tls: ClientTls | None = None) -> "TcpLink":
    """Connect within `deadline_s`, the TLS handshake included. LinkLost: TCP_OPEN_TIMEOUT, TCP_UNREACHABLE, TLS_FAILED;
    DeviceRefused TLS_UNTRUSTED."""
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(deadline_s):
            if tls is None:
                reader, writer = await asyncio.open_connection(host, port)
            else:
                name = tls.server_name or host
                reader, writer = await asyncio.open_connection(host, port, ssl=tls.context, server_hostname=name)
    except TimeoutError:
        raise LinkLost("TCP_OPEN_TIMEOUT", f"{place} did not take the connection in {deadline_s:g} s", _HINT) from None
    except ConnectionRefusedError as error:
        raise LinkLost("TCP_UNREACHABLE", f"{place} refused the connection", _PORT_HINT) from error
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate of {place} is not to be trusted: {error.verify_message}"
        raise DeviceRefused("TLS_UNTRUSTED", text, _TRUST_HINT) from error
    except (ssl.SSLError, ConnectionResetError) as error:
        raise LinkLost("TLS_FAILED", f"no TLS with {place}: {_reason(error)}", _TLS_HINT) from error
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
        gone = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    with contextlib.suppress(OSError):
                        await self._writer.wait_closed()
                    gone = True
        finally:
            # A TLS transport that is closed cannot be aborted any more (Python 3.11).
            if not gone:
                self._writer.transport.abort()

    def _check_open(self) -> None:
        if self._closed:
            raise self._lost("closed here")

    def _lost(self, why: str) -> LinkLost:
        return LinkLost("TCP_LINK_LOST", f"connection to {self._place} ended: {why}", _HINT)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").lower().replace("_", " ")
    if isinstance(error, socket.gaierror):
        return "the name is unknown"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else str(error) or type(error).__name__
