"""The judge of a day's records: one per truck and its own, and where the sensors lied, doubt and nothing else.

Whose a record is, what really was over each sensor at the times it holds says, not what the agent believed.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields

from drivers.api import Stamp
from edge_agent.model.conveyance import Conveyance, Flag, Outcome
from hil.rig.virtual_lane import Passage, VirtualLane
from hil.world.events import EventKind
from hil.world.geometry import ZONES

SEALED_S = 1.0
"""A passage is sealed so soon after X has shown its tail leave."""
BLIND_EXIT_S = 160.0
"""And so soon after it left where X did not show it: twice what the longest and slowest vehicle takes, and a margin."""
NEAR_S = 0.25
"""Times on records are those of polls."""
AFTERMATH_S = 60.0
"""What a lie leaves behind may touch those that enter while its victims are in the lane still."""
ZONE_OF = {"a": "zone_a", "d": "zone_d", "s_loop": "zone_s", "s": "stop_line_beam", "x": "zone_x"}
BEAM = "stop_line_beam"
ANY_DOUBT = frozenset({Flag.DOUBTFUL, Flag.UNPROVEN, Flag.SENSOR_FAULT, Flag.MIXED})
NOT_CERTAIN = frozenset({Flag.UNPROVEN, Flag.MIXED})
"""A record that may be of no vehicle, or of two: it names none."""


@dataclass(frozen=True, slots=True)
class Lie:
    """This sensor showed `level` whatever was over it."""

    begins_s: float
    ends_s: float
    zone: str
    level: bool


@dataclass(frozen=True, slots=True)
class Over:
    """This truck was over this sensor."""

    truck: str
    zone: str
    from_s: float
    to_s: float


class RecordJudge:
    """Judges the sealed records of a lane that has ended. `lies`: of the sensors; `dead`: when no agent was alive."""

    def __init__(self, lane: VirtualLane, lies: tuple[Lie, ...], dead: tuple[tuple[float, float], ...]) -> None:
        self._lane = lane
        self._lies = lies
        self._dead = dead
        self._over = tuple(_presences(lane))
        self._owners = [(passage, self._owner(passage)) for passage in lane.sealed()]

    def complaints(self) -> list[str]:
        """Everything that must not be; empty when all is well."""
        found = [*self._numbers(), *self._in_time(), *self._identities(), *self._drivers(), *self._doubts()]
        return [*found, *self._mixed()]

    def _s(self, stamp: Stamp) -> float:
        return stamp.mono_ns / 1e9 - self._lane.began_s

    def _witnesses(self, record: Conveyance) -> Iterator[tuple[str, str]]:
        """(field, truck really there, "" for nobody) of every time on a record."""
        for field in fields(record.times):
            stamp: Stamp | None = getattr(record.times, field.name)
            if stamp is not None:
                zone = ZONE_OF[field.name if field.name == "s_loop" else field.name.partition("_")[0]]
                yield field.name, self._there(zone, self._s(stamp))

    def _there(self, zone: str, t: float) -> str:
        found = (o.truck for o in self._over if o.zone == zone and o.from_s - NEAR_S <= t <= o.to_s + NEAR_S)
        return next(found, "")

    def _owner(self, passage: Passage) -> str:
        """The truck most of the record is about; where no sensor told the truth, whoever was there when it began."""
        seen = Counter(truck for _, truck in self._witnesses(passage.conveyance) if truck)
        if not seen:
            return "" if any(True for _ in self._witnesses(passage.conveyance)) else passage.truck
        most = max(seen.values())
        best = {truck for truck, number in seen.items() if number == most}
        return passage.truck if passage.truck in best else min(best)

    def _numbers(self) -> Iterator[str]:
        """Exactly one record per truck that went through; any other says that it may be of nobody, or of two. Who has
        none is on such a record of two."""
        lane = self._lane
        proven = Counter(truck for passage, truck in self._owners if not NOT_CERTAIN & set(passage.conveyance.flags))
        some = {truck for _, truck in self._owners} | self._perhaps()
        tracks = lane.agent.state.tracks if lane.agent is not None else ()
        open_now = {lane.truck_of.get(track.id, "") for track in tracks}
        for truck, number in proven.items():
            if not truck:
                yield f"{number} bundles for nobody that do not say so"
            elif number > 1:
                yield f"{number} bundles for {truck}"
        for truck, t in self._gone().items():
            if truck not in some and truck not in open_now and t < lane.now_s - SEALED_S:
                yield f"no bundle for {truck}, which left at {t:.1f}"

    def _perhaps(self) -> set[str]:
        """Trucks that are on a record which says that it may be of two: seen there by a zone, or read."""
        found: set[str] = set()
        for passage, _ in self._owners:
            record = passage.conveyance
            if Flag.MIXED in record.flags:
                found |= {truck for _, truck in self._witnesses(record)}
                found |= {self._lane.owner(doubtful.sighting.claim.token) for doubtful in record.doubtful}
        return found - {""}

    def _gone(self) -> dict[str, float]:
        return {e.truck: e.t for e in self._lane.events if e.kind in (EventKind.LEFT, EventKind.DIVERTED)}

    def _in_time(self) -> Iterator[str]:
        """Sealed within a second of X having shown the tail leave; where X lied, within the bound, and saying so."""
        if not self._lane.world.geometry.exit_loop:
            yield from self._in_time_without_exit()
            return
        tails = {o.truck: o for o in self._over if o.zone == "zone_x"}
        for passage, truck in self._owners:
            record, over = passage.conveyance, tails.get(truck)
            if record.ended is None or over is None or NOT_CERTAIN & set(record.flags) or self._is_dead(over.to_s):
                continue
            late_s = self._s(record.ended) - over.to_s
            doubted = bool(ANY_DOUBT & set(record.flags))
            if -0.1 <= late_s <= SEALED_S or (self._blind(truck, over) and doubted and late_s <= self._bound_s(over)):
                continue
            if any(0.0 <= late_s + over.to_s - false <= SEALED_S for false in self._false_ends(truck, over)):
                continue
            lost = self._exit_elsewhere(truck) or (record.times.x_tail is None and self._touched(truck))
            if doubted and late_s <= self._bound_s(over) and lost:
                continue
            yield f"{truck} was sealed {late_s:.1f} s after its tail left X"

    def _in_time_without_exit(self) -> Iterator[str]:
        """Without an exit loop a record ends by its own time, whoever comes behind; the time begins anew with an agent
        that starts, or inputs that come back: nobody knows where it is then."""
        tails = {o.truck: o.to_s for o in self._over if o.zone == BEAM}
        for passage, truck in self._owners:
            ended, tail_s = passage.conveyance.ended, tails.get(truck)
            if ended is None or tail_s is None:
                continue
            ended_s = self._s(ended)
            since_s = max((tail_s, *(back_s for _, back_s in self._dead if back_s <= ended_s)))
            if ended_s - since_s > BLIND_EXIT_S:
                yield f"{truck} was sealed {ended_s - tail_s:.1f} s after its tail left the line"

    def _bound_s(self, over: Over) -> float:
        """So soon after its tail left X a record ends by its own time: the time begins anew with every life of the
        agent, and with inputs that come back."""
        last_s = over.to_s
        for begins, ends in sorted(self._dead):
            if begins <= last_s + BLIND_EXIT_S:
                last_s = max(last_s, ends)
        return last_s - over.to_s + BLIND_EXIT_S

    def _blind(self, truck: str, over: Over) -> bool:
        """Whether X lied while this truck was between the line and the end of X, or nobody was alive to see it."""
        crossed = [o.from_s for o in self._over if o.zone == BEAM and o.truck == truck]
        since = min([over.from_s, *crossed])
        stuck = ((lie.begins_s, lie.ends_s) for lie in self._lies if lie.zone == "zone_x")
        return any(begins <= over.to_s + NEAR_S and since <= ends for begins, ends in (*stuck, *self._dead))

    def _false_ends(self, truck: str, over: Over) -> list[float]:
        """When X stopped showing somebody with this truck past the line, and not at its tail: nothing tells that from
        it. Stuck free, it stops when that begins; stuck occupied, when that ends."""
        crossed = min([over.from_s, *(o.from_s for o in self._over if o.zone == BEAM and o.truck == truck)])
        lies = [lie for lie in self._lies if lie.zone == "zone_x" and lie.begins_s <= over.to_s]
        free = [lie.begins_s for lie in lies if not lie.level and over.from_s <= lie.begins_s]
        return free + [lie.ends_s for lie in lies if lie.level and crossed <= lie.ends_s]

    def _exit_elsewhere(self, truck: str) -> bool:
        """Whether this truck's exit is on the record of another that a lie made cross ahead of it, and which says that
        it is in doubt."""
        return any(
            owner != truck and ANY_DOUBT & set(passage.conveyance.flags) and self._touched(owner)
            for passage, owner in self._owners
            if ("x_tail", truck) in self._witnesses(passage.conveyance)
        )

    def _touched(self, truck: str) -> bool:
        """Whether a sensor lied, or nobody was alive to see it, while this truck was in the lane."""
        times = [t for o in self._over if o.truck == truck for t in (o.from_s, o.to_s)]
        troubled = (*((lie.begins_s, lie.ends_s) for lie in self._lies), *self._dead)
        return bool(times) and any(begins <= max(times) and min(times) <= ends for begins, ends in troubled)

    def _is_dead(self, t: float) -> bool:
        return any(begins <= t <= ends for begins, ends in self._dead)

    def _identities(self) -> Iterator[str]:
        """What was read of one truck is never on the record of another."""
        for passage, truck in self._owners:
            for assignment in passage.conveyance.assignments:
                owner = self._lane.owner(assignment.sighting.claim.token)
                if owner != truck:
                    yield f"a tag of {owner} on the record of {truck or 'nobody'}"

    def _drivers(self) -> Iterator[str]:
        """All drivers obey: nobody may be accused."""
        for passage, truck in self._owners:
            record = passage.conveyance
            if record.outcome is Outcome.VIOLATION or Flag.VIOLATION in record.flags:
                yield f"{truck} is accused of a violation"

    def _mixed(self) -> Iterator[str]:
        """Times of two trucks on one record only where it says that sensors failed, or the agent."""
        for passage, truck in self._owners:
            record = passage.conveyance
            others = sorted({f"{name} of {t}" for name, t in self._witnesses(record) if t not in (truck, "")})
            if others and not (ANY_DOUBT | {Flag.RESTARTED}) & set(record.flags):
                yield f"the record of {truck} has {', '.join(others)}"

    def _doubts(self) -> Iterator[str]:
        """Doubt is for those that a lie or a dead agent has touched."""
        entered = {e.truck: e.t for e in self._lane.events if e.kind is EventKind.ENTERED}
        gone = self._gone()
        troubled = [*((lie.begins_s, lie.ends_s) for lie in self._lies), *self._dead]
        for passage, truck in self._owners:
            doubt = sorted(flag.value for flag in ANY_DOUBT & set(passage.conveyance.flags))
            if not doubt or not truck:
                continue
            begin, end = entered.get(truck, 0.0) - AFTERMATH_S, gone.get(truck, 1e9)
            if not any(begin <= ends and begins <= end for begins, ends in troubled):
                yield f"the record of {truck} is {', '.join(doubt)} without any reason"


def _presences(lane: VirtualLane) -> Iterator[Over]:
    """Each truck over each sensor, from the world's true edges."""
    began: dict[str, tuple[str, float]] = {}
    zones = {lane.world.geometry.sensor(zone): zone for zone in ZONES}
    for event in lane.events:
        if event.kind is not EventKind.ZONE or event.place not in zones:
            continue
        zone = zones[event.place]
        if event.on:
            began[zone] = (event.truck, event.t)
        elif zone in began:
            truck, since = began.pop(zone)
            yield Over(truck, zone, since, event.t)
    for zone, (truck, since) in began.items():
        yield Over(truck, zone, since, float("inf"))
