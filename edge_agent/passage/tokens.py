"""What the lane remembers of identities: the same card soon again, another chip behind the same number, and what the
release service tells of other lanes. All of it is for the officer's eye; none of it turns the light.
"""

from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import AddSupplement, Severity
from edge_agent.model.identity import BINDING, Sighting
from edge_agent.model.inputs import SeenElsewhere
from edge_agent.model.records import replace

from .codes import EventCode
from .kinematics import NS
from .state import Remembered, Track
from .turn import Turn

MOST_TOKENS = 4096
"""Identities remembered: a busy lane's day. A new site key makes new tokens: no memory outlives its key."""
TOLD = 64
"""Tellings of other lanes remembered, so that a repeat changes nothing."""


def remember(turn: Turn, track: Track, sighting: Sighting) -> None:
    """This vehicle was given this identity: flag what speaks against it, and remember it."""
    claim = sighting.claim
    if claim.kind not in BINDING:
        return
    before = turn.state.tokens.get(claim.token)
    if before is not None:
        _look_for_passback(turn, track, before)
        _look_at_chip(turn, track, before, claim.tid_token)
    chip = (before.tid_token if before is not None else "") or claim.tid_token
    tokens = dict(turn.state.tokens)
    tokens.pop(claim.token, None)  # so that the latest stand last
    tokens[claim.token] = Remembered(track.id, turn.at.utc_ns, chip)
    if len(tokens) > MOST_TOKENS:
        del tokens[next(iter(tokens))]
    turn.state = replace(turn.state, tokens=tokens)


def _look_for_passback(turn: Turn, track: Track, before: Remembered) -> None:
    """Back at this lane sooner than a truck can come round. Two vehicles inside at one time are another matter."""
    if before.conveyance_id == track.id or turn.state.track(before.conveyance_id) is not None:
        return
    gone_s = (turn.at.utc_ns - before.at_utc_ns) / NS
    now = turn.state.track(track.id) or track
    if 0 <= gone_s < turn.state.config.policy.passback_s and Flag.PASSBACK not in now.conveyance.flags:
        turn.flag(now, Flag.PASSBACK)
        turn.event(EventCode.IDENTITY_PASSBACK, Severity.WARNING, track.id, before_s=round(gone_s))


def _look_at_chip(turn: Turn, track: Track, before: Remembered, tid_token: str) -> None:
    """The number is known with another chip: one of the two tags is a copy."""
    now = turn.state.track(track.id) or track
    if not tid_token or not before.tid_token or before.tid_token == tid_token:
        return
    if Flag.TID_MISMATCH not in now.conveyance.flags:
        turn.flag(now, Flag.TID_MISMATCH)
        turn.event(EventCode.IDENTITY_TID_MISMATCH, Severity.ALARM, track.id)


def on_seen_elsewhere(turn: Turn, event: SeenElsewhere) -> None:
    """Central has seen the token at another lane: told to the officer, or to the record when the vehicle has gone."""
    told = (event.conveyance_id, event.token, event.lane)
    if told in turn.state.told:
        return
    facts = (("lane", event.lane), ("rssi_peak_cdbm", str(event.rssi_peak_cdbm)), ("seen_ns", str(event.seen_utc_ns)))
    track = turn.state.track(event.conveyance_id)
    if track is not None:
        if all(a.sighting.claim.token != event.token for a in track.conveyance.assignments):
            return
        turn.flag(track, Flag.SEEN_ELSEWHERE)
    else:
        sealed = next((p for p in turn.state.sealed if p.conveyance_id == event.conveyance_id), None)
        if sealed is None or all(token != event.token for _, token in sealed.claims):
            return
        turn.effects.append(AddSupplement(turn.at, sealed.bundle_id, "seen_elsewhere", facts))
    turn.state = replace(turn.state, told=(*turn.state.told, told)[-TOLD:])
    turn.event(EventCode.IDENTITY_SEEN_ELSEWHERE, Severity.ALARM, event.conveyance_id, **dict(facts))
