"""What the media process reports, and what its end means."""

from pathlib import Path

import grpc
import pytest

from edge_agent.model.decision import Role
from securecorridor.lane.v1 import sighting_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.sighting_service_pb2_grpc import SightingServiceStub
from tests.unit.api.fake_lane import FakeLane, channel, error_of, next_of, open_doors


def _view(name: str, live: bool = True) -> pb.ReportSightingsRequest:
    return pb.ReportSightingsRequest(view=pb.ViewState(view=name, live=live))


def _plate(**changes: object) -> pb.ReportSightingsRequest:
    fields = {"sighting_id": "s1", "kind": types.IDENTITY_KIND_PLATE_FRONT, "text": "AB12345", "confidence": 0.9,
              "view": "overview"}  # fmt: skip
    return pb.ReportSightingsRequest(plate=pb.PlateSighting(**{**fields, **changes}))  # type: ignore[arg-type]


@pytest.mark.real_time
async def test_each_report_is_answered_in_order_and_the_end_takes_the_views_away(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.MEDIA) as opened:
        call = SightingServiceStub(opened).ReportSightings()
        for number, report in enumerate([_view("overview"), _plate(), _view("rear"), _view("overview", False)], 1):
            await call.write(report)
            assert (await next_of(call)).accepted == number
        assert lane.views == {"overview": False, "rear": True}
        assert [plate.text for plate in lane.plates] == ["AB12345"]
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        assert lane.gone == [("overview", "rear")]


@pytest.mark.real_time
async def test_a_stream_that_breaks_takes_its_views_away_too(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane):
        async with channel(tmp_path, Role.MEDIA) as opened:
            call = SightingServiceStub(opened).ReportSightings()
            await call.write(_view("overview"))
            await call.read()
        await lane.until_changed()
    assert lane.gone == [("overview",)]


@pytest.mark.real_time
async def test_a_late_end_of_an_old_stream_does_not_take_a_view_that_is_back(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.MEDIA) as opened:
        stub = SightingServiceStub(opened)
        old, new = stub.ReportSightings(), stub.ReportSightings()
        for call, view in ((old, "overview"), (old, "rear"), (new, "overview")):
            await call.write(_view(view))
            await call.read()
        await old.done_writing()
        assert await old.code() is grpc.StatusCode.OK
        assert lane.gone == [("rear",)]
        await new.done_writing()
        await new.code()
        assert lane.gone[1:] == [("overview",)]


@pytest.mark.real_time
async def test_a_report_that_makes_no_sense_ends_the_stream(tmp_path: Path) -> None:
    lane = FakeLane()
    cases = [
        (pb.ReportSightingsRequest(), ["report"]),
        (_view("two words"), ["view.view"]),
        (_plate(text=""), ["plate.text"]),
        (_plate(text="A\n"), ["plate.text"]),
        (_plate(text="A" * 65), ["plate.text"]),
        (_plate(kind=0), ["plate.kind"]),
        (_plate(confidence=float("nan")), ["plate.confidence"]),
        (_plate(confidence=1.5), ["plate.confidence"]),
        (_plate(sighting_id="", view=""), ["plate.sighting_id", "plate.view"]),
    ]
    async with open_doors(tmp_path, lane), channel(tmp_path, Role.MEDIA) as opened:
        for report, wrong in cases:
            call = SightingServiceStub(opened).ReportSightings()
            await call.write(report)
            code, _, fields = await error_of(call)
            assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
        call = SightingServiceStub(opened).ReportSightings()
        for number in range(32):
            await call.write(_view(f"view-{number}"))
            await call.read()
        await call.write(_view("one-too-many"))
        assert (await error_of(call))[2] == ["view.view"]
    assert lane.plates == []
    assert len(lane.gone) == 1
