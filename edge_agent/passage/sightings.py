"""Sightings become evidence of a vehicle: early when the fit is clear, else once it has left the zone of the antenna.

A sighting that fits no vehicle is stray: counted by antenna, and never handed to the next arrival. One that fits two
alike, or one whose own times make no sense, is nobody's: it is kept with each as doubtful, and an officer is told.
"""

from itertools import chain

from drivers.api import Stamp
from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import Severity
from edge_agent.model.identity import Assignment, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged
from edge_agent.model.records import replace

from .association import ANY_VEHICLE, Candidate, candidates, exit_stamp, faint, lay_there_before, unseen_rival
from .codes import ConditionCode, EventCode
from .continuity import read_where_it_is, tied
from .identity_digest import identity_digest
from .kinematics import NS
from .leases import withdraw
from .reunion import borrowed, carries, known_again, strange
from .state import NEVER, RANK, ZONES, Pending, Track
from .strays import count_stray, given, is_loose
from .tokens import remember
from .turn import Turn

MOST_PENDING = 512
"""Tags waiting for a vehicle at once; a pallet of item tags may pass on a truck. The oldest are dropped and counted."""
MOST_DOUBTFUL = 16
"""Doubtful sightings kept with one vehicle; the latest."""
_MOST_FOLLOWED = {True: 64, False: 128}
"""Of no configured class (True) and of one, waiting and given, in the whole lane: more are not followed, and a
condition says so."""


def on_sighting(turn: Turn, event: SightingChanged) -> None:
    """A sighting opened, gained weight or closed."""
    sighting = event.sighting
    holder = _holder(turn, sighting.sighting_id)
    if holder is not None:
        _update(turn, holder, sighting)
        return
    if any(sighting.sighting_id in p.sightings for p in turn.state.sealed_since(sighting.first.mono_ns)):
        return  # the last word on a vehicle that has gone
    if _flooded(turn, sighting):
        title = "More tags than the lane follows"
        turn.condition(ConditionCode.TAG_FLOOD, Severity.WARNING, True, title, "tagged goods on a truck: nothing to do")
        turn.quiet = not turn.effects
        return
    kept = tuple(p for p in turn.state.pending if p.sighting.sighting_id != sighting.sighting_id)
    known = next((p for p in turn.state.pending if p.sighting.sighting_id == sighting.sighting_id), None)
    pending = Pending(sighting) if known is None else replace(known, sighting=sighting)
    turn.state = replace(turn.state, pending=(*kept, pending))
    if len(turn.state.pending) > MOST_PENDING:
        oldest = turn.state.pending[0]
        turn.state = replace(turn.state, pending=turn.state.pending[1:])
        count_stray(turn, oldest)


def flood_over(turn: Turn) -> bool:
    """Whether the lane follows far fewer tags than it could."""
    return all(_followed(turn, other=other) < most // 2 for other, most in _MOST_FOLLOWED.items())


def _followed(turn: Turn, *, other: bool) -> int:
    """How many tags the lane follows now: those of no configured class, or those of one."""
    waiting = (p.sighting.claim.kind for p in turn.state.pending)
    given_to = (a.sighting.claim.kind for t in turn.state.tracks for a in t.conveyance.assignments)
    return sum(1 for kind in chain(waiting, given_to) if (kind is IdentityKind.OTHER_TAG) is other)


def _flooded(turn: Turn, sighting: Sighting) -> bool:
    if any(p.sighting.sighting_id == sighting.sighting_id for p in turn.state.pending):
        return False
    other = sighting.claim.kind is IdentityKind.OTHER_TAG
    return _followed(turn, other=other) >= _MOST_FOLLOWED[other]


def _holder(turn: Turn, sighting_id: str) -> Track | None:
    """The vehicle that this sighting was given to."""
    for track in turn.state.tracks:
        for assignment in track.conveyance.assignments:
            if assignment.sighting.sighting_id == sighting_id:
                return track
    return None


def review_sightings(turn: Turn) -> None:
    """Decide every sighting that can be decided now."""
    for pending in turn.state.pending:
        _decide(turn, pending)


def sighting_due_ns(turn: Turn, pending: Pending) -> int:
    """When this sighting can be decided, by time alone."""
    policy = turn.state.config.policy
    sighting = pending.sighting
    due = NEVER
    if not pending.stray:
        due = sighting.first.mono_ns + int(policy.stray_after_s * NS)
    winner = _winner(turn, sighting)
    if winner is not None:
        track = turn.state.track(winner.conveyance_id)
        left = exit_stamp(sighting, track, turn.state.config.geometry) if track is not None else None
        settled = left.mono_ns + int(policy.settle_s * NS) if left is not None else 0
        if settled > turn.now_ns:  # past that, what is still undecided waits for another vehicle
            due = min(due, settled)
    return due


def _open_tracks(turn: Turn) -> tuple[Track, ...]:
    """Vehicles that evidence may still be given to: those that zones have seen in this life of the agent, and that have
    left neither through X nor by the side."""
    return tuple(t for t in turn.state.tracks if (t.upstream or t.conveyance.times.x_tail is None) and not t.diverted)


def _found(turn: Turn, sighting: Sighting) -> tuple[Candidate, ...]:
    """The vehicles it may belong to, best first; none for a tag of the next lane, of no vehicle, or of one that has
    gone."""
    state = turn.state
    asked = (sighting, state.tracks, state.loose, state.sealed)
    known = turn.found.get(sighting.sighting_id)
    if known is None or any(then is not now for then, now in zip(known[0], asked, strict=True)):
        known = turn.found[sighting.sighting_id] = (asked, _look_for(turn, sighting))
    return known[1]


def _look_for(turn: Turn, sighting: Sighting) -> tuple[Candidate, ...]:
    state = turn.state
    if faint(sighting, state.config.geometry) or is_loose(state, sighting) or _departed(turn, sighting):
        return ()
    found = candidates(sighting, _open_tracks(turn), state.config)
    if lay_there_before(sighting, found[0] if found else None, state.tracks, state.config):
        return ()
    return found


def _winner(turn: Turn, sighting: Sighting) -> Candidate | None:
    found = _found(turn, sighting)
    return found[0] if found and found[0].inside else None


def _decide(turn: Turn, pending: Pending) -> None:
    sighting = pending.sighting
    owner = _owner(turn, sighting)
    if owner is not None:
        _forget(turn, sighting)
        _assign(turn, owner, Assignment(sighting, 1.0, (), True, turn.at))
        return
    if pending.doubted_ns == sighting.peak.mono_ns:  # told already; a later, stronger peak may make it clear
        if sighting.closed:
            _forget(turn, sighting)
        return
    found = _found(turn, sighting)
    if not found or not found[0].inside:
        _decide_without_vehicle(turn, pending)
        return
    _decide_between(turn, pending, found)


def _decide_without_vehicle(turn: Turn, pending: Pending) -> None:
    sighting = pending.sighting
    old = turn.now_ns >= sighting.first.mono_ns + int(turn.state.config.policy.stray_after_s * NS)
    if sighting.closed or old:
        count_stray(turn, pending)
        if sighting.closed:
            _forget(turn, sighting)
        elif not pending.stray:
            _put(turn, replace(pending, stray=True))


def _decide_between(turn: Turn, pending: Pending, found: tuple[Candidate, ...]) -> None:
    """Give it to the best, now or once its window is over; to nobody while or because that is not clear."""
    sighting, winner, policy = pending.sighting, found[0], turn.state.config.policy
    track = turn.state.track(winner.conveyance_id)
    assert track is not None
    unseen = unseen_rival(sighting, turn.state.tracks, turn.state.config)
    rivals = found[1:] if unseen is None else tuple(sorted((*found[1:], unseen), key=lambda c: c.penalty_cdb))
    gone = _choice_gone(pending, found)
    sure = winner.sound and not gone
    early = sure and sighting.reads >= policy.early_reads and _margin(winner, rivals) >= policy.early_margin_cdb
    if not early and (not _window_over(turn, sighting, track) or _unseen_fits_better(unseen, winner)):
        if not gone:
            _remember_choice(turn, pending, winner)
        return
    clear = early or (sure and _margin(winner, found[1:]) >= policy.early_margin_cdb)
    clear = clear and not (strange(turn, track, sighting.claim) or borrowed(turn, track, sighting.claim))
    if clear:
        _forget(turn, sighting)
        _assign(turn, track, _assignment(sighting, winner, rivals, early, turn.at))
    else:
        _doubt(turn, pending, found)


def _choice_gone(pending: Pending, found: tuple[Candidate, ...]) -> bool:
    """The vehicle that fitted best when it was heard strongest is not there any more, by the side say, or nobody knows
    where it was: what is left for the others is not theirs."""
    chosen = pending.choice if pending.choice_ns == pending.sighting.peak.mono_ns else ""
    return bool(chosen) and all(candidate.conveyance_id != chosen for candidate in found)


def _remember_choice(turn: Turn, pending: Pending, winner: Candidate) -> None:
    peak_ns = pending.sighting.peak.mono_ns
    if (pending.choice, pending.choice_ns) != (winner.conveyance_id, peak_ns):
        _put(turn, replace(pending, choice=winner.conveyance_id, choice_ns=peak_ns))


def _doubt(turn: Turn, pending: Pending, found: tuple[Candidate, ...]) -> None:
    """It may be one vehicle's or another's: nobody gets it, each of them is told of it."""
    sighting, best = pending.sighting, found[0]
    near = best.penalty_cdb + turn.state.config.policy.early_margin_cdb
    for candidate in found:
        track = turn.state.track(candidate.conveyance_id)
        if track is None or not candidate.inside or candidate.penalty_cdb >= near:
            continue
        others = tuple(c for c in found if c is not candidate)
        doubtful = _assignment(sighting, candidate, others, False, turn.at)
        kept = tuple(d for d in track.conveyance.doubtful if d.sighting.sighting_id != sighting.sighting_id)
        track = turn.put_conveyance(track, replace(track.conveyance, doubtful=(*kept, doubtful)[-MOST_DOUBTFUL:]))
        if Flag.AMBIGUOUS not in track.conveyance.flags:
            turn.flag(track, Flag.AMBIGUOUS)
            turn.event(EventCode.IDENTITY_AMBIGUOUS, Severity.WARNING, track.id, rivals=len(found) - 1)
    if sighting.closed:
        _forget(turn, sighting)
    else:
        _put(turn, replace(pending, doubted_ns=sighting.peak.mono_ns))


def _owner(turn: Turn, sighting: Sighting) -> Track | None:
    """The vehicle that carries this very tag already, seen far stronger by the same antenna: heard again from afar."""
    margin = turn.state.config.policy.early_margin_cdb
    for track in turn.state.tracks:
        for assignment in track.conveyance.assignments:
            known = assignment.sighting
            if (
                (known.claim.kind, known.claim.token) == (sighting.claim.kind, sighting.claim.token)
                and (known.device, known.antenna) == (sighting.device, sighting.antenna)
                and known.rssi_peak_cdbm >= sighting.rssi_peak_cdbm + margin
            ):
                return track
    return None


def _unseen_fits_better(unseen: Candidate | None, winner: Candidate) -> bool:
    """A vehicle still to come is the likelier bearer: wait for it."""
    return unseen is not None and unseen.penalty_cdb < winner.penalty_cdb


def _departed(turn: Turn, sighting: Sighting) -> bool:
    """The tag of a vehicle that has just gone, by the side say, still within hearing: nobody else's."""
    claim = (sighting.claim.kind.value, sighting.claim.token)
    since = turn.now_ns - int(turn.state.config.policy.stray_after_s * NS)
    return any(claim in passage.claims for passage in turn.state.sealed_since(since))


def _window_over(turn: Turn, sighting: Sighting, track: Track) -> bool:
    """The vehicle has left the antenna's zone and late reports have settled, or it has come a zone farther."""
    left = exit_stamp(sighting, track, turn.state.config.geometry)
    settled = left is not None and turn.now_ns >= left.mono_ns + int(turn.state.config.policy.settle_s * NS)
    return settled or track.reached > _zone_rank_at(turn, sighting)


def _zone_rank_at(turn: Turn, sighting: Sighting) -> int:
    """Rank of the last zone at or upstream of the antenna's span."""
    geometry = turn.state.config.geometry
    spans = {0: geometry.a, 1: geometry.d, 2: geometry.s}
    span = next(
        (s for device, antenna, s in geometry.antennas if (device, antenna) == (sighting.device, sighting.antenna)),
        None,
    )
    if span is None:
        return len(ZONES)
    reached = [rank for rank, zone in spans.items() if zone.start_m <= (span.start_m + span.end_m) / 2]
    return max(reached, default=RANK[ZONES[0]])


def _margin(winner: Candidate, rivals: tuple[Candidate, ...]) -> float:
    return min((rival.penalty_cdb - winner.penalty_cdb for rival in rivals), default=float("inf"))


def _assignment(
    sighting: Sighting, winner: Candidate, rivals: tuple[Candidate, ...], early: bool, at: Stamp
) -> Assignment:
    named = tuple((r.conveyance_id, r.score) for r in rivals if r.conveyance_id != ANY_VEHICLE and r.inside)
    return Assignment(sighting, winner.score, named, early, at)


def _put(turn: Turn, pending: Pending) -> None:
    known = pending.sighting.sighting_id
    changed = tuple(pending if p.sighting.sighting_id == known else p for p in turn.state.pending)
    turn.state = replace(turn.state, pending=changed)


def _forget(turn: Turn, sighting: Sighting) -> None:
    kept = tuple(p for p in turn.state.pending if p.sighting.sighting_id != sighting.sighting_id)
    turn.state = replace(turn.state, pending=kept)


def _assign(turn: Turn, track: Track, assignment: Assignment) -> None:
    """Give the sighting to the vehicle, or to the one that is in its place."""
    track, also = known_again(turn, track, assignment.sighting.claim)
    _give(turn, track, assignment, also)


def _give(turn: Turn, track: Track, assignment: Assignment, also: tuple[Assignment, ...]) -> None:
    """Give the sighting to the vehicle."""
    claim = assignment.sighting.claim
    if claim.kind is IdentityKind.DRIVER_CARD and track.asked is not None and not carries(track, claim):
        track = turn.flag(track, Flag.LATE_CARD)
    track = turn.put(tied(track, assignment.sighting))
    _replace_assignments(turn, track, (*track.conveyance.assignments, *also, assignment))
    given(turn, assignment.sighting)
    remember(turn, track, assignment.sighting)
    for other in turn.state.tracks:
        if other.id != track.id and any(
            a.sighting.claim.token == claim.token and a.sighting.claim.kind is claim.kind
            for a in other.conveyance.assignments
        ):
            turn.flag(turn.state.track(track.id) or track, Flag.DUPLICATE_IDENTITY)
            turn.flag(other, Flag.DUPLICATE_IDENTITY)
            turn.event(EventCode.IDENTITY_DUPLICATE, Severity.ALARM, track.id, other=other.id)


def _replace_assignments(turn: Turn, track: Track, assignments: tuple[Assignment, ...]) -> None:
    """Set a vehicle's evidence; a changed binding leg ends its lease, recorded as late inside the commit distance."""
    had = {(a.sighting.claim.kind, a.sighting.claim.token) for a in track.conveyance.assignments}
    have = {(a.sighting.claim.kind, a.sighting.claim.token) for a in assignments}
    digest = identity_digest(assignments)
    changed = digest != track.digest
    track = turn.put(
        replace(
            track,
            conveyance=replace(track.conveyance, assignments=assignments),
            digest=digest if track.upstream else track.digest,
            claims_changed_ns=turn.now_ns if have != had else track.claims_changed_ns,
        )
    )
    cards = sum(1 for kind, _ in have if kind is IdentityKind.DRIVER_CARD)
    if cards > 1:
        track = turn.flag(track, Flag.MULTIPLE_CARDS)
        track = _look_for_two(turn, track, cards, sum(1 for kind, _ in have if kind is IdentityKind.TRANSPONDER))
    if not changed or not track.upstream:
        return
    held = turn.state.held
    if held is not None and held.lease.conveyance_id == track.id:
        withdraw(turn, "identity_changed", immediate=True)
        track = turn.state.track(track.id) or track
        if track.conveyance.committed is not None:
            turn.flag(track, Flag.LATE_CHANGE)
            turn.event(EventCode.IDENTITY_CHANGED_LATE, Severity.ALARM, track.id)


def _look_for_two(turn: Turn, track: Track, cards: int, transponders: int) -> Track:
    """Two trucks' worth of identities on one: tags are read more surely than vehicles are told apart, so that these are
    two, close behind one another."""
    if cards < 2 or transponders < 2 or Flag.AMBIGUOUS in track.conveyance.flags:
        return track
    turn.event(EventCode.MERGED_DETECTION, Severity.WARNING, track.id, cards=cards, transponders=transponders)
    return turn.flag(track, Flag.AMBIGUOUS)


def _update(turn: Turn, track: Track, sighting: Sighting) -> None:
    """More reads or a new peak of a sighting already given: keep it there unless another vehicle now fits clearly
    better. One whose vehicle cannot be placed any more, as after a reverse, stays with it."""
    policy = turn.state.config.policy
    found = candidates(sighting, _open_tracks(turn), turn.state.config) if _may_move(turn, track, sighting) else ()
    mine = next((c for c in found if c.conveyance_id == track.id), None)
    best = found[0] if found else None
    moves = (
        best is not None
        and mine is not None
        and best.conveyance_id != track.id
        and best.inside
        and best.sound
        and sighting.reads >= policy.early_reads
        and mine.penalty_cdb - best.penalty_cdb >= policy.early_margin_cdb
        and track.upstream
    )
    others = tuple(a for a in track.conveyance.assignments if a.sighting.sighting_id != sighting.sighting_id)
    if moves and best is not None:
        _replace_assignments(turn, track, others)
        receiver = turn.state.track(best.conveyance_id)
        assert receiver is not None
        rivals = tuple(c for c in found if c is not best)
        _assign(turn, receiver, _assignment(sighting, best, rivals, False, turn.at))
        return
    kept = tuple(
        replace(a, sighting=sighting) if a.sighting.sighting_id == sighting.sighting_id else a
        for a in track.conveyance.assignments
    )
    if any(
        a.sighting.sighting_id == sighting.sighting_id and a.sighting.claim.tid_token != sighting.claim.tid_token
        for a in track.conveyance.assignments
    ):
        turn.put_conveyance(track, replace(track.conveyance, assignments=kept))
        remember(turn, track, sighting)
        return
    if track.torn is not None and read_where_it_is(track, sighting, turn.state.config.geometry):
        track = turn.put(tied(track, sighting))
    turn.quiet = True
    if kept != track.conveyance.assignments:
        turn.put_conveyance(track, replace(track.conveyance, assignments=kept))


def _may_move(turn: Turn, track: Track, sighting: Sighting) -> bool:
    """Whether there is anything to compare: most of the time the vehicle is alone in the lane."""
    enough = track.upstream and sighting.reads >= turn.state.config.policy.early_reads
    return enough and any(other.id != track.id for other in _open_tracks(turn))
