"""Acts over the wire: what reaches the core, what is refused and how."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from edge_agent.api import lane_servicer
from edge_agent.model.decision import ActKind, OfficerAct, ReferralReason, Role, Verdict
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
from tests.unit.api.fake_lane import CONVEYANCE, DIGEST, STORE_FAULT, FakeLane, channel, error_of, open_doors, uuid4

REQUEST = "0190e1c2-5a70-7000-8000-00000000f001"
SAID: dict[str, Any] = {"request_id": REQUEST, "officer": "bso-4711", "reason": "seen"}
SHOWN: dict[str, Any] = {**SAID, "conveyance_id": CONVEYANCE, "etag": "conveyance-1", "identity_digest": DIGEST}


def _act(kind: ActKind, **more: Any) -> OfficerAct:
    return OfficerAct(kind, REQUEST, "bso-4711", Role.OFFICER, reason="seen", **more)


EVERY_ACT = [
    ("HoldLane", pb.HoldLaneRequest(**SAID), _act(ActKind.HOLD_LANE)),
    (
        "HoldConveyance",
        pb.HoldConveyanceRequest(**SAID, conveyance_id=CONVEYANCE),
        _act(ActKind.HOLD_CONVEYANCE, conveyance_id=CONVEYANCE),
    ),
    ("ClearHold", pb.ClearHoldRequest(**SAID), _act(ActKind.CLEAR_HOLD)),
    (
        "ClearHold",
        pb.ClearHoldRequest(**SAID, conveyance_id=CONVEYANCE),
        _act(ActKind.CLEAR_HOLD, conveyance_id=CONVEYANCE),
    ),
    (
        "ReleaseConveyance",
        pb.ReleaseConveyanceRequest(**SHOWN, lease=Duration(seconds=7, nanos=500_000_000)),
        _act(
            ActKind.RELEASE_CONVEYANCE, conveyance_id=CONVEYANCE, etag="conveyance-1", identity_digest=DIGEST,
            lease_s=7.5, verdict=Verdict.RELEASE,
        ),
    ),
    (
        "ReferConveyance",
        pb.ReferConveyanceRequest(**SHOWN, referral_reason=types.REFERRAL_REASON_CUSTOMS),
        _act(
            ActKind.REFER_CONVEYANCE, conveyance_id=CONVEYANCE, etag="conveyance-1", identity_digest=DIGEST,
            verdict=Verdict.REFER_SECONDARY, referral=ReferralReason.CUSTOMS,
        ),
    ),
    (
        "DirectConveyance",
        pb.DirectConveyanceRequest(
            **SAID, conveyance_id=CONVEYANCE, etag="conveyance-1", verdict=types.VERDICT_REFUSE_RETURN
        ),
        _act(
            ActKind.DIRECT_CONVEYANCE, conveyance_id=CONVEYANCE, etag="conveyance-1", verdict=Verdict.REFUSE_RETURN
        ),
    ),
    (
        "ConfirmCorridorOrder",
        pb.ConfirmCorridorOrderRequest(**SAID, etag="lane-1", conveyance_ids=[CONVEYANCE]),
        _act(ActKind.CONFIRM_ORDER, etag="lane-1", confirmed_order=(CONVEYANCE,)),
    ),
    ("TakeControl", control_pb.TakeControlRequest(**SAID), _act(ActKind.TAKE_CONTROL)),
    (
        "TakeControl",
        control_pb.TakeControlRequest(**SAID, displaces="bso-9", ttl=Duration(seconds=60)),
        _act(ActKind.TAKE_CONTROL, displaces="bso-9", duration_s=60.0),
    ),
    ("GiveControl", control_pb.GiveControlRequest(**SAID), _act(ActKind.GIVE_CONTROL)),
    ("SetLaneMode", pb.SetLaneModeRequest(**SAID, mode=types.LANE_MODE_REMOTE), _act(ActKind.SET_MODE, mode="remote")),
    ("TestSignal", pb.TestSignalRequest(**SAID, lane_empty=True), _act(ActKind.TEST_SIGNAL, lane_empty=True)),
    ("CommissionHead", pb.CommissionHeadRequest(**SAID, lane_empty=True), _act(ActKind.TEST_KILL, lane_empty=True)),
    ("ClearSignalFault", pb.ClearSignalFaultRequest(**SAID), _act(ActKind.CLEAR_FAULT)),
    ("SilenceAlarms", pb.SilenceAlarmsRequest(**SAID), _act(ActKind.SILENCE)),
    (
        "AcknowledgeCondition",
        pb.AcknowledgeConditionRequest(**SAID, condition="CENTRE_LOST"),
        _act(ActKind.ACKNOWLEDGE, condition="CENTRE_LOST"),
    ),
]  # fmt: skip


@pytest.mark.real_time
async def test_every_act_reaches_the_core_as_it_was_meant(tmp_path: Path) -> None:
    for rpc, request, expected in EVERY_ACT:
        lane = FakeLane()
        async with open_doors(tmp_path, lane), channel(tmp_path, Role.OFFICER) as opened:
            answer = await getattr(LaneServiceStub(opened), rpc)(request, timeout=5)
        assert lane.acts == [expected], rpc
        assert answer.outcome.message == expected.kind.value
        assert answer.outcome.at.mono_ns > 0


@pytest.mark.real_time
async def test_what_is_missing_is_named_field_by_field(tmp_path: Path) -> None:
    cases: list[tuple[str, Any, set[str]]] = [
        ("HoldLane", pb.HoldLaneRequest(), {"request_id", "officer"}),
        ("HoldLane", pb.HoldLaneRequest(request_id="1", officer="a"), {"request_id"}),
        ("HoldLane", pb.HoldLaneRequest(request_id="{" + REQUEST + "}", officer="a"), {"request_id"}),
        ("HoldLane", pb.HoldLaneRequest(request_id=REQUEST, officer="a\nb"), {"officer"}),
        ("HoldLane", pb.HoldLaneRequest(request_id=REQUEST, officer="o" * 129), {"officer"}),
        ("HoldConveyance", pb.HoldConveyanceRequest(**SAID), {"conveyance_id"}),
        ("HoldConveyance", pb.HoldConveyanceRequest(**SAID, conveyance_id="a b"), {"conveyance_id"}),
        ("ReleaseConveyance", pb.ReleaseConveyanceRequest(**SAID), {"conveyance_id", "etag", "identity_digest"}),
        ("ReleaseConveyance", pb.ReleaseConveyanceRequest(**SHOWN, lease=Duration()), {"lease"}),
        ("ReleaseConveyance", pb.ReleaseConveyanceRequest(**SHOWN, lease=Duration(seconds=-1)), {"lease"}),
        ("ReleaseConveyance", pb.ReleaseConveyanceRequest(**SHOWN, lease=Duration(seconds=9999)), {"lease"}),
        ("ReferConveyance", pb.ReferConveyanceRequest(**SAID), {"conveyance_id", "etag", "identity_digest"}),
        ("ReferConveyance", pb.ReferConveyanceRequest(**SHOWN, referral_reason=99), {"referral_reason"}),  # type: ignore[arg-type]
        ("DirectConveyance", pb.DirectConveyanceRequest(**SAID), {"conveyance_id", "etag", "verdict"}),
        (
            "DirectConveyance",
            pb.DirectConveyanceRequest(
                **SAID, conveyance_id=CONVEYANCE, etag="conveyance-1", verdict=types.VERDICT_RELEASE
            ),
            {"verdict"},
        ),
        ("ConfirmCorridorOrder", pb.ConfirmCorridorOrderRequest(**SAID), {"etag"}),
        (
            "ConfirmCorridorOrder",
            pb.ConfirmCorridorOrderRequest(**SAID, etag="lane-1", conveyance_ids=["a", "a", "?"]),
            {"conveyance_ids", "conveyance_ids[2]"},
        ),
        (
            "ConfirmCorridorOrder",
            pb.ConfirmCorridorOrderRequest(**SAID, etag="lane-1", conveyance_ids=[f"c{n}" for n in range(65)]),
            {"conveyance_ids"},
        ),
        ("TakeControl", control_pb.TakeControlRequest(request_id=REQUEST), {"officer"}),
        ("TakeControl", control_pb.TakeControlRequest(**SAID, displaces="a\nb"), {"displaces"}),
        ("TakeControl", control_pb.TakeControlRequest(**SAID, ttl=Duration(seconds=151)), {"ttl"}),
        ("TakeControl", control_pb.TakeControlRequest(**SAID, ttl=Duration()), {"ttl"}),
        ("GiveControl", control_pb.GiveControlRequest(request_id=REQUEST), {"officer"}),
        ("KeepControl", control_pb.KeepControlRequest(), {"officer"}),
        ("SetLaneMode", pb.SetLaneModeRequest(**SAID), {"mode"}),
        ("SetLaneMode", pb.SetLaneModeRequest(**SAID, mode=types.LANE_MODE_FAULT), {"mode"}),
        ("AcknowledgeCondition", pb.AcknowledgeConditionRequest(**SAID), {"condition"}),
    ]
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.OFFICER) as opened:
        for rpc, request, wrong in cases:
            code, info, fields = await error_of(getattr(LaneServiceStub(opened), rpc)(request, timeout=5))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, rpc
            assert (info.domain, info.reason) == ("securecorridor", "REQUEST_INVALID")
            assert set(fields) == wrong, rpc
    assert lane.acts == []


@pytest.mark.real_time
async def test_a_hold_is_taken_at_every_door_whatever_its_reason_looks_like(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane):
        for role in Role:
            async with channel(tmp_path, role) as opened:
                request = pb.HoldLaneRequest(request_id=uuid4(), officer="x", reason="line\nbreak" + "!" * 2000)
                answer = await LaneServiceStub(opened).HoldLane(request, timeout=5)
                assert list(answer.outcome.may_clear) == ["officer"]
    assert [act.role for act in lane.acts] == list(Role)
    assert all(act.reason.startswith("line break!!") and len(act.reason) == 200 for act in lane.acts)


@pytest.mark.real_time
async def test_repeating_a_request_does_nothing_twice(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.OFFICER) as opened:
        for _ in range(3):
            await LaneServiceStub(opened).HoldLane(pb.HoldLaneRequest(**SAID), timeout=5)
    assert len(lane.acts) == 1


@pytest.mark.real_time
async def test_a_technician_may_close_the_lane_and_maintain_it_and_nothing_else(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.TECHNICIAN) as opened:
        stub = LaneServiceStub(opened)
        for mode in types.LaneMode.values():
            call = stub.SetLaneMode(pb.SetLaneModeRequest(request_id=uuid4(), officer="t", mode=mode), timeout=5)
            if mode in (types.LANE_MODE_CLOSED, types.LANE_MODE_MAINTENANCE):
                await call
            elif mode not in (types.LANE_MODE_UNSPECIFIED, types.LANE_MODE_FAULT):
                code, info, _ = await error_of(call)
                assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")
            else:
                assert (await error_of(call))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert [act.mode for act in lane.acts] == ["closed", "maintenance"]


@pytest.mark.real_time
async def test_the_cores_refusals_become_statuses_with_reasons(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.OFFICER) as opened:
        stub = LaneServiceStub(opened)
        lane.change()
        code, info, _ = await error_of(stub.ReleaseConveyance(pb.ReleaseConveyanceRequest(**SHOWN), timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACT_REFUSED")
        assert info.metadata["etag"] == "lane-2"
        absent = pb.HoldConveyanceRequest(**SAID, conveyance_id="no-such")
        code, info, _ = await error_of(stub.HoldConveyance(absent, timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "CONVEYANCE_NOT_FOUND")


@pytest.mark.real_time
async def test_faults_of_the_agent_become_statuses_and_tell_nothing_private(tmp_path: Path, caplog: Any) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.OFFICER) as opened:
        stub = LaneServiceStub(opened)
        lane.fail = STORE_FAULT
        code, info, _ = await error_of(stub.HoldLane(pb.HoldLaneRequest(**SAID), timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_FULL")
        assert info.metadata["hint"] == "free some space"
        lane.fail = ValueError("E200 3412 0123")
        call = stub.ListPassages(pb.ListPassagesRequest(), timeout=5)
        code, info, _ = await error_of(call)
        assert (code, info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "3412" not in f"{await call.details()}{caplog.text}"
        assert "ValueError at fake_lane.py" in caplog.records[-1].detail


@pytest.mark.real_time
async def test_an_act_without_an_answer_ends_with_the_way_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_servicer, "ACT_TIMEOUT_S", 0.05)
    lane = FakeLane()
    lane.silent = True
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.OFFICER) as opened:
        code, info, _ = await error_of(LaneServiceStub(opened).HoldLane(pb.HoldLaneRequest(**SAID), timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "ACT_UNCONFIRMED")
