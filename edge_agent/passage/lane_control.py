"""Who controls the lane: one officer at a time, who alone may do what can lead to green. Everybody else watches, and
may hold. Control is taken by an act, ends without a sign of life, and never comes back in silence: after a restart, or
a gap, nobody has it."""

from drivers.api import Stamp
from edge_agent.model.decision import ActKind, ActResult, ControlChange, OfficerAct, Refused
from edge_agent.model.effects import Severity
from edge_agent.model.inputs import ControlLost
from edge_agent.model.lane import LaneMode
from edge_agent.model.records import replace

from .codes import EventCode
from .reply import Reply
from .state import Control, LaneState
from .turn import Turn

LONGEST_S = 150.0
"""Control for a person without heartbeats (at a terminal) lasts so long at most: an officer's longest release, and the
time to look and decide."""

NEEDS_CONTROL = frozenset(
    {
        ActKind.RELEASE_CONVEYANCE,
        ActKind.REFER_CONVEYANCE,
        ActKind.DIRECT_CONVEYANCE,
        ActKind.CONFIRM_ORDER,
        ActKind.CLEAR_HOLD,
    }
)
"""And SET_MODE, where the mode lets more vehicles pass than the one before it."""

_PASSES: dict[LaneMode, int] = {LaneMode.DEGRADED: 1, LaneMode.ATTENDED: 1, LaneMode.REMOTE: 2}
"""How much a mode lets pass: nobody, standing vehicles, rolling ones."""


def without_control(state: LaneState, act: OfficerAct) -> Reply | None:
    """The refusal of an act that needs control of the lane; None when its officer has it, or it only makes safer."""
    control = state.control
    if control.officer == act.officer or not _needs_control(state, act):
        return None
    if not control.officer:
        text = "nobody controls the lane: take control first"
    else:
        text = f"{control.officer} controls the lane: take over first"
    return Reply(ActResult.FAILED_PRECONDITION, text, refused=Refused.CONTROL_REQUIRED, controlled_by=control.officer)


def _needs_control(state: LaneState, act: OfficerAct) -> bool:
    if act.kind is not ActKind.SET_MODE:
        return act.kind in NEEDS_CONTROL
    mode = next((mode for mode in LaneMode if mode.value == act.mode), LaneMode.CLOSED)
    return _PASSES.get(mode, 0) > _PASSES.get(state.wanted_mode, 0)


def take_control(turn: Turn, act: OfficerAct) -> Reply:
    """Control goes to the officer, if it is where they were shown it; over somebody else with a reason only."""
    now = turn.state.control
    lasts_s = act.duration_s if act.duration_s > 0 else turn.state.config.policy.control_s
    if lasts_s > LONGEST_S:
        return Reply(ActResult.INVALID_ARGUMENT, f"control lasts {LONGEST_S:g} s without a sign of life at most")
    if now.officer == act.officer:
        turn.state = replace(turn.state, control=replace(now, lasts_s=lasts_s))
        return Reply(ActResult.OK, "you control the lane already")
    if now.officer != act.displaces:
        text = f"{now.officer} controls the lane by now" if now.officer else "nobody controls the lane any more"
        return Reply(
            ActResult.FAILED_PRECONDITION, f"{text}: look again", refused=Refused.CONTROL_CHANGED,
            controlled_by=now.officer,
        )  # fmt: skip
    if now.officer and not act.reason:
        return Reply(ActResult.INVALID_ARGUMENT, "taking over from somebody needs a reason")
    how = ControlChange.TAKEN_OVER if now.officer else ControlChange.TAKEN
    unbroken = now.unbroken if now.officer else turn.at
    _put(turn, Control(act.officer, turn.at, how, act.reason, now.officer, lasts_s, unbroken))
    return Reply(ActResult.OK, f"you control the lane{f', not {now.officer} any more' if now.officer else ''}")


def give_control(turn: Turn, act: OfficerAct) -> Reply:
    """The officer who controls the lane gives that back: nobody does."""
    now = turn.state.control
    if now.officer != act.officer:
        return Reply(ActResult.OK, "you do not control the lane")
    control_ended(turn, ControlChange.GIVEN_BACK, act.reason)
    return Reply(ActResult.OK, "nobody controls the lane now")


def on_control_lost(turn: Turn, event: ControlLost) -> None:
    """The officer's console has fallen silent; one who has been displaced meanwhile has nothing to lose."""
    if event.officer == turn.state.control.officer:
        control_ended(turn, ControlChange.LOST)


def control_ended(turn: Turn, how: ControlChange, reason: str = "") -> None:
    """Nobody controls the lane from now on; nothing when nobody did."""
    now = turn.state.control
    if now.officer:
        _put(turn, Control(since=turn.at, change=how, reason=reason, previous=now.officer))


def in_control_since(state: LaneState, since: Stamp) -> bool:
    """Whether somebody has controlled the lane from then on without a gap."""
    unbroken = state.control.unbroken
    return unbroken is not None and unbroken.mono_ns <= since.mono_ns


def nobody_answers(state: LaneState) -> bool:
    """Policy wants an officer at a console who answers for the lane, and there is none."""
    return state.config.policy.officer_presence_required and not (state.console.up and state.control.officer)


def _put(turn: Turn, control: Control) -> None:
    turn.state = replace(turn.state, control=control)
    severity = Severity.WARNING if control.change is ControlChange.LOST else Severity.INFO
    turn.event(
        EventCode.CONTROL, severity, officer=control.officer, previous=control.previous, change=control.change.value,
        why=control.reason,
    )  # fmt: skip
