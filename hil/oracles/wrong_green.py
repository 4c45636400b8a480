"""Was there ever a wrong green? Judged from the lamps, the world and the release side, not from the agent.

Wrong is a green that shows while the first truck upstream of S is not the one released; or longer than a limit after
the grantee's nose crossed S; or beyond the revocation bound; or with no live decision; or before the tail of the truck
ahead has cleared S. The one green that is for nobody is a signal test's, and only while no truck is between A and S.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hil.world.events import EventKind, WorldEvent

_EPS = 1e-9


class Rule(StrEnum):
    """The ways in which a green can be wrong."""

    WRONG_CONVEYANCE = "wrong_conveyance"
    NO_CONVEYANCE = "no_conveyance"
    NO_LIVE_DECISION = "no_live_decision"
    AFTER_NOSE = "after_nose"
    BEYOND_REVOCATION = "beyond_revocation"
    TAIL_NOT_CLEAR = "tail_not_clear"
    TEST_BEFORE_SOMEBODY = "test_before_somebody"


@dataclass(frozen=True, slots=True)
class Limits:
    """`after_nose_s`: how long green may outlive the nose over S (0.3 on Modbus TCP). `revocation_s`: how long it may
    outlive the decision, the hold or the expiry that ends it."""

    after_nose_s: float = 0.3
    revocation_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One wrong green: when it became wrong, by which rule, in words (trucks by their world id)."""

    t: float
    rule: Rule
    text: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Greens that began, the seconds they lasted, and how many were for which truck ('' when for none)."""

    greens: int
    green_s: float
    by_truck: Mapping[str, int]


@dataclass(slots=True)
class _Release:
    """A release as the release side knows it: live from `since` until `until`; `ended` says why it ended."""

    since: float
    until: float
    ended: str = "expired"


@dataclass(slots=True)
class _Green:
    """The green that shows. `due` has, per rule, when it must have gone and why."""

    since: float
    grantee: str
    due: dict[str, tuple[float, Rule, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class _Fact:
    """A fact in time. At one instant what withdraws or changes the world comes before what lights green."""

    t: float
    rank: int
    number: int
    kind: str = field(compare=False)
    name: str = field(compare=False, default="")
    value: float = field(compare=False, default=0.0)
    text: str = field(compare=False, default="")


class WrongGreenOracle:
    """Feed it facts in any order, then `settle`: what lies before is judged, in order of time, once.

    A truck's release must be told by whoever answered (`released`, `revoked`), lane-wide reasons against green
    (hold, link lost, agent killed) by whoever caused them.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._facts: list[_Fact] = []
        self._number = 0
        self._settled = float("-inf")
        self._upstream: list[str] = []
        self._over_line: list[str] = []
        self._crossed: dict[str, float] = {}
        self._releases: dict[str, _Release] = {}
        self._served: set[str] = set()
        self._closed: dict[str, tuple[float, str]] = {}
        self._in_sight: set[str] = set()
        self._testing = False
        self._green: _Green | None = None
        self._verdicts: list[Verdict] = []
        self._greens = 0
        self._green_s = 0.0
        self._by_truck: dict[str, int] = {}

    def lamp(self, t: float, aspect: str) -> None:
        """The device changed to `aspect` at `t`."""
        self._note(t, 2 if aspect == "green" else 0, "lamp", aspect)

    def world(self, events: Iterable[WorldEvent]) -> None:
        """What the world told. Its own lamp events are not used: the device's count."""
        for event in events:
            if event.kind in (EventKind.ENTERED, EventKind.LEFT, EventKind.DIVERTED):
                self._note(event.t, 1, event.kind.value, event.truck, event.x_m)
            elif event.kind in (EventKind.NOSE, EventKind.TAIL) and event.place == "S":
                self._note(event.t, 1, event.kind.value, event.truck, 1.0 if event.on else -1.0)
            elif event.kind is EventKind.NOSE and event.place == "A":
                self._note(event.t, 1, "arrived", event.truck, 1.0 if event.on else -1.0)

    def released(self, t: float, truck: str, until: float = float("inf")) -> None:
        """The centre or an officer released this truck, until `until` at most."""
        self._note(t, 1, "released", truck, until)

    def revoked(self, t: float, truck: str, why: str = "revoked") -> None:
        """Its release was withdrawn."""
        self._note(t, 1, "revoked", truck, 0.0, why)

    def lane_closed(self, t: float, why: str, bound_s: float | None = None, truck: str = "") -> None:
        """From `t` on nobody may have green, or not this `truck`, for this reason; a green that shows may last
        `bound_s` (default: the revocation bound)."""
        self._note(t, 1, "closed", why, self._limits.revocation_s if bound_s is None else bound_s, truck)

    def lane_opened(self, t: float, why: str) -> None:
        """This reason no longer holds."""
        self._note(t, 1, "opened", why)

    def signal_test(self, t: float, *, on: bool) -> None:
        """From `t` on the head is tested in a closed lane, or no longer."""
        self._note(t, 1, "test", "", float(on))

    def settle(self, until: float) -> list[Verdict]:
        """Judge everything up to `until` (world seconds) and return the new verdicts. ValueError when a fact was fed
        that is older than what is already judged."""
        before = len(self._verdicts)
        while self._facts and self._facts[0].t <= until:
            fact = heapq.heappop(self._facts)
            self._check_due(fact.t)
            self._apply(fact)
        self._check_due(until)
        self._settled = max(self._settled, until)
        return self._verdicts[before:]

    def verdicts(self) -> list[Verdict]:
        """Every wrong green found so far."""
        return list(self._verdicts)

    def counts(self) -> Counts:
        """Exact figures up to what was settled; a green that still shows counts its time so far."""
        running = self._settled - self._green.since if self._green is not None else 0.0
        return Counts(self._greens, self._green_s + running, dict(self._by_truck))

    def _note(self, t: float, rank: int, kind: str, name: str, value: float = 0.0, text: str = "") -> None:
        if t < self._settled:
            raise ValueError(f"a fact of {t} came after everything until {self._settled} was judged")
        self._number += 1
        heapq.heappush(self._facts, _Fact(t, rank, self._number, kind, name, value, text))

    def _apply(self, fact: _Fact) -> None:
        match fact.kind:
            case "lamp":
                self._change_lamp(fact.t, fact.name == "green")
            case "entered":
                self._enter(fact.name, fact.value)
            case "left" | "diverted":
                self._depart(fact.t, fact.name)
            case "nose":
                self._cross(fact.t, fact.name, fact.value > 0.0)
            case "tail":
                self._tail(fact.name, fact.value > 0.0)
            case "released":
                self._release(fact.t, fact.name, fact.value)
            case "revoked":
                self._revoke(fact.t, fact.name, fact.text)
            case _:
                self._apply_to_lane(fact)

    def _apply_to_lane(self, fact: _Fact) -> None:
        match fact.kind:
            case "arrived":
                self._arrive(fact.t, fact.name, fact.value > 0.0)
            case "test":
                self._test(fact.t, fact.value > 0.0)
            case "closed":
                self._closed[fact.name] = (fact.t + fact.value, fact.text)
                self._owe_closed(fact.name)
            case _:
                self._closed.pop(fact.name, None)
                if self._green is not None:
                    self._green.due.pop(f"closed {fact.name}", None)

    def _check_due(self, t: float) -> None:
        """A green that still shows at `t` has outlived every bound before it."""
        if self._green is None:
            return
        for key, (due, rule, text) in list(self._green.due.items()):
            if t > due + _EPS:
                del self._green.due[key]
                self._verdicts.append(Verdict(due, rule, text))

    def _owe(self, key: str, due: float, rule: Rule, text: str) -> None:
        """The green that shows, if any, must be gone by `due`; an earlier bound of the same kind stands."""
        if self._green is not None and key not in self._green.due:
            self._green.due[key] = (due, rule, text)

    def _change_lamp(self, t: float, green: bool) -> None:
        if not green:
            if self._green is not None:
                self._green_s += t - self._green.since
                self._green = None
            return
        if self._green is not None:
            return
        self._greens += 1
        if self._testing:
            self._green = _Green(t, "")
            if self._in_sight:
                text = f"green of a signal test before {', '.join(sorted(self._in_sight))}"
                self._owe("start", t, Rule.TEST_BEFORE_SOMEBODY, text)
            return
        grantee = self._grantee(t)
        self._by_truck[grantee] = self._by_truck.get(grantee, 0) + 1
        self._green = _Green(t, grantee)
        self._judge_start(t, grantee)
        for why in self._closed:
            self._owe_closed(why)

    def _owe_closed(self, why: str) -> None:
        due, truck = self._closed[why]
        if self._green is not None and truck in ("", self._green.grantee):
            self._owe(f"closed {why}", due, Rule.BEYOND_REVOCATION, f"lane closed: {why}")

    def _arrive(self, t: float, truck: str, downstream: bool) -> None:
        if not downstream:
            self._in_sight.discard(truck)
            return
        self._in_sight.add(truck)
        if self._testing:
            text = f"green of a signal test after {truck} came"
            self._owe("arrived", t + self._limits.after_nose_s, Rule.TEST_BEFORE_SOMEBODY, text)

    def _test(self, t: float, on: bool) -> None:
        self._testing = on
        if not on and self._green is not None and not self._green.grantee:
            self._owe("test over", t + self._limits.revocation_s, Rule.NO_CONVEYANCE, "green outlived its signal test")

    def _grantee(self, t: float) -> str:
        """Whom a green that begins now is for: the first upstream of S, or, when the two met within the limit, the
        released truck whose nose has just crossed and which had no green yet."""
        for truck, crossed in self._crossed.items():
            if t - crossed <= self._limits.after_nose_s and truck not in self._served and self._live(truck, crossed):
                return truck
        return self._upstream[0] if self._upstream else ""

    def _judge_start(self, t: float, grantee: str) -> None:
        if not grantee:
            self._owe("start", t, Rule.NO_CONVEYANCE, "green with nobody upstream of S")
            return
        self._served.add(grantee)
        if grantee in self._crossed:
            self._owe_nose(self._crossed[grantee], grantee)
            return
        if self._over_line:
            ahead = self._over_line[-1]
            self._owe("tail", t, Rule.TAIL_NOT_CLEAR, f"green for {grantee} while the tail of {ahead} is not over S")
        release = self._releases.get(grantee)
        if release is None:
            other = next((truck for truck in self._upstream if self._live(truck, t)), None)
            if other is not None:
                text = f"green while {grantee} is first upstream of S; {other} is released"
                self._owe("start", t, Rule.WRONG_CONVEYANCE, text)
            else:
                self._owe("start", t, Rule.NO_LIVE_DECISION, f"green for {grantee}, which was never released")
            return
        self._owe_release(grantee, release)

    def _owe_release(self, truck: str, release: _Release) -> None:
        if release.until < float("inf"):
            due = release.until + self._limits.revocation_s
            rule = Rule.BEYOND_REVOCATION if self._green_began_before(release.until) else Rule.NO_LIVE_DECISION
            self._owe("release", due, rule, f"green for {truck}: release {release.ended} at {release.until:.3f}")

    def _green_began_before(self, t: float) -> bool:
        return self._green is not None and self._green.since <= t + _EPS

    def _owe_nose(self, crossed: float, truck: str) -> None:
        text = f"green over {self._limits.after_nose_s} s after the nose of {truck} crossed S"
        self._owe("nose", crossed + self._limits.after_nose_s, Rule.AFTER_NOSE, text)

    def _live(self, truck: str, t: float) -> bool:
        release = self._releases.get(truck)
        return release is not None and release.since <= t <= release.until

    def _enter(self, truck: str, x_m: float) -> None:
        if x_m < 0.0:
            self._upstream.append(truck)
        else:
            self._over_line.append(truck)

    def _depart(self, t: float, truck: str) -> None:
        self._in_sight.discard(truck)
        if truck in self._upstream:
            self._upstream.remove(truck)
            self._grantee_gone(t, truck)
        if truck in self._over_line:
            self._over_line.remove(truck)
        for gone in (self._releases, self._crossed):
            gone.pop(truck, None)
        self._served.discard(truck)

    def _grantee_gone(self, t: float, truck: str) -> None:
        if self._green is not None and self._green.grantee == truck:
            due = t + self._limits.revocation_s
            self._owe("gone", due, Rule.WRONG_CONVEYANCE, f"green for {truck}, which left the lane upstream of S")

    def _cross(self, t: float, truck: str, downstream: bool) -> None:
        if downstream:
            if truck in self._upstream:
                self._upstream.remove(truck)
            self._in_sight.discard(truck)
            self._over_line.append(truck)
            self._crossed[truck] = t
            if self._green is not None and self._green.grantee == truck:
                self._owe_nose(t, truck)
            elif self._green is not None:
                text = f"{truck} crossed S on a green for {self._green.grantee or 'nobody'}"
                self._owe("crossed by other", t, Rule.WRONG_CONVEYANCE, text)
            return
        # Backed over the line: first again, and its release was used up by crossing.
        if truck in self._over_line:
            self._over_line.remove(truck)
        self._upstream.insert(0, truck)
        self._in_sight.add(truck)
        self._crossed.pop(truck, None)
        self._releases.pop(truck, None)
        self._served.discard(truck)
        if self._green is not None and self._green.grantee != truck:
            due = t + self._limits.revocation_s
            text = f"green for {self._green.grantee} while {truck} has backed over S and is first"
            self._owe("backed", due, Rule.WRONG_CONVEYANCE, text)

    def _tail(self, truck: str, downstream: bool) -> None:
        if downstream and truck in self._over_line:
            self._over_line.remove(truck)
        elif not downstream and truck not in self._over_line:
            self._over_line.append(truck)

    def _release(self, t: float, truck: str, until: float) -> None:
        self._releases[truck] = _Release(t, until)
        if self._green is not None and self._green.grantee == truck:
            self._green.due.pop("release", None)
            self._owe_release(truck, self._releases[truck])

    def _revoke(self, t: float, truck: str, why: str) -> None:
        release = self._releases.get(truck)
        if release is None or release.until <= t:
            return
        release.until, release.ended = t, why
        if self._green is not None and self._green.grantee == truck:
            self._green.due.pop("release", None)
            self._owe_release(truck, release)
