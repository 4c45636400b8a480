"""The contract's enumerations and states in the words of this command, and the exit code a lane stands for."""

from collections.abc import Sequence
from typing import Any

from securecorridor.lane.v1 import types_pb2 as pb
from securecorridor.lane.v1.actuators_pb2 import AlarmState, ArmState, SignState
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


SIGN_TEXTS = {
    SignState.TEXT_STOP: "STOP / ARRÊT",
    SignState.TEXT_PROCEED: "PROCEED SLOWLY / AVANCEZ LENTEMENT",
    SignState.TEXT_SECONDARY: "GO TO SECONDARY / ALLEZ À L'INSPECTION SECONDAIRE",
    SignState.TEXT_CLOSED: "LANE CLOSED / VOIE FERMÉE",
    SignState.TEXT_BLANK: "blank",
}


def arm(state: ArmState) -> str:
    """`down (by its limit switches), asked to raise`, and why it is kept up while it is."""
    at = word(ArmState.Position, state.position)
    text = {"-": "NOT KNOWN", "both": "UP AND DOWN: its limit switches contradict each other"}.get(at, at)
    if state.asked:
        text += f", asked to {word(ArmState.Movement, state.asked)}"
    elif state.position == ArmState.POSITION_UP and state.against_lowering:
        text += f", kept up: {', '.join(reason.replace('_', ' ') for reason in state.against_lowering)}"
    return f"{text}, FAULT {state.fault}" if state.fault else text


def sign(state: SignState) -> str:
    """`STOP / ARRÊT (confirmed by contact)`, and what is wanted when that differs. The outputs that a sign hangs on are
    no word of the sign's own."""
    wanted = SIGN_TEXTS.get(state.wanted, "-")
    if not state.shown:
        return f"NOT CONFIRMED, wanted {wanted}"
    known = "commanded only, by" if state.grade < pb.GRADE_CONTACT else "confirmed by"
    text = f"{SIGN_TEXTS.get(state.shown, '?')} ({known} {word(pb.Grade, state.grade)})"
    return text if state.shown == state.wanted else f"{text}, wanted {wanted}"


def alarm(state: AlarmState) -> str:
    """`on`, and when that is not known to be so."""
    wanted = word(AlarmState.Level, state.wanted)
    if state.silenced_by:
        wanted += f" (silenced by {state.silenced_by})"
    if state.shown == state.wanted:
        return wanted
    shown = "not confirmed" if not state.shown else f"but it is {word(AlarmState.Level, state.shown)}"
    return f"{wanted} wanted, {shown}"
