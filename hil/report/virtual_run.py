"""The timelines of a run on the virtual clock: sealed records say what the agent knew and did, the world what was."""

from collections.abc import Iterator, Mapping

from drivers.api import Aspect, Stamp
from edge_agent.model.conveyance import SignalEvent
from edge_agent.model.decision import Authority, Verdict
from edge_agent.model.identity import IdentityKind
from hil.report.timeline import Bar, Ink, Mark, Row, Timeline
from hil.rig.virtual_lane import Passage, VirtualLane
from hil.world.events import EventKind
from hil.world.faults import OFFICER_VERBS, Happening
from hil.world.geometry import ZONES

_MARGIN_S = 2.0
_SENSORS: Mapping[str, str] = {
    "zone_a": "loop A (advance)",
    "zone_d": "loop D (decision)",
    "zone_s": "loop S (stop)",
    "stop_line_beam": "beam at the line",
    "zone_x": "loop X (exit)",
}
_LEGS: Mapping[IdentityKind, str] = {
    IdentityKind.DRIVER_CARD: "driver card",
    IdentityKind.TRANSPONDER: "transponder",
}
_LIGHT: Mapping[Aspect | None, Ink] = {Aspect.GREEN: Ink.GREEN, Aspect.AMBER: Ink.AMBER, Aspect.RED: Ink.RED}


def timelines(lane: VirtualLane, *, unsealed: bool = False) -> tuple[Timeline, ...]:
    """One for every sealed record of a lane that has ended, in the order they were sealed; `unsealed`: then for those
    of the vehicles that were still in it."""
    passages = [*lane.sealed(), *(lane.unsealed() if unsealed else ())]
    return tuple(_Picture(lane, passage).drawn() for passage in passages)


class _Picture:
    def __init__(self, lane: VirtualLane, passage: Passage) -> None:
        self._lane = lane
        self._truck = passage.truck
        self._record = passage.conveyance
        mine = [event.t for event in lane.events if event.truck == passage.truck and passage.truck]
        ended = self._s(self._record.ended) if self._record.ended is not None else lane.now_s
        self._from_s = max(0.0, min([*mine, self._s(self._record.detected)]) - _MARGIN_S)
        self._to_s = max([*mine, ended]) + _MARGIN_S

    def drawn(self) -> Timeline:
        """The whole picture."""
        rows = [
            *self._sensors(),
            *self._identity(),
            self._requests(),
            self._decisions(),
            self._light("commanded", [(e, e.commanded) for e in self._record.signals]),
            self._light("confirmed", [(e, e.confirmed) for e in self._record.signals]),
            self._lamp(),
        ]
        return Timeline(
            f"{self._truck or 'nobody'}: {self._outcome()}", tuple(self._facts()), self._from_s, self._to_s,
            tuple(rows), tuple(sorted(self._events(), key=lambda mark: mark.t)),
        )  # fmt: skip

    def _s(self, stamp: Stamp) -> float:
        return stamp.mono_ns / 1e9 - self._lane.began_s

    def _outcome(self) -> str:
        return _plain(self._record.outcome.value) if self._record.outcome is not None else "not ended"

    def _facts(self) -> Iterator[str]:
        record = self._record
        if record.speed_kmh:
            yield f"{record.speed_kmh:.0f} km/h"
        if record.length_m:
            yield f"{record.length_m:.0f} m long"
        yield f"{record.stops} stop{'' if record.stops == 1 else 's'}"
        if record.flags:
            yield "flags: " + ", ".join(_plain(flag.value) for flag in record.flags)

    def _sensors(self) -> Iterator[Row]:
        edges = [e for e in self._lane.events if e.kind is EventKind.ZONE]
        for zone in ZONES:
            bars, since, mine = [], 0.0, False
            for event in (e for e in edges if e.place == zone):
                if event.on:
                    since, mine = event.t, event.truck == self._truck
                elif mine:
                    bars.append(Bar(since, event.t, Ink.SENSOR))
                    mine = False
            if mine:
                bars.append(Bar(since, self._to_s, Ink.SENSOR))
            yield Row("sensors", _SENSORS[zone], self._inside(bars))

    def _identity(self) -> Iterator[Row]:
        """A row for each card or transponder."""
        for kind, name in _LEGS.items():
            seen = [a for a in self._record.assignments if a.sighting.claim.kind is kind]
            tokens = list(dict.fromkeys(a.sighting.claim.token for a in seen)) or [""]
            for number, token in enumerate(tokens, start=1):
                mine = [a for a in seen if a.sighting.claim.token == token]
                bars = [
                    Bar(self._s(a.sighting.first), self._s(a.sighting.last), Ink.IDENTITY, f"{a.sighting.reads} reads")
                    for a in mine
                ]
                marks = tuple(Mark(self._s(a.at), Ink.IDENTITY, "assigned") for a in mine)
                called = f"{name} {number}" if len(tokens) > 1 else name
                yield Row("identity", called, self._inside(bars), marks)

    def _requests(self) -> Row:
        marks = tuple(
            Mark(self._s(made.at), Ink.REQUEST, "complete" if made.complete else "incomplete")
            for made in self._record.requests
        )
        return Row("release service", "request", (), marks)

    def _decisions(self) -> Row:
        decisions = self._record.decisions
        left = min(self._to_s, self._s(self._record.ended)) if self._record.ended is not None else self._to_s
        bars = []
        for number, decision in enumerate(decisions):
            since = self._s(decision.received)
            until = min(left, decision.deadline_mono_ns / 1e9 - self._lane.began_s)
            if number + 1 < len(decisions):
                until = min(until, self._s(decisions[number + 1].received))
            who = "" if decision.authority is Authority.SYSTEM else "officer: "
            ink = Ink.RELEASE if decision.verdict is Verdict.RELEASE else Ink.REFUSAL
            bars.append(Bar(since, max(since, until), ink, who + _plain(decision.verdict.value)))
        return Row("release service", "decision", self._inside(bars))

    def _light(self, name: str, events: list[tuple[SignalEvent, Aspect | None]]) -> Row:
        """While it was first in order: before and after that the light was another's."""
        bars = []
        for number, (event, aspect) in enumerate(events):
            until = self._s(events[number + 1][0].at) if number + 1 < len(events) else self._first_until()
            bars.append(Bar(self._s(event.at), until, _LIGHT.get(aspect, Ink.DARK), _plain(aspect)))
        return Row("light", name, self._inside(bars))

    def _first_until(self) -> float:
        times = self._record.times
        return self._s(times.s_tail) if times.s_tail is not None else self._to_s

    def _lamp(self) -> Row:
        shown = [(0.0, Aspect.RED), *self._lane.shown]
        ends = [*(t for t, _ in shown[1:]), self._to_s]
        bars = [Bar(t, end, _LIGHT.get(a, Ink.DARK), _plain(a)) for (t, a), end in zip(shown, ends, strict=True)]
        return Row("light", "lamp drivers see", self._inside(bars))

    def _events(self) -> Iterator[Mark]:
        yield from self._moments()
        for t, happened in self._lane.happened:
            if self._from_s <= t <= self._to_s and happened.verb not in OFFICER_VERBS:
                yield Mark(t, Ink.FAULT, _told(happened))
        for act in self._lane.acts:
            if self._from_s <= act.t <= self._to_s and act.truck in ("", self._truck):
                refused = "" if act.result == "OK" else f" ({_plain(act.result) or act.message})"
                yield Mark(act.t, Ink.ACT, f"officer: {_plain(act.verb.value)}{refused}")
        for verdict in self._lane.wrong:
            if self._from_s <= verdict.t <= self._to_s:
                yield Mark(verdict.t, Ink.FAULT, f"WRONG GREEN: {_plain(verdict.rule.value)}")

    def _moments(self) -> Iterator[Mark]:
        for event in self._lane.events:
            if event.truck == self._truck and event.kind is EventKind.NOSE and event.place == "S" and event.on:
                yield Mark(event.t, Ink.LIMIT, "nose over the line")
        if self._record.committed is not None:
            yield Mark(self._s(self._record.committed), Ink.LIMIT, "inside the commit distance")
        released = False
        for decision in self._record.decisions:
            if released and decision.verdict is not Verdict.RELEASE:
                yield Mark(self._s(decision.received), Ink.FAULT, f"release revoked: {_plain(decision.verdict.value)}")
            released = decision.verdict is Verdict.RELEASE

    def _inside(self, bars: list[Bar]) -> tuple[Bar, ...]:
        cut = (
            Bar(max(bar.from_s, self._from_s), min(bar.to_s, self._to_s), bar.ink, bar.label)
            for bar in bars
            if bar.to_s >= self._from_s and bar.from_s <= self._to_s
        )
        return tuple(cut)


def _told(happened: Happening) -> str:
    words = " ".join(_plain(str(value)) for value in happened.args.values() if not isinstance(value, bool))
    return f"{_plain(happened.verb.value)} {words}".strip()


def _plain(word: str | None) -> str:
    return (word or "unknown").replace("_", " ")
