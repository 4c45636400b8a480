"""From a failing seed to a short story: what is not needed for the finding is left out, faults first, then trucks."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hil.days.day import FRESH, Day, Without
from hil.days.plan import DayPlan, Finding, finding_of
from hil.report.page import Page, write_page
from hil.report.pictures import timelines
from hil.rig import story_judge
from hil.rig.virtual_record import record_of
from hil.world.events import EventKind

T = TypeVar("T")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Story:
    """A day with as little in it as still shows the finding."""

    plan: DayPlan
    finding: Finding
    without: Without
    day: Day
    found: tuple[str, ...]


class NothingWrong(Exception):
    """The seed's day shows nothing of the kind."""


def shrink(plan: DayPlan, finding: Finding | None = None, tell: Tell = lambda _line: None) -> Story:
    """The shortest story of this finding (default: the first of the day). NothingWrong when there is none."""
    day = plan.run()
    found = plan.complaints(day)
    wanted = finding if finding is not None else next((finding_of(words) for words in found), None)
    if wanted is None or not _of(wanted, found):
        sought = wanted.value.replace("_", " ") if wanted is not None else "fault"
        raise NothingWrong(f"the day of seed {plan.seed} shows no {sought}")
    tell(f"seed {plan.seed}: {_of(wanted, found)[0]}")
    return _Shrinker(plan, wanted, _of(wanted, found)[0], tell).shrunk(day)


class _Shrinker:
    def __init__(self, plan: DayPlan, wanted: Finding, example: str, tell: Tell) -> None:
        self._plan = plan
        self._wanted = wanted
        self._shape = shape(example)
        self._tell = tell
        self._runs = 0

    def shrunk(self, day: Day) -> Story:
        """Leave out what can be left out: the rest of the day first, which makes every further run short."""
        without = self._earliest(day)
        trucks = sorted({e.truck for e in day.lane.events if e.kind is EventKind.ENTERED} - {FRESH}, key=_number)
        here = [truck for truck in trucks if day.feed.arrivals[truck].plan.enter_s <= without.after_s]
        others = self._later(trucks) | (frozenset(trucks) - set(here))
        base = replace(without, trucks=others)
        if not self._shows(base):  # who came in late was let in late by those ahead
            base = without
        stay = self._least(here, lambda keep: replace(base, trucks=base.trucks | (frozenset(here) - set(keep))))
        without = replace(base, trucks=base.trucks | (frozenset(here) - set(stay)))
        numbers = range(len(day.troubles))
        kept = self._least(numbers, lambda keep: replace(without, troubles=frozenset(numbers) - set(keep)))
        without = replace(without, troubles=frozenset(numbers) - set(kept))
        day, found = self._run(without)
        self._tell(f"{self._runs} runs: {len(stay)} trucks and {len(day.troubles)} faults are needed")
        return Story(self._plan, self._wanted, without, day, tuple(self._same(found)))

    def _earliest(self, day: Day) -> Without:
        """The day's end, as early as the finding allows, to half a minute."""
        early, late = 0.0, day.day_s
        while late - early > 30.0:
            middle = (early + late) / 2.0
            if self._shows(Without(after_s=middle)):
                late = middle
            else:
                early = middle
        return Without(after_s=late)

    def _later(self, trucks: list[str]) -> frozenset[str]:
        """Trucks that are planned and never came in: without those ahead of them they might."""
        last = max(map(_number, trucks), default=0)
        return frozenset(f"T{number}" for number in range(last + 1, last + 400))

    def _least(self, items: Sequence[T], without: Callable[[Sequence[T]], Without]) -> list[T]:
        """Delta debugging: drop ever smaller shares while the finding stays."""
        kept, share = list(items), 2
        if self._shows(without([])):
            return []
        while len(kept) > 1:
            for rest in _rests(kept, share):
                if self._shows(without(rest)):
                    kept, share = rest, max(2, share - 1)
                    break
            else:
                if share >= len(kept):
                    break
                share = min(len(kept), share * 2)
        return kept

    def _shows(self, without: Without) -> bool:
        return bool(self._same(self._run(without)[1]))

    def _same(self, found: Sequence[str]) -> list[str]:
        """Sentences about the same; of OTHER only those that say the same of whatever truck."""
        same = _of(self._wanted, found)
        return [words for words in same if self._wanted is not Finding.OTHER or shape(words) == self._shape]

    def _run(self, without: Without) -> tuple[Day, list[str]]:
        self._runs += 1
        day = self._plan.run(without)
        return day, self._plan.complaints(day)


def _rests(items: list[T], share: int) -> Iterator[list[T]]:
    """What stays when one of `share` parts is dropped, the last part first: what comes later causes less."""
    size = -(-len(items) // share)
    for start in reversed(range(0, len(items), size)):
        yield items[:start] + items[start + size :]


def _of(finding: Finding, found: Sequence[str]) -> list[str]:
    return [words for words in found if finding_of(words) is finding]


def shape(sentence: str) -> str:
    """A sentence without its trucks and figures."""
    return re.sub(r"\bT?-?\d[\d.]*", "#", sentence)


def _number(truck: str) -> int:
    return int(truck.removeprefix("T"))


def drawn(story: Story, folder: Path) -> list[Path]:
    """A page with a timeline of every vehicle of the story, those still in the lane at its end too: the files."""
    title = f"Seed {story.plan.seed}: {story.found[0]}"
    facts = (("seed", str(story.plan.seed)), ("target", "virtual clock"))
    broken = tuple(story_judge.Finding("what every day is held to", holds=False, found=words) for words in story.found)
    return write_page(folder, Page(title, facts, broken, timelines(record_of(story.day.lane), unsealed=True)))


def told(day: Day) -> list[str]:
    """The day in plain words, a line for everything that happened, in order of time."""
    lines: list[tuple[float, str]] = [(trouble.begins_s, f"fault {str(trouble).strip().partition(' ')[2]}")
                                      for trouble in day.troubles]  # fmt: skip
    lines += [(t, f"the head shows {aspect.value.upper()}") for t, aspect in day.lane.shown]
    lines += [(act.t, f"officer: {act.verb.value} {act.truck}: {act.result or act.message}") for act in day.lane.acts]
    lines += [(t, f"agent: {event.code}") for t, event in day.lane.lane_events]
    lines += [(v.t, f"WRONG GREEN: {v.text}") for v in day.lane.wrong]
    for event in day.lane.events:
        words = _WORDS.get(event.kind)
        if words is not None and event.place in ("", "S"):
            lines.append((event.t, f"{event.truck} {words if event.on else 'backs over the line'}"))
    return [f"{t:9.3f} s  {words}" for t, words in sorted(lines, key=lambda line: line[0])]


_WORDS = {
    EventKind.ENTERED: "comes",
    EventKind.STOPPED: "stands",
    EventKind.MOVED: "moves off",
    EventKind.NOSE: "has its nose over the line",
    EventKind.TAIL: "has its tail over the line",
    EventKind.LEFT: "leaves the lane",
    EventKind.DIVERTED: "leaves by the side",
}
