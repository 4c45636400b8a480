"""The one kinematic parameter set, against the figures it was specified with, and positions between zones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model.conveyance import ZoneTimes
from edge_agent.model.lane import Kinematics, Zone
from edge_agent.passage.kinematics import (
    commit_distance_m,
    commit_time_ns,
    could_have_come,
    course_of,
    length_m,
    minimum_amber_s,
    minimum_follower_gap_s,
    nose_interval,
    seconds_to_commit,
    speed_kmh,
    standing_time_ns,
    stop_ms,
)

from .story import GEOMETRY, KINEMATICS, stamp

NS = 1_000_000_000


@pytest.mark.parametrize(("kmh", "metres"), [(5, 2.6), (10, 6.1), (15, 10.6), (20, 16.0), (25, 22.5)])
def test_commit_distance(kmh: float, metres: float) -> None:
    assert commit_distance_m(kmh, KINEMATICS) == pytest.approx(metres, abs=0.1)


@pytest.mark.parametrize(("kmh", "metres"), [(10, 9.5), (15, 16.2), (20, 24.2), (25, 33.4)])
def test_commit_distance_of_a_cautious_driver(kmh: float, metres: float) -> None:
    assert commit_distance_m(kmh, Kinematics(25, 5, 2.5, 1.5)) == pytest.approx(metres, abs=0.1)


@pytest.mark.parametrize(("kmh", "seconds"), [(10, 2.2), (15, 2.5), (20, 2.9), (25, 3.2)])
def test_follower_gap(kmh: float, seconds: float) -> None:
    assert minimum_follower_gap_s(kmh, KINEMATICS) == pytest.approx(seconds, abs=0.06)
    with pytest.raises(ValueError, match="positive"):
        minimum_follower_gap_s(0, KINEMATICS)


def test_minimum_amber_is_the_change_interval() -> None:
    assert minimum_amber_s(Kinematics(10, 3, 1.0, 1.5)) == pytest.approx(1.9, abs=0.05)
    assert minimum_amber_s(Kinematics(30, 3, 1.0, 1.5)) == pytest.approx(3.8, abs=0.05)


def test_a_course_begins_at_the_last_zone_and_stops_at_the_next() -> None:
    times = ZoneTimes(a_nose=stamp(0))
    course = course_of(times, 0, GEOMETRY, KINEMATICS)
    assert course is not None
    late = course.interval(stamp(60).mono_ns)
    assert late.earliest_m == late.latest_m == GEOMETRY.d.start_m
    soon = course.interval(stamp(2).mono_ns)
    assert soon.earliest_m == pytest.approx(-62 + 2 * 25 / 3.6)
    assert soon.latest_m == pytest.approx(-62 + 2 * 5 / 3.6)
    assert course_of(ZoneTimes(), 0, GEOMETRY, KINEMATICS) is None


def test_commit_comes_after_d_at_the_measured_speed() -> None:
    before = course_of(ZoneTimes(a_nose=stamp(0)), 0, GEOMETRY, KINEMATICS)
    assert before is not None
    assert commit_time_ns(before, KINEMATICS, 0.3) is None, "D must see it first"
    times = ZoneTimes(a_nose=stamp(0), d_nose=stamp(10))
    course = course_of(times, 11.16, GEOMETRY, KINEMATICS)
    assert course is not None
    due = commit_time_ns(course, KINEMATICS, 0.3)
    assert due is not None
    inside = course.interval(due)
    pace = 11.16 * 1.05
    assert -inside.earliest_m == pytest.approx(commit_distance_m(pace, KINEMATICS) + 0.3 * pace / 3.6, abs=0.01)
    assert seconds_to_commit(course, KINEMATICS, 0.3, due) == pytest.approx(0.3, abs=0.4)
    assert seconds_to_commit(course, KINEMATICS, 0.3, due + 9 * NS) == 0.0


@given(kmh=st.floats(5.5, 23.0), length=st.floats(6.0, 27.0), at=st.floats(-2.0, 30.0))
def test_the_true_position_lies_in_the_interval_at_any_constant_speed(kmh: float, length: float, at: float) -> None:
    v = kmh / 3.6

    def passing(position_m: float) -> float:
        return (position_m + 62.0) / v

    times = ZoneTimes(
        a_nose=stamp(passing(-62)),
        a_tail=stamp(passing(-58 + length)),
        d_nose=stamp(passing(-31)),
        d_tail=stamp(passing(-29 + length)),
    )
    nose = nose_interval(times, GEOMETRY, KINEMATICS, stamp(at).mono_ns)
    assert nose is not None
    if -62 + v * at < -3.0:  # beyond, the stop loop would have seen it
        assert nose.latest_m - 0.01 <= -62 + v * at <= nose.earliest_m + 0.01


def test_no_zone_no_position() -> None:
    assert nose_interval(ZoneTimes(), GEOMETRY, KINEMATICS, 0) is None
    assert could_have_come(ZoneTimes(), Zone.X, 0, GEOMETRY, KINEMATICS, 1.5)


def test_who_comes_too_soon_is_another() -> None:
    times = ZoneTimes(a_nose=stamp(0))
    assert not could_have_come(times, Zone.D, stamp(2.5).mono_ns, GEOMETRY, KINEMATICS, 1.5)
    assert could_have_come(times, Zone.D, stamp(4.0).mono_ns, GEOMETRY, KINEMATICS, 1.5)


def test_standing_is_slower_than_walking_pace_over_the_loop() -> None:
    assert standing_time_ns(0, GEOMETRY, KINEMATICS) == pytest.approx(3.2 / (2 / 3.6) * NS, rel=1e-6)


def test_lengths_speeds_and_stops() -> None:
    times = ZoneTimes(a_nose=stamp(0), a_tail=stamp(7.92))
    assert length_m(times, 10.0, GEOMETRY) == pytest.approx(18.0, abs=0.01)
    assert length_m(ZoneTimes(), 10.0, GEOMETRY) == length_m(times, 0, GEOMETRY) == 0.0
    assert speed_kmh(0, 0, 10, NS) == pytest.approx(36)
    assert speed_kmh(0, NS, 10, NS) == 0.0
    assert stop_ms(-31, 0, -3, 20 * NS, KINEMATICS) == 0
    assert stop_ms(-31, 0, -3, 30 * NS, KINEMATICS) == pytest.approx(9840, abs=1)
