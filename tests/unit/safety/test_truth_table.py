"""The interlock against two things written from the requirements alone: the truth table and a list of properties.

Both are tried on every combination of facts there is. `rule` is asked once per combination; the answers lie in an array
with one axis per fact, so a row of the table is a box in it and a property is an expression over whole axes.
"""

import csv
import math
import typing
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from drivers.api import Aspect
from edge_agent import safety
from edge_agent.safety.facts import Amber, Facts, LeaseState, Permit, Readback, Reason, Ruling, StopLine
from edge_agent.safety.interlock import rule

# 3.3 million rulings: seconds alone, more under a coverage tracer on a busy machine.
pytestmark = pytest.mark.timeout(240)

Bools = npt.NDArray[np.bool_]
Value = bool | Enum

TABLE = Path(safety.__file__).with_name("truth_table.csv")
ANY = "*"
ANY_REASON = "any"
"""In the column `reason`: the requirements say red but leave open which reason is named."""
NOT_GRANTING = frozenset({"amber"})
"""Facts that have no say in green. Every other one must be spelled out in a green row."""


def _domain(annotation: object) -> tuple[Value, ...]:
    if annotation is bool:
        return (False, True)
    assert isinstance(annotation, type)
    assert issubclass(annotation, Enum)
    return tuple(annotation)


_ANNOTATIONS = typing.get_type_hints(Facts)
NAMES = tuple(field.name for field in fields(Facts))
DOMAINS = {name: _domain(_ANNOTATIONS[name]) for name in NAMES}
SHAPE = tuple(len(DOMAINS[name]) for name in NAMES)


def _cell(value: Value) -> str:
    """How the table spells a value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.value)


# --- the truth table -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `cells` are the facts in order."""

    line: int
    cells: tuple[str, ...]
    aspect: str
    reason: str
    requirement: str

    def __str__(self) -> str:
        return f"{TABLE.name}:{self.line}: {self.aspect} {self.reason} ({self.requirement})"

    @property
    def wild(self) -> frozenset[str]:
        """The facts this row does not look at."""
        return frozenset(name for name, cell in zip(NAMES, self.cells, strict=True) if cell == ANY)

    def box(self) -> tuple[npt.NDArray[np.intp], ...]:
        """Where in the array of all combinations this row matches. ValueError for a cell that is no value."""
        axes: list[list[int]] = []
        for name, cell in zip(NAMES, self.cells, strict=True):
            spelled = [_cell(value) for value in DOMAINS[name]]
            axes.append(list(range(len(spelled))) if cell == ANY else [spelled.index(cell)])
        return np.ix_(*axes)


def _read_table() -> tuple[Row, ...]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file))
    assert header == [*NAMES, "aspect", "reason", "requirement"], "one column per fact, in the order of Facts"
    return tuple(Row(at, tuple(line[:-3]), *line[-3:]) for at, line in enumerate(lines, start=2))


ROWS = _read_table()


def _first_rows() -> npt.NDArray[np.int16]:
    """For every combination the index of the first row that matches it, -1 where none does."""
    first = np.full(SHAPE, -1, dtype=np.int16)
    for index in range(len(ROWS) - 1, -1, -1):
        first[ROWS[index].box()] = index
    return first


FIRST = _first_rows()


# --- every answer of the interlock -----------------------------------------------------------------------------------


def _facts_at(flat: int) -> Facts:
    where = np.unravel_index(flat, SHAPE)
    return Facts(*(DOMAINS[name][int(at)] for name, at in zip(NAMES, where, strict=True)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Answers:
    """All rulings: `codes` has one axis per fact and indexes `distinct`."""

    codes: npt.NDArray[np.int32]
    distinct: tuple[Ruling, ...]

    def where(self, wanted: Callable[[Ruling], bool]) -> Bools:
        """The combinations whose ruling is a wanted one."""
        picked: Bools = np.array([wanted(ruling) for ruling in self.distinct], dtype=np.bool_)[self.codes]
        return picked

    def showing(self, aspect: Aspect) -> Iterator[tuple[Facts, Ruling]]:
        """Every combination answered with this aspect, one by one."""
        for flat in np.flatnonzero(self.where(lambda ruling: ruling.aspect is aspect)):
            yield _facts_at(int(flat)), self.distinct[self.codes.flat[int(flat)]]


@pytest.fixture(scope="module")
def answers() -> Answers:
    """`rule`, asked about every combination, the last fact changing fastest. One copy of the facts is reused and only
    what changes is put into it, past its frozenness; a ruling is known by the identity of its members, because an
    enumeration's own hash is slow."""
    facts = _facts_at(0)
    steps = [(getattr(Facts, name).__set__, DOMAINS[name]) for name in NAMES]
    seen: dict[tuple[int, ...], int] = {}
    distinct: list[Ruling] = []
    codes = array("i")

    def ask(axis: int) -> None:
        put, values = steps[axis]
        for value in values:
            put(facts, value)
            if axis + 1 < len(steps):
                ask(axis + 1)
                continue
            ruling = rule(facts)
            code = seen.setdefault((id(ruling.aspect), *map(id, ruling.reasons)), len(distinct))
            if code == len(distinct):
                distinct.append(ruling)
            codes.append(code)

    ask(0)
    assert len(codes) == math.prod(SHAPE)
    return Answers(np.array(codes, dtype=np.int32).reshape(SHAPE), tuple(distinct))


def _first_reason(ruling: Ruling) -> str:
    return ruling.reasons[0].value if ruling.reasons else ""


# --- the table: whole, honest, and what the interlock does -----------------------------------------------------------


def test_every_combination_of_facts_has_a_row() -> None:
    holes = np.flatnonzero(FIRST < 0)
    assert not holes.size, f"{holes.size} holes, the first: {_facts_at(int(holes[0]))}"


def test_no_row_is_idle() -> None:
    used = set(np.unique(FIRST).tolist())
    assert [str(row) for index, row in enumerate(ROWS) if index not in used] == []


def test_order_of_rows_decides_only_the_reason() -> None:
    """All rows that match a combination name the same aspect: no row is right only because another stands above it."""
    aspects = np.array([list(Aspect).index(Aspect(row.aspect)) for row in ROWS])[FIRST]
    clashes = [str(row) for row in ROWS if (aspects[row.box()] != list(Aspect).index(Aspect(row.aspect))).any()]
    assert clashes == []


def test_rows_speak_the_vocabulary() -> None:
    for row in ROWS:
        assert row.aspect in {"red", "amber", "green"}, row
        if row.aspect == "green":
            assert row.reason == "", row
        else:
            assert row.reason == ANY_REASON or Reason(row.reason), row
        assert row.requirement, row


def test_green_rows_are_exactly_those_that_spell_out_every_fact() -> None:
    for row in ROWS:
        assert (row.aspect == "green") == (row.wild <= NOT_GRANTING), row


def test_interlock_agrees_with_the_table(answers: Answers) -> None:
    pairs, where = np.unique(np.stack([FIRST.ravel(), answers.codes.ravel()]), axis=1, return_index=True)
    wrong: list[str] = []
    for index, code, flat in zip(*pairs.tolist(), where.tolist(), strict=True):
        row, ruling = ROWS[index], answers.distinct[code]
        reason = bool(ruling.reasons) if row.reason == ANY_REASON else _first_reason(ruling) == row.reason
        if ruling.aspect.value != row.aspect or not reason:
            wrong.append(f"{row} but {ruling}, for instance {_facts_at(flat)}")
    assert not wrong, f"{len(wrong)} disagreements\n" + "\n".join(wrong[:20])


# --- properties: the same requirements once more, as predicates ------------------------------------------------------

Property = Callable[[Facts, Ruling], bool]


def _hand_over_allowed(f: Facts) -> bool:
    """A rolling lease needs a known order, a standing one its vehicle on the loop; standing modes take only those."""
    if f.lease_standing:
        return f.stop_loop_occupied
    return f.order_known and f.permit is Permit.ROLLING


# What must be true whenever the head may show anything but red: "X => red at once", turned round.
NOT_RED: dict[str, Property] = {
    "hold => red": lambda f, _: not f.hold,
    "latched fault => red": lambda f, _: not f.fault_latched,
    "module not ready => red": lambda f, _: f.module_ready,
    "head cannot confirm => red": lambda f, _: f.can_confirm,
    "readback disagrees or is unknown => red": lambda f, _: f.readback is Readback.AGREES,
    "stop line not freshly known clear => red": lambda f, _: f.stop_line is StopLine.CLEAR,
    "no lease => red": lambda f, _: f.lease is not LeaseState.NONE,
    "source of the lease lost => red": lambda f, _: f.source_alive,
    "order unknown and not a standing lease => red": lambda f, _: f.order_known or f.lease_standing,
    "standing lease and nobody on the loop => red": lambda f, _: f.stop_loop_occupied or not f.lease_standing,
    "barrier arm not up => red": lambda f, _: f.arm_up,
    "green overdue => red": lambda f, _: not f.green_overdue,
    "commanded aspect outside the vocabulary => red": lambda f, _: (
        f.showing in {Aspect.RED, Aspect.AMBER, Aspect.GREEN}
    ),
}

GREEN: dict[str, Property] = {
    "green => the mode releases": lambda f, _: f.permit is not Permit.NONE,
    "green => lease live": lambda f, _: f.lease is LeaseState.LIVE,
    "green in a standing mode => standing lease": lambda f, _: f.permit is Permit.ROLLING or f.lease_standing,
    "green => this kind of hand-over is allowed": lambda f, _: _hand_over_allowed(f),
    "new green => minimum red served": lambda f, _: f.showing is Aspect.GREEN or f.red_long_enough,
    "green => no reason": lambda _, r: r.reasons == (),
}

PLANNED = {Reason.MODE, Reason.LEASE_EXPIRED}

AMBER: dict[str, Property] = {
    "amber never from red": lambda f, _: f.showing in {Aspect.GREEN, Aspect.AMBER},
    "amber only where fitted and while it is due": lambda f, _: f.amber is Amber.DUE,
    "amber => nothing but planned ends, minimum red aside": lambda _, r: (
        set(r.reasons) <= PLANNED | {Reason.MINIMUM_RED}
    ),
    "amber without a planned end => amber that has begun": lambda f, r: (
        bool(PLANNED & set(r.reasons)) or f.showing is Aspect.AMBER
    ),
    "amber never while green is allowed": lambda _, r: r.reasons != (),
}


@pytest.mark.parametrize("aspect", [Aspect.GREEN, Aspect.AMBER])
def test_properties_of_every_answer_that_is_not_red(answers: Answers, aspect: Aspect) -> None:
    properties = NOT_RED | (GREEN if aspect is Aspect.GREEN else AMBER)
    broken = {
        name: f"{facts} {ruling}"
        for facts, ruling in answers.showing(aspect)
        for name, holds in properties.items()
        if not holds(facts, ruling)
    }
    assert broken == {}


def test_green_and_amber_are_given_wherever_they_are_due(answers: Answers) -> None:
    """With the properties above, which bound them from outside, these counts make both sets exact.

    Hand-overs (permit, order, kind of lease, stop loop): rolling leases 2 (loop either way); standing leases 2 per
    mode that releases (order either way). Green: 2 + 2 * 2 = 6 hand-overs, 4 ways to come to it (red and amber after
    the minimum red, green with and without it), amber's 3 values. Amber: 6 hand-overs with the lease expired, 6 with
    the mode taken away (closed: 2 rolling, 2 standing; standing mode: 2 rolling), the same 6 with both, each from 2
    aspects, minimum red either way; and 6 with amber showing, its cause gone and the minimum red not served.
    """
    assert sum(1 for _ in answers.showing(Aspect.GREEN)) == 6 * 4 * 3
    assert sum(1 for _ in answers.showing(Aspect.AMBER)) == (6 + 6 + 6) * 2 * 2 + 6


def test_only_three_aspects_are_ever_commanded(answers: Answers) -> None:
    assert {ruling.aspect for ruling in answers.distinct} == {Aspect.RED, Aspect.AMBER, Aspect.GREEN}


def test_reasons_are_empty_exactly_when_green_and_in_order_of_importance(answers: Answers) -> None:
    importance = list(Reason)
    for ruling in answers.distinct:
        ranks = [importance.index(reason) for reason in ruling.reasons]
        assert (ruling.aspect is Aspect.GREEN) == (ranks == []), ruling
        assert ranks == sorted(set(ranks)), ruling


def _is(name: str, *wanted: Value) -> Bools:
    """True along the axis of one fact where it has one of the wanted values; broadcasts against the other axes."""
    axis = np.array([value in wanted for value in DOMAINS[name]], dtype=np.bool_)
    return axis.reshape([-1 if other == name else 1 for other in NAMES])


def _standing_lease() -> Bools:
    return _is("lease_standing", True)


# When a reason must be among those given. "Every reason against green", not only the first, is what is shown to people.
CAUSES: dict[Reason, Bools] = {
    Reason.FAULT_LATCHED: _is("fault_latched", True),
    Reason.HOLD: _is("hold", True),
    Reason.MODULE_NOT_READY: _is("module_ready", False),
    Reason.READBACK_DISAGREES: _is("readback", Readback.DISAGREES),
    Reason.READBACK_UNKNOWN: _is("readback", Readback.UNKNOWN),
    Reason.CANNOT_CONFIRM: _is("can_confirm", False),
    Reason.MODE: _is("permit", Permit.NONE)
    | (_is("permit", Permit.STANDING) & ~_is("lease", LeaseState.NONE) & ~_standing_lease()),
    Reason.STOP_LINE_UNKNOWN: _is("stop_line", StopLine.UNKNOWN),
    Reason.NOSE_OVER_LINE: _is("stop_line", StopLine.BROKEN),
    Reason.ALREADY_CROSSED: _is("stop_line", StopLine.CROSSED),
    Reason.NO_LEASE: _is("lease", LeaseState.NONE),
    Reason.LEASE_EXPIRED: _is("lease", LeaseState.EXPIRED),
    Reason.SOURCE_LOST: _is("source_alive", False),
    Reason.ORDER_UNKNOWN: _is("order_known", False) & ~_standing_lease(),
    Reason.NOT_STANDING: _standing_lease() & _is("stop_loop_occupied", False),
    Reason.GREEN_OVERDUE: _is("green_overdue", True),
    Reason.BARRIER_NOT_UP: _is("arm_up", False),
    Reason.MINIMUM_RED: _is("red_long_enough", False) & ~_is("showing", Aspect.GREEN),
}
# Left open, so a reason may be missing or added there: what is said about a lease that does not exist, and how red is
# explained when the commanded aspect is none of the three.
OPEN: dict[Reason, Bools] = {
    Reason.SOURCE_LOST: _is("lease", LeaseState.NONE),
    Reason.ORDER_UNKNOWN: _is("lease", LeaseState.NONE),
    Reason.NOT_STANDING: _is("lease", LeaseState.NONE),
}
FOREIGN = _is("showing", Aspect.FLASHING_RED, Aspect.DARK)
ONLY_OF_A_TEST = frozenset({Reason.LANE_NOT_EMPTY, Reason.SIGNAL_TEST})


@pytest.mark.parametrize("reason", sorted(ONLY_OF_A_TEST))
def test_reasons_of_the_signal_test_are_never_given_for_a_lease(answers: Answers, reason: Reason) -> None:
    assert not answers.where(lambda ruling: reason in ruling.reasons).any()


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in ONLY_OF_A_TEST])
def test_a_reason_is_given_exactly_when_its_cause_is_there(answers: Answers, reason: Reason) -> None:
    given = answers.where(lambda ruling: reason in ruling.reasons)
    wrong = (given != CAUSES[reason]) & ~FOREIGN & ~OPEN.get(reason, np.False_)
    assert not wrong.any(), f"{int(wrong.sum())}, the first: {_facts_at(int(np.flatnonzero(wrong)[0]))}"


# The value of each fact that stands in nobody's way, all others being equal.
BEST: dict[str, Value] = {
    "permit": Permit.ROLLING,
    "hold": False,
    "fault_latched": False,
    "module_ready": True,
    "can_confirm": True,
    "order_known": True,
    "lease": LeaseState.LIVE,
    "stop_loop_occupied": True,
    "stop_line": StopLine.CLEAR,
    "source_alive": True,
    "readback": Readback.AGREES,
    "red_long_enough": True,
    "arm_up": True,
    "green_overdue": False,
    "showing": Aspect.GREEN,
}


@pytest.mark.parametrize("name", list(BEST))
def test_a_worse_fact_never_gains_green(answers: Answers, name: str) -> None:
    green = answers.where(lambda ruling: ruling.aspect is Aspect.GREEN)
    best = np.take(green, [DOMAINS[name].index(BEST[name])], axis=NAMES.index(name))
    assert not (green & ~best).any()


def test_the_fitting_of_amber_has_no_say_in_green(answers: Answers) -> None:
    green = answers.where(lambda ruling: ruling.aspect is Aspect.GREEN)
    axis = NAMES.index("amber")
    assert (green.any(axis=axis) == green.all(axis=axis)).all()
