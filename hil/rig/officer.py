"""A scripted officer: a client of `securecorridor.lane.v1` that does what a person at the console would do.

It uses the generated stubs only. Its eyes are the bench's: `look()` tells what a camera would show.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2_grpc as lane_grpc
from securecorridor.lane.v1 import types_pb2 as types

OFFICER = "bso-7421"
_THINK_S = 4.0
_CONFIRM_AFTER_S = 1.0
_KEEP_S = 0.9


@dataclass(frozen=True, slots=True)
class Act:
    """One thing the officer did: `sent_ns` and `answered_ns` on CLOCK_MONOTONIC."""

    name: str
    conveyance_id: str
    sent_ns: int
    answered_ns: int
    result: str


class ScriptedOfficer:
    """Takes control of a lane that nobody controls, keeps it until somebody takes over, and only watches meanwhile. In
    control: confirms an order that is unknown, talks with who waits, sends on who must leave, holds when told to.

    `lane_empty()` says whether the camera shows an empty corridor; `send_aside(conveyance_id)` waves a standing vehicle
    out of the lane. `report(Act)` hears every act.
    """

    def __init__(
        self,
        socket: Path,
        *,
        lane_empty: Callable[[], bool],
        send_aside: Callable[[], None],
        report: Callable[[Act], None],
        think_s: float = _THINK_S,
    ) -> None:
        self._target = f"unix:{socket}"
        self._lane_empty = lane_empty
        self._send_aside = send_aside
        self._report = report
        self._think_s = think_s
        self._waiting_since: dict[str, float] = {}
        self._dealt_with: dict[str, int] = {}
        self._confirm_since: float | None = None
        self._stub: Any = None
        self._kept_s = 0.0
        self.lane: pb.LaneState | None = None

    async def run(self) -> None:
        """Watch and act until cancelled; comes back when the agent does."""
        async with grpc.aio.insecure_channel(self._target) as channel:
            self._stub = lane_grpc.LaneServiceStub(channel)
            while True:
                request = pb.WatchLaneRequest(officer_present=True, officer=OFFICER)
                request.min_interval.FromMilliseconds(250)
                try:
                    async for answer in self._stub.WatchLane(request):
                        self.lane = answer.lane
                        await self._attend(answer.lane)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.2)

    async def hold_lane(self, reason: str) -> Act:
        """Red, now."""
        return await self._do("HoldLane", "", pb.HoldLaneRequest(**self._who(reason)))

    async def clear_hold(self, reason: str) -> Act:
        """End the lane's hold."""
        return await self._do("ClearHold", "", pb.ClearHoldRequest(**self._who(reason)))

    async def _in_control(self, lane: pb.LaneState, now: float) -> bool:
        if not lane.control.officer:
            taken = await self._do("TakeControl", "", control_pb.TakeControlRequest(**self._who("nobody had it")))
            return taken.result == "OK"
        if lane.control.officer == OFFICER and now - self._kept_s >= _KEEP_S:
            self._kept_s = now
            with contextlib.suppress(grpc.aio.AioRpcError):  # lost or taken over: the next state says so
                await self._stub.KeepControl(control_pb.KeepControlRequest(officer=OFFICER), timeout=1.0)
        return lane.control.officer == OFFICER

    async def _attend(self, lane: pb.LaneState) -> None:
        now = time.monotonic()
        if not await self._in_control(lane, now):
            return
        await self._confirm_order(lane, now)
        for conveyance in lane.conveyances:
            if conveyance.order == 1 and conveyance.standing_at_line and not conveyance.green:
                since = self._waiting_since.setdefault(conveyance.conveyance_id, now)
                if now - since >= self._think_s:
                    await self._deal_with(conveyance, now)
            else:
                self._waiting_since.pop(conveyance.conveyance_id, None)

    async def _confirm_order(self, lane: pb.LaneState, now: float) -> None:
        occupied = any(zone.level == pb.ZoneState.LEVEL_OCCUPIED for zone in lane.zones)
        if lane.corridor_order_known or occupied or not self._lane_empty():
            self._confirm_since = None
            return
        self._confirm_since = self._confirm_since or now
        if now - self._confirm_since < _CONFIRM_AFTER_S:
            return
        self._confirm_since = None
        request = pb.ConfirmCorridorOrderRequest(etag=lane.etag, **self._who("corridor seen empty on camera"))
        await self._do("ConfirmCorridorOrder", "", request)

    async def _deal_with(self, conveyance: pb.ConveyanceState, now: float) -> None:
        """A vehicle has stood at the line for a while: what the decision says, or a talk and a release."""
        tries = self._dealt_with.get(conveyance.conveyance_id, 0)
        if tries >= 3:
            return
        self._dealt_with[conveyance.conveyance_id] = tries + 1
        self._waiting_since[conveyance.conveyance_id] = now
        verdict = conveyance.decision.verdict if conveyance.HasField("decision") else types.VERDICT_UNSPECIFIED
        about: dict[str, Any] = {
            "conveyance_id": conveyance.conveyance_id,
            "etag": conveyance.etag,
            "identity_digest": conveyance.identity_digest,
        }
        if verdict in (types.VERDICT_REFER_SECONDARY, types.VERDICT_REFUSE_RETURN, types.VERDICT_MANUAL_LANE):
            refer = pb.ReferConveyanceRequest(
                referral_reason=conveyance.decision.referral_reason or types.REFERRAL_REASON_OTHER_AGENCY,
                **about,
                **self._who("sent to secondary, spoken with on the intercom"),
            )
            if verdict == types.VERDICT_REFER_SECONDARY:
                await self._do("ReferConveyance", conveyance.conveyance_id, refer)
            else:
                direct = pb.DirectConveyanceRequest(
                    conveyance_id=conveyance.conveyance_id,
                    etag=conveyance.etag,
                    verdict=verdict,
                    **self._who("turned back as decided"),
                )
                await self._do("DirectConveyance", conveyance.conveyance_id, direct)
            self._send_aside()
            return
        release = pb.ReleaseConveyanceRequest(**about, **self._who("papers shown to the camera, spoken with"))
        await self._do("ReleaseConveyance", conveyance.conveyance_id, release)

    async def _do(self, name: str, conveyance_id: str, request: Any) -> Act:  # noqa: ANN401 - any act request
        sent = time.monotonic_ns()
        try:
            await getattr(self._stub, name)(request, timeout=5.0)
            result = "OK"
        except grpc.aio.AioRpcError as error:
            result = f"{error.code().name}: {error.details()}"
        act = Act(name, conveyance_id, sent, time.monotonic_ns(), result)
        self._report(act)
        return act

    @staticmethod
    def _who(reason: str) -> dict[str, Any]:
        return {"request_id": str(uuid.uuid4()), "officer": OFFICER, "reason": reason}
