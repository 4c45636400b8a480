"""A lane that does everything right, to try worlds, scenarios and oracles with: it knows what the world knows."""

import bisect
from collections.abc import Callable, Iterable

from hil.oracles.wrong_green import WrongGreenOracle
from hil.world.events import EventKind, TruckState, WorldEvent
from hil.world.faults import Happening, Schedule, Verb
from hil.world.geometry import commit_distance_m
from hil.world.rf import AirRead
from hil.world.rules import Answer, ReleaseRule, Verdict, answers
from hil.world.world import World

IDENTIFY_S = 1.6
WATCHDOG_S = 1.8


class PerfectLane:
    """Runs a world to an end, turning the lamp as an agent without fault or delay would."""

    def __init__(
        self,
        world: World,
        rule_of: Callable[[str], ReleaseRule],
        happenings: Iterable[Happening] = (),
        officer_after_s: float | None = None,
    ) -> None:
        self.world = world
        self.oracle = WrongGreenOracle()
        self.events: list[WorldEvent] = []
        self.reads: list[AirRead] = []
        self.green_for: list[str] = []
        self._rule_of = rule_of
        self._schedule = Schedule(happenings)
        self._officer_after_s = officer_after_s
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._requested: set[str] = set()
        self._live: dict[str, float] = {}
        self._blocked: set[str] = set()
        self._with_reads = False

    def block(self, why: str) -> None:
        """No green until this reason is gone."""
        self._blocked.add(why)

    def run(self, until: float, with_reads: bool = False) -> "PerfectLane":
        """Move to `until`, or to the end of all traffic."""
        self._with_reads = with_reads
        while (t := self._next(until)) is not None:
            self._step(t)
        self._step(until)
        self.oracle.settle(until)
        return self

    def _next(self, until: float) -> float | None:
        times = [self.world.next_change(), self._schedule.next_time(), self._timers[0][0] if self._timers else None]
        known = [t for t in times if t is not None and t <= until]
        return min(known) if known else None

    def _step(self, t: float) -> None:
        if self._with_reads:
            self.reads.extend(self.world.next_tag_reads(self.world.now, t))
        self._take(self.world.advance(t))
        while self._timers and self._timers[0][0] <= t:
            self._timers.pop(0)[2](t)
        for happening in self._schedule.due(t):
            self._do(t, happening)
        self._rule(t)

    def _take(self, events: list[WorldEvent]) -> None:
        self.events += events
        self._schedule.saw(events)
        self.oracle.world(events)
        for event in events:
            if event.kind is EventKind.NOSE and event.on and event.place == "A":
                self._at(event.t + IDENTIFY_S, lambda t, truck=event.truck: self._request(t, truck))  # type: ignore[misc]
            elif event.kind is EventKind.NOSE and event.place == "S":
                self._live.pop(event.truck, None)
                self._show(event.t, "red")
            elif event.kind is EventKind.STOPPED and event.x_m < 0.0:
                self._request(event.t, event.truck)
                if self._officer_after_s is not None:
                    due = event.t + self._officer_after_s
                    self._at(due, lambda t, truck=event.truck: self._officer(t, truck))  # type: ignore[misc]

    def _at(self, t: float, do: Callable[[float], None]) -> None:
        self._number += 1
        bisect.insort(self._timers, (t, self._number, do), key=lambda timer: timer[:2])

    def _request(self, t: float, truck: str) -> None:
        if "centre" in self._blocked or "agent" in self._blocked:
            self._at(t + 1.0, lambda later: self._request(later, truck))
        elif truck not in self._requested:
            self._requested.add(truck)
            for answer in answers(self._rule_of(truck), t):
                self._at(answer.t, lambda _, answer=answer: self._answered(truck, answer))  # type: ignore[misc]

    def _answered(self, truck: str, answer: Answer) -> None:
        if answer.verdict is Verdict.RELEASE:
            self._grant(answer.t, truck, answer.until)
        else:
            self._live.pop(truck, None)
            self.oracle.revoked(answer.t, truck)

    def _grant(self, t: float, truck: str, until: float) -> None:
        self._live[truck] = until
        self.oracle.released(t, truck, until)

    def _officer(self, t: float, truck: str) -> None:
        """Releases the held and the unanswered at the line, sends the others out of the lane."""
        view = next((view for view in self.world.trucks() if view.id == truck), None)
        if view is None or view.state is not TruckState.STANDING or self.world.first_upstream() != truck:
            return
        if self._rule_of(truck).verdict in (Verdict.REFER_SECONDARY, Verdict.REFUSE_RETURN):
            self.world.direct(truck, "side")
        else:
            self._grant(t, truck, t + 60.0)

    def _do(self, t: float, happening: Happening) -> None:
        truck = str(happening.args.get("truck", ""))
        closes = {
            Verb.HOLD_LANE: ("hold", 0.3),
            Verb.CENTRE_DOWN: ("centre", 3.5),
            Verb.KILL_AGENT: ("agent", 2.0),
            Verb.LAMP_FEEDBACK_MISSING: ("feedback", 0.5),
        }
        opens = {
            Verb.CLEAR_HOLD: "hold",
            Verb.CENTRE_UP: "centre",
            Verb.START_AGENT: "agent",
            Verb.CLEAR_FAULT: "feedback",
            Verb.CONFIRM_ORDER: "order",
        }
        if happening.verb in closes:
            why, bound_s = closes[happening.verb]
            self._blocked.add(why)
            self.oracle.lane_closed(t, why, bound_s)
        elif happening.verb in opens:
            self._blocked.discard(opens[happening.verb])
            self.oracle.lane_opened(t, opens[happening.verb])
        elif happening.verb is Verb.RELEASE_CONVEYANCE:
            self._grant(t, truck, t + 60.0)
        elif happening.verb is Verb.DIRECT_TRUCK:
            self.world.direct(truck, str(happening.args["way"]))

    def _rule(self, t: float) -> None:
        first = self.world.first_upstream()
        if self.world.lamp == "green":
            if self._blocked == {"agent"}:
                self._at(t + WATCHDOG_S, lambda later: self._show(later, "red"))
            elif self._blocked or first is None or self._live.get(first, -1.0) <= t:
                self._show(t, "red")
        elif first is not None and not self._blocked and self._live.get(first, -1.0) > t and self._may_start(first):
            self.green_for.append(first)
            self._show(t, "green")

    def _may_start(self, truck: str) -> bool:
        zones = self.world.zones()
        view = next(view for view in self.world.trucks() if view.id == truck)
        stands = view.state is TruckState.STANDING and view.nose_m > -2.5
        rolls = view.nose_m < -commit_distance_m(max(view.v_mps, 0.0)) and view.state is TruckState.MOVING
        clear = not any(zones[zone] for zone in self.world.geometry.line_zones)
        return clear and view.nose_m >= -60.0 and (stands or rolls)

    def _show(self, t: float, aspect: str) -> None:
        if self.world.lamp != aspect:
            self.world.set_lamp(aspect)
            self.oracle.lamp(t, aspect)
