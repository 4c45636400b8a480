"""The lane's traffic, event by event: nothing is computed between two changes, and each is solved in closed form."""

import bisect
import copy
from collections import Counter
from collections.abc import Iterable, Iterator

from hil.world.driver import NEVER, Mark, Threshold, Truck, thresholds
from hil.world.events import EventKind, TruckView, WorldEvent
from hil.world.geometry import KMH, Geometry, Lamp
from hil.world.motion import stopping_m
from hil.world.rf import AirRead, Carrier, RfModel, StrayTag, TagInField
from hil.world.truck import TruckPlan

_BLOCKED_RETRY_S = 1.0
_SWING_OUT_S = 10.0
_TINY_S = 1e-12


class World:
    """Trucks on one lane from world second 0 on.

    `plans` must come in order of `enter_s`; an endless iterator is read one ahead. Call `advance` to move time and take
    the events, `set_lamp` when the head changes. Deterministic: same arguments, same calls, same answers.
    """

    def __init__(
        self,
        geometry: Geometry,
        plans: Iterable[TruckPlan],
        seed: int = 0,
        rf: RfModel | None = None,
        strays: tuple[StrayTag, ...] = (),
        arm_travel_s: float | None = None,
    ) -> None:
        self.geometry = geometry
        self.now = 0.0
        self.lamp = Lamp.RED
        self._rf = rf if rf is not None else RfModel()
        self._seed = seed
        self._strays = strays
        self._plans: Iterator[TruckPlan] = iter(plans)
        self._coming: TruckPlan | None = next(self._plans, None)
        self._added: list[TruckPlan] = []
        self._retry_at = 0.0
        self.arm_travel_s = arm_travel_s
        """How long the barrier arm at the stop line takes to rise; None: there is none."""
        self.arm_up = arm_travel_s is None
        self.road_closed = False
        """Nobody enters: the road to the lane is closed off."""
        self._lane: list[Truck] = []
        self._occupied = dict.fromkeys(geometry.zones(), 0)
        self._lamp_queue: list[tuple[float, Lamp]] = []
        self._out: list[WorldEvent] = []
        self._marks: dict[tuple[float, tuple[float, float] | None], tuple[Threshold, ...]] = {}

    def next_change(self) -> float | None:
        """The time of the next thing that happens by itself; None when nothing ever will. `set_lamp`, `add` and
        `direct` can bring it nearer."""
        t = min((truck.next_t() for truck in self._lane), default=NEVER)
        plan = self._next_plan()
        if plan is not None:
            t = min(t, max(plan.enter_s, self._retry_at, self.now))
        if self._lamp_queue:
            t = min(t, self._lamp_queue[0][0])
        return t if t < NEVER else None

    def advance(self, t: float) -> list[WorldEvent]:
        """Move to world second `t` and return what happened up to and including it, in order. ValueError when `t` is in
        the past."""
        if t < self.now:
            raise ValueError(f"world time cannot go back from {self.now} to {t}")
        while (change := self.next_change()) is not None and change <= t:
            self.now = max(self.now, change)
            self._happen(self.now)
        self.now = t
        out, self._out = self._out, []
        return out

    def set_lamp(self, aspect: str, t: float | None = None) -> None:
        """The head shows `aspect` from `t` (now when None or past). ValueError for an unknown aspect."""
        lamp = Lamp(aspect)
        if t is None or t <= self.now:
            self._show(self.now, lamp)
        else:
            bisect.insort(self._lamp_queue, (t, lamp), key=lambda entry: entry[0])

    def set_arm(self, up: bool) -> None:
        """The arm is all the way up from now on, or is not any more."""
        self.arm_up = up
        for truck in self._lane:
            truck.barred = not up
            if truck.upstream_of_line():
                truck.wake(self.now + (truck.plan.go_reaction_s if up else truck.plan.stop_reaction_s))

    def add(self, plan: TruckPlan) -> None:
        """One more truck, besides the planned ones. ValueError when it should have entered already."""
        if plan.enter_s < self.now:
            raise ValueError(f"truck {plan.id} would enter at {plan.enter_s}, before now ({self.now})")
        bisect.insort(self._added, plan, key=lambda added: added.enter_s)

    def direct(self, truck_id: str, way: str) -> None:
        """An officer sends a standing truck on: `through` past the line whatever the lamp shows, `side` out of the lane
        upstream of the line (it takes 10 s). KeyError: no such truck; ValueError: another way, or it does not stand
        upstream of the line."""
        truck = next((truck for truck in self._lane if truck.plan.id == truck_id), None)
        if truck is None:
            raise KeyError(truck_id)
        if truck.moving() or truck.scripted or not truck.upstream_of_line():
            raise ValueError(f"truck {truck_id} does not stand upstream of the line")
        if way == "through":
            truck.ordered_on = True
            truck.wake(self.now + truck.plan.go_reaction_s)
        elif way == "side":
            truck.leaving_at = self.now + _SWING_OUT_S
        else:
            raise ValueError(f"no way {way!r}: through or side")

    def zones(self) -> dict[str, bool]:
        """The true level of every sensor now; True at the line means broken."""
        return {zone: count > 0 for zone, count in self._occupied.items()}

    def trucks(self) -> tuple[TruckView, ...]:
        """The trucks on the lane now, most downstream first."""
        return tuple(truck.view(self.now) for truck in self._lane)

    def first_upstream(self) -> str | None:
        """The truck nearest to the line that has not put its nose over it."""
        return next((truck.plan.id for truck in self._lane if truck.upstream_of_line()), None)

    def waiting_outside(self) -> bool:
        """Whether a truck is due but finds the entry blocked."""
        plan = self._next_plan()
        return plan is not None and plan.enter_s < self.now

    def finished(self) -> bool:
        """Whether the lane is empty and nobody will come."""
        return not self._lane and self._next_plan() is None

    def tags_in_field(self, t: float) -> tuple[TagInField, ...]:
        """What the reader can hear at `t`, which must not be after `next_change` nor more than 10 s ago."""
        return self._rf.in_field(self.geometry.antennas, self.carriers(), t, self._seed)

    def next_tag_reads(self, t0: float, t1: float) -> Iterator[AirRead]:
        """Reads in (t0, t1] in order of time, about 20 a second for each tag and antenna in reach.

        Depends on neither how the time is cut nor how often it is asked. Lazy: a read is worked out when it is taken,
        from the motion known then. `t0` may lie up to 10 s back; nothing is given beyond `next_change`.
        """
        change = self.next_change()
        end = t1 if change is None else min(t1, max(change, self.now))
        return self._rf.reads(self.geometry.antennas, self.carriers(), t0, end, self._seed)

    def carriers(self, level_db: float = 0.0) -> tuple[Carrier, ...]:
        """What bears tags on this lane now, with its motion of the last 10 s and as planned; `level_db` for an antenna
        that hears it from elsewhere."""
        trucks = tuple(
            Carrier(truck.plan.tags, (*truck.track, truck.seg), level_db) for truck in self._lane if truck.plan.tags
        )
        return trucks + tuple(stray.carrier() for stray in self._strays)

    def copy(self) -> "World":
        """An independent world in the same state (the plans' iterator must be copyable: a tuple, or `Traffic`)."""
        return copy.deepcopy(self)

    def _next_plan(self) -> TruckPlan | None:
        if self._added and (self._coming is None or self._added[0].enter_s <= self._coming.enter_s):
            return self._added[0]
        return self._coming

    def _happen(self, t: float) -> None:
        """Handle everything due at `t`, the lamp first, then trucks from the front, then the entry."""
        while self._lamp_queue and self._lamp_queue[0][0] <= t:
            self._show(t, self._lamp_queue.pop(0)[1])
        due = t + _TINY_S
        for truck in tuple(self._lane):
            if truck.next_t() <= due:
                self._attend(truck, t, due)
        plan = self._next_plan()
        if plan is not None and max(plan.enter_s, self._retry_at) <= due:
            self._enter(plan, t)

    def _show(self, t: float, lamp: Lamp) -> None:
        if lamp is self.lamp:
            return
        self.lamp = lamp
        self._out.append(WorldEvent(t, EventKind.LAMP, place=lamp.value))
        for truck in self._lane:
            if truck.sees_lamp():
                truck.notice(t, lamp is Lamp.GREEN)

    def _attend(self, truck: Truck, t: float, due: float) -> None:
        while truck.next_mark_t <= due:
            if not self._cross(truck, t):
                return
        if truck.leaving_at <= due:
            self._divert(truck, t)
            return
        look = truck.seg.t1 <= due
        if truck.percept_t <= due:
            truck.go, truck.percept_t, look = truck.percept_go, NEVER, True
        if truck.wake_t <= due:
            truck.wake_t, look = NEVER, True
        if truck.dwell_t <= due:
            truck.dwell_t, look = NEVER, True
        # Nothing a driver notices interrupts a manoeuvre.
        if look and (not truck.scripted or truck.seg.t1 <= due):
            self._replan(truck, t)

    def _replan(self, truck: Truck, t: float) -> None:
        was_moving = abs(truck.seg.v) > 0.0 or truck.seg.a != 0.0
        truck.replan(t)
        moving = truck.moving()
        if moving == was_moving:
            return
        x, v = truck.at(t)
        self._out.append(WorldEvent(t, EventKind.MOVED if moving else EventKind.STOPPED, truck.plan.id, "", True, x, v))
        if moving and truck.follower is not None:
            truck.follower.wake(t + truck.follower.plan.go_reaction_s)

    def _cross(self, truck: Truck, t: float) -> bool:
        """The truck is at its next mark; False when it left the lane there."""
        forward = truck.seg.v > 0.0 or (truck.seg.v == 0.0 and truck.seg.a > 0.0)
        place, mark, name = truck.marks[truck.passed if forward else truck.passed - 1]
        truck.passed += 1 if forward else -1
        v = truck.at(t)[1]
        if mark is Mark.EXIT:
            self._leave(truck, WorldEvent(t, EventKind.LEFT, truck.plan.id, "", True, place, v))
            return False
        if mark is Mark.SIGHT:
            if forward:
                truck.go = self.lamp is Lamp.GREEN
        elif mark is Mark.NOSE or mark is Mark.TAIL:
            kind = EventKind.NOSE if mark is Mark.NOSE else EventKind.TAIL
            self._out.append(WorldEvent(t, kind, truck.plan.id, name, forward, place, v))
            if mark is Mark.NOSE and name == "S":
                if forward and not self.arm_up:
                    self._out.append(WorldEvent(t, EventKind.STRUCK, truck.plan.id, name, True, place, v))
                # Whoever backs over the line is again a driver who must heed the lamp.
                truck.committed = truck.ordered_on = False
                truck.go = not forward and self.lamp is Lamp.GREEN
        else:
            self._occupy(t, name, 1 if (mark is Mark.ZONE_ON) == forward else -1, truck, place)
        truck.find_next_mark(t)
        return True

    def _occupy(self, t: float, zone: str, change: int, truck: Truck, x: float) -> None:
        before = self._occupied[zone]
        self._occupied[zone] = before + change
        if (before > 0) != (before + change > 0):
            self._out.append(WorldEvent(t, EventKind.ZONE, truck.plan.id, zone, change > 0, x, truck.at(t)[1]))

    def _divert(self, truck: Truck, t: float) -> None:
        x = truck.at(t)[0]
        self._vacate(truck, t, x)
        self._leave(truck, WorldEvent(t, EventKind.DIVERTED, truck.plan.id, "", True, x, 0.0))

    def _vacate(self, truck: Truck, t: float, x: float) -> None:
        held = Counter(name for _, mark, name in truck.marks[: truck.passed] if mark is Mark.ZONE_ON)
        held.subtract(name for _, mark, name in truck.marks[: truck.passed] if mark is Mark.ZONE_OFF)
        for zone in self._occupied:
            if held[zone] > 0:
                self._occupy(t, zone, -1, truck, x)

    def _leave(self, truck: Truck, event: WorldEvent) -> None:
        self._out.append(event)
        self._lane.remove(truck)
        if truck.follower is not None:
            truck.follower.leader = truck.leader
            truck.follower.wake(event.t + truck.follower.plan.go_reaction_s)
        if truck.leader is not None:
            truck.leader.follower = truck.follower

    def _enter(self, plan: TruckPlan, t: float) -> None:
        x = self.geometry.entry_m if plan.start_m is None else plan.start_m
        v = (plan.cruise_kmh if plan.start_kmh is None else plan.start_kmh) * KMH
        leader = self._lane[-1] if self._lane else None
        if self.road_closed:
            self._retry_at = t + _BLOCKED_RETRY_S
            return
        if leader is not None:
            # Safe now, and when both brake their hardest from now on.
            tail = leader.at(t)[0] - leader.plan.length_m
            bound = leader.stop_bound_m(t)[0] - min(plan.headway_s, 0.5) * v - stopping_m(v)
            room = min(tail, bound) - plan.gap_m - x
            if room < 0.0:
                self._retry_at = t + _BLOCKED_RETRY_S
                return
        if self._added and plan is self._added[0]:
            self._added.pop(0)
        else:
            self._coming = next(self._plans, None)
        self._put(plan, leader, t, x, v)

    def _put(self, plan: TruckPlan, leader: Truck | None, t: float, x: float, v: float) -> None:
        body = plan.length_m, plan.drawbar
        if body not in self._marks:
            self._marks[body] = thresholds(self.geometry, *body)
        truck = Truck(plan, self._marks[body], t, x, v)
        truck.leader = leader
        if leader is not None:
            leader.follower = truck
        self._lane.append(truck)
        truck.barred = not self.arm_up
        truck.go = self.lamp is Lamp.GREEN and truck.sees_lamp()
        self._out.append(WorldEvent(t, EventKind.ENTERED, plan.id, "", True, x, v))
        for _, mark, name in truck.marks[: truck.passed]:
            if mark is Mark.ZONE_ON or mark is Mark.ZONE_OFF:
                self._occupy(t, name, 1 if mark is Mark.ZONE_ON else -1, truck, x)
        self._replan(truck, t)
