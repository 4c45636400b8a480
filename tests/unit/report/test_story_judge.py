"""The judge of stories can say no, clause by clause; and whose record is whose."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hil.oracles.wrong_green import Rule, Verdict
from hil.rig.owners import Owners
from hil.rig.run_record import Acted, RunRecord
from hil.rig.stories import load_story
from hil.rig.story_judge import complaints, findings
from hil.rig.virtual_record import play, record_of
from hil.world.events import EventKind, WorldEvent
from hil.world.faults import Verb
from hil.world.scenario import Scenario
from securecorridor.lane.v1 import types_pb2 as types

STORY = load_story("late_decision")


@pytest.fixture(scope="module")
def run() -> RunRecord:
    """A run that is as it should be."""
    return record_of(play(STORY))


def _spoilt(run: RunRecord) -> Iterator[tuple[str, RunRecord]]:
    (sealed,) = run.sealed
    yield "never a wrong green", replace(run, wrong=(Verdict(1.0, Rule.AFTER_NOSE, "too long"),))
    yield "one record for each vehicle", replace(run, sealed=(sealed, sealed))
    yield "records numbered without a gap", replace(run, numbers=(1, 3))
    yield "the script could do all it says", replace(run, trouble=("T1 moves",))
    yield "every act was taken", replace(run, acts=(Acted(1.0, Verb.HOLD_LANE, "", "NOT_FOUND", "nobody"),))
    yield "the arm moved over nobody", replace(run, arm_wrong=("at 3.0",))
    yield "green for", replace(run, greens=("T1", "T1"))
    yield "sealed 1", replace(run, sealed=())
    yield "T1 has a record", replace(run, sealed=(replace(sealed, truck=""),))
    yield "T1 outcome released_stopped", replace(run, sealed=(replace(sealed, outcome="violation"),))
    yield "T1 flags late", replace(run, sealed=(replace(sealed, flags=()),))
    yield "T1 stopped True", replace(run, events=tuple(e for e in run.events if e.kind is not EventKind.STOPPED))


def test_every_clause_holds_or_is_told_with_what_was_found(run: RunRecord) -> None:
    assert complaints(STORY, run) == []
    for clause, spoilt in _spoilt(run):
        told = [finding for finding in findings(STORY, spoilt) if not finding.holds]
        assert any(finding.clause.startswith(clause) and finding.found for finding in told), clause


def test_an_act_that_must_be_refused_must_be(run: RunRecord) -> None:
    story: Scenario = replace(STORY, then=replace(STORY.then, refused=(Verb.CLEAR_HOLD,)))
    assert any("refused" in words for words in complaints(story, run))
    refused = Acted(1.0, Verb.CLEAR_HOLD, "", "FAILED_PRECONDITION", "control")
    assert complaints(story, replace(run, acts=(refused,))) == []
    assert complaints(story, replace(run, acts=(refused, refused))) != []


def test_the_slack_of_a_bench_moves_the_moment_that_is_asked_about() -> None:
    story = load_story("nominal_20_kmh")
    run = record_of(play(story))
    (green, red) = run.shown[-2:]
    late = replace(run, shown=(green, (red[0] + 0.27, "red")))
    assert any("red within" in words for words in complaints(story, late))
    assert not any("red within" in words for words in complaints(story, late, slack_s=0.07))


def _edge(t: float, zone: str, truck: str, *, on: bool = True) -> WorldEvent:
    return WorldEvent(t, EventKind.ZONE, truck, zone, on)


def _at(seconds: float) -> types.Moment:
    return types.Moment(mono_ns=round(seconds * 1e9))


def _times(**seconds: float) -> types.ZoneTimes:
    return types.ZoneTimes(**{name: _at(t) for name, t in seconds.items()})


def test_a_record_is_whose_who_was_over_its_sensor() -> None:
    owners = Owners(lambda at_ns: at_ns / 1e9)
    for event in (
        _edge(0.0, "zone_s", "T0"),
        _edge(5.0, "zone_a", "T1"),
        _edge(9.0, "zone_a", "T1", on=False),
        _edge(12.0, "zone_a", "T2"),
        _edge(20.0, "zone_d", "T2"),
    ):
        owners.take(event)
    whose = owners.match(
        [
            ("stood there before", _times(s_loop=-0.4), _at(-0.4)),
            ("no edge of it is known", _times(), _at(-0.4)),
            ("first", _times(a_nose=5.03), _at(5.03)),
            ("second", _times(a_nose=12.02, d_nose=20.01), _at(12.02)),
            ("a lie, then the second's", _times(a_nose=10.5, d_nose=20.01), _at(10.5)),
            ("nobody's", _times(x_nose=30.0), _at(30.0)),
        ]
    )
    assert whose == {
        "stood there before": "T0",
        "no edge of it is known": "T0",
        "first": "T1",
        "second": "T2",
        "a lie, then the second's": "",
        "nobody's": "",
    }
    alone = owners.match([("a lie, then the second's", _times(a_nose=10.5, d_nose=20.01), _at(10.5))])
    assert list(alone.values()) == ["T2"], "it has no other record"
