"""Zone inputs on their way to the core: what rings the signal loop first."""

import pytest

from drivers.api import InputSnapshot, Stamp
from edge_agent.control.inputs import LaneInputs
from edge_agent.control.sightings import SightingTracker
from edge_agent.model.inputs import CoreInput, ZonesChanged
from edge_agent.model.lane import Zone
from hil.rig.virtual_loop import VirtualClock


def _snapshot(ms: int, on: frozenset[Zone] = frozenset(), crossings: int = 0, session: int = 1) -> InputSnapshot:
    levels = {zone.value: zone in on for zone in Zone}
    edges = dict.fromkeys(levels, 0) | {Zone.BEAM.value: crossings}
    return InputSnapshot(Stamp(ms * 1_000_000, 0), "io-1", session, levels, edges)


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
    tracker = SightingTracker(
        classes=(), site_key=bytes(16), seal=lambda _secret, _token: b"", sealed_key_id="k",
        new_id=lambda _at: "s", lost_s=3.0, early_reads=3,
    )  # fmt: skip
    inputs = LaneInputs(
        clock=VirtualClock(), tracker=tracker, submit=told.append, wake=lambda: told.append("ring"), stale_ms=300
    )
    inputs.take_snapshot(_snapshot(0))
    told.clear()
    inputs.take_snapshot(changed)
    assert [item == "ring" for item in told] == ([True, False] if rings else [False])
    assert isinstance(told[-1], ZonesChanged)
