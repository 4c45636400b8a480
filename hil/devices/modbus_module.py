"""Virtual Modbus TCP I/O module: `python -m hil.devices.modbus_module --control PATH [--port 0] [--profile NAME]`.

16 digital inputs, 8 digital outputs, a watchdog, and one signal head wired to it (see `modbus_state.Wiring`). Ready
line: `{"ready": true, "device": "modbus_module", "profile", "host", "port", "control"}`.

Control verbs (see `control.py`): `get`; `set_inputs {"bits": {"0": true}}`; `fault {"fault": NAME, "times"?,
"writes_only"?, "functions"?, "code"? | "ms"?}` with the names of `modbus_faults.WIRE_FAULTS`; `lamp_out {"lamp"}`;
`weld {"relay"}`; `red_bypass`; `refuse` (no new connections); `reset` (RST all connections); `power_cycle {"off_ms"?}`;
`foreign_write {"point", "on"}`; `trace {"on"}`; `clear` (all faults off).
Events: `lamp`, `coil`, `input`, `write`, `watchdog_armed`, `watchdog_stopped`, `watchdog_tripped`, `power_cycled`,
`connection`, `garbage`, and `request` while tracing.
"""

import argparse
import asyncio
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
from hil.devices.modbus_faults import WireFaults
from hil.devices.modbus_maps import PROFILES
from hil.devices.modbus_state import ModuleState, Wiring
from hil.devices.modbus_wire import (
    BIT_READS,
    WORD_READS,
    WRITE_COIL,
    Frame,
    GarbageError,
    Refusal,
    Request,
    bits_reply,
    exception_reply,
    parse_request,
    take_frame,
    words_reply,
    write_reply,
)

_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class Module:
    """The device: registers behind a Modbus TCP server, with fault switches."""

    def __init__(self, profile: str, wiring: Wiring, control: Path) -> None:
        self._map = PROFILES[profile]()
        self.faults = WireFaults()
        self.control = ControlChannel(
            control,
            {
                "get": lambda _: self._report(),
                "set_inputs": self._set_inputs,
                "fault": self.faults.set,
                "lamp_out": lambda request: self._lamp_fault(request["lamp"], None),
                "weld": lambda request: self._lamp_fault(None, request["relay"]),
                "red_bypass": lambda _: self._bypass_red(),
                "refuse": lambda _: self._stop_listening(),
                "reset": lambda _: self._reset_connections(),
                "power_cycle": self._power_cycle,
                "foreign_write": self._foreign_write,
                "trace": self._set_trace,
                "clear": lambda _: self._clear(),
            },
        )
        self.state = ModuleState(wiring, self._map.watchdog_unit_s, self.control.publish)
        self.connections: set[Connection] = set()
        self.address: tuple[str, int] = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None
        self._trace = False
        self._requests = 0

    async def open(self, host: str, port: int) -> None:
        """Power up and serve. Port 0 picks one, kept for the life of the device."""
        self.state.start()
        self.address = (host, port)
        await self._listen()
        await self.control.open()

    async def close(self) -> None:
        """Stop serving."""
        self._stop_listening()
        if self._opening is not None:
            self._opening.cancel()
        self._reset_connections()
        await self.control.close()

    def answer(self, frame: Frame) -> bytes | None:
        """The PDU that answers a request; None when muted."""
        self._requests += 1
        function = frame.pdu[0]
        if self._trace:
            self.control.publish("request", unit=frame.unit, pdu=frame.pdu.hex(), transaction=frame.transaction)
        if self.faults.take("mute", function):
            return None
        refused = self.faults.refusal(function)
        if refused is not None:
            return refused
        try:
            return self._carry_out(frame.pdu)
        except Refusal as refusal:
            return exception_reply(function, refusal.code)

    def _carry_out(self, pdu: bytes) -> bytes:
        request = parse_request(pdu)
        if request.function in BIT_READS | WORD_READS:
            values = self._map.read(self.state, request)
            self.state.watchdog.feed(request.function)
            return (bits_reply if request.function in BIT_READS else words_reply)(request.function, values)
        self._write(request, "client")
        return write_reply(pdu)

    def _write(self, request: Request, origin: str) -> None:
        self.control.publish(
            "write", function=request.function, address=request.address, values=list(request.values), origin=origin
        )
        self._map.write(self.state, request)
        self.state.watchdog.feed(request.function)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), *self.address, reuse_address=True)
        self.address = self._server.sockets[0].getsockname()[:2]

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _listen_again(self) -> None:
        if self._server is None and (self._opening is None or self._opening.done()):
            self._opening = asyncio.create_task(self._listen())

    def _reset_connections(self) -> None:
        for connection in tuple(self.connections):
            connection.reset()

    def _power_cycle(self, request: Mapping[str, Any]) -> None:
        self._stop_listening()
        self._reset_connections()
        self.state.power_cycle()
        asyncio.get_running_loop().call_later(float(request.get("off_ms", 300)) / 1000, self._listen_again)

    def _foreign_write(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        write = Request(WRITE_COIL, int(request["point"]), 1, (int(bool(request["on"])),))
        try:
            self._write(write, "foreign")
        except Refusal as refusal:
            return {"exception": refusal.code}
        return {"exception": 0}

    def _set_inputs(self, request: Mapping[str, Any]) -> None:
        self.state.set_inputs({int(bit): bool(on) for bit, on in request["bits"].items()})

    def _lamp_fault(self, lamp: str | None, relay: str | None) -> None:
        if (lamp or relay) not in ("red", "amber", "green") or relay == "red":
            raise ValueError("lamp: red, amber or green; relay: amber or green")
        if lamp:
            self.state.lamps.faults.out.add(lamp)
        if relay:
            self.state.lamps.faults.welded.add(relay)
        self.state.lamps.refresh()

    def _bypass_red(self) -> None:
        self.state.lamps.faults.red_bypassed = True
        self.state.lamps.refresh()

    def _set_trace(self, request: Mapping[str, Any]) -> None:
        self._trace = bool(request["on"])

    def _clear(self) -> None:
        self.faults.clear()
        lamps = self.state.lamps.faults
        lamps.out.clear()
        lamps.welded.clear()
        lamps.red_bypassed = False
        self.state.lamps.refresh()
        self._listen_again()

    def _report(self) -> dict[str, Any]:
        return {
            **self.state.report(),
            "faults": self.faults.report(),
            "listening": self._server is not None,
            "connections": len(self.connections),
            "requests": self._requests,
        }


class Connection(asyncio.Protocol):
    """One client. Requests are answered in order, pipelined ones too; garbage ends the connection."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._module.connections.add(self)
        self._module.control.publish("connection", open=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        self._transport = None
        self._module.connections.discard(self)
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
        answer = faults.spoil(function, frame.transaction, frame.unit, reply)
        late = faults.take("delay", function)
        if late is not None:
            asyncio.get_running_loop().call_later(late.value / 1000, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="virtual Modbus TCP I/O module")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="wago_750_352")
    parser.add_argument("--green", type=int, default=0, help="output of the green relay")
    parser.add_argument("--amber", type=int, default=None, help="output of the amber relay")
    parser.add_argument("--red-feedback", type=int, default=8, help="input that feels the red lamp, -1: none")
    parser.add_argument("--amber-feedback", type=int, default=-1)
    parser.add_argument("--green-feedback", type=int, default=10)
    parser.add_argument("--feedback", choices=["lamp", "contact"], default="lamp", help="what the feedback inputs feel")
    parser.add_argument("--lamp-delay-ms", type=float, default=20.0)
    return parser.parse_args()


def _wiring(options: argparse.Namespace) -> Wiring:
    def bit(number: int) -> int | None:
        return None if number < 0 else number

    return Wiring(
        green=options.green,
        amber=options.amber,
        red_feedback=bit(options.red_feedback),
        amber_feedback=bit(options.amber_feedback),
        green_feedback=bit(options.green_feedback),
        lamp_delay_s=options.lamp_delay_ms / 1000,
        feedback=options.feedback,
    )


async def _main() -> None:
    options = _parse_arguments()
    module = Module(options.profile, _wiring(options), options.control)
    await module.open(options.host, options.port)
    announce_ready(
        device="modbus_module",
        profile=options.profile,
        host=module.address[0],
        port=module.address[1],
        control=str(options.control),
    )
    try:
        await until_told_to_end()
    finally:
        await module.close()


if __name__ == "__main__":
    asyncio.run(_main())
