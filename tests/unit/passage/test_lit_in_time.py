"""The commit distance counts from where green can be lit: a barrier arm that takes seconds to rise, say."""

from collections.abc import Callable
from dataclasses import replace

from drivers.api import Aspect, Grade
from edge_agent.control.orders import signal_orders
from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import EmitEvent, GrantLease, WithdrawLease
from edge_agent.model.inputs import SignalChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.leases import LIT_GRACE_NS

from .story import NS, Lane


def red(_aspect: Aspect) -> Aspect:
    """A head that stays red: the arm is not up."""
    return Aspect.RED


def released(shows: Callable[[Aspect], Aspect | None]) -> Lane:
    """A truck past D at 15 km/h with a lease, well upstream of its commit distance."""
    lane = Lane(shows=shows).start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(0.4)
    lane.decide()
    lane.wait(4.0)
    lane.off(Zone.A)
    lane.wait(2.6)
    lane.on(Zone.D)
    assert lane.state.held is not None
    assert not lane.state.held.lease.standing
    return lane


def withdrawals(lane: Lane) -> list[str]:
    return [effect.reason for effect in lane.effects if isinstance(effect, WithdrawLease)]


def too_late(lane: Lane) -> bool:
    return signal_orders(lane.state, lane.state.lease, 0).too_late


def test_a_green_that_cannot_begin_upstream_of_the_commit_distance_does_not_begin() -> None:
    lane = released(red)
    assert not too_late(lane)
    while not too_late(lane):
        lane.wait(0.01, 0.01)
    held = lane.state.held
    assert held is not None
    track = lane.state.first_upstream
    assert track is not None
    assert track.conveyance.committed is not None
    margin_ns = held.late_ns - track.conveyance.committed.mono_ns
    assert abs(margin_ns - 0.3 * NS) < 0.03 * NS, "a lease granted in the last instant has the margin to be lit"
    lane.wait(LIT_GRACE_NS / NS + 0.05, 0.01)
    assert withdrawals(lane) == ["not_lit_in_time"]
    lane.wait(1.0)
    assert lane.state.held is None
    assert not too_late(lane)
    lane.off(Zone.D)
    lane.wait(2.0)
    lane.on(Zone.S)
    lane.wait(7.0)
    granted = [effect.lease for effect in lane.effects if isinstance(effect, GrantLease)]
    assert [lease.standing for lease in granted][-1], "it has its green at the line, standing"


def test_a_green_that_was_under_way_then_is_left_to_it() -> None:
    lane = released(red)
    while not too_late(lane):
        lane.wait(0.01, 0.01)
    assert lane.state.lease is not None
    lane.feed(SignalChanged(lane.at, Aspect.GREEN, Aspect.GREEN, Grade.LAMP, "", "", lane.state.lease.seq))
    lane.wait(1.0)
    assert withdrawals(lane) == []


def test_a_green_that_is_lit_in_time_is_never_too_late() -> None:
    lane = released(lambda aspect: aspect)
    lane.wait(5.0, 0.05)
    assert not too_late(lane)
    assert withdrawals(lane) == []


def test_a_test_of_the_head_lights_it_for_nobody() -> None:
    lane = released(red)
    assert lane.state.lease is not None
    lane.feed(SignalChanged(lane.at, Aspect.GREEN, Aspect.GREEN, Grade.LAMP, "", "", lane.state.lease.seq, test=True))
    lane.wait(5.2)
    assert withdrawals(lane) == ["not_lit_in_time"]


def test_a_renewal_in_between_makes_it_no_earlier() -> None:
    lane = released(red)
    while not too_late(lane):
        lane.wait(0.01, 0.01)
    held = lane.state.held
    assert held is not None
    granted = replace(held.granted, mono_ns=held.granted.mono_ns - 60 * NS)
    lane.state = replace(lane.state, held=replace(held, granted=granted))
    lane.wait(0.05, 0.01)
    assert too_late(lane)


def test_whoever_then_crosses_on_red_was_shown_no_green() -> None:
    lane = released(red)
    lane.wait(5.2)
    assert withdrawals(lane) == ["not_lit_in_time"]
    lane.off(Zone.D)
    lane.wait(1.3)
    lane.on(Zone.S)
    lane.wait(0.5)
    lane.on(Zone.BEAM)
    assert Flag.VIOLATION in lane.state.tracks[0].conveyance.flags
    assert [e.code for e in lane.effects if isinstance(e, EmitEvent)].count("VIOLATION") == 1
