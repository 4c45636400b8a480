"""Virtual LLRP reader on a TCP port, with a control channel.

    python -m hil.devices.llrp_reader --control PATH [--host H] [--port N] [--ports N] [--maker PEN] [--seed N]
        [--ignore-start-trigger] [--no-access] [--persona llrp|ssh|silent] [--reads-per-s N]
        [--tls-cert FILE --tls-key FILE [--tls-client-ca FILE]]

Verbs: get; field {tags:[{epc, rssi_dbm, antenna, pc?, tid?}]}; mute {on}; keepalive {on}; drop; reset; occupy {on};
garbage {bytes}; overflow; fill {percent}; antenna {port, connected}; exception {text}; close_event; end_rospec;
temperature {celsius}; raw {hex}. `reset` restarts the reader: connection and everything set are gone. `occupy` turns
new connections away, as for a client that has gone without a word.
Events: connected, disconnected {reason}, command {type}, configured {keepalive_ms}, started, stopped, tag {count},
keepalive, keepalive_ack, goodbye.
"""

import argparse
import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from struct import pack
from typing import Any

from hil.devices import llrp_wire as wire
from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
from hil.devices.llrp_answers import HANDLERS
from hil.devices.llrp_module import Module, Tag
from hil.devices.llrp_wire import RequestReader, WireError, param

_READS_PER_TAG_S = 20.0
_CYCLE_S = 0.25
_BACKLOG_LIMIT = 1 << 20  # a reader's report buffer: what a client does not take is lost
_HELD_BY_CLIENT = 2
_CLOSE = 14


class VirtualReader:
    """The reader, its one connection and its faults."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        verbs = {name[5:]: getattr(self, name) for name in dir(self) if name.startswith("verb_")}
        self._control = ControlChannel(Path(arguments.control), verbs)
        self._arguments = arguments
        self._random = random.Random(arguments.seed)
        self._writer: asyncio.StreamWriter | None = None
        self._occupied = False
        self._muted = False
        self._keeps_alive = True
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.module = self._make_module()

    def _make_module(self) -> Module:
        arguments = self._arguments
        module = Module(
            self._send,
            self._control.publish,
            HANDLERS,
            ports=arguments.ports,
            maker=arguments.maker,
            seed=arguments.seed,
        )
        module.heed_start_trigger = not arguments.ignore_start_trigger
        module.offers_access = not arguments.no_access
        return module

    async def run(self) -> None:
        """Serve until told to end."""
        arguments = self._arguments
        server = await asyncio.start_server(self._serve, arguments.host, arguments.port, ssl=_tls(arguments))
        await self._control.open()
        host, port = server.sockets[0].getsockname()[:2]
        announce_ready(host=host, port=port)
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [tasks.create_task(self._air()), tasks.create_task(self._keep_alive())]
                await until_told_to_end()
                for worker in workers:
                    worker.cancel()
        finally:
            server.close()
            self._drop("ended")
            await self._control.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        persona = self._arguments.persona
        if persona != "llrp":
            writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n" if persona == "ssh" else b"")
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
            writer.close()
            return
        if self._occupied or self._writer is not None:
            writer.write(self.module.greet(_now_us(), _HELD_BY_CLIENT))
            writer.close()
            return
        self._writer = writer
        self.module.begin_session()
        self._control.publish("connected")
        self._send(self.module.greet(_now_us()))
        self._wake.set()
        reason = "client"
        try:
            await self._listen(reader, writer)
        except WireError as error:
            reason = str(error)
        except ConnectionError:
            reason = "reset"
        if self._writer is writer:
            self._drop(reason)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = RequestReader()
        while data := await reader.read(65_536):
            for asked in requests.feed(data):
                if self._muted:
                    continue
                self.module.request(asked, _now_us())
                self._wake.set()
                if asked.type == _CLOSE:
                    await writer.drain()
                    return

    def _drop(self, reason: str) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        self.module.session.keepalive_ms = 0
        self._control.publish("disconnected", reason=reason)
        self._wake.set()

    def _send(self, data: bytes) -> None:
        writer = self._writer
        if writer is None or self._muted or writer.transport.is_closing():
            return
        if writer.transport.get_write_buffer_size() < _BACKLOG_LIMIT:
            writer.write(data)

    def verb_get(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**self.module.state(), "connected": self._writer is not None}

    def verb_field(self, request: Mapping[str, Any]) -> None:
        self.module.tags = tuple(_tag(item) for item in request["tags"])
        self._wake.set()

    def verb_mute(self, request: Mapping[str, Any]) -> None:
        self._muted = bool(request.get("on", True))

    def verb_keepalive(self, request: Mapping[str, Any]) -> None:
        self._keeps_alive = bool(request.get("on", True))

    def verb_drop(self, _request: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._drop("dropped")

    def verb_reset(self, _request: Mapping[str, Any]) -> None:
        tags = self.module.tags
        self._drop("reset")
        self.module = self._make_module()
        self.module.tags = tags

    def verb_occupy(self, request: Mapping[str, Any]) -> None:
        self._occupied = bool(request.get("on", True))

    def verb_garbage(self, request: Mapping[str, Any]) -> None:
        self._send(self._random.randbytes(int(request.get("bytes", 64))))

    def verb_overflow(self, _request: Mapping[str, Any]) -> None:
        self._tell(param(251))

    def verb_fill(self, request: Mapping[str, Any]) -> None:
        self._tell(param(250, bytes((int(request.get("percent", 90)),))), kind=3)

    def verb_antenna(self, request: Mapping[str, Any]) -> None:
        port, connected = int(request["port"]), bool(request.get("connected", False))
        if port not in self.module.connected:
            raise ValueError(f"no port {port}")
        self.module.connected[port] = connected
        self._tell(param(255, pack(">BH", connected, port)), kind=8)
        self._wake.set()

    def verb_exception(self, request: Mapping[str, Any]) -> None:
        text = str(request.get("text", "fault")).encode()
        self._tell(param(252, pack(">H", len(text)), text), kind=4)

    def verb_close_event(self, _request: Mapping[str, Any]) -> None:
        self._tell(param(257))
        self._drop("closed by the reader")

    def verb_end_rospec(self, _request: Mapping[str, Any]) -> None:
        for spec in self.module.active():
            self.module.end(spec)

    def verb_temperature(self, request: Mapping[str, Any]) -> None:
        self.module.temperature_c = int(request["celsius"])

    def verb_raw(self, request: Mapping[str, Any]) -> None:
        self._send(bytes.fromhex(request["hex"]))

    def _tell(self, event: bytes, kind: int | None = None) -> None:
        self.module.now_us = _now_us()
        self.module.tell(event, kind=kind)

    async def _keep_alive(self) -> None:
        number = 0
        while True:
            period_ms = self.module.session.keepalive_ms
            if not period_ms:
                await self._pause(60.0)
                continue
            await asyncio.sleep(period_ms / 1000)
            if self._keeps_alive and self.module.session.keepalive_ms:
                number += 1
                self._send(wire.message(62, number))
                self._control.publish("keepalive")

    async def _air(self) -> None:
        """The air interface: reads of the tags that are in the field at each moment."""
        due = self._loop.time()
        cycle_ends = due + _CYCLE_S
        while True:
            tags = self.module.readable_tags()
            now = self._loop.time()
            if now >= cycle_ends:
                self.module.end_cycle()
                cycle_ends = now + _CYCLE_S
            if not tags:
                await self._pause(_CYCLE_S if self.module.active() else 60.0)
                due = self._loop.time()
                continue
            # Due times add up, so that late wake-ups of this process do not lower the rate.
            due = max(due, now - _CYCLE_S)
            due += self._random.uniform(0.5, 1.5) / min(self._arguments.reads_per_s, _READS_PER_TAG_S * len(tags))
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            tag = self._random.choice(tags)
            if tag in self.module.readable_tags():
                self.module.sight(tag, _now_us())

    async def _pause(self, duration_s: float) -> None:
        """Wait, but not past a change."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._wake.wait()


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=arguments.tls_client_ca)
    context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    if arguments.tls_client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _now_us() -> int:
    return time.time_ns() // 1000


def _tag(item: Mapping[str, Any]) -> Tag:
    epc = bytes.fromhex(item["epc"])
    if len(epc) % 2 or len(epc) > 62:
        raise ValueError("epc must be at most 62 bytes, whole 16-bit words")
    return Tag(
        epc=epc,
        rssi_dbm=float(item["rssi_dbm"]),
        antenna=int(item["antenna"]),
        pc=item.get("pc"),
        tid=bytes.fromhex(item.get("tid") or ""),
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="virtual LLRP reader on a TCP port")
    parser.add_argument("--control", required=True, help="unix socket of the control channel")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--ports", type=int, default=4, help="antenna ports")
    parser.add_argument("--maker", type=int, default=wire.IMPINJ, help="IANA private enterprise number")
    parser.add_argument("--ignore-start-trigger", action="store_true", help="take the immediate trigger for none")
    parser.add_argument("--no-access", action="store_true", help="refuse access operations")
    parser.add_argument("--tls-cert", help="serve TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", help="and this key")
    parser.add_argument("--tls-client-ca", help="want a certificate of the client, signed by one of these")
    parser.add_argument("--persona", choices=("llrp", "ssh", "silent"), default="llrp")
    parser.add_argument("--reads-per-s", type=float, default=300.0, help="limit of all tags together")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def _main() -> None:
    await VirtualReader(_parse()).run()


if __name__ == "__main__":
    asyncio.run(_main())
