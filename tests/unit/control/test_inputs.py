"""Zone inputs on their way to the core: what rings the signal loop first."""

import asyncio

import pytest

from drivers.api import InputSnapshot, ReaderEvent, ReaderEventCode, Stamp
from edge_agent.control.inputs import LaneInputs
from edge_agent.control.sightings import SightingTracker
from edge_agent.model.inputs import CoreInput, VehicleUnread, ZonesChanged
from edge_agent.model.lane import Zone
from hil.rig.virtual_loop import VirtualClock


def _snapshot(ms: int, on: frozenset[Zone] = frozenset(), crossings: int = 0, session: int = 1) -> InputSnapshot:
    levels = {zone.value: zone in on for zone in Zone}
    edges = dict.fromkeys(levels, 0) | {Zone.BEAM.value: crossings}
    return InputSnapshot(Stamp(ms * 1_000_000, 0), "io-1", session, levels, edges)


def _tracker() -> SightingTracker:
    return SightingTracker(
        classes=(), site_key=bytes(16), seal=lambda _secret, _token: b"", sealed_key_id="k",
        new_id=lambda _at: "s", lost_s=3.0, early_reads=3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "rings"),
    [
        (_snapshot(100, frozenset({Zone.S})), True),
        (_snapshot(100, frozenset({Zone.BEAM}), crossings=1), True),
        (_snapshot(100, crossings=2), True),
        (_snapshot(100, session=2), True),
        (_snapshot(100, frozenset({Zone.A})), False),
        (_snapshot(100, frozenset({Zone.X})), False),
    ],
)
async def test_what_the_interlock_looks_at_rings_before_the_core_is_told(changed: InputSnapshot, rings: bool) -> None:
    told: list[CoreInput | str] = []
    inputs = LaneInputs(
        clock=VirtualClock(), tracker=_tracker(), submit=told.append, wake=lambda: told.append("ring"), stale_ms=300
    )
    inputs.take_snapshot(_snapshot(0))
    told.clear()
    inputs.take_snapshot(changed)
    assert [item == "ring" for item in told] == ([True, False] if rings else [False])
    assert isinstance(told[-1], ZonesChanged)


async def test_a_vehicle_that_is_not_read_is_told_once_a_second_of_each_antenna() -> None:
    told: list[CoreInput] = []
    clock = VirtualClock()
    inputs = LaneInputs(clock=clock, tracker=_tracker(), submit=told.append, wake=lambda: None, stale_ms=300)

    def felt(antenna: int | None, code: ReaderEventCode = ReaderEventCode.UNREAD_VEHICLE) -> None:
        inputs.hear(ReaderEvent(clock.stamp(), "rfid-1", code, antenna))

    for _ in range(30):
        felt(1)
        felt(2)
        felt(None)
        felt(1, ReaderEventCode.INPUT_CHANGED)
        await asyncio.sleep(0.1)
    assert all(isinstance(item, VehicleUnread) for item in told)
    antennas = [item.antenna for item in told if isinstance(item, VehicleUnread)]
    assert {antenna: antennas.count(antenna) for antenna in (0, 1, 2)} == {0: 3, 1: 3, 2: 3}
