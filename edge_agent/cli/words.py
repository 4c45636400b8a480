"""The contract's enumerations and states in the words of this command, and the exit code a lane stands for."""

from collections.abc import Sequence
from typing import Any

from securecorridor.lane.v1 import types_pb2 as pb
from securecorridor.lane.v1.lane_service_pb2 import ConveyanceState, LaneState

from .exits import Exit


def word(enum: Any, number: int) -> str:  # noqa: ANN401 - generated enum wrappers share no type
    """`released_rolling` for OUTCOME_RELEASED_ROLLING; `-` for unspecified, the number for one not known here."""
    value = enum.DESCRIPTOR.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix: str = enum.DESCRIPTOR.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return "-" if number == 0 else str(value.name.removeprefix(prefix).lower())


def exit_of(conditions: Sequence[pb.Condition], fault: bool = False) -> Exit:
    """The worst condition as an exit code."""
    worst = max((condition.severity for condition in conditions), default=pb.SEVERITY_UNSPECIFIED)
    if fault or worst >= pb.SEVERITY_ALARM:
        return Exit.ALARM
    return Exit.DEGRADED if worst >= pb.SEVERITY_WARNING else Exit.OK


def exit_of_lane(lane: LaneState) -> Exit:
    """The lane's state as an exit code."""
    return exit_of(lane.conditions, bool(lane.signal.fault) or lane.mode == pb.LANE_MODE_FAULT)


def legs(conveyance: ConveyanceState) -> str:
    """`driver yes, conveyance yes, cargo no`; a leg that is not required in brackets."""
    shown = []
    for leg in conveyance.legs:
        text = f"{word(pb.Leg, leg.leg)} {'yes' if leg.complete else 'no'}"
        shown.append(text if leg.required else f"({text})")
    return ", ".join(shown) or "-"


def decision(conveyance: ConveyanceState) -> str:
    """The decision in force, by whom, and whether it is live."""
    if not conveyance.HasField("decision"):
        return "none yet"
    made = conveyance.decision
    by = made.officer or word(pb.Authority, made.authority)
    live = "" if conveyance.decision_live else ", not live"
    return f"{word(pb.Verdict, made.verdict)} by {by}, revision {made.revision}{live}"


def named(device: str, text: str) -> str:
    """The text with the device's name before it, unless it begins with that or there is none."""
    return text if text.startswith(device) else f"{device}: {text}"


def signal(lane: LaneState) -> str:
    """`red (confirmed, lamp, 0.0 s old)`, and what is commanded when that differs."""
    state = lane.signal
    age = state.readback_age.ToNanoseconds() / 1e9
    if state.confirmed == pb.ASPECT_UNSPECIFIED:
        return f"NOT CONFIRMED, commanded {word(pb.Aspect, state.commanded)}"
    text = f"{word(pb.Aspect, state.confirmed)} (confirmed by {word(pb.Grade, state.grade)}, {age:.1f} s old)"
    if state.commanded != state.confirmed:
        text += f", commanded {word(pb.Aspect, state.commanded)}"
    return f"{text}, FAULT {state.fault}" if state.fault else text
