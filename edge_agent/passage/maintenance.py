"""Work at the lane: maintenance with its time limit, and captures of device links, which are for maintenance only."""

from edge_agent.model.decision import ActResult, OfficerAct
from edge_agent.model.effects import Severity
from edge_agent.model.inputs import CaptureEnded
from edge_agent.model.lane import LaneMode
from edge_agent.model.records import replace

from .codes import ConditionCode, EventCode
from .kinematics import NS
from .reply import Reply
from .state import Capturing, LaneState, Maintenance
from .turn import Turn

USUAL_S = 1800.0
"""Length of a maintenance that nobody gave one."""


def maintain(turn: Turn, act: OfficerAct) -> Reply:
    """Begin maintenance, or begin its time anew. Only a closed lane, or one that a fault keeps red."""
    state = turn.state
    if state.wanted_mode not in (LaneMode.CLOSED, LaneMode.MAINTENANCE) and state.fault is None:
        return Reply(ActResult.FAILED_PRECONDITION, f"the lane is {state.wanted_mode.value}: close it first")
    longest_s = state.config.policy.maintenance_max_s
    length_s = act.duration_s if act.duration_s > 0 else min(USUAL_S, longest_s)
    if length_s > longest_s:
        return Reply(ActResult.INVALID_ARGUMENT, f"maintenance lasts {longest_s / 60:g} minutes at most")
    work = Maintenance(turn.at, turn.now_ns + int(length_s * NS), act.officer, act.reason)
    turn.state = replace(state, wanted_mode=LaneMode.MAINTENANCE, mode_planned=True, maintenance=work)
    return Reply(ActResult.OK, f"maintenance for {length_s / 60:g} minutes; then the lane is closed")


def start_capture(turn: Turn, act: OfficerAct) -> Reply:
    """A device's link may be captured from now on, no longer than maintenance lasts."""
    work = turn.state.maintenance
    if work is None:
        text = "captures hold identities and are for maintenance: set mode maintenance first"
        return Reply(ActResult.FAILED_PRECONDITION, text)
    if any(running.device == act.device for running in turn.state.captures):
        return Reply(ActResult.FAILED_PRECONDITION, f"{act.device} is being captured already")
    until_ns = min(work.until_ns, turn.now_ns + int(act.duration_s * NS))
    running = Capturing(act.capture, act.device, turn.at, until_ns, act.officer)
    turn.state = replace(turn.state, captures=(*turn.state.captures, running))
    length_s = (until_ns - turn.now_ns) / NS
    turn.event(
        EventCode.CAPTURE_STARTED, Severity.WARNING, capture=act.capture, device=act.device, officer=act.officer,
        why=act.reason, seconds=round(length_s),
    )  # fmt: skip
    return Reply(ActResult.OK, f"capture {act.capture} of {act.device} for {length_s / 60:.3g} minutes at most")


def stop_capture(turn: Turn, act: OfficerAct) -> Reply:
    """The end of one capture by a person."""
    running = _running(turn.state, act.capture)
    if running is None:
        return Reply(ActResult.NOT_FOUND, "no such capture is running")
    _end(turn, running, "stopped", by=act.officer, why=act.reason)
    return Reply(ActResult.OK, f"capture of {running.device} ended")


def delete_capture(turn: Turn, act: OfficerAct) -> Reply:
    """A capture that has ended may be deleted; who did is on record."""
    if _running(turn.state, act.capture) is not None:
        return Reply(ActResult.FAILED_PRECONDITION, "this capture is still running: stop it first")
    turn.event(
        EventCode.CAPTURE_DELETED, Severity.INFO, capture=act.capture, officer=act.officer, why=act.reason
    )  # fmt: skip
    return Reply(ActResult.OK, "capture deleted")


def on_capture_ended(turn: Turn, event: CaptureEnded) -> None:
    """A capture ended by itself."""
    running = _running(turn.state, event.capture)
    if running is not None:
        _end(turn, running, event.cause, bytes=event.size_bytes)


def interrupt(turn: Turn) -> None:
    """A former life of the agent ended in the middle of the work."""
    for running in turn.state.captures:
        _end(turn, running, "restarted")
    if turn.state.wanted_mode is LaneMode.MAINTENANCE:
        turn.state = replace(turn.state, wanted_mode=LaneMode.CLOSED, mode_planned=True)
    turn.state = replace(turn.state, maintenance=None)


def review_maintenance(turn: Turn) -> None:
    """Maintenance ends by itself; a capture never outlives it."""
    state = turn.state
    if state.maintenance is None and not state.captures and ConditionCode.MAINTENANCE.value not in state.conditions:
        return
    if state.maintenance is not None and turn.now_ns >= state.maintenance.until_ns:
        turn.state = replace(state, wanted_mode=LaneMode.CLOSED, mode_planned=True, maintenance=None)
    if turn.state.maintenance is None:
        for running in turn.state.captures:
            _end(turn, running, "maintenance_over")
    work = turn.state.maintenance
    title = f"{work.by} works at the lane" if work is not None else "Maintenance is over"
    turn.condition(
        ConditionCode.MAINTENANCE, Severity.WARNING, work is not None, title,
        "it ends by itself and leaves the lane closed; or: lanectl mode closed",
    )  # fmt: skip
    captured = ", ".join(running.device for running in turn.state.captures)
    turn.condition(
        ConditionCode.CAPTURE_ACTIVE, Severity.WARNING, bool(captured), f"What passes {captured} is being captured",
        "it ends by itself; or: lanectl capture stop",
    )  # fmt: skip


def _running(state: LaneState, capture: str) -> Capturing | None:
    return next((running for running in state.captures if running.capture == capture), None)


def _end(turn: Turn, running: Capturing, cause: str, *, by: str = "", why: str = "", **more: int) -> None:
    rest = tuple(other for other in turn.state.captures if other != running)
    turn.state = replace(turn.state, captures=rest)
    turn.event(
        EventCode.CAPTURE_ENDED, Severity.WARNING, "", capture=running.capture, device=running.device,
        officer=by or running.by, cause=cause, why=why, **more,
    )  # fmt: skip
