"""A loop that chatters: it comes and goes as no vehicle can, and makes up one vehicle with every pulse.

While it does, it makes no more records. Of those at A one stays: somebody may be there, whose place and tags prove
nothing until a zone that is well has seen it. The others have one witness, which lies, and end at once.
"""

from collections.abc import Iterator

from drivers.api import Stamp
from edge_agent.model.conveyance import Flag, ZoneTimes
from edge_agent.model.effects import Severity
from edge_agent.model.lane import Geometry, Zone, ZoneSpan
from edge_agent.model.records import replace

from .codes import ConditionCode
from .doubt import WITNESSES, witnesses
from .kinematics import FEASIBLE_FACTOR, NS, SHORTEST_M, metres_per_second
from .order import lose_order
from .sealing import seal
from .state import RANK, Flicker, LaneState, Track
from .turn import Turn

JUDGED = (Zone.A, Zone.D, Zone.X)
"""Loops that vehicles pass. On the stop loop they stand, and roll back and forth."""
SHORT_PULSES = 3
"""So many pulses in a window that are shorter than any vehicle's are a loop's."""
MOST_RISES = 16
"""And so many noses are more than any lane at walking pace can pass: about twice its densest traffic."""
WINDOW_S = 60.0
QUIET_S = 30.0
"""It has come to rest when nothing of the kind was seen for this long."""
MADE_UP = 3.0
"""A record whose time over the loop is below this many shortest ones may be a pulse of it."""


def chatters(state: LaneState, zone: Zone) -> bool:
    """Whether this loop is known to chatter now."""
    known = state.flicker.get(zone)
    return known is not None and known.since_ns > 0


def noted(turn: Turn, zone: Zone, *, was: bool, now: bool, edges: int) -> None:
    """A zone that was occupied, or not, is so or not now, after so many edges."""
    if zone not in JUDGED:
        return
    before = turn.state.flicker.get(zone, Flicker())
    begin_ns = turn.now_ns - int(WINDOW_S * NS)
    rises = tuple(t for t in before.rises if t > begin_ns)
    hidden = max(0, edges - (was != now)) // 2
    short = (*(t for t in before.short if t > begin_ns), *(turn.now_ns,) * hidden)
    rose_ns = before.rose_ns
    if now and not was:
        rises, rose_ns = (*rises, turn.now_ns)[-MOST_RISES:], turn.now_ns
    elif was and not now and rose_ns and turn.now_ns - rose_ns < _shortest_ns(turn.state, zone):
        short = (*short, turn.now_ns)
    known = Flicker(before.since_ns, rose_ns, rises, short[-SHORT_PULSES:])
    if not known.since_ns and (len(known.short) == SHORT_PULSES or len(rises) == MOST_RISES):
        first_ns = known.short[0] if len(known.short) == SHORT_PULSES else rises[0]
        known = replace(known, since_ns=max(1, first_ns - _shortest_ns(turn.state, zone)))
        lose_order(turn, f"{zone.value}_chatters")
    turn.state = replace(turn.state, flicker={**turn.state.flicker, zone: known})


def forget_noses(turn: Turn) -> None:
    """Continuity was lost: how long what is over a loop has been there cannot be told."""
    kept = {zone: replace(known, rose_ns=0) for zone, known in turn.state.flicker.items()}
    turn.state = replace(turn.state, flicker=kept)


def doubts_order(state: LaneState, zone: Zone) -> bool:
    """Whether what this zone shows and nobody expects puts the order in doubt: not again with every pulse of a loop
    that chatters. At A nobody comes but behind all others, and whoever comes while it chatters is in doubt himself."""
    return not chatters(state, zone) or (zone is not Zone.A and state.order.known)


def there_again(turn: Turn) -> bool:
    """A rises, and chatters: whether that is the vehicle that may be there already."""
    last = turn.state.tracks[-1] if turn.state.tracks else None
    if last is None or not last.flickered or last.reached != RANK[Zone.A]:
        return False
    turn.put(replace(last, over=(Zone.A,), moved=turn.at))
    return True


def in_doubt(track: Track) -> Track:
    """The same, as one of which only a loop that chatters has told: where it is, and what it carries, prove nothing."""
    flags = tuple(sorted({*track.conveyance.flags, Flag.SENSOR_FAULT}))
    conveyance = replace(track.conveyance, flags=flags)
    return replace(track, conveyance=conveyance, fixes=ZoneTimes(), suspect=True, flickered=True)


def review_chatter(turn: Turn) -> None:
    """End what a chattering loop has made up, tell of it, and see when it has come to rest."""
    flicker = turn.state.flicker
    if not any(known.since_ns for known in flicker.values()):
        _tell(turn)
        return
    for zone, known in flicker.items():
        if not known.since_ns:
            continue
        over = turn.now_ns >= _over_ns(known)
        for track in turn.each():
            if any(stamp.mono_ns >= known.since_ns for stamp in _times(track, zone)):
                turn.flag(track, Flag.SENSOR_FAULT)
        _end_made_up(turn, zone, known, keep=zone is Zone.A and not over)
        if over:
            rest = replace(known, since_ns=0, rises=(), short=())
            turn.state = replace(turn.state, flicker={**turn.state.flicker, zone: rest})
    _tell(turn)


def chatter_due_ns(state: LaneState) -> Iterator[int]:
    """When a loop that chatters may have come to rest."""
    return (_over_ns(known) for known in state.flicker.values() if known.since_ns)


def _over_ns(known: Flicker) -> int:
    half = MOST_RISES // 2
    latest = (*known.short[-1:], *known.rises[-half:][:1] * (len(known.rises) >= half))
    return max(latest, default=0) + int(QUIET_S * NS)


def _end_made_up(turn: Turn, zone: Zone, known: Flicker, *, keep: bool) -> None:
    """Seal the records that this loop has made up, but for the first where `keep`."""
    found = [track for track in turn.state.tracks if _made_up(turn.state, track, zone, known)]
    if keep and found:
        if not found[0].flickered:
            turn.put(in_doubt(found[0]))
        found = found[1:]
    for track in found:
        if not track.over:
            seal(turn, turn.flag(track, Flag.UNPROVEN, Flag.SENSOR_FAULT), f"{zone.value}_chatters")


def _made_up(state: LaneState, track: Track, zone: Zone, known: Flicker) -> bool:
    """Whether nothing but pulses of this loop says that there is such a vehicle."""
    conveyance = track.conveyance
    if track.reached != RANK[zone] or not {zone} >= set(track.over) or conveyance.doubtful:
        return False
    if witnesses(conveyance) >= WITNESSES or Flag.RESTARTED in conveyance.flags:
        return False
    if track.flickered:
        return True
    if conveyance.detected.mono_ns < known.since_ns or not (zone is Zone.A or track.suspect):
        return False
    seen = _times(track, zone)
    brief = bool(seen) and seen[-1].mono_ns - seen[0].mono_ns < MADE_UP * _shortest_ns(state, zone)
    return zone in track.over or brief


def _times(track: Track, zone: Zone) -> tuple[Stamp, ...]:
    """When this loop saw the nose and the tail of a vehicle, as far as it did."""
    times = track.conveyance.times
    both = {Zone.A: (times.a_nose, times.a_tail), Zone.D: (times.d_nose, times.d_tail)}
    return tuple(stamp for stamp in both.get(zone, (times.x_nose, times.x_tail)) if stamp is not None)


def _shortest_ns(state: LaneState, zone: Zone) -> int:
    """How long the shortest vehicle is over this loop at the highest feasible speed."""
    config = state.config
    span = _span(zone, config.geometry)
    way_m = SHORTEST_M + span.end_m - span.start_m
    return int(way_m / (FEASIBLE_FACTOR * metres_per_second(config.kinematics.v_max_kmh)) * NS)


def _span(zone: Zone, geometry: Geometry) -> ZoneSpan:
    return {Zone.A: geometry.a, Zone.D: geometry.d}.get(zone, geometry.x)


def _tell(turn: Turn) -> None:
    """One condition, which names the loops, raised anew when they are others."""
    code = ConditionCode.LOOP_CHATTERS
    loops = tuple(sorted(zone.value for zone in turn.state.flicker if chatters(turn.state, zone)))
    named = dict(turn.state.named)
    if named.get(code.value, ()) == loops:
        return
    rest = {name: told for name, told in named.items() if name != code.value}
    named_now = {**rest, code.value: loops} if loops else rest
    kept = tuple(name for name in turn.state.conditions if not loops or name != code.value)
    turn.state = replace(turn.state, named=tuple(sorted(named_now.items())), conditions=kept)
    title = f"{', '.join(loops)} chatters" if loops else "The loops are at rest"
    hint = "look at the loop, its cable and its detector's sensitivity; an officer confirms the order"
    turn.condition(code, Severity.ALARM, bool(loops), title, hint if loops else "")
