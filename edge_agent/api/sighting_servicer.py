"""`SightingService`: what cameras and plate readers of this lane saw."""
# ruff: noqa: N802 - the names of the contract

from __future__ import annotations  # grpc's classes are generic for the type checker only

import math
from collections.abc import AsyncIterable
from typing import Final

from grpc.aio import ServicerContext

from securecorridor.lane.v1 import sighting_service_pb2 as pb
from securecorridor.lane.v1.sighting_service_pb2_grpc import SightingServiceServicer

from .backend import LaneBackend
from .lane_servicer import send
from .requests import Fields

TEXT_MAX: Final = 64
VIEWS_MAX: Final = 32
"""Views one stream may report."""


class SightingServicer(SightingServiceServicer):
    """The media door's `SightingService`. A view belongs to the stream that reported it last."""

    def __init__(self, backend: LaneBackend) -> None:
        self._backend = backend
        self._reporter: dict[str, object] = {}

    async def ReportSightings(  # type: ignore[override]  # written with context.write: its end is the call's end
        self,
        request_iterator: AsyncIterable[pb.ReportSightingsRequest],
        context: ServicerContext[pb.ReportSightingsRequest, pb.ReportSightingsResponse],
    ) -> None:
        """Take each report and answer it with the count; when the stream ends, its views are gone."""
        this = object()
        accepted = 0
        try:
            async for request in request_iterator:
                self._take(request, this)
                accepted += 1
                await send(context, pb.ReportSightingsResponse(accepted=accepted))
        finally:
            self._gone(this)

    def _take(self, request: pb.ReportSightingsRequest, this: object) -> None:
        fields = Fields()
        if request.WhichOneof("report") == "plate":
            _check_plate(fields, request.plate)
            fields.done()
            self._backend.report_plate(request.plate)
        elif request.WhichOneof("report") == "view":
            name = request.view.view
            fields.id(name, "view.view", "the camera's device id")
            mine = sum(reporter is this for reporter in self._reporter.values())
            known = self._reporter.get(name) is this
            fields.require(known or mine < VIEWS_MAX, "view.view", f"one stream reports at most {VIEWS_MAX} views")
            fields.done()
            self._reporter[name] = this
            self._backend.report_view(request.view)
        else:
            fields.require(False, "report", "must be plate or view")
            fields.done()

    def _gone(self, this: object) -> None:
        # A media process that came back reports on a new stream before the end of the old one is noticed.
        views = sorted(view for view, reporter in self._reporter.items() if reporter is this)
        for view in views:
            del self._reporter[view]
        if views:
            self._backend.views_gone(views)


def _check_plate(fields: Fields, plate: pb.PlateSighting) -> None:
    fields.id(plate.sighting_id, "plate.sighting_id", "the sighting's id")
    fields.require(plate.kind != 0, "plate.kind", "is missing")
    readable = 0 < len(plate.text) <= TEXT_MAX and plate.text.isprintable()
    fields.require(readable, "plate.text", f"must be 1 to {TEXT_MAX} printable characters")
    sure = math.isfinite(plate.confidence) and 0.0 <= plate.confidence <= 1.0
    fields.require(sure, "plate.confidence", "must be 0 to 1")
    fields.id(plate.view, "plate.view", "the camera's device id")
