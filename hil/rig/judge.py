"""What a run is judged by: the devices' own truth, never the agent's word. Latencies, wrong greens, and the bundles."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hil.oracles.wrong_green import Verdict, WrongGreenOracle
from hil.world.events import EventKind, WorldEvent

GREEN_POINT = 0
BEAM_BIT = 3
EXIT_BIT = 4


@dataclass(slots=True)
class Passage:
    """One truck of the world, as seen from outside. Times in world seconds, None while it has not happened."""

    truck: str
    kind: str
    entered: float
    requested: float | None = None
    decided: float | None = None
    verdict: str = ""
    green: float | None = None
    nose: float | None = None
    red: float | None = None
    tail_over_x: float | None = None
    left: float | None = None
    sealed: float | None = None
    bundle_id: str = ""
    outcome: str = ""
    stopped: bool = False


@dataclass(slots=True)
class Latencies:
    """Measured at the virtual devices, milliseconds."""

    decision_to_green: list[float] = field(default_factory=list)
    hold_to_red: list[float] = field(default_factory=list)
    nose_to_red: list[float] = field(default_factory=list)
    exit_to_delivered: list[float] = field(default_factory=list)

    def rows(self) -> list[tuple[str, int, float, float]]:
        """(name, count, median, maximum) of each that has any."""
        named = {
            "decision to GREEN at the module": self.decision_to_green,
            "officer's HOLD to RED at the module": self.hold_to_red,
            "nose over the line to RED at the module": self.nose_to_red,
            "tail over X to bundle durable at central": self.exit_to_delivered,
        }
        return [(name, len(v), statistics.median(v), max(v)) for name, v in named.items() if v]


class Judge:
    """Fed with world events, lamp changes, module events and release-service events, all in world seconds."""

    def __init__(self) -> None:
        self.oracle = WrongGreenOracle()
        self.passages: dict[str, Passage] = {}
        self.latencies = Latencies()
        self.truck_of: dict[str, str] = {}
        self._green_since: float | None = None
        self._green_for = ""
        self._beam_at: float | None = None
        self._held_at: float | None = None
        self.delivered: dict[str, float] = {}

    def arrive(self, truck: str, kind: str, t: float) -> None:
        """A truck has entered the lane."""
        self.passages[truck] = Passage(truck, kind, t)

    def world(self, event: WorldEvent) -> None:
        """A world event."""
        self.oracle.world([event])
        passage = self.passages.get(event.truck)
        if passage is None:
            return
        if event.kind is EventKind.NOSE and event.place == "S" and event.on and passage.nose is None:
            passage.nose = event.t
        elif event.kind is EventKind.STOPPED:
            passage.stopped = True
        elif event.kind in (EventKind.LEFT, EventKind.DIVERTED):
            passage.left = event.t

    def lamp(self, t: float, aspect: str) -> None:
        """The lamps of the module changed."""
        self.oracle.lamp(t, aspect)

    def module(self, t: float, event: Mapping[str, Any], first_upstream: str | None) -> None:
        """An event of the I/O module: coils are what was on the wire, inputs what the sensors felt."""
        if event["event"] == "coil" and event["point"] == GREEN_POINT:
            self._green_changed(t, bool(event["on"]), first_upstream)
        elif event["event"] == "input" and event["bit"] == BEAM_BIT and event["on"]:
            self._beam_at = t
        elif event["event"] == "input" and event["bit"] == EXIT_BIT and not event["on"]:
            # The exit loop is free again: the tail of whoever crossed the line first and is still counted inside.
            leaving = next((p for p in self.passages.values() if p.nose is not None and p.tail_over_x is None), None)
            if leaving is not None:
                leaving.tail_over_x = t

    def _green_changed(self, t: float, on: bool, first_upstream: str | None) -> None:
        if on:
            self._green_since, self._green_for = t, first_upstream or ""
            passage = self.passages.get(self._green_for)
            if passage is not None and passage.green is None:
                passage.green = t
                # Only a truck that needed nothing but the decision measures the way from decision to green.
                if passage.decided is not None and t - passage.decided < 1.0:
                    self.latencies.decision_to_green.append((t - passage.decided) * 1000)
            return
        if self._green_since is None:
            return
        if self._beam_at is not None and self._beam_at >= self._green_since:
            self.latencies.nose_to_red.append((t - self._beam_at) * 1000)
        elif self._held_at is not None and self._held_at >= self._green_since:
            self.latencies.hold_to_red.append((t - self._held_at) * 1000)
        passage = self.passages.get(self._green_for)
        if passage is not None:
            passage.red = t
        self._green_since = None

    def held(self, t: float) -> None:
        """An officer's HOLD left the officer's computer."""
        self._held_at = t
        self.oracle.lane_closed(t, "hold")

    def hold_cleared(self, t: float) -> None:
        """The hold has ended."""
        self.oracle.lane_opened(t, "hold")

    def officer_released(self, t: float, truck: str, lease_s: float) -> None:
        """An officer released this truck."""
        self.oracle.released(t, truck, t + lease_s)
        passage = self.passages.get(truck)
        if passage is not None:
            passage.verdict = passage.verdict or "officer"

    def release_service(self, t: float, event: Mapping[str, Any], truck: str | None) -> None:
        """An event of the release service; `truck` the one its rule was written for."""
        kind = event["event"]
        if kind == "bundle":
            self.delivered[str(event["bundle_id"])] = t
            return
        passage = self.passages.get(truck or "")
        if passage is None:
            return
        if kind == "request" and passage.requested is None:
            passage.requested = t
            self.truck_of[str(event["conveyance_id"])] = passage.truck
        elif kind == "decision":
            self._decide(t, event, passage)

    def _decide(self, t: float, event: Mapping[str, Any], passage: Passage) -> None:
        verdict = str(event["verdict"])
        if verdict == "release":
            self.oracle.released(t, passage.truck, t + float(event["ttl"]))
        else:
            self.oracle.revoked(t, passage.truck, verdict)
        passage.decided, passage.verdict = t, verdict

    def join(self, bundles: Sequence[tuple[str, str]]) -> None:
        """Give each truck its bundle: `bundles` are (bundle id, outcome) in the order of arrival."""
        for passage, (bundle_id, outcome) in zip(self.passages.values(), bundles, strict=False):
            passage.bundle_id, passage.outcome = bundle_id, outcome
            passage.sealed = self.delivered.get(bundle_id)
            if passage.sealed is not None and passage.tail_over_x is not None:
                self.latencies.exit_to_delivered.append((passage.sealed - passage.tail_over_x) * 1000)

    def verdicts(self, until: float) -> tuple[Verdict, ...]:
        """Every wrong green so far."""
        self.oracle.settle(until)
        return tuple(self.oracle.verdicts())
