"""Reading over the wire: the lane, passages, diagnostics, and what no door but the officer's may show."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge_agent.api import doors
from edge_agent.model.decision import Role
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
from tests.unit.api.fake_lane import (
    BUNDLE,
    CLEAR_TEXT,
    CONVEYANCE,
    SEALED_BUNDLE,
    SEALED_CONVEYANCE,
    FakeLane,
    channel,
    error_of,
    event,
    next_of,
    open_doors,
)


@pytest.mark.real_time
async def test_identities_in_clear_pass_the_officers_door_only(tmp_path: Path) -> None:
    async with open_doors(tmp_path, FakeLane()):
        for role in Role:
            async with channel(tmp_path, role) as opened:
                stub = LaneServiceStub(opened)
                seen = [
                    (await stub.GetLane(pb.GetLaneRequest(), timeout=5)).SerializeToString(),
                    (await stub.GetPassage(pb.GetPassageRequest(id=CONVEYANCE), timeout=5)).SerializeToString(),
                    (await next_of(stub.WatchLane(pb.WatchLaneRequest(), timeout=5))).SerializeToString(),
                ]
                clear = [CLEAR_TEXT.encode() in data for data in seen]
                assert clear == [role is Role.OFFICER] * 3, role


@pytest.mark.real_time
async def test_a_watcher_gets_the_lane_now_and_each_change(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.VIEWER) as opened:
        request = pb.WatchLaneRequest()
        request.min_interval.FromSeconds(60)
        call = LaneServiceStub(opened).WatchLane(request)
        assert (await next_of(call)).lane.etag == "lane-1"
        for number in range(2, 6):
            lane.change()
            assert (await next_of(call)).lane.etag == f"lane-{number}"
        call.cancel()


@pytest.mark.real_time
async def test_a_watch_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane):
        async with channel(tmp_path, Role.OFFICER) as opened:
            stub = LaneServiceStub(opened)
            for milliseconds in (50, 61_000, -1000):
                request = pb.WatchLaneRequest()
                request.min_interval.FromMilliseconds(milliseconds)
                code, _, fields = await error_of(stub.WatchLane(request, timeout=5))
                assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["min_interval"])
            call = stub.WatchLane(pb.WatchLaneRequest(officer_present=True), timeout=5)
            assert (await error_of(call))[2] == ["officer"]
        async with channel(tmp_path, Role.TECHNICIAN) as opened:
            call = LaneServiceStub(opened).WatchLane(
                pb.WatchLaneRequest(officer_present=True, officer="bso-1"), timeout=5
            )
            code, info, _ = await error_of(call)
            assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")
    assert lane.consoles == []


@pytest.mark.real_time
async def test_an_officer_is_present_while_the_watch_is_open(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane):
        async with channel(tmp_path, Role.OFFICER) as opened:
            stub = LaneServiceStub(opened)
            watches = [stub.WatchLane(pb.WatchLaneRequest(officer_present=True, officer=f"bso-{n}")) for n in (1, 2)]
            for watch in watches:
                await watch.read()
            assert sorted(lane.consoles) == ["bso-1", "bso-2"]
            lane.changed.clear()
            watches[0].cancel()
            await lane.until_changed()
            assert lane.consoles == ["bso-2"]
        while lane.consoles:
            await lane.until_changed()


@pytest.mark.real_time
async def test_passages_come_in_pages_newest_first(tmp_path: Path) -> None:
    async with open_doors(tmp_path, FakeLane()), channel(tmp_path, Role.CENTRAL) as opened:
        stub = LaneServiceStub(opened)
        first = await stub.ListPassages(pb.ListPassagesRequest(), timeout=5)
        assert [p.seq for p in first.passages] == list(range(30, 10, -1))
        second = await stub.ListPassages(pb.ListPassagesRequest(page_token=first.next_page_token), timeout=5)
        assert [p.seq for p in second.passages] == list(range(10, 0, -1))
        assert second.next_page_token == ""
        everything = await stub.ListPassages(pb.ListPassagesRequest(page_size=1_000_000), timeout=5)
        assert len(everything.passages) == 30
        for wrong in ({"page_size": -1}, {"page_token": "x"}, {"page_token": "9" * 30}, {"page_token": "²"}):
            code, _, fields = await error_of(stub.ListPassages(pb.ListPassagesRequest(**wrong), timeout=5))
            assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, list(wrong))


@pytest.mark.real_time
async def test_a_passage_is_found_by_either_id_and_by_its_beginning(tmp_path: Path) -> None:
    async with open_doors(tmp_path, FakeLane()), channel(tmp_path, Role.TECHNICIAN) as opened:
        stub = LaneServiceStub(opened)
        for name in (SEALED_BUNDLE, SEALED_CONVEYANCE, SEALED_BUNDLE[:13]):
            found = await stub.GetPassage(pb.GetPassageRequest(id=name), timeout=5)
            assert (found.passage.seq, found.bundle) == (30, b"bundle bytes")
        for name in (CONVEYANCE, BUNDLE):
            found = await stub.GetPassage(pb.GetPassageRequest(id=name), timeout=5)
            assert (found.live.conveyance_id, found.HasField("passage")) == (CONVEYANCE, False)
        code, info, _ = await error_of(stub.GetPassage(pb.GetPassageRequest(id="0190ffff"), timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "PASSAGE_NOT_FOUND")
        assert (await error_of(stub.GetPassage(pb.GetPassageRequest(id="0190"), timeout=5)))[2] == ["id"]


@pytest.mark.real_time
async def test_each_sealed_passage_is_told_once(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.CENTRAL) as opened:
        call = LaneServiceStub(opened).WatchPassages(pb.WatchPassagesRequest())
        await call.initial_metadata()
        for passage in reversed(lane.sealed[:5]):
            lane.sealing.publish(passage)
        assert [(await next_of(call)).passage.seq for _ in range(5)] == [26, 27, 28, 29, 30]
        call.cancel()


@pytest.mark.real_time
async def test_the_tail_has_no_gap_between_backlog_and_news(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.TECHNICIAN) as opened:
        stub = DiagnosticsServiceStub(opened)
        past = stub.TailEvents(diagnostics_pb.TailEventsRequest(backlog=2), timeout=5)
        assert [message.event.code async for message in past] == ["EVENT_3", "EVENT_4"]
        call = stub.TailEvents(diagnostics_pb.TailEventsRequest(backlog=1, follow=True))
        await call.initial_metadata()
        lane.happening.publish(event("NEWS"))
        assert [(await next_of(call)).event.code for _ in range(2)] == ["EVENT_4", "NEWS"]
        call.cancel()
        for backlog in (-1, 1001):
            request = diagnostics_pb.TailEventsRequest(backlog=backlog)
            assert (await error_of(stub.TailEvents(request, timeout=5)))[2] == ["backlog"]


@pytest.mark.real_time
async def test_diagnostics_are_the_backends(tmp_path: Path) -> None:
    lane = FakeLane()
    lane.conditions_now = [types.Condition(code="CENTRE_LOST", severity=types.SEVERITY_WARNING)]
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.VIEWER) as opened:
        stub = DiagnosticsServiceStub(opened)
        devices = await stub.ListDevices(diagnostics_pb.ListDevicesRequest(), timeout=5)
        conditions = await stub.ListConditions(diagnostics_pb.ListConditionsRequest(), timeout=5)
        outbox = await stub.GetOutbox(diagnostics_pb.GetOutboxRequest(), timeout=5)
        readers = await stub.ListReaders(diagnostics_pb.ListReadersRequest(device="reader-1"), timeout=5)
        unknown = stub.ListReaders(diagnostics_pb.ListReadersRequest(device="reader-9"), timeout=5)
        code, info, _ = await error_of(unknown)
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "READER_NOT_FOUND")
    assert list(readers.readers) == lane.readers()
    assert list(devices.devices) == lane.devices()
    assert list(conditions.conditions) == lane.conditions_now
    assert outbox == lane.outbox()


@pytest.mark.real_time
async def test_streams_are_bounded_and_leave_room_for_a_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MAX_STREAMS", 3)
    async with open_doors(tmp_path, FakeLane()), channel(tmp_path, Role.VIEWER) as opened:
        stub = LaneServiceStub(opened)
        open_calls = [stub.WatchLane(pb.WatchLaneRequest()) for _ in range(3)]
        for call in open_calls:
            await call.read()
        code, info, _ = await error_of(stub.WatchLane(pb.WatchLaneRequest(), timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        request_id = "0190e1c2-5a70-7000-8000-00000000f009"
        await stub.HoldLane(pb.HoldLaneRequest(request_id=request_id, officer="x"), timeout=5)
        open_calls[0].cancel()
        await _until_open(stub)


async def _until_open(stub: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            call = stub.WatchLane(pb.WatchLaneRequest())
            try:
                await call.read()
            except grpc.aio.AioRpcError:
                continue
            call.cancel()
            return
