"""What the core's state orders of the signal, mode by mode and source by source."""

from dataclasses import replace

import pytest

from drivers.api import Stamp
from edge_agent.control.orders import signal_orders
from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import Authority, Hold, Lease, Role
from edge_agent.model.lane import LaneMode
from edge_agent.passage.corridor import LaneState, Track, initial_state
from edge_agent.passage.state import Link, Order
from edge_agent.safety.facts import Permit
from hil.rig.virtual_agent import core_config
from hil.world.geometry import Geometry

AT = Stamp(1, 1)
HOLD = Hold(AT, "bso-1", Role.OFFICER, "look")
LEASE = Lease("c1", 1, 10**12, False, Authority.SYSTEM, "d1", 0, 1)


def _state(mode: LaneMode = LaneMode.REMOTE, held: str = "") -> LaneState:
    records = [
        Conveyance(name, f"b{name}", order, AT, hold=HOLD if name == held else None)
        for order, name in enumerate(("c1", "c2"))
    ]
    tracks = tuple(Track(record, AT, 0) for record in records)
    return replace(initial_state(core_config(Geometry())), mode=mode, tracks=tracks, centre=Link(True))


@pytest.mark.parametrize(
    ("mode", "permit"),
    [
        (LaneMode.CLOSED, Permit.NONE),
        (LaneMode.ATTENDED, Permit.STANDING),
        (LaneMode.REMOTE, Permit.ROLLING),
        (LaneMode.DEGRADED, Permit.STANDING),
        (LaneMode.ALL_HOLD, Permit.NONE),
        (LaneMode.FAULT, Permit.NONE),
    ],
)
def test_permit_follows_the_mode(mode: LaneMode, permit: Permit) -> None:
    orders = signal_orders(_state(mode), LEASE, 0)
    assert orders.permit is permit
    assert orders.hold is (mode is LaneMode.ALL_HOLD)


def test_a_hold_on_the_lane_holds_everybody() -> None:
    state = replace(_state(), hold=HOLD)
    assert signal_orders(state, LEASE, 0).hold
    assert signal_orders(state, None, 0).hold


def test_a_hold_on_a_vehicle_holds_its_lease_only() -> None:
    assert signal_orders(_state(held="c1"), LEASE, 0).hold
    assert not signal_orders(_state(held="c2"), LEASE, 0).hold
    assert not signal_orders(_state(held="c1"), None, 0).hold


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("console", [True, False])
@pytest.mark.parametrize("authority", Authority)
def test_the_source_is_whoever_gave_the_lease(authority: Authority, centre: bool, console: bool) -> None:
    state = replace(_state(), centre=Link(centre), console=Link(console))
    orders = signal_orders(state, replace(LEASE, authority=authority), 0)
    assert orders.source_alive is (centre if authority is Authority.SYSTEM else console)
    assert signal_orders(state, None, 0).source_alive


def test_the_rest_is_handed_on() -> None:
    state = replace(_state(), order=Order(known=True))
    orders = signal_orders(state, LEASE, 7)
    assert (orders.lease, orders.order_known, orders.fault_cleared_seq) == (LEASE, True, 7)
    assert not signal_orders(_state(), LEASE, 7).order_known
