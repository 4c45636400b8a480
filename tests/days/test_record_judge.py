"""The judge of records is tried itself: whatever may be wrong with a record, it must say so."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from edge_agent.model.conveyance import Conveyance, Flag, Outcome
from hil.days.day import Day, complaints, run_day
from hil.days.plan import KINDS, LAYOUT_KINDS, DayKind, DayPlan, Finding
from hil.days.records import Lie, RecordJudge
from hil.rig.virtual_lane import Passage, VirtualLane
from hil.world.geometry import Geometry
from hil.world.traffic import TrafficMix


@pytest.fixture(scope="module")
def day() -> Day:
    return run_day(3, 150.0, faults=False)


def _judged(
    day: Day,
    change: Callable[[list[Passage]], list[Passage]] = list,
    lies: tuple[Lie, ...] = (),
    dead: tuple[tuple[float, float], ...] = (),
) -> list[str]:
    """What the judge says of this day with its records changed."""
    lane = day.lane
    sealed = tuple(change(list(lane.sealed())))
    shown = SimpleNamespace(
        sealed=lambda: sealed,
        owner=lane.owner,
        world=lane.world,
        events=lane.events,
        began_s=lane.began_s,
        agent=lane.agent,
        truck_of=lane.truck_of,
        now_s=lane.now_s,
    )
    return RecordJudge(cast(VirtualLane, shown), lies, dead).complaints()


def _first(change: Callable[[Conveyance], Conveyance]) -> Callable[[list[Passage]], list[Passage]]:
    return lambda passages: [replace(passages[0], conveyance=change(passages[0].conveyance)), *passages[1:]]


def _flagged(*flags: Flag) -> Callable[[list[Passage]], list[Passage]]:
    return _first(lambda record: replace(record, flags=flags))


def _exit_of_the_next(passages: list[Passage]) -> list[Passage]:
    one, two = passages[0].conveyance, passages[1].conveyance
    times = replace(one.times, x_nose=two.times.x_nose, x_tail=two.times.x_tail)
    return [replace(passages[0], conveyance=replace(one, times=times)), *passages[1:]]


def _tags_of_the_next(passages: list[Passage]) -> list[Passage]:
    one, two = passages[0].conveyance, passages[1].conveyance
    return [replace(passages[0], conveyance=replace(one, assignments=two.assignments)), *passages[1:]]


def _ended_late(record: Conveyance) -> Conveyance:
    assert record.ended is not None
    return replace(record, ended=replace(record.ended, mono_ns=record.ended.mono_ns + 1_500_000_000))


def _ended_long_after(record: Conveyance) -> Conveyance:
    assert record.ended is not None
    return replace(record, ended=replace(record.ended, mono_ns=record.ended.mono_ns + 100_000_000_000))


def test_without_an_exit_loop_a_record_must_end_in_its_own_time() -> None:
    day = run_day(3, 250.0, faults=False, geometry=Geometry(exit_loop=False))
    assert day.lane.sealed()
    assert _judged(day) == []
    assert any("after its tail left the line" in told for told in _judged(day, _first(_ended_long_after)))


def test_without_an_exit_loop_a_records_time_begins_anew_with_the_agent() -> None:
    """A record that has ended 100 s late is excused by a start of the agent since its tail left the line, not by one
    before."""
    day = run_day(3, 250.0, faults=False, geometry=Geometry(exit_loop=False))
    ended = day.lane.sealed()[0].conveyance.ended
    assert ended is not None
    ended_s = ended.mono_ns / 1e9 - day.lane.began_s
    late = _first(_ended_long_after)
    assert not any("after its tail left" in told for told in _judged(day, late, dead=((ended_s - 5.0, ended_s),)))
    assert any("after its tail left" in told for told in _judged(day, late, dead=((ended_s - 100.0, ended_s - 95.0),)))


def test_a_quiet_day_is_clean(day: Day) -> None:
    assert _judged(day) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda passages: passages[1:], "no bundle for"),
        (lambda passages: [passages[0], *passages], "2 bundles for"),
        (_tags_of_the_next, "a tag of"),
        (_exit_of_the_next, "has x_nose of"),
        (_first(_ended_late), "was sealed 1.5 s after"),
        (_first(lambda record: replace(record, outcome=Outcome.VIOLATION)), "is accused"),
        (_flagged(Flag.VIOLATION), "is accused"),
        (_flagged(Flag.DOUBTFUL), "without any reason"),
        (_flagged(Flag.SENSOR_FAULT), "without any reason"),
        (_flagged(Flag.UNPROVEN), "without any reason"),
    ],
)
def test_it_sees_what_is_wrong(day: Day, change: Callable[[list[Passage]], list[Passage]], says: str) -> None:
    assert any(says in found for found in _judged(day, change))


def _doubtful_tags_of_the_next(passages: list[Passage]) -> list[Passage]:
    """The first record says that it may be of two, and has the tags of the second, which has no record."""
    one, two = passages[0].conveyance, passages[1].conveyance
    mixed = replace(one, flags=(Flag.MIXED,), assignments=(), doubtful=(*one.assignments, *two.assignments))
    return [replace(passages[0], conveyance=mixed), *passages[2:]]


def _mixed_again(passages: list[Passage]) -> list[Passage]:
    """A second record of the first truck, which says that it may be of two."""
    again = replace(passages[0].conveyance, flags=(Flag.MIXED,), assignments=(), conveyance_id="again")
    return [*passages, replace(passages[0], conveyance=again)]


def test_a_record_that_may_be_of_two_names_both_and_a_lie_must_be_the_reason(day: Day) -> None:
    lie = (Lie(0.0, 150.0, "zone_d", False),)
    for change in (_flagged(Flag.MIXED), _doubtful_tags_of_the_next, _mixed_again):
        assert _judged(day, change, lie) == []
        assert any("is mixed without any reason" in found for found in _judged(day, change))


def test_who_is_on_no_record_is_missed_though_another_is_in_doubt(day: Day) -> None:
    lie = (Lie(0.0, 150.0, "zone_d", False),)
    missed = f"no bundle for {day.lane.sealed()[1].truck}"

    def without_its_tags(passages: list[Passage]) -> list[Passage]:
        return [*_flagged(Flag.MIXED)([passages[0]]), *passages[2:]]

    def without_a_word(passages: list[Passage]) -> list[Passage]:
        changed = _doubtful_tags_of_the_next(passages)
        return [replace(changed[0], conveyance=replace(changed[0].conveyance, flags=(Flag.DOUBTFUL,))), *changed[1:]]

    assert any(missed in found for found in _judged(day, without_its_tags, lie))
    assert any(missed in found for found in _judged(day, without_a_word, lie))


@pytest.mark.parametrize("flag", [Flag.MIXED, Flag.DOUBTFUL, Flag.AMBIGUOUS, Flag.SENSOR_FAULT])
def test_a_foreign_tag_that_is_claimed_is_wrong_whatever_else_the_record_says(day: Day, flag: Flag) -> None:
    def claimed(passages: list[Passage]) -> list[Passage]:
        return _flagged(flag)(_tags_of_the_next(passages))

    lie = (Lie(0.0, 150.0, "zone_d", False),)
    assert any("a tag of" in found for found in _judged(day, claimed, lie))


def test_two_records_that_claim_to_be_of_one_truck_are_one_too_many_whatever_they_doubt(day: Day) -> None:
    def twice(passages: list[Passage]) -> list[Passage]:
        again = replace(passages[0].conveyance, flags=(Flag.DOUBTFUL,), conveyance_id="again")
        return [*passages, replace(passages[0], conveyance=again)]

    assert any("2 bundles for" in found for found in _judged(day, twice, (Lie(0.0, 150.0, "zone_d", False),)))


def test_a_lie_excuses_doubt_but_no_accusation_and_no_foreign_tag(day: Day) -> None:
    lie = (Lie(0.0, 150.0, "zone_x", False),)
    assert _judged(day, _flagged(Flag.DOUBTFUL), lie) == []
    assert any("is accused" in found for found in _judged(day, _flagged(Flag.DOUBTFUL, Flag.VIOLATION), lie))
    assert any("a tag of" in found for found in _judged(day, _tags_of_the_next, lie))
    assert any("was sealed" in found for found in _judged(day, _first(_ended_late), lie)), "late and not saying so"


def test_an_exit_that_was_stuck_occupied_ends_a_record_when_it_comes_free(day: Day) -> None:
    """Nothing tells that from a tail; without the lie the same record is late."""
    began = day.lane.began_s
    ended = day.lane.sealed()[0].conveyance.ended
    assert ended is not None
    left_s = ended.mono_ns / 1e9 - began
    lie = (Lie(left_s - 0.5, left_s + 1.4, "zone_x", True),)
    assert not any("was sealed" in found for found in _judged(day, _first(_ended_late), lie))
    assert any("was sealed" in found for found in _judged(day, _first(_ended_late)))


def test_the_time_of_a_record_whose_exit_was_not_seen_begins_anew_with_a_life_of_the_agent(day: Day) -> None:
    record = day.lane.sealed()[0].conveyance
    assert record.ended is not None
    left_s = record.ended.mono_ns / 1e9 - day.lane.began_s

    def unseen(seconds: float) -> Callable[[list[Passage]], list[Passage]]:
        def change(record: Conveyance) -> Conveyance:
            assert record.ended is not None
            ended = replace(record.ended, mono_ns=record.ended.mono_ns + round(seconds * 1e9))
            times = replace(record.times, x_nose=None, x_tail=None)
            return replace(record, ended=ended, times=times, flags=(Flag.SENSOR_FAULT,))

        return _first(change)

    lie, dead = (Lie(0.0, 150.0, "zone_x", False),), ((left_s + 50.0, left_s + 60.0),)
    late = f"{day.lane.sealed()[0].truck} was sealed"
    assert not any(late in found for found in _judged(day, unseen(150.0), lie))
    assert any(late in found for found in _judged(day, unseen(200.0), lie))
    assert not any(late in found for found in _judged(day, unseen(200.0), lie, dead))
    assert any(late in found for found in _judged(day, unseen(230.0), lie, dead))


def test_one_whose_exit_is_on_the_doubted_record_of_another_may_end_late_when_it_says_so(day: Day) -> None:
    """A lie made the one ahead cross first; both records must say that they are in doubt."""

    def shifted(first: tuple[Flag, ...], second: tuple[Flag, ...]) -> Callable[[list[Passage]], list[Passage]]:
        def change(passages: list[Passage]) -> list[Passage]:
            one, two = _exit_of_the_next(passages)[:2]
            late = replace(_ended_late(two.conveyance), flags=second)
            return [replace(one, conveyance=replace(one.conveyance, flags=first)),
                    replace(two, conveyance=late), *passages[2:]]  # fmt: skip

        return change

    lie = (Lie(0.0, 150.0, "stop_line_beam", True),)
    late = f"{day.lane.sealed()[1].truck} was sealed"
    doubt = (Flag.DOUBTFUL,)
    assert not any(late in found for found in _judged(day, shifted(doubt, doubt), lie))
    assert any(late in found for found in _judged(day, shifted(doubt, ()), lie))
    assert any(late in found for found in _judged(day, shifted((), doubt), lie))
    assert any(late in found for found in _judged(day, shifted(doubt, doubt)))


@pytest.mark.parametrize("kind", [*KINDS, *LAYOUT_KINDS], ids=lambda kind: kind.name)
def test_what_is_wrong_with_records_fails_days_held_to_them_and_is_counted_on_the_others(
    day: Day, kind: DayKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.days.plan.record_complaints", lambda _day: ["a tag of T1 on the record of T2"])
    plan = DayPlan(3, kind, TrafficMix())
    fails, counts = len(plan.complaints(day)) - len(complaints(day)), len(plan.still_open(day))
    held = Finding.MISASSOCIATION not in kind.counted
    assert (fails, counts) == ((1, 0) if held else (0, 1))
    assert Finding.WRONG_GREEN not in kind.counted
    counted = {Finding.OTHER, Finding.DOUBLED_BUNDLE}
    assert kind.counted <= counted or kind not in KINDS, "with a beam nothing is missed, and no tag is another's"
