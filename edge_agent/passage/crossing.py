"""The nose is over the stop line: the lease is used up, and how the crossing stands is settled once and for all."""

from drivers.api import Grade, Stamp
from edge_agent.model.conveyance import Flag, SignalEvent, ZoneTimes
from edge_agent.model.effects import Severity, WithdrawRequest
from edge_agent.model.records import replace

from .codes import EventCode
from .doubt import crossed_in_doubt, may_accuse
from .kinematics import excuse_ns
from .leases import CONSUMED, PROCEED, withdraw
from .state import CROSSED, LaneState, Track
from .turn import Turn


def cross(turn: Turn, track: Track) -> None:
    """Withdraw whatever lease there is, at once, and say whether the vehicle was entitled to cross."""
    held = turn.state.held
    mine = held is not None and held.lease.conveyance_id == track.id
    if held is not None:
        withdraw(turn, "nose_over_line" if mine else "nose_over_line_by_another", immediate=True)
    track = turn.state.track(track.id) or track
    shown = last_shown(turn.state, track, held.first.mono_ns) if held is not None and mine else None
    if held is not None and mine and (shown is None or shown.commanded in PROCEED):
        track = turn.put(replace(track, stood=held.lease.standing, rolled=not held.lease.standing))
        _released(turn, track, shown)
    else:
        _without_lease(turn, track)
    track = turn.state.track(track.id) or track
    if track.request_open:
        turn.put(replace(track, request_open=False, again_ns=0))
        turn.effects.append(WithdrawRequest(turn.at, track.id, "crossed"))


def passed_unseen(turn: Turn, track: Track, latest: Stamp | None = None) -> None:
    """It crossed while nobody looked, at `latest` (default: now) or before: past the line from now on, never accused,
    and released only where the beam alone ended its lease."""
    held = turn.state.held
    if held is not None and held.lease.conveyance_id == track.id:
        withdraw(turn, "crossed_unseen", immediate=True)
        track = turn.state.track(track.id) or track
    if track.request_open:
        turn.effects.append(WithdrawRequest(turn.at, track.id, "crossed"))
    past = replace(track, reached=CROSSED, fixes=ZoneTimes(), standing=None, perhaps_crossed=False)
    past = replace(past, moved=latest if latest is not None else turn.at)
    past = turn.put(replace(past, request_open=False, again_ns=0))
    turn.event(EventCode.CROSSED, Severity.ALARM, track.id, light="unseen")
    turn.flag(spend(turn, past), Flag.DOUBTFUL)


def spend(turn: Turn, track: Track) -> Track:
    """It has crossed after all, when the beam alone was broken: on the lease it had then, if it had one."""
    spent = track.spent
    if spent is None:
        return track
    counts = turn.state.counts
    turn.state = replace(turn.state, counts=replace(counts, released=counts.released + 1))
    track = turn.put(replace(track, spent=None, stood=spent.standing, rolled=not spent.standing))
    return track if spent.confirmed else turn.flag(track, Flag.UNCONFIRMED_GREEN)


def _released(turn: Turn, track: Track, shown: SignalEvent | None) -> None:
    confirmed = was_confirmed(shown)
    counts = turn.state.counts
    turn.state = replace(turn.state, counts=replace(counts, released=counts.released + 1))
    turn.event(EventCode.CROSSED, Severity.INFO, track.id, light="confirmed" if confirmed else "unconfirmed")
    if not confirmed:
        turn.flag(track, Flag.UNCONFIRMED_GREEN)
        turn.event(EventCode.UNCONFIRMED_GREEN, Severity.WARNING, track.id)


def _without_lease(turn: Turn, track: Track) -> None:
    if track.directed:
        turn.flag(track, Flag.DIVERTED)
        turn.event(EventCode.DIVERTED, Severity.INFO, track.id)
        return
    # One that came out of order may be the very vehicle that lost its green: its record is another one then.
    excused_ns = max(track.excused_ns, _green_ended_ns(turn, track), turn.state.excused_ns if track.suspect else 0)
    if turn.now_ns < excused_ns:
        turn.event(EventCode.CROSSED, Severity.ALARM, track.id, light="withdrawn_inside_commit_distance")
        if track.spent is not None:  # by the beam itself, which may have looked over this vehicle's drawbar
            turn.flag(spend(turn, track), Flag.DOUBTFUL)
        return
    if not may_accuse(turn.state, track):
        crossed_in_doubt(turn, track)
        return
    counts = turn.state.counts
    turn.state = replace(turn.state, counts=replace(counts, violations=counts.violations + 1))
    turn.flag(track, Flag.VIOLATION)
    turn.event(EventCode.VIOLATION, Severity.ALARM, track.id)


def _green_ended_ns(turn: Turn, track: Track) -> int:
    """Until when a crossing is excused because the head itself ended this vehicle's green, with its lease in force or
    just run out: a driver who has moved off cannot stop at once. 0 where it was not shown to proceed."""
    before: SignalEvent | None = None
    ended_ns = 0
    for shown in track.conveyance.signals:
        ending = before is not None and before.commanded in PROCEED and shown.commanded not in PROCEED
        if ending and shown.reason not in CONSUMED:
            ended_ns = shown.at.mono_ns
        before = shown
    kinematics = turn.state.config.kinematics
    return ended_ns + excuse_ns(kinematics, standing=track.standing is not None) if ended_ns else 0


def was_confirmed(shown: SignalEvent | None) -> bool:
    """Whether feedback good enough for evidence said that drivers were shown to proceed."""
    return shown is not None and shown.confirmed in PROCEED and shown.grade >= Grade.CONTACT


def last_shown(state: LaneState, track: Track, since_ns: int) -> SignalEvent | None:
    """What the head was told last before this crossing; None when the signal loop has told nothing but its answer to
    it, or nothing at all."""
    answered = False
    for shown in reversed(track.conveyance.signals):
        if shown.reason not in CONSUMED or shown.at.mono_ns < since_ns:
            return shown
        answered = True
    signal = state.signal
    if answered or signal is None:
        return None
    return SignalEvent(signal.at, signal.commanded, signal.confirmed, signal.grade, signal.reason)
