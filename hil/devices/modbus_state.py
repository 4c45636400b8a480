"""What a virtual I/O module is made of behind its registers: outputs, inputs, watchdog, and the relays and lamps wired
to it. Everything that changes is published with the device's own clock.

Wiring (energise to proceed): the red lamp is fed through the normally closed contacts of the green and amber relays, so
that all outputs off, a tripped watchdog and a power cut show red.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hil.devices.modbus_arm import Arm, ArmWiring

OUTPUTS, INPUTS = 8, 16

WATCHDOG_OFF, WATCHDOG_RUNNING, WATCHDOG_TRIPPED = 0, 1, 2

Publish = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which output drives which lamp relay, and which input feels which lamp (or relay contact). None: not wired."""

    green: int = 0
    amber: int | None = None
    red_feedback: int | None = 8
    amber_feedback: int | None = None
    green_feedback: int | None = 10
    lamp_delay_s: float = 0.020
    feedback: str = "lamp"
    arm: ArmWiring | None = None


@dataclass(slots=True)
class LampFaults:
    """Faults of the field wiring."""

    out: set[str] = field(default_factory=set)
    welded: set[str] = field(default_factory=set)
    red_bypassed: bool = False
    feedback_cut: bool = False


class LampBoard:
    """Relays and lamps of one head. `apply` follows the outputs after the lamps' own delay."""

    def __init__(self, wiring: Wiring, publish: Publish, feel: Callable[[dict[int, bool]], None]) -> None:
        self.wiring = wiring
        self.faults = LampFaults()
        self._publish = publish
        self._feel = feel
        self._relays = {"green": False, "amber": False}
        self.aspect = ""

    def start(self) -> None:
        """Take the state of power-up: every relay released."""
        self._settle()

    def command(self, outputs: list[bool]) -> None:
        """Outputs changed: relays and lamps follow after the lamp delay."""
        amber = self.wiring.amber
        wanted = {"green": outputs[self.wiring.green], "amber": amber is not None and outputs[amber]}
        asyncio.get_running_loop().call_later(self.wiring.lamp_delay_s, self._follow, wanted)

    def refresh(self) -> None:
        """A fault switch moved."""
        self._settle()

    def _follow(self, wanted: dict[str, bool]) -> None:
        self._relays = wanted
        self._settle()

    def closed(self) -> dict[str, bool]:
        """What each relay's contact does, and `red`: the chain of normally closed contacts."""
        green = self._relays["green"] or "green" in self.faults.welded
        amber = self._relays["amber"] or "amber" in self.faults.welded
        return {"green": green, "amber": amber, "red": self.faults.red_bypassed or not (green or amber)}

    def lit(self) -> dict[str, bool]:
        """Which lamps give light."""
        return {lamp: fed and lamp not in self.faults.out for lamp, fed in self.closed().items()}

    def _settle(self) -> None:
        lit, felt = self.lit(), self.lit() if self.wiring.feedback == "lamp" else self.closed()
        inputs = {"red": self.wiring.red_feedback, "amber": self.wiring.amber_feedback}
        inputs["green"] = self.wiring.green_feedback
        cut = self.faults.feedback_cut
        self._feel({bit: felt[lamp] and not cut for lamp, bit in inputs.items() if bit is not None})
        burning = [lamp for lamp, on in lit.items() if on]
        aspect = "dark" if not burning else burning[0] if len(burning) == 1 else "conflict"
        if aspect != self.aspect:
            self.aspect = aspect
            self._publish("lamp", aspect=aspect, lit=sorted(burning))


class Watchdog:
    """The host-lost timer of a module: fed by the function codes in its mask, it drops all outputs when it expires."""

    def __init__(self, unit_s: float, tripped: Callable[[], None], publish: Publish) -> None:
        self._unit_s = unit_s
        self._tripped = tripped
        self._publish = publish
        self._timer: asyncio.TimerHandle | None = None
        self.reset()

    def reset(self) -> None:
        """Power-up: off, no time set."""
        self._cancel()
        self.time_units = 0
        self.functions: frozenset[int] = frozenset()
        self.state = WATCHDOG_OFF
        self.smallest_units = 0xFFFF
        self.trips = 0

    def arm(self) -> None:
        """Start or restart the timer; clears a trip. Does nothing without a time."""
        if self.time_units:
            self.state = WATCHDOG_RUNNING
            self.smallest_units = self.time_units
            self._publish("watchdog_armed", time_ms=round(self.time_units * self._unit_s * 1000))
            self._restart()

    def stop(self) -> None:
        """Switch it off; clears a trip."""
        self._cancel()
        if self.state != WATCHDOG_OFF:
            self._publish("watchdog_stopped")
        self.state = WATCHDOG_OFF

    def feed(self, function: int) -> None:
        """A request of this function code was carried out."""
        if function in self.functions:
            self.kick()

    def kick(self) -> None:
        """Restart the time if it runs."""
        if self.state != WATCHDOG_RUNNING:
            return
        if self._timer is not None:
            left = self._timer.when() - asyncio.get_running_loop().time()
            self.smallest_units = min(self.smallest_units, max(0, int(left / self._unit_s)))
        self._restart()

    def _restart(self) -> None:
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(self.time_units * self._unit_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.state = WATCHDOG_TRIPPED
        self.smallest_units = 0
        self.trips += 1
        self._publish("watchdog_tripped", trips=self.trips)
        self._tripped()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ModuleState:
    """Outputs, inputs, watchdog and lamps of one module."""

    def __init__(self, wiring: Wiring, watchdog_unit_s: float, publish: Publish) -> None:
        self._publish = publish
        self.outputs = [False] * OUTPUTS
        self.inputs = [False] * INPUTS
        self.connections = 0
        self.lamps = LampBoard(wiring, publish, self._feel)
        self.watchdog = Watchdog(watchdog_unit_s, self._drop_outputs, publish)
        self.pulses_restart = True
        self.arm = Arm(wiring.arm, self._feel, publish) if wiring.arm is not None else None
        self._felt_by = self
        self._pulses: dict[int, asyncio.TimerHandle] = {}

    @property
    def pulsing(self) -> frozenset[int]:
        """Outputs that are on for a time."""
        return frozenset(self._pulses)

    def start(self) -> None:
        """Power-up state: outputs off, red lamp lit."""
        self.lamps.start()
        if self.arm is not None:
            self.arm.start()

    def feel_through(self, other: "ModuleState") -> None:
        """The head's feedback is wired to the inputs of another module."""
        self._felt_by = other

    def set_outputs(self, values: dict[int, bool]) -> None:
        """Switch outputs; publishes one `coil` event for each that changes. Ends pulses that run on them."""
        for point in values:
            timer = self._pulses.pop(point, None)
            if timer is not None:
                timer.cancel()
        self._switch(values)

    def pulse(self, point: int, seconds: float) -> None:
        """Switch one output on, and off again by itself; a new pulse starts the time anew (`pulses_restart`)."""
        running = self._pulses.get(point)
        if running is not None:
            if not self.pulses_restart:
                return
            running.cancel()
        self._pulses[point] = asyncio.get_running_loop().call_later(seconds, self._pulse_over, point)
        self._switch({point: True})

    def _pulse_over(self, point: int) -> None:
        del self._pulses[point]
        self._switch({point: False})

    def _switch(self, values: dict[int, bool]) -> None:
        changed = {point: on for point, on in values.items() if self.outputs[point] != on}
        for point, on in changed.items():
            self.outputs[point] = on
        for point, on in changed.items():
            self._publish("coil", point=point, on=on)
        if changed:
            self.lamps.command(list(self.outputs))
            if self.arm is not None:
                self.arm.command(changed)

    def set_inputs(self, values: dict[int, bool]) -> None:
        """Set what the inputs feel; publishes one `input` event for each that changes. ValueError: no such input."""
        if not all(0 <= bit < INPUTS for bit in values):
            raise ValueError(f"inputs are 0-{INPUTS - 1}")
        for bit, on in values.items():
            if self.inputs[bit] != on:
                self.inputs[bit] = on
                self._publish("input", bit=bit, on=on)

    def power_cycle(self) -> None:
        """Outputs released, watchdog off and without a time."""
        self.watchdog.reset()
        self._drop_outputs()
        self._publish("power_cycled")

    def report(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "outputs": list(self.outputs),
            "inputs": list(self.inputs),
            "aspect": self.lamps.aspect,
            "lit": self.lamps.lit(),
            "relays": self.lamps.closed(),
            "arm": self.arm.report() if self.arm is not None else None,
            "watchdog": {
                "state": ["off", "running", "tripped"][self.watchdog.state],
                "time_units": self.watchdog.time_units,
                "functions": sorted(self.watchdog.functions),
                "trips": self.watchdog.trips,
            },
        }

    def _feel(self, values: dict[int, bool]) -> None:
        self._felt_by.set_inputs(values)

    def _drop_outputs(self) -> None:
        self.set_outputs(dict.fromkeys(range(OUTPUTS), False))
