"""Lanes with other sensors than loops and a beam: who may roll, when a record ends, and what is doubted."""

from dataclasses import replace

import pytest

from edge_agent.model.conveyance import Flag, Outcome, ZoneTimes
from edge_agent.model.decision import ActKind, ActResult
from edge_agent.model.effects import GrantLease
from edge_agent.model.inputs import ZonesChanged
from edge_agent.model.lane import LaneMode, Zone, ZoneSpan
from edge_agent.model.presence import PresenceLayout
from edge_agent.passage.codes import CauseCode
from edge_agent.passage.kinematics import length_over_line_m, tail_fixes, wall_after_m, zone_end_m
from edge_agent.passage.views import red_causes

from .story import CONFIG, GEOMETRY, Lane, stamp

LOOPS = replace(GEOMETRY, layout=PresenceLayout.LOOPS_ONLY, beam_m=0.0, line_length_m=2.0)
CURTAIN = replace(GEOMETRY, layout=PresenceLayout.LIGHT_CURTAIN)
NO_EXIT = replace(GEOMETRY, x=ZoneSpan(37.0, 37.0), exit_sensed=False)
SLOWEST_S = 2 * (37.0 - 0.2) / (5.0 / 3.6)
"""stopped_factor times the way from the line to the end of the lane at the slowest pace."""


def without_exit() -> Lane:
    lane = Lane(replace(CONFIG, geometry=NO_EXIT))
    del lane.levels[Zone.X], lane.edges[Zone.X]
    return lane


def over_the_line(lane: Lane) -> None:
    """Over the sensor at the line, and no more is seen of it."""
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.wait(1.0)
    lane.off(Zone.BEAM)


def test_a_lane_without_exit_sensing_seals_after_a_bound() -> None:
    lane = without_exit().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    over_the_line(lane)
    lane.wait(SLOWEST_S - 0.5)
    assert lane.bundles == []
    lane.wait(1.0)
    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_ROLLING]
    assert Flag.SENSOR_FAULT not in lane.bundles[0].flags
    assert "EXIT_SENSOR_DOUBTFUL" not in dict(lane.conditions)


def test_without_exit_sensing_a_record_does_not_wait_for_the_one_ahead() -> None:
    """Nothing at X could ever tell of either: a dense queue must not pile up records past the line."""
    lane = without_exit().start()
    tails = []
    for name in ("t1", "t2", "t3"):
        lane.arrive(name)
        lane.decide()
        lane.drive_to_line()
        over_the_line(lane)
        tails.append(lane.now)
    lane.wait(SLOWEST_S + 1.0)
    ends = [b.ended.mono_ns / 1e9 for b in lane.bundles if b.ended is not None]
    assert len(ends) == 3
    assert ends == pytest.approx([tail + SLOWEST_S for tail in tails], abs=0.5)


def test_where_nothing_senses_the_exit_no_place_is_held_up_by_it() -> None:
    assert wall_after_m(0.2, GEOMETRY) == 35.0
    assert wall_after_m(0.2, NO_EXIT) == float("inf")


def test_with_loops_only_nobody_rolls_and_the_lane_says_why() -> None:
    lane = Lane(replace(CONFIG, geometry=LOOPS)).start()
    assert lane.state.mode is LaneMode.DEGRADED  # REMOTE comes from a store of another layout's time
    assert CauseCode.LAYOUT in [cause.code for cause in red_causes(lane.state, lane.at)]
    lane.arrive()
    lane.decide()
    assert CauseCode.LAYOUT in [cause.code for cause in red_causes(lane.state, lane.at)]
    lane.drive_to_line()
    lane.wait(10.0)
    assert not [effect for effect in lane.effects if isinstance(effect, GrantLease)]
    refused = lane.act(ActKind.SET_MODE, mode="remote")
    assert refused.result is ActResult.FAILED_PRECONDITION
    assert "loops_only" in refused.message
    assert "attended" in refused.message
    assert lane.act(ActKind.SET_MODE, mode="attended").result is ActResult.OK
    assert CauseCode.LAYOUT not in [cause.code for cause in red_causes(lane.state, lane.at)]


def test_with_loops_only_an_officer_releases_who_stands_and_the_loop_at_the_line_ends_it() -> None:
    lane = Lane(replace(CONFIG, geometry=LOOPS, mode_at_start=LaneMode.ATTENDED)).start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.wait(10.0)
    assert lane.green == ""
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.OK
    assert lane.green == lane.first.conveyance_id
    lane.pass_line()
    assert lane.withdrawn[-1].reason == "nose_over_line"
    (record,) = lane.bundles
    assert record.outcome is Outcome.RELEASED_STOPPED
    assert not {Flag.DOUBTFUL, Flag.SENSOR_FAULT} & set(record.flags)


def test_the_tail_is_over_a_loop_at_the_line_until_its_downstream_end() -> None:
    assert zone_end_m(Zone.BEAM, LOOPS) == 2.0
    lane = Lane(replace(CONFIG, geometry=LOOPS, mode_at_start=LaneMode.ATTENDED)).start()
    lane.arrive()
    lane.drive_to_line()
    over_the_line(lane)
    (track,) = lane.state.tracks
    assert tail_fixes(track.fixes, LOOPS)[-1][1] == 2.0


def disagreeing(lane: Lane, disagrees: bool) -> None:
    lane.feed(ZonesChanged(lane.at, lane.session, dict(lane.levels), dict(lane.edges), disagrees))


def test_while_the_outputs_of_a_curtain_disagree_only_an_officer_gives_green() -> None:
    lane = Lane(replace(CONFIG, geometry=CURTAIN)).start()
    disagreeing(lane, True)
    disagreeing(lane, False)  # back in one voice, but nobody has gone through: one of them may be stuck clear
    assert dict(lane.conditions)["LIGHT_CURTAIN_DISAGREES"]
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.wait(10.0)
    assert lane.green == ""
    assert CauseCode.BEAM_DOUBTFUL in [cause.code for cause in red_causes(lane.state, lane.at)]
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.OK
    assert lane.green == lane.first.conveyance_id
    lane.pass_line()
    assert not dict(lane.conditions)["LIGHT_CURTAIN_DISAGREES"]


def test_a_crossing_that_one_output_did_not_show_ends_no_doubt() -> None:
    lane = Lane(replace(CONFIG, geometry=CURTAIN)).start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(1.0)
    disagreeing(lane, True)
    lane.wait(4.0)
    for zone in (Zone.S, Zone.BEAM):
        lane.levels[zone] = False
        lane.edges[zone] += 1
        disagreeing(lane, True)
    assert dict(lane.conditions)["LIGHT_CURTAIN_DISAGREES"]


def test_the_sensor_at_the_line_measures_a_length_too() -> None:
    """18 m at 5 m/s over a beam at 0.2 m and a loop of 2 m from the line, to X at 35 m."""
    beam = ZoneTimes(s_nose=stamp(10.0), s_tail=stamp(13.6), x_nose=stamp(16.96))
    loop = ZoneTimes(s_nose=stamp(10.0), s_tail=stamp(14.0), x_nose=stamp(17.0))
    assert length_over_line_m(beam, GEOMETRY) == pytest.approx(18.0)
    assert length_over_line_m(loop, LOOPS) == pytest.approx(18.0)
    assert length_over_line_m(replace(beam, x_nose=None), GEOMETRY) == 0.0
    assert length_over_line_m(replace(beam, x_nose=beam.s_nose), GEOMETRY) == 0.0


def test_who_was_not_measured_at_a_is_measured_at_the_line() -> None:
    lane = Lane().start()
    lane.on(Zone.D)
    lane.wait(3.0)
    lane.off(Zone.D)
    lane.wait(3.0)
    lane.on(Zone.S)
    lane.wait(0.9)
    lane.pass_line()  # 6 s over the beam, X 13 s after it
    (record,) = lane.bundles
    assert record.length_m == pytest.approx(34.8 * 6 / 13, abs=0.1)
