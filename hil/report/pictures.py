"""The timelines of a run: sealed records say what the agent knew and did, world and lamps what was."""

from collections.abc import Iterator, Mapping, Sequence

from hil.report.timeline import Bar, Ink, Mark, Row, Timeline
from hil.rig.run_record import RunRecord, Sealed
from hil.world.events import EventKind
from hil.world.faults import OFFICER_VERBS, Happening

_MARGIN_S = 2.0
_SENSORS: Mapping[str, str] = {
    "zone_a": "loop A (advance)",
    "zone_d": "loop D (decision)",
    "zone_s": "loop S (stop)",
    "stop_line_beam": "beam at the line",
    "stop_line_loop": "loop at the line",
    "stop_line_curtain_1": "light curtain, output 1",
    "stop_line_curtain_2": "light curtain, output 2",
    "zone_x": "loop X (exit)",
}
_LEGS: Mapping[str, str] = {"driver_card": "driver card", "transponder": "transponder"}
_LIGHT: Mapping[str, Ink] = {"green": Ink.GREEN, "amber": Ink.AMBER, "red": Ink.RED}


def timelines(run: RunRecord, *, unsealed: bool = False) -> tuple[Timeline, ...]:
    """One for every sealed record of a run, in the order they were sealed; `unsealed`: then for those of the vehicles
    that were still in the lane."""
    records = [*run.sealed, *(run.unsealed if unsealed else ())]
    return tuple(_Picture(run, record).drawn() for record in records)


class _Picture:
    def __init__(self, run: RunRecord, record: Sealed) -> None:
        self._run = run
        self._truck = record.truck
        self._record = record
        mine = [event.t for event in run.events if event.truck == record.truck and record.truck]
        ended = record.ended if record.ended is not None else run.until_s
        self._from_s = max(0.0, min([*mine, record.detected]) - _MARGIN_S)
        self._to_s = max([*mine, ended]) + _MARGIN_S

    def drawn(self) -> Timeline:
        """The whole picture."""
        rows = [
            *self._sensors(),
            *self._identity(),
            self._requests(),
            self._decisions(),
            self._light("commanded", [(light.t, light.commanded) for light in self._record.lights]),
            self._light("confirmed", [(light.t, light.confirmed) for light in self._record.lights]),
            self._lamp(),
        ]
        return Timeline(
            f"{self._truck or 'nobody'}: {self._outcome()}", tuple(self._facts()), self._from_s, self._to_s,
            tuple(rows), tuple(sorted(self._events(), key=lambda mark: mark.t)),
        )  # fmt: skip

    def _outcome(self) -> str:
        return _plain(self._record.outcome) if self._record.outcome else "not ended"

    def _facts(self) -> Iterator[str]:
        record = self._record
        if record.speed_kmh:
            yield f"{record.speed_kmh:.0f} km/h"
        if record.length_m:
            yield f"{record.length_m:.0f} m long"
        yield f"{record.stops} stop{'' if record.stops == 1 else 's'}"
        if record.flags:
            yield "flags: " + ", ".join(_plain(flag) for flag in record.flags)

    def _sensors(self) -> Iterator[Row]:
        edges = [e for e in self._run.events if e.kind is EventKind.ZONE]
        for zone in self._run.sensors:
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
            seen = [read for read in self._record.reads if read.kind == kind]
            tokens = list(dict.fromkeys(read.token for read in seen)) or [""]
            for number, token in enumerate(tokens, start=1):
                mine = [read for read in seen if read.token == token]
                bars = [Bar(read.first, read.last, Ink.IDENTITY, f"{read.reads} reads") for read in mine]
                marks = tuple(Mark(r.assigned, Ink.IDENTITY, "assigned") for r in mine if r.assigned is not None)
                called = f"{name} {number}" if len(tokens) > 1 else name
                yield Row("identity", called, self._inside(bars), marks)

    def _requests(self) -> Row:
        marks = tuple(
            Mark(t, Ink.REQUEST, "complete" if complete else "incomplete") for t, complete in self._record.requests
        )
        return Row("release service", "request", (), marks)

    def _decisions(self) -> Row:
        decisions = self._record.decisions
        left = min(self._to_s, self._record.ended) if self._record.ended is not None else self._to_s
        bars = []
        for number, decision in enumerate(decisions):
            until = min(left, decision.until)
            if number + 1 < len(decisions):
                until = min(until, decisions[number + 1].t)
            who = "officer: " if decision.by_officer else ""
            ink = Ink.RELEASE if decision.verdict == "release" else Ink.REFUSAL
            bars.append(Bar(decision.t, max(decision.t, until), ink, who + _plain(decision.verdict)))
        return Row("release service", "decision", self._inside(bars))

    def _light(self, name: str, changes: Sequence[tuple[float, str]]) -> Row:
        """While it was first in order: before and after that the light was another's."""
        bars = []
        for number, (t, aspect) in enumerate(changes):
            until = changes[number + 1][0] if number + 1 < len(changes) else self._first_until()
            bars.append(Bar(t, until, _LIGHT.get(aspect, Ink.DARK), _plain(aspect)))
        return Row("light", name, self._inside(bars))

    def _first_until(self) -> float:
        return self._record.over_line if self._record.over_line is not None else self._to_s

    def _lamp(self) -> Row:
        shown = [(0.0, "red"), *self._run.shown]
        ends = [*(t for t, _ in shown[1:]), self._to_s]
        bars = [Bar(t, end, _LIGHT.get(a, Ink.DARK), _plain(a)) for (t, a), end in zip(shown, ends, strict=True)]
        return Row("light", "lamp drivers see", self._inside(bars))

    def _events(self) -> Iterator[Mark]:
        yield from self._moments()
        for t, happened in self._run.happened:
            if self._from_s <= t <= self._to_s and happened.verb not in OFFICER_VERBS:
                yield Mark(t, Ink.FAULT, _told(happened))
        for act in self._run.acts:
            if self._from_s <= act.t <= self._to_s and act.truck in ("", self._truck):
                refused = "" if act.result == "OK" else f" ({_plain(act.result) or act.message})"
                yield Mark(act.t, Ink.ACT, f"officer: {_plain(act.verb.value)}{refused}")
        for verdict in self._run.wrong:
            if self._from_s <= verdict.t <= self._to_s:
                yield Mark(verdict.t, Ink.FAULT, f"WRONG GREEN: {_plain(verdict.rule.value)}")

    def _moments(self) -> Iterator[Mark]:
        for event in self._run.events:
            if event.truck == self._truck and event.kind is EventKind.NOSE and event.place == "S" and event.on:
                yield Mark(event.t, Ink.LIMIT, "nose over the line")
        if self._record.committed is not None:
            yield Mark(self._record.committed, Ink.LIMIT, "inside the commit distance")
        released = False
        for decision in self._record.decisions:
            if released and decision.verdict != "release":
                yield Mark(decision.t, Ink.FAULT, f"release revoked: {_plain(decision.verdict)}")
            released = decision.verdict == "release"

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


def _plain(word: str) -> str:
    return (word or "unknown").replace("_", " ")
