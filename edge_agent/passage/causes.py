"""Everything that keeps a vehicle from green at core level, in one place: grant, withdrawal and explanation agree."""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.api import Stamp
from edge_agent.model.conveyance import Flag
from edge_agent.model.decision import Authority, Decision, Verdict
from edge_agent.model.lane import LaneMode, Zone
from edge_agent.model.presence import standing_only

from .codes import CauseCode, ConditionCode
from .decisions import effective
from .lane_control import in_control_since
from .legs import cargo_complete, missing_legs
from .order import accounted
from .state import AT_LINE, LaneState, LeaseHeld, Track

NS = 1_000_000_000
_NO_REASON = "no reason given"
NO_GREEN = frozenset({LaneMode.CLOSED, LaneMode.ALL_HOLD, LaneMode.FAULT, LaneMode.MAINTENANCE})


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that keeps green away: since when, by whom. `immediate`: it turns a live green red without amber."""

    code: CauseCode
    text: str
    since: Stamp | None = None
    by: str = ""
    immediate: bool = True


def causes(state: LaneState, track: Track, now_ns: int, held: LeaseHeld | None) -> tuple[Cause, ...]:
    """What keeps this vehicle from green, in order of importance. `held`: its lease, when it has one: then only what
    ends a lease is listed (being inside the commit distance does not)."""
    decision = effective(track, now_ns)
    officer = (
        decision is not None and decision.authority is not Authority.SYSTEM and decision.verdict is Verdict.RELEASE
    )
    found = [*lane_causes(state), *_line_causes(state), *_vehicle_causes(state, track, officer)]
    if not officer:
        found += _identity_causes(state, track)
    found += _decision_causes(state, track, decision, now_ns, officer)
    found += _source_causes(state, decision, now_ns, officer, held)
    found += _place_causes(state, track, officer, held)
    return tuple(found)


def lane_causes(state: LaneState) -> Iterator[Cause]:
    """What keeps the whole lane red."""
    if state.fault is not None:
        yield Cause(CauseCode.FAULT, f"signal fault {state.fault.code} is latched", state.fault.since)
    if state.hold is not None:
        yield Cause(
            CauseCode.LANE_HOLD, f"lane held: {state.hold.reason or _NO_REASON}", state.hold.since, state.hold.by
        )
    if state.mode in NO_GREEN and state.fault is None:
        gentle = state.mode is LaneMode.CLOSED and state.mode_planned
        yield Cause(CauseCode.MODE, *_mode_told(state), immediate=not gentle)
    if not state.zones.fresh:
        yield Cause(CauseCode.ZONES_LOST, "zone inputs are not known", state.zones.since)
    for down in state.devices_down:
        if down.required:
            yield Cause(CauseCode.DEVICE_DOWN, f"{down.device} is down: {down.code}", down.since)


def _mode_told(state: LaneState) -> tuple[str, Stamp | None, str]:
    """Which mode, since when and by whom."""
    work = state.maintenance
    if state.mode is not LaneMode.MAINTENANCE or work is None:
        return f"lane mode is {state.mode.value}", state.mode_since, ""
    return f"lane mode is maintenance: {work.reason or _NO_REASON}", work.since, work.by


def not_commissioned(state: LaneState) -> Cause:
    """REMOTE was set, but the head's module has no kill test on record."""
    return Cause(CauseCode.NOT_COMMISSIONED, f"no rolling release: {state.commissioned.code}", state.commissioned.since)


def standing_only_by_layout(state: LaneState) -> Cause | None:
    """REMOTE was set, but with what this lane has at the stop line nobody may roll."""
    why = standing_only(state.config.geometry.layout)
    if not why or state.wanted_mode is not LaneMode.REMOTE:
        return None
    return Cause(CauseCode.LAYOUT, f"no rolling release with the layout {state.config.geometry.layout.value}: {why}")


def _line_causes(state: LaneState) -> Iterator[Cause]:
    over = next((t for t in state.tracks if Zone.BEAM in t.over), None)
    if over is not None or state.zones.occupied(Zone.BEAM):
        since = over.moved if over is not None else None
        yield Cause(CauseCode.LINE_OCCUPIED, "the vehicle ahead has not cleared the stop line", since)


def _vehicle_causes(state: LaneState, track: Track, officer: bool) -> Iterator[Cause]:
    hold = track.conveyance.hold
    if hold is not None:
        yield Cause(CauseCode.HOLD, f"vehicle held: {hold.reason or _NO_REASON}", hold.since, hold.by)
    elif not state.order.known:
        yield from _held_perhaps(state)
    if officer:
        return
    if not state.order.known and not accounted(state, track):
        yield Cause(
            CauseCode.ORDER_UNKNOWN, f"order of the corridor is unknown ({state.order.reason})", state.order.since
        )
    if ConditionCode.CURTAIN_DISAGREES.value in state.conditions:
        yield Cause(CauseCode.BEAM_DOUBTFUL, "one output of the light curtain may be blind: an officer must release")
    if ConditionCode.BEAM_DOUBTFUL.value in state.conditions:
        yield Cause(CauseCode.BEAM_DOUBTFUL, "the stop-line beam may be blind: an officer must release")
    if track.suspect:
        yield Cause(CauseCode.UNIDENTIFIED_VEHICLE, "this vehicle appeared out of order", track.conveyance.detected)
    flags = track.conveyance.flags
    if Flag.AMBIGUOUS in flags:
        yield Cause(CauseCode.AMBIGUOUS, "identity may belong to another vehicle", track.conveyance.detected)
    if Flag.DUPLICATE_IDENTITY in flags:
        yield Cause(CauseCode.DUPLICATE, "the same identity was seen on two vehicles", track.conveyance.detected)


def _held_perhaps(state: LaneState) -> Iterator[Cause]:
    """After a gap one vehicle may have two records, and the hold be on the other one."""
    hold = next((t.conveyance.hold for t in state.tracks if t.upstream and t.conveyance.hold is not None), None)
    if hold is not None:
        text = "a vehicle is held and may be this one: clear its hold, or confirm the order of the corridor"
        yield Cause(CauseCode.HOLD, text, hold.since, hold.by)


def _identity_causes(state: LaneState, track: Track) -> Iterator[Cause]:
    for leg in missing_legs(track.conveyance, state.config.policy):
        yield Cause(CauseCode.IDENTITY, f"waiting for identity: {leg.value}", track.conveyance.detected)


def _decision_causes(
    state: LaneState, track: Track, decision: Decision | None, now_ns: int, officer: bool
) -> Iterator[Cause]:
    if decision is None:
        requests = track.conveyance.requests
        since = requests[-1].at if requests else track.conveyance.detected
        yield Cause(CauseCode.DECISION, "waiting for a decision", since)
        return
    if decision.verdict is not Verdict.RELEASE:
        who = decision.officer or decision.authority.value
        yield Cause(CauseCode.NOT_RELEASED, f"decision is {decision.verdict.value}", decision.received, who)
        return
    if decision.deadline_mono_ns <= now_ns:
        yield Cause(CauseCode.EXPIRED, "the release has expired", decision.received, immediate=False)
    if decision.received.mono_ns <= track.worn_ns:
        yield Cause(CauseCode.STALLED, "it did not use its green: release it anew", decision.received, immediate=False)
    if not officer and not cargo_complete(track.conveyance, decision, state.config.policy):
        yield Cause(CauseCode.CARGO, "released, but without any cargo: cargo is required", decision.received)


def _source_causes(
    state: LaneState, decision: Decision | None, now_ns: int, officer: bool, held: LeaseHeld | None
) -> Iterator[Cause]:
    """Whoever gave the release must be able to take it back."""
    if decision is None or decision.verdict is not Verdict.RELEASE:
        return
    if officer:
        gone = state.console.since
        if not state.console.up and gone is not None and gone.mono_ns >= decision.received.mono_ns:
            yield Cause(CauseCode.CONSOLE_LOST, "the officer's console is gone", gone)
        elif not in_control_since(state, decision.received):
            text = "nobody has controlled the lane since the officer's release"
            yield Cause(CauseCode.CONTROL_LOST, text, state.control.since)
        return
    if state.centre.up:
        return
    since = state.centre.since
    grace_ns = int(state.config.policy.centre_grace_s * NS)
    if held is None or since is None or now_ns >= since.mono_ns + grace_ns:
        yield Cause(CauseCode.CENTRE_LOST, "the release service does not answer", since)


def _place_causes(state: LaneState, track: Track, officer: bool, held: LeaseHeld | None) -> Iterator[Cause]:
    """Rolling green needs REMOTE, a known order and a vehicle upstream of its commit distance; anything else stands."""
    remote = state.mode is LaneMode.REMOTE
    gentle = state.mode_planned
    if state.wanted_mode is LaneMode.REMOTE and not state.commissioned.up and not officer:
        yield not_commissioned(state)
    layout = standing_only_by_layout(state)
    if layout is not None and not officer:
        yield layout
    if not remote and state.mode not in NO_GREEN and not officer:
        yield Cause(
            CauseCode.OFFICER_ONLY, f"mode {state.mode.value}: an officer must release", state.mode_since,
            immediate=not gentle,
        )  # fmt: skip
    stopped = Flag.STOPPED_IN_CORRIDOR in track.conveyance.flags
    if stopped and track.standing is None and (held is None or not held.lease.standing):
        yield Cause(CauseCode.STOPPED, "it has stopped in the corridor: it must come to the line first")
    may_roll = remote and state.order.known and not track.suspect
    if held is not None:
        if not held.lease.standing and not may_roll:
            abrupt = not (gentle and state.order.known and not track.suspect)
            yield Cause(CauseCode.NOT_STANDING, "rolling is no longer allowed", None, immediate=abrupt)
        return
    placed = track.fixes.a_nose is not None or track.fixes.d_nose is not None
    # Over the stop loop, one that has lost a green may pass the line in the instant another one lights.
    early = track.conveyance.committed is None and not (track.lost_ns and track.reached >= AT_LINE)
    if track.standing is None and not (may_roll and placed and early):
        yield Cause(CauseCode.NOT_STANDING, "must stand at the stop line first", track.conveyance.committed)
