"""The lane's live state as `securecorridor.lane.v1` messages."""

from collections.abc import Callable, Iterable

from drivers.api import Aspect, InputSnapshot, Stamp
from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import ControlChange
from edge_agent.model.identity import ClearIdentity, IdentityKind
from edge_agent.model.lane import Geometry, Zone
from edge_agent.model.presence import cannot_see, standing_only
from edge_agent.passage.views import Cause, ConveyanceView, LaneView
from edge_agent.runtime.health import Condition
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import types_pb2 as pb

from . import enums
from . import types as wire

HEX_KINDS = frozenset({IdentityKind.DRIVER_CARD, IdentityKind.TRANSPONDER, IdentityKind.OTHER_TAG})
"""Kinds whose value is a transponder's bytes; the others are text."""

CONTROL_CHANGE = enums.EnumMap(ControlChange, control_pb.Control.Change, ControlChange.NONE)

Reveal = Callable[[str], ClearIdentity | None]

HINTS: dict[str, str] = {
    "FAULT_LATCHED": "close the lane, mend the head, lanectl signal-test, then lanectl clear-fault",
    "HEAD_NOT_COMMISSIONED": "close the lane, then do the kill test (lanectl commission)",
    "HOLD_LANE": "the officer who held it, or another officer, may clear it",
    "HOLD_CONVEYANCE": "an officer may clear it",
    "MODE": "an officer sets the mode",
    "ZONES_LOST": "look at the I/O module (lanectl devices)",
    "REQUIRED_DEVICE_DOWN": "look at the device (lanectl devices)",
    "STOP_LINE_OCCUPIED": "wait for the tail to clear the line",
    "ORDER_UNKNOWN": "an officer looks at the corridor and confirms who is in it, or releases the vehicle at the line",
    "IDENTITY_AMBIGUOUS": "an officer decides",
    "IDENTITY_DUPLICATE": "an officer decides",
    "WAITING_IDENTITY": "the driver shows the card at the line, or an officer releases",
    "WAITING_DECISION": "central has been asked; an officer may decide",
    "NOT_RELEASED": "the officer directs the driver",
    "DECISION_EXPIRED": "central is asked again",
    "WAITING_CARGO": "central must name the cargo, or an officer releases",
    "CENTRE_LOST": "check the link to the release service; an officer may release standing vehicles",
    "CONSOLE_LOST": "the officer's console must come back",
    "CONTROL_LOST": "an officer takes control of the lane, then releases anew",
    "STOPPED_IN_CORRIDOR": "look at the picture and speak with the driver; green comes when it stands at the line",
    "STALLED_AFTER_GREEN": "speak with the driver; release anew",
    "OFFICER_MUST_RELEASE": "an officer releases vehicles one by one in this mode",
    "PRESENCE_LAYOUT": "set the lane attended: with these sensors an officer releases vehicles that stand at the line",
    "MUST_STAND_AT_LINE": "green comes when the vehicle stands at the line",
    "NO_VEHICLE": "nothing to do: green comes with a vehicle",
    "STOP_LINE_BEAM_DOUBTFUL": "clean and align the stop-line beam; until then an officer releases each vehicle",
    "UNEXPECTED_VEHICLE": "an officer looks at the camera and releases it at the line, or refers it",
    "module_not_ready": "look at the I/O module (lanectl devices)",
    "readback_disagrees": "the head does not show what is commanded: look at lamps and relays",
    "readback_unknown": "the I/O module does not answer: look at its power and network",
    "cannot_confirm": "wire a lamp or contact feedback for green",
    "stop_line_unknown": "no fresh stop-line beam: look at the I/O module",
    "nose_over_line": "wait until the vehicle has crossed; if nothing stands there, look at the stop-line beam",
    "already_crossed": "nothing to do: the vehicle has had its green, the next one gets its own",
    "no_lease": "nothing to do: no vehicle has been released to the line yet",
    "lease_expired": "nothing to do if central is asked again; else an officer releases the vehicle anew",
    "source_lost": "whoever released is out of reach: check the link to central (lanectl outbox) or the console",
    "barrier_not_up": "the barrier arm goes up first; if it does not, look at its condition and at the arm",
    "green_overdue": "green has lasted too long: speak with the driver, then release anew",
    "lane_not_empty": "a signal test needs every zone free",
    "signal_test": "the signal is being tested: wait until it is over",
    "minimum_red": "nothing to do: red lasts this long at least, then green may come",
}


def cause_message(cause: Cause) -> lane_pb.RedCause:
    """One thing that keeps the lane red, with the next step."""
    return lane_pb.RedCause(
        code=cause.code.value,
        text=cause.text,
        since=wire.optional_moment(cause.since),
        by=cause.by,
        hint=HINTS.get(cause.code.value, ""),
    )


def interlock_cause(reason: str, since: Stamp) -> lane_pb.RedCause:
    """A reason of the interlock's ruling."""
    return lane_pb.RedCause(
        code=reason,
        text=f"interlock: {reason.replace('_', ' ')}",
        since=wire.moment(since),
        by="interlock",
        hint=HINTS.get(reason, ""),
    )


def condition_message(condition: Condition) -> pb.Condition:
    """A health condition."""
    return pb.Condition(
        code=condition.code,
        severity=enums.SEVERITY.to_wire(condition.severity),
        title=condition.title,
        hint=condition.hint,
        since=wire.moment(condition.since),
        device=condition.device,
    )


def presence_message(geometry: Geometry) -> lane_pb.Presence:
    """What tells where vehicles are, and what that cannot see."""
    layout, exit_sensed = geometry.layout, geometry.exit_sensed
    return lane_pb.Presence(
        layout=layout.value,
        exit_sensed=exit_sensed,
        standing_only=standing_only(layout),
        cannot_see=cannot_see(layout, exit_sensed=exit_sensed),
    )


def zone_messages(
    snapshot: InputSnapshot | None, now: Stamp, stale_ns: int, exit_sensed: bool
) -> Iterable[lane_pb.ZoneState]:
    """The zone inputs as the signal loop sees them; UNKNOWN without a fresh snapshot."""
    fresh = snapshot is not None and now.mono_ns - snapshot.stamp.mono_ns <= stale_ns
    for zone in Zone:
        if zone is Zone.X and not exit_sensed:
            continue
        level = lane_pb.ZoneState.LEVEL_UNKNOWN
        edges = 0
        if snapshot is not None and fresh and zone.value in snapshot.levels:
            occupied = snapshot.levels[zone.value]
            level = lane_pb.ZoneState.LEVEL_OCCUPIED if occupied else lane_pb.ZoneState.LEVEL_FREE
            edges = snapshot.edges.get(zone.value, 0)
        yield lane_pb.ZoneState(zone=zone.value, level=level, edges=edges)


def conveyance_message(
    shown: ConveyanceView, now: Stamp, green_for: str, reveal: Reveal | None
) -> lane_pb.ConveyanceState:
    """One conveyance. `green_for` the conveyance green is confirmed for; `reveal` gives clear values to the officer."""
    record: Conveyance = shown.conveyance
    message = lane_pb.ConveyanceState(
        conveyance_id=shown.conveyance_id,
        bundle_id=record.bundle_id,
        etag=shown.etag,
        identity_digest=shown.identity_digest,
        phase=enums.PHASE.to_wire(shown.phase),
        order=0 if shown.crossed else shown.place + 1,
        legs=[
            lane_pb.ConveyanceState.LegState(
                leg=enums.LEG.to_wire(leg.leg),
                complete=leg.complete,
                required=leg.required,
                claims=leg.claims,
                confidence=leg.confidence,
            )
            for leg in shown.legs
        ],
        flags=[flag.value for flag in shown.flags],
        hold=wire.hold(shown.hold) if shown.hold is not None else None,
        speed_kmh=0.0 if shown.waiting else record.speed_kmh,
        committed=record.committed is not None,
        standing_at_line=shown.waiting,
        detected=wire.moment(record.detected),
        green=green_for == shown.conveyance_id,
        times=wire.zone_times(record.times),
    )
    if shown.decision is not None:
        message.decision.CopyFrom(wire.decision(shown.decision))
        message.decision_live = shown.decision.deadline_mono_ns > now.mono_ns
    if shown.position is not None:
        message.position_earliest_m = shown.position.earliest_m
        message.position_latest_m = shown.position.latest_m
    if shown.eta_to_commit_s is not None:
        message.commit_in.FromMilliseconds(round(shown.eta_to_commit_s * 1000))
    if reveal is not None:
        message.identities.extend(_clear(shown, reveal))
    return message


def lane_message(
    view: LaneView, lane: str, boot_id: str, version: str, control_left_s: float | None
) -> lane_pb.LaneState:
    """The lane's own fields; signal, conveyances, causes, conditions and zones are added by the caller."""
    return lane_pb.LaneState(
        name=lane,
        mode=enums.LANE_MODE.to_wire(view.mode),
        etag=view.etag,
        at=wire.moment(view.at),
        corridor_order_known=view.order_known,
        corridor_order_since=wire.optional_moment(view.order_since),
        hold=wire.hold(view.hold) if view.hold is not None else None,
        centre_up=view.centre_up,
        console_present=view.console_present,
        boot_id=boot_id,
        agent_version=version,
        maintenance=_maintenance(view),
        control=_control(view, control_left_s),
    )


def _control(view: LaneView, left_s: float | None) -> control_pb.Control:
    control = view.control
    message = control_pb.Control(
        officer=control.officer,
        since=wire.optional_moment(control.since),
        change=CONTROL_CHANGE.to_wire(control.change),
        reason=control.reason,
        previous_officer=control.previous,
    )
    if left_s is not None:
        message.left.FromMilliseconds(round(left_s * 1000))
    return message


def _maintenance(view: LaneView) -> lane_pb.Maintenance | None:
    work = view.maintenance
    if work is None:
        return None
    message = lane_pb.Maintenance(since=wire.moment(work.since), officer=work.by, reason=work.reason)
    message.left.FromNanoseconds(max(0, work.until_ns - view.at.mono_ns))
    message.captured_devices.extend(running.device for running in view.captures)
    return message


def shown_aspect(confirmed: Aspect | None) -> pb.Aspect.ValueType:
    """What feedback confirms; UNSPECIFIED for nothing."""
    number: pb.Aspect.ValueType = enums.ASPECT.to_wire(confirmed)
    return number


def _clear(shown: ConveyanceView, reveal: Reveal) -> Iterable[lane_pb.ConveyanceState.ClearIdentity]:
    for assignment in shown.assignments:
        claim = assignment.sighting.claim
        clear = reveal(claim.token)
        if clear is not None:
            raw = clear.value.reveal()
            value = raw.hex().upper() if claim.kind in HEX_KINDS else raw.decode(errors="replace")
            yield lane_pb.ConveyanceState.ClearIdentity(
                kind=enums.IDENTITY_KIND.to_wire(claim.kind),
                value=value,
                source=claim.source,
                confidence=claim.confidence,
                scheme=claim.scheme,
                uri=clear.uri.reveal().decode() if clear.uri is not None else "",
            )
