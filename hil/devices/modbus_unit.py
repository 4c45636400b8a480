"""A virtual I/O module behind whatever port it is reached through: registers, fault switches, control channel.

Control verbs (see `control.py`): `get`; `set_inputs {"bits": {"0": true}}`; `fault {"fault": NAME, "times"?,
"writes_only"?, "functions"?, "code"? | "ms"?}` with the names of `modbus_faults.WIRE_FAULTS`; `lamp_out {"lamp"}`;
`weld {"relay"}`; `red_bypass`; `feedback_cut {"cut"}`; `refuse` (not to be reached); `reset` (cut every connection);
`power_cycle {"off_ms"?}`; `foreign_write {"point", "on"}`; `host_watchdog {"ms"}` (as set with the maker's tool);
`pulses_once` (a running pulse is not started again); `swap {"mac"}` (another module of this kind in its place);
`trace {"on"}`; `clear` (all faults off); `arm {"jammed"?, "dead_limits"?}` and `push_arm {"up"}` (by hand), with an
arm; and those of the port.
Events: `arm`, `lamp`, `coil`, `input`, `write`, `watchdog_armed`, `watchdog_stopped`, `watchdog_tripped`,
`power_cycled`, `connection`, `garbage`, and `request` while tracing.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hil.devices.control import ControlChannel, Handler
from hil.devices.modbus_arm import Arm
from hil.devices.modbus_catalogue import PROFILES
from hil.devices.modbus_faults import WireFaults
from hil.devices.modbus_maps import Wago750352
from hil.devices.modbus_state import ModuleState, Wiring
from hil.devices.modbus_wire import (
    BIT_READS,
    WORD_READS,
    WRITE_COIL,
    WRITES,
    Frame,
    Refusal,
    Request,
    bits_reply,
    exception_reply,
    parse_request,
    words_reply,
    write_reply,
)


class Port(Protocol):
    """How a module is reached."""

    async def open(self, module: "Module") -> None:
        """Serve the module."""
        ...

    def close(self) -> None:
        """Stop serving it."""
        ...

    def refuse(self) -> None:
        """Not to be reached, until `restore`; what is connected stays so."""
        ...

    def restore(self) -> None:
        """To be reached again."""
        ...

    def cut(self) -> None:
        """End every connection."""
        ...

    def verbs(self) -> Mapping[str, Handler]:
        """Control verbs of its own."""
        ...

    def report(self) -> Mapping[str, Any]:
        """Its state, as JSON values."""
        ...


class Module:
    """The device: registers behind a port, with fault switches."""

    def __init__(self, profile: str, wiring: Wiring, control: Path, port: Port) -> None:
        self.port = port
        self.faults = WireFaults()
        self._map = PROFILES[profile]()
        self.control = ControlChannel(
            control,
            {
                "get": lambda _: self._report(),
                "set_inputs": self._set_inputs,
                "fault": self.faults.set,
                "lamp_out": lambda request: self._lamp_fault(request["lamp"], None),
                "weld": lambda request: self._lamp_fault(None, request["relay"]),
                "red_bypass": lambda _: self._bypass_red(),
                "feedback_cut": lambda request: self._cut_feedback(bool(request["cut"])),
                "refuse": lambda _: port.refuse(),
                "reset": lambda _: port.cut(),
                "power_cycle": self._power_cycle,
                "arm": self._arm_fault,
                "push_arm": lambda request: self._arm().push(bool(request["up"])),
                "foreign_write": self._foreign_write,
                "host_watchdog": self._set_host_watchdog,
                "swap": self._swap,
                "pulses_once": lambda _: self._pulse_only_once(),
                "trace": self._set_trace,
                "clear": lambda _: self._clear(),
                **port.verbs(),
            },
        )
        self.state = ModuleState(wiring, self._map.watchdog_unit_s, self.control.publish)
        self._trace = False
        self._requests = 0

    async def open(self) -> None:
        """Power up and serve."""
        self.state.start()
        await self.port.open(self)
        await self.control.open()

    async def close(self) -> None:
        """Stop serving."""
        self.port.close()
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
        request = parse_request(pdu, any_coil_word=self._map.any_coil_word)
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

    def _power_cycle(self, request: Mapping[str, Any]) -> None:
        self.port.refuse()
        self.port.cut()
        self.state.power_cycle()
        asyncio.get_running_loop().call_later(float(request.get("off_ms", 300)) / 1000, self.port.restore)

    def _set_host_watchdog(self, request: Mapping[str, Any]) -> None:
        watchdog = self.state.watchdog
        watchdog.time_units = round(float(request["ms"]) / 1000 / self._map.watchdog_unit_s)
        watchdog.functions = BIT_READS | WORD_READS | WRITES
        watchdog.arm()

    def _pulse_only_once(self) -> None:
        self.state.pulses_restart = False

    def _foreign_write(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        on = bool(request["on"])
        write = Request(WRITE_COIL, int(request["point"]), 1, (int(on),), 0xFF00 * on)
        try:
            self._write(write, "foreign")
        except Refusal as refusal:
            return {"exception": refusal.code}
        return {"exception": 0}

    def _arm(self) -> Arm:
        if self.state.arm is None:
            raise ValueError("no arm is wired to this module")
        return self.state.arm

    def _arm_fault(self, request: Mapping[str, Any]) -> None:
        self._arm().fault(bool(request.get("jammed")), frozenset(request.get("dead_limits", ())))

    def _swap(self, request: Mapping[str, Any]) -> None:
        if not isinstance(self._map, Wago750352):
            raise ValueError("a module of this kind has no number of its own")  # noqa: TRY004 - a wrong request
        self._map.become(str(request["mac"]))
        self._power_cycle({})

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

    def _cut_feedback(self, cut: bool) -> None:
        self.state.lamps.faults.feedback_cut = cut
        self.state.lamps.refresh()

    def _set_trace(self, request: Mapping[str, Any]) -> None:
        self._trace = bool(request["on"])

    def _clear(self) -> None:
        self.faults.clear()
        lamps = self.state.lamps.faults
        lamps.out.clear()
        lamps.welded.clear()
        lamps.red_bypassed = lamps.feedback_cut = False
        self.state.lamps.refresh()
        self.state.pulses_restart = True
        self.port.restore()

    def _report(self) -> dict[str, Any]:
        return {
            **self.state.report(),
            "faults": self.faults.report(),
            "requests": self._requests,
            **self.port.report(),
        }
