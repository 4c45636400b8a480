"""What a session of a lane I/O module does: settings that fit its profile, without their file form."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.api import EdgeError
from drivers.modbus.head_codec import HeadWiring
from drivers.modbus.input_codec import InputPoint
from drivers.modbus.settings.profile import Profile, Pulse

PULSED_ROLES = frozenset({"barrier_raise", "barrier_lower"})
"""Outputs that are only ever on for a moment."""


@dataclass(frozen=True, slots=True)
class LaneIoPlan:
    """What a session does: validated settings without their file form. `head` None: inputs only. `inputs_unit`: whose
    inputs they are, None for those of `unit` itself. `actuators`: points of the outputs beside the head; `arm_pulse_ms`
    how long a pulse to the barrier's operator is."""

    unit: int
    inputs: Mapping[str, InputPoint]
    head: HeadWiring | None
    inputs_unit: int | None = None
    lamp_feedback: bool = False
    poll_s: float = 0.025
    stale_s: float = 0.3
    misses_allowed: int = 1
    watchdog_ms: int = 1000
    pulse_ms: int = 1500
    actuators: Mapping[str, int] = field(default_factory=dict)
    arm_pulse_ms: int = 0


def check_points(device: str, plan: LaneIoPlan, profile: Profile, inputs_profile: Profile) -> None:
    """Every wired point exists on this kind of module. EdgeError ROLE_INVALID."""
    wrong = []
    inputs = inputs_profile.inputs.count if inputs_profile.inputs else 0
    outputs = profile.outputs.count if profile.outputs else 0
    for role, wired in plan.inputs.items():
        if wired.point >= inputs:
            wrong.append(f"roles.{role}: point {wired.point}, but {inputs_profile.model} has {inputs} inputs")
    if plan.head is not None and plan.head.first + plan.head.count > outputs:
        last = plan.head.first + plan.head.count - 1
        wrong.append(f"roles.green or amber: point {last}, but {profile.model} has {outputs} outputs")
    wrong += [
        f"roles.{role}: point {point}, but {profile.model} has {outputs} outputs"
        for role, point in plan.actuators.items()
        if point >= outputs
    ]
    if wrong:
        raise EdgeError("ROLE_INVALID", f"{device}: " + "; ".join(wrong), "points count from 0")
    if plan.head is not None and plan.head.amber is not None and timed_by(plan, profile) is not None:
        what = f"{device}: roles.amber: only pulses end by themselves on {profile.model}, and an amber is steady"
        raise EdgeError("ROLE_INVALID", what, "use a head without amber, or a module with a watchdog")
    if plan.actuators:
        _check_actuators(device, plan, profile)


def timed_by(plan: LaneIoPlan, profile: Profile) -> Pulse | None:
    """The timed pulses by which outputs go off by themselves; None where the module's watchdog sees to it."""
    watchdog = profile.watchdog
    lets_go = watchdog is not None and watchdog.min_ms <= plan.watchdog_ms <= watchdog.max_ms
    return None if lets_go else profile.pulse


def _check_actuators(device: str, plan: LaneIoPlan, profile: Profile) -> None:
    """What is on must go off by itself when this computer dies."""
    if profile.green_refusal:
        what = f"{device}: roles {', '.join(sorted(plan.actuators))}: {profile.green_refusal}"
        raise EdgeError("ROLE_INVALID", what, "outputs must go off by themselves: use a module that may show green")
