"""A Modbus TCP server around a virtual module."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Any

from hil.devices.control import Handler
from hil.devices.modbus_unit import Module
from hil.devices.modbus_wire import Frame, GarbageError, take_frame

_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpPort:
    """Serves one module, whatever unit id is asked for. Port 0 picks one, kept for the life of the device."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.address = (host, port)
        self.connections: set[Connection] = set()
        self._module: Module | None = None
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def listening(self) -> bool:
        """Whether clients can connect now."""
        return self._server is not None

    async def open(self, module: Module) -> None:
        """Serve the module."""
        self._module = module
        await self._listen()

    def close(self) -> None:
        """Stop serving it."""
        self.refuse()
        if self._opening is not None:
            self._opening.cancel()
        self.cut()

    def refuse(self) -> None:
        """No new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def restore(self) -> None:
        """Listen again, on the same port."""
        if self._server is None and (self._opening is None or self._opening.done()):
            self._opening = asyncio.create_task(self._listen())

    def cut(self) -> None:
        """End every connection with RST."""
        for connection in tuple(self.connections):
            connection.reset()

    def verbs(self) -> Mapping[str, Handler]:
        """None of its own."""
        return {}

    def report(self) -> Mapping[str, Any]:
        """Who is connected."""
        return {"listening": self.listening, "connections": len(self.connections)}

    async def _listen(self) -> None:
        module = self._module
        assert module is not None, "opened"
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self, module), *self.address, reuse_address=True)
        self.address = self._server.sockets[0].getsockname()[:2]


class Connection(asyncio.Protocol):
    """One client. Requests are answered in order, pipelined ones too; garbage ends the connection."""

    def __init__(self, port: TcpPort, module: Module) -> None:
        self._port = port
        self._module = module
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._port.connections.add(self)
        self._module.state.connections += 1
        self._module.control.publish("connection", open=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        self._transport = None
        self._port.connections.discard(self)
        self._module.state.connections -= 1
        self._module.control.publish("connection", open=False, why=str(exc or ""))

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._buffer += data
        try:
            while (frame := take_frame(self._buffer)) is not None:
                self._serve(frame)
        except GarbageError as error:
            self._module.control.publish("garbage", why=str(error))
            if self._transport is not None:
                self._transport.close()

    def reset(self) -> None:
        """Cut the connection with RST."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._transport.abort()

    def _serve(self, frame: Frame) -> None:
        faults, function = self._module.faults, frame.pdu[0]
        if faults.take("drop", function):
            self.reset()
            return
        reply = self._module.answer(frame)
        if reply is None:
            return
        answer = faults.tcp_frame(function, frame.transaction, frame.unit, reply)
        late = faults.take("delay", function)
        if late is not None:
            asyncio.get_running_loop().call_later(late.value / 1000, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)
