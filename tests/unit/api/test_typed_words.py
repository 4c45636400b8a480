"""What a person typed goes to staff and central, not to every door, and not to the log."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.api import Stamp
from edge_agent.api.veil import veil_conveyance
from edge_agent.control.effects import EffectOutlets
from edge_agent.model.decision import Role
from edge_agent.model.effects import EmitEvent, Severity
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
from tests.unit.api.fake_lane import SEALED_BUNDLE, FakeLane, channel, event, next_of, open_doors

TYPED = "trailer of ABC 1234, driver J. Smith"


class SayingLane(FakeLane):
    """People have typed what they should not have."""

    def lane_state(self, role: Role) -> pb.LaneState:
        lane = super().lane_state(role)
        lane.hold.reason = lane.maintenance.reason = lane.control.reason = TYPED
        lane.conveyances[0].hold.reason = TYPED
        lane.conveyances[0].decision.officer, lane.conveyances[0].decision.basis = "bso-7", TYPED
        lane.red_causes.add(code="HOLD_LANE", text=f"lane held: {TYPED}", by="bso-7")
        lane.red_causes.add(code="WAITING_IDENTITY", text="waiting for identity: driver")
        return lane


@pytest.mark.real_time
async def test_a_reason_passes_the_doors_of_staff_and_central_only(tmp_path: Path) -> None:
    lane = SayingLane()
    told = event("LANE_CONTROL")
    told.facts["why"] = TYPED
    lane.history = [told]
    async with open_doors(tmp_path, lane):
        for role in Role:
            async with channel(tmp_path, role) as opened:
                state = (await LaneServiceStub(opened).GetLane(pb.GetLaneRequest(), timeout=5)).lane
                tail = DiagnosticsServiceStub(opened).TailEvents(diagnostics_pb.TailEventsRequest(backlog=1))
                seen = str(state) + str((await next_of(tail)).event)
                tail.cancel()
            shown = role in (Role.OFFICER, Role.TECHNICIAN, Role.CENTRAL)
            assert (seen.count("J. Smith") == 7) == shown, role
            assert ("J. Smith" in seen) == shown, role
            assert "lane held" in seen, "that it is held is for everybody"
            assert "waiting for identity: driver" in seen
    assert told.facts["why"] == TYPED, "what others share was not touched"


@pytest.mark.real_time
async def test_a_sealed_record_passes_the_doors_of_staff_and_central_only(tmp_path: Path) -> None:
    lane = FakeLane()
    lane.bundle = TYPED.encode()
    async with open_doors(tmp_path, lane):
        for role in Role:
            async with channel(tmp_path, role) as opened:
                request = pb.GetPassageRequest(id=SEALED_BUNDLE)
                found = await LaneServiceStub(opened).GetPassage(request, timeout=5)
            assert found.passage.bundle_id == SEALED_BUNDLE
            assert (found.bundle == TYPED.encode()) == (role in (Role.OFFICER, Role.TECHNICIAN, Role.CENTRAL)), role


def test_what_central_says_a_decision_rests_on_is_for_everybody() -> None:
    conveyance = pb.ConveyanceState(decision=types.Decision(basis="FLE"))
    veil_conveyance(conveyance, Role.VIEWER)
    assert conveyance.decision.basis == "FLE"


def test_a_reason_stays_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    agent: Any = SimpleNamespace(backend=SimpleNamespace(event=lambda _: None))
    outlets = EffectOutlets(agent, cast("Any", None))
    facts = (("officer", "bso-7"), ("change", "taken"), ("why", TYPED))
    with caplog.at_level("INFO"):
        outlets._event(EmitEvent(Stamp(1, 1), "LANE_CONTROL", Severity.INFO, "", facts))
        outlets._event(EmitEvent(Stamp(1, 1), "KILL_TEST", Severity.INFO, "", (("why", "too slow"),)))
    assert [getattr(record, "detail", "") for record in caplog.records] == [
        "officer=bso-7 change=taken",
        "why=too slow",
    ]
