"""A program between an agent and a device's address: `python -m hil.devices.tcp_proxy --control PATH --to HOST:PORT
[--port 0]`. Ready line: `{"ready": true, "device": "tcp_proxy", "port", "control"}`.

Control verbs: `fault`, `clear`, `faults`, `passed` (see `line_faults.py`), and of the connections: `reset` (RST),
`close` (FIN), `refuse` (nobody listens), `stall` (the backlog is full: an attempt gets no answer), `restore`.
"""

import argparse
import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine, Mapping
from pathlib import Path

from hil.devices.control import ControlChannel, Handler, announce_ready, until_told_to_end
from hil.devices.line_faults import WAYS, LineFaults, Way, fault_verbs

_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_FILLERS = 4


class TcpProxy:
    """Listens on a port of its own, the same for its life, and passes bytes to `host`, `port` and back."""

    def __init__(self, host: str, port: int, listen_port: int = 0) -> None:
        self.upstream = (host, port)
        self.port = listen_port
        self.ways = {way: LineFaults(seed) for seed, way in enumerate(WAYS, 1)}
        self._server: asyncio.Server | None = None
        self._stalled: list[socket.socket] = []
        self._pairs: set[_Pair] = set()
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Agent(self), "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End everything."""
        self.refuse()
        self._unstall()
        self.end_connections(reset=True)
        for task in tuple(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def refuse(self) -> None:
        """No new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def stall(self) -> None:
        """Connections are neither taken nor refused: a listener nobody serves, its backlog full."""
        self.refuse()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._stalled.append(listener)
        for _ in range(_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._stalled.append(filler)

    async def restore(self) -> None:
        """Listen again."""
        self._unstall()
        if self._server is None:
            await self.open()

    def end_connections(self, *, reset: bool) -> None:
        """End all of them, with RST or with FIN."""
        for pair in tuple(self._pairs):
            pair.end(reset=reset)

    def verbs(self) -> Mapping[str, Handler]:
        """The control channel's."""
        return {
            **fault_verbs(self.ways),
            "reset": lambda _: self.end_connections(reset=True),
            "close": lambda _: self.end_connections(reset=False),
            "refuse": lambda _: self.refuse(),
            "stall": lambda _: self.stall(),
            "restore": lambda _: self._soon(self.restore()),
        }

    def joined(self, agent: "_Agent") -> "_Pair":
        """An agent has connected: so do we, at the other side."""
        pair = _Pair(self, agent)
        self._pairs.add(pair)
        self._soon(pair.connect())
        return pair

    def parted(self, pair: "_Pair") -> None:
        """It is over."""
        self._pairs.discard(pair)

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _unstall(self) -> None:
        for held in self._stalled:
            held.close()
        self._stalled.clear()


class _Pair:
    """A connection of the agent and the one to the device that belongs to it."""

    def __init__(self, proxy: TcpProxy, agent: "_Agent") -> None:
        self._proxy = proxy
        self._agent = agent
        self._device: asyncio.Transport | None = None
        self._early = bytearray()
        self.to_agent = Way(proxy.ways["to_agent"], self._write_agent, lambda: self.end(reset=True))
        self.to_device = Way(proxy.ways["to_device"], self._write_device, lambda: self.end(reset=True))

    async def connect(self) -> None:
        """Open the other side; when that fails, the agent's connection ends."""
        loop = asyncio.get_running_loop()
        try:
            self._device, _ = await loop.create_connection(lambda: _Device(self), *self._proxy.upstream)
        except OSError:
            self.end(reset=False)
            return
        self._device.write(bytes(self._early))

    def end(self, *, reset: bool) -> None:
        """End both sides."""
        self.to_agent.close()
        self.to_device.close()
        self._proxy.parted(self)
        for transport in (self._agent.transport, self._device):
            if transport is None or transport.is_closing():
                continue
            if reset:
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
                transport.abort()
            else:
                transport.close()

    def _write_agent(self, data: bytes) -> None:
        if self._agent.transport is not None and not self._agent.transport.is_closing():
            self._agent.transport.write(data)

    def _write_device(self, data: bytes) -> None:
        if self._device is None:
            self._early += data
        elif not self._device.is_closing():
            self._device.write(data)


class _Agent(asyncio.Protocol):
    def __init__(self, proxy: TcpProxy) -> None:
        self._proxy = proxy
        self._pair: _Pair | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._pair = self._proxy.joined(self)

    def data_received(self, data: bytes) -> None:
        assert self._pair is not None
        self._pair.to_device.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._pair is not None
        self._pair.end(reset=exc is not None)


class _Device(asyncio.Protocol):
    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def data_received(self, data: bytes) -> None:
        self._pair.to_agent.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.end(reset=exc is not None)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="faults between an agent and a device's address")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket")
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the device")
    parser.add_argument("--port", type=int, default=0, help="where the agent connects; 0: any free port")
    options = parser.parse_args()
    host, _, port = options.to.rpartition(":")
    proxy = TcpProxy(host, int(port), options.port)
    control = ControlChannel(options.control, proxy.verbs())
    await proxy.open()
    await control.open()
    announce_ready(device="tcp_proxy", port=proxy.port, control=str(options.control))
    await until_told_to_end()
    await control.close()
    await proxy.close()


if __name__ == "__main__":
    asyncio.run(_main())
