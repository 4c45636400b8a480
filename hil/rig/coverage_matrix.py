"""What a run has shown: bench tests by the capabilities they used, scenario files by where they ran, and the rows of
the fault catalogue by what became of the tests that show them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hil.rig.fault_catalogue import Fault
from hil.rig.target import CAPABILITIES

COVERAGE = "coverage"
"""Name of the property of a test report that carries `Asked.told()`."""
NOT_RUN = "not run"
_WORST_FIRST = ("failed", "skipped", "passed")
_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", NOT_RUN: "-"}
_CLOCK, _BENCH = "virtual clock", "bench"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a test asked of which bench."""

    target: str
    capabilities: tuple[str, ...]

    def told(self) -> str:
        """As a line that survives the way from one process of a run to another."""
        return json.dumps([self.target, self.capabilities])

    @classmethod
    def heard(cls, line: str) -> "Asked":
        """The same at the other end."""
        target, capabilities = json.loads(line)
        return cls(target, tuple(capabilities))


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one test, all its phases and parameters together."""

    test: str
    parameter: str
    outcome: str
    asked: Asked | None = None


def results(reports: Iterable[Any]) -> list[Ran]:
    """What became of each test, from the reports of its phases."""
    found: dict[str, Ran] = {}
    for report in reports:
        nodeid, outcome = getattr(report, "nodeid", ""), getattr(report, "outcome", "")
        if outcome not in _WORST_FIRST or "::" not in nodeid:
            continue
        test, _, parameter = nodeid.partition("[")
        lines = [str(value) for name, value in report.user_properties if name == COVERAGE]
        before = found.get(nodeid)
        asked = Asked.heard(lines[0]) if lines else before.asked if before else None
        worst = worst_of([outcome, *([before.outcome] if before else [])])
        found[nodeid] = Ran(test, parameter.removesuffix("]"), worst, asked)
    return list(found.values())


def worst_of(outcomes: Iterable[str]) -> str:
    """One word for several."""
    given = set(outcomes)
    return next((outcome for outcome in _WORST_FIRST if outcome in given), NOT_RUN)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A run, ready to be read. `tests`: (test, target) -> outcome; `scenarios`: file -> place -> outcome;
    `faults`: row -> outcome; `cannot`: file -> capabilities that the bench of this run is short of."""

    tests: Mapping[tuple[str, str], str]
    asked: Mapping[tuple[str, str], tuple[str, ...]]
    scenarios: Mapping[str, Mapping[str, str]]
    faults: Mapping[str, str]
    rows: Mapping[str, Fault] = field(default_factory=dict)
    cannot: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def used(self) -> Sequence[str]:
        """Every capability somebody asked for, in the order of the list."""
        wanted = {one for several in self.asked.values() for one in several}
        return [one for one in CAPABILITIES if one in wanted]

    def lines(self) -> list[str]:
        """For a terminal."""
        numbers = {name: f"{number:>2}" for number, name in enumerate(self.used, 1)}
        told = [f"{number} {name}: {CAPABILITIES[name]}" for name, number in numbers.items()]
        width = max((len(_short(test)) for test, _ in self.tests), default=0)
        for (test, target), outcome in self.tests.items():
            cells = " ".join(numbers[n] if n in self.asked[test, target] else " ." for n in numbers)
            told.append(f"{_short(test):<{width}}  {target:<12} {cells}  {_MARKS[outcome]}")
        told.append("")
        for name, places in self.scenarios.items():
            told.append(f"scenario {name}: " + ", ".join(f"{at} {self._place(name, at)}" for at in places))
        told.append("")
        told += [f"fault {name}: {_MARKS[outcome]}" for name, outcome in self.faults.items()]
        return told

    def markdown(self) -> str:
        """For a file."""
        used = self.used
        parts = ["# Coverage of one run\n\n## Tests by capability\n"]
        parts.append(_row("test", "target", *used, "result") + _row(*["---"] * (len(used) + 3)))
        for (test, target), outcome in self.tests.items():
            cells = [_MARKS[outcome] if name in self.asked[test, target] else "" for name in used]
            parts.append(_row(f"`{_short(test)}`", target, *cells, _MARKS[outcome]))
        parts.append("\n## Scenario files\n\n" + _row("file", _CLOCK, _BENCH) + _row("---", "---", "---"))
        parts += [_row(f"`{name}`", *(self._place(name, at) for at in (_CLOCK, _BENCH))) for name in self.scenarios]
        parts.append("\n## Fault catalogue\n\n" + _row("fault", "expected", "within", "result") + _row(*["---"] * 4))
        for name, outcome in self.faults.items():
            row = self.rows[name]
            parts.append(_row(row.fault, row.expected.behaviour, row.expected.bound, _MARKS[outcome]))
        return "".join(parts)

    def _place(self, name: str, at: str) -> str:
        """What became of a file in a place; on a bench that cannot play it, why not."""
        short = self.cannot.get(name) if at == _BENCH else None
        return f"cannot: {', '.join(short)}" if short else _MARKS[self.scenarios[name][at]]


def matrix_of(ran: Sequence[Ran], rows: Mapping[str, Fault], scenarios: Mapping[str, Sequence[str]]) -> Matrix:
    """Put a run together. `scenarios`: the files, told of whether they ran or not, and what the bench is short of for
    each."""
    tests: dict[tuple[str, str], str] = {}
    asked: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in ran:
        if one.asked is not None and one.asked.capabilities:
            key = (one.test, one.asked.target)
            tests[key] = worst_of([one.outcome, *([tests[key]] if key in tests else [])])
            asked[key] = tuple(sorted({*asked.get(key, ()), *one.asked.capabilities}))
    played = {
        name: {_CLOCK: _played(ran, "tests/scenarios/", name), _BENCH: _played(ran, "hil/tests/", name)}
        for name in scenarios
    }
    faults = {name: _shown(ran, row) for name, row in rows.items()}
    return Matrix(dict(sorted(tests.items())), asked, played, faults, rows, scenarios)


def _played(ran: Sequence[Ran], folder: str, name: str) -> str:
    return worst_of(one.outcome for one in ran if one.test.startswith(folder) and name in one.parameter.split("-"))


def _shown(ran: Sequence[Ran], row: Fault) -> str:
    """A row is as good as the worst of its tests, and not shown while one of them has not run."""
    outcomes = [worst_of(one.outcome for one in ran if one.test == test) for test in row.shown_by]
    worst = worst_of(outcomes)
    return NOT_RUN if worst == "passed" and NOT_RUN in outcomes else worst


def _short(test: str) -> str:
    return test.removeprefix("hil/tests/").replace(".py::test_", ": ").replace("_", " ").removeprefix("test ")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
