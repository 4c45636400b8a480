"""The lane as people are shown it: vehicles in order, their three legs, and what keeps the first one from green."""

from dataclasses import dataclass

from drivers.api import Stamp
from edge_agent.model.conveyance import Conveyance, Flag, Phase
from edge_agent.model.decision import Decision, Hold, Lease
from edge_agent.model.identity import Assignment, Leg
from edge_agent.model.lane import LaneMode

from .association import GAP_M
from .causes import Cause, causes, lane_causes, not_commissioned, standing_only_by_layout
from .codes import CauseCode
from .decisions import effective
from .etag import etag_of, lane_etag
from .kinematics import SHORTEST_M, Interval, course_of, seconds_to_commit
from .legs import cargo_complete, claims_of
from .state import Capturing, Control, Counts, LaneState, Maintenance, Track

__all__ = ["Cause", "ConveyanceView", "LaneView", "LegView", "etag_of", "red_causes", "view"]


@dataclass(frozen=True, slots=True)
class LegView:
    """One identity leg: whether the policy requires it, whether it is complete, how many distinct claims support it
    and the highest confidence among them (0 without any)."""

    leg: Leg
    required: bool
    complete: bool
    claims: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ConveyanceView:
    """One vehicle. `position`: where the nose can be (None: unknown); `eta_to_commit_s`: an estimate until it is inside
    its commit distance (None: unknown or past the line); `waiting`: standing at the stop line; `causes`: what keeps it
    from green, were it first (empty when it has a lease and past the line)."""

    conveyance_id: str
    etag: str
    place: int
    phase: Phase
    identity_digest: str
    legs: tuple[LegView, ...]
    assignments: tuple[Assignment, ...]
    position: Interval | None
    eta_to_commit_s: float | None
    decision: Decision | None
    lease: Lease | None
    hold: Hold | None
    flags: tuple[Flag, ...]
    waiting: bool
    crossed: bool
    causes: tuple[Cause, ...]
    conveyance: Conveyance


@dataclass(frozen=True, slots=True)
class LaneView:
    """The lane at one instant. `conveyances`: those upstream of the stop line first, from the line upstream, then those
    past it; `etag` changes when anything but positions and times does."""

    at: Stamp
    etag: str
    mode: LaneMode
    wanted_mode: LaneMode
    hold: Hold | None
    fault: str
    order_known: bool
    order_reason: str
    order_since: Stamp | None
    centre_up: bool
    console_present: bool
    control: Control
    store_ok: bool
    zones_known: bool
    counts: Counts
    strays: tuple[tuple[str, int], ...]
    conditions: tuple[str, ...]
    lease: Lease | None
    conveyances: tuple[ConveyanceView, ...]
    maintenance: Maintenance | None
    captures: tuple[Capturing, ...]


def view(state: LaneState, now: Stamp) -> LaneView:
    """The lane as of now."""
    upstream = [track for track in state.tracks if track.upstream]
    past = [track for track in reversed(state.tracks) if not track.upstream]
    places = _places(state, [*upstream, *past], now)
    shown = tuple(_conveyance(state, track, place, now, places) for place, track in enumerate((*upstream, *past)))
    return LaneView(
        at=now,
        etag=lane_etag(state),
        mode=state.mode,
        wanted_mode=state.wanted_mode,
        hold=state.hold,
        fault=state.fault.code if state.fault is not None else "",
        order_known=state.order.known,
        order_reason=state.order.reason,
        order_since=state.order.since,
        centre_up=state.centre.up,
        console_present=state.console.up,
        control=state.control,
        store_ok=state.store.up,
        zones_known=state.zones.fresh,
        counts=state.counts,
        strays=state.strays,
        conditions=state.conditions,
        lease=state.lease,
        conveyances=shown,
        maintenance=state.maintenance,
        captures=state.captures,
    )


def red_causes(state: LaneState, now: Stamp) -> tuple[Cause, ...]:
    """What keeps the lane's first vehicle from green at core level, most important first; empty while a lease is in
    force (then only the interlock can have reasons)."""
    if state.held is not None:
        return ()
    track = state.first_upstream
    if track is None:
        waits = state.wanted_mode is LaneMode.REMOTE and not state.commissioned.up
        new = (not_commissioned(state),) if waits else ()
        layout = standing_only_by_layout(state)
        new = new if layout is None else (*new, layout)
        return (*lane_causes(state), *new, Cause(CauseCode.NO_VEHICLE, "no vehicle is upstream of the stop line"))
    return causes(state, track, now.mono_ns, None)


def legs_of(conveyance: Conveyance, decision: Decision | None, state: LaneState) -> tuple[LegView, ...]:
    """The three legs, cargo completed by the decision's claims."""
    policy = state.config.policy
    required = {
        Leg.DRIVER: policy.required_driver,
        Leg.CONVEYANCE: policy.required_conveyance,
        Leg.CARGO: policy.required_cargo,
    }
    shown = []
    for leg in Leg:
        claims = claims_of(conveyance, leg)
        if leg is Leg.CARGO and decision is not None:
            claims = (*claims, *decision.cargo)
        tokens = {(claim.kind, claim.token) for claim in claims}
        complete = bool(claims) if leg is not Leg.CARGO else cargo_complete(conveyance, decision, policy)
        confidence = max((claim.confidence for claim in claims), default=0.0)
        shown.append(LegView(leg, required[leg], complete or not required[leg], len(tokens), confidence))
    return tuple(shown)


def _places(state: LaneState, tracks: list[Track], now: Stamp) -> dict[str, Interval]:
    """Where each nose can be, for people: from where it was last seen (it may have stopped there) to where the fastest
    drive ends, and behind the vehicle ahead. Nothing while the zone inputs are not known."""
    if not state.zones.fresh:
        return {}
    config = state.config
    places = {}
    limit = float("inf")
    for track in tracks:
        course = course_of(track.fixes, track.conveyance.speed_kmh, config.geometry, config.kinematics)
        if course is None:
            continue
        if track.standing is not None and track.upstream:
            place = Interval(earliest_m=config.geometry.beam_m, latest_m=config.geometry.s.start_m)
        else:
            ends_m = config.geometry.x.end_m  # whoever is past the line is at the end of the lane at most
            ahead = min(course.interval(now.mono_ns).earliest_m, limit if track.upstream else ends_m)
            place = Interval(earliest_m=max(course.from_m, ahead), latest_m=course.from_m)
        places[track.id] = place
        if track.upstream:
            limit = place.earliest_m - SHORTEST_M - GAP_M
    return places


def _conveyance(state: LaneState, track: Track, place: int, now: Stamp, places: dict[str, Interval]) -> ConveyanceView:
    config = state.config
    conveyance = track.conveyance
    decision = effective(track, now.mono_ns)
    course = course_of(track.fixes, conveyance.speed_kmh, config.geometry, config.kinematics)
    eta = None
    if course is not None and track.upstream:
        eta = seconds_to_commit(course, config.kinematics, config.policy.commit_margin_s, now.mono_ns)
    against = causes(state, track, now.mono_ns, None) if track.upstream and conveyance.lease is None else ()
    return ConveyanceView(
        conveyance_id=track.id,
        etag=etag_of(conveyance),
        place=place,
        phase=conveyance.phase,
        identity_digest=track.digest,
        legs=legs_of(conveyance, decision, state),
        assignments=conveyance.assignments,
        position=places.get(track.id),
        eta_to_commit_s=eta,
        decision=decision,
        lease=conveyance.lease,
        hold=conveyance.hold,
        flags=conveyance.flags,
        waiting=track.standing is not None and track.upstream,
        crossed=not track.upstream,
        causes=against,
        conveyance=conveyance,
    )
