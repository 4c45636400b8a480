"""`LaneService`: the lane as its backend states it, and acts put to the core."""
# ruff: noqa: N802 - the names of the contract

from __future__ import annotations  # grpc's classes are generic for the type checker only

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

import grpc
from grpc.aio import ServicerContext

from edge_agent.model.decision import ActKind, ActResult, OfficerAct, Refused, Role
from edge_agent.model.effects import AnswerAct
from edge_agent.model.lane import LaneMode
from edge_agent.wire import types as wire
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceServicer

from . import requests
from .backend import LaneBackend
from .errors import Reason, Refusal
from .veil import veil_lane, veil_passage

ACT_TIMEOUT_S: Final = 5.0
"""Longest wait for the core's answer to an act."""
TEST_TIMEOUT_S: Final = 20.0
"""Longest wait for a test of the head, which takes 12 s at worst."""
WRITE_TIMEOUT_S: Final = 10.0
"""A reader that takes no message for so long is cut off."""
GAP_S: Final = 0.02
"""Least time between two states to one watcher: changes that come faster are joined."""
PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 500
ID_MIN: Final = 6

R = TypeVar("R")

_STATUS: Final = {
    ActResult.FAILED_PRECONDITION: (grpc.StatusCode.FAILED_PRECONDITION, Reason.ACT_REFUSED),
    ActResult.NOT_FOUND: (grpc.StatusCode.NOT_FOUND, Reason.CONVEYANCE_NOT_FOUND),
    ActResult.PERMISSION_DENIED: (grpc.StatusCode.PERMISSION_DENIED, Reason.ROLE_NOT_ALLOWED),
    ActResult.INVALID_ARGUMENT: (grpc.StatusCode.INVALID_ARGUMENT, Reason.REQUEST_INVALID),
}


class LaneServicer(LaneServiceServicer):
    """One door's `LaneService`. Every method raises Refusal or EdgeError; the door turns them into statuses."""

    def __init__(self, backend: LaneBackend, role: Role) -> None:
        self._backend = backend
        self._role = role

    async def HoldLane(self, request: pb.HoldLaneRequest, context: object) -> pb.HoldLaneResponse:
        """Red at once for the whole lane."""
        return pb.HoldLaneResponse(outcome=await self._act(requests.hold_lane(request, self._role)))

    async def HoldConveyance(self, request: pb.HoldConveyanceRequest, context: object) -> pb.HoldConveyanceResponse:
        """Red at once for one conveyance."""
        return pb.HoldConveyanceResponse(outcome=await self._act(requests.hold_conveyance(request, self._role)))

    async def ClearHold(self, request: pb.ClearHoldRequest, context: object) -> pb.ClearHoldResponse:
        """Ends a hold."""
        return pb.ClearHoldResponse(outcome=await self._act(requests.clear_hold(request, self._role)))

    async def ReleaseConveyance(
        self, request: pb.ReleaseConveyanceRequest, context: object
    ) -> pb.ReleaseConveyanceResponse:
        """The officer releases one conveyance."""
        return pb.ReleaseConveyanceResponse(outcome=await self._act(requests.release(request, self._role)))

    async def ReferConveyance(self, request: pb.ReferConveyanceRequest, context: object) -> pb.ReferConveyanceResponse:
        """The officer sends one conveyance to secondary."""
        return pb.ReferConveyanceResponse(outcome=await self._act(requests.refer(request, self._role)))

    async def DirectConveyance(
        self, request: pb.DirectConveyanceRequest, context: object
    ) -> pb.DirectConveyanceResponse:
        """Any other verdict of the officer."""
        return pb.DirectConveyanceResponse(outcome=await self._act(requests.direct(request, self._role)))

    async def ConfirmCorridorOrder(
        self, request: pb.ConfirmCorridorOrderRequest, context: object
    ) -> pb.ConfirmCorridorOrderResponse:
        """The officer states which conveyances stand in the corridor."""
        return pb.ConfirmCorridorOrderResponse(outcome=await self._act(requests.confirm_order(request, self._role)))

    async def TakeControl(self, request: control_pb.TakeControlRequest, context: object) -> pb.TakeControlResponse:
        """One officer controls the lane from now on."""
        return pb.TakeControlResponse(outcome=await self._act(requests.take_control(request, self._role)))

    async def GiveControl(self, request: control_pb.GiveControlRequest, context: object) -> pb.GiveControlResponse:
        """Nobody controls the lane from now on."""
        return pb.GiveControlResponse(outcome=await self._act(requests.give_control(request, self._role)))

    async def KeepControl(
        self, request: control_pb.KeepControlRequest, context: object
    ) -> control_pb.KeepControlResponse:
        """The heartbeat of the console that controls the lane."""
        left_s = self._backend.keep_control(requests.keep_control(request))
        if left_s is None:
            by = self._backend.lane_state(self._role).control.officer
            text = f"{by} controls the lane" if by else "nobody controls the lane: take control again"
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION, Reason.CONTROL_REQUIRED, text, facts={"controlled_by": by}
            )
        response = control_pb.KeepControlResponse()
        response.left.FromMilliseconds(round(left_s * 1000))
        return response

    async def SetLaneMode(self, request: pb.SetLaneModeRequest, context: object) -> pb.SetLaneModeResponse:
        """Changes the lane's mode; a technician may only close it, or work at a closed one."""
        act = requests.set_mode(request, self._role)
        if self._role is not Role.OFFICER and act.mode not in (LaneMode.CLOSED, LaneMode.MAINTENANCE):
            text = (
                f"mode {act.mode} is for officers; the {self._role.value} door may only close the lane or maintain it"
            )
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, Reason.ROLE_NOT_ALLOWED, text)
        return pb.SetLaneModeResponse(outcome=await self._act(act))

    async def ClearSignalFault(
        self, request: pb.ClearSignalFaultRequest, context: object
    ) -> pb.ClearSignalFaultResponse:
        """Clears a latched signal fault."""
        return pb.ClearSignalFaultResponse(outcome=await self._act(requests.clear_fault(request, self._role)))

    async def TestSignal(self, request: pb.TestSignalRequest, context: object) -> pb.TestSignalResponse:
        """Shows each aspect once in a closed and empty lane."""
        act = requests.test_head(ActKind.TEST_SIGNAL, request, self._role)
        answer, response = await self._bounded(self._backend.test_signal(act), TEST_TIMEOUT_S)
        response.outcome.CopyFrom(outcome(answer))
        return response

    async def CommissionHead(self, request: pb.CommissionHeadRequest, context: object) -> pb.CommissionHeadResponse:
        """The kill test of the head's module."""
        act = requests.test_head(ActKind.TEST_KILL, request, self._role)
        answer, response = await self._bounded(self._backend.commission_head(act), TEST_TIMEOUT_S)
        response.outcome.CopyFrom(outcome(answer))
        return response

    async def AcknowledgeCondition(
        self, request: pb.AcknowledgeConditionRequest, context: object
    ) -> pb.AcknowledgeConditionResponse:
        """Records that a person has seen a condition."""
        return pb.AcknowledgeConditionResponse(outcome=await self._act(requests.acknowledge(request, self._role)))

    async def SilenceAlarms(self, request: pb.SilenceAlarmsRequest, context: object) -> pb.SilenceAlarmsResponse:
        """Ends tone and beacon of the violations up to now."""
        return pb.SilenceAlarmsResponse(outcome=await self._act(requests.silence(request, self._role)))

    async def GetLane(self, request: pb.GetLaneRequest, context: object) -> pb.GetLaneResponse:
        """The lane now."""
        return pb.GetLaneResponse(lane=self._lane())

    async def WatchLane(  # type: ignore[override]  # written with context.write: its contexts end with the call
        self, request: pb.WatchLaneRequest, context: ServicerContext[Any, pb.WatchLaneResponse]
    ) -> None:
        """The lane now and at every change; the latest state only, to a reader that is behind."""
        every_s = requests.seconds(request, "min_interval", request.min_interval, 1.0)
        presence = self._presence(request, every_s)
        loop = asyncio.get_running_loop()
        with presence, self._backend.lane_changes() as watch:
            while True:
                began_s = loop.time()
                await send(context, pb.WatchLaneResponse(lane=self._lane()))
                changed = await watch.wait(max(0.0, began_s + every_s - loop.time()))
                if changed:
                    await asyncio.sleep(max(0.0, began_s + GAP_S - loop.time()))

    async def ListPassages(self, request: pb.ListPassagesRequest, context: object) -> pb.ListPassagesResponse:
        """Sealed passages, newest first. A page token is the sequence number of the last passage given."""
        fields = requests.Fields()
        fields.require(request.page_size >= 0, "page_size", "must not be negative")
        token = request.page_token
        fields.require(not token or (token.isascii() and token.isdigit()), "page_token", "is of no earlier answer")
        fields.require(len(token) < 20, "page_token", "is of no earlier answer")
        fields.done()
        size = min(request.page_size or PAGE_DEFAULT, PAGE_MAX)
        found = await self._backend.list_passages(size + 1, int(token) if token else None)
        page = found[:size]
        return pb.ListPassagesResponse(passages=page, next_page_token=str(page[-1].seq) if len(found) > size else "")

    async def GetPassage(self, request: pb.GetPassageRequest, context: object) -> pb.GetPassageResponse:
        """One passage: live or sealed."""
        fields = requests.Fields()
        fields.id(request.id, "id", "a bundle or conveyance id or its beginning")
        fields.require(len(request.id) >= ID_MIN, "id", f"must have at least {ID_MIN} characters")
        fields.done()
        found = await self._backend.get_passage(request.id)
        if found is None:
            text = "no passage has this id, or several begin with it: give more of it"
            raise Refusal(grpc.StatusCode.NOT_FOUND, Reason.PASSAGE_NOT_FOUND, text)
        answer = pb.GetPassageResponse(passage=found.passage, live=found.live, bundle=found.bundle)
        return veil_passage(answer, self._role)

    async def WatchPassages(  # type: ignore[override]  # as WatchLane
        self, request: pb.WatchPassagesRequest, context: ServicerContext[Any, pb.WatchPassagesResponse]
    ) -> None:
        """Each passage as it is sealed, from now on."""
        with self._backend.passages() as passages:
            # Headers at once: the caller then knows that whatever is sealed from here on will come.
            await context.send_initial_metadata(())
            async for passage in passages:
                await send(context, pb.WatchPassagesResponse(passage=passage))

    async def _act(self, act: OfficerAct) -> pb.ActOutcome:
        return outcome(await self._bounded(self._backend.act(act), ACT_TIMEOUT_S))

    async def _bounded(self, answer: Awaitable[R], timeout_s: float) -> R:
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            text = "the lane has not answered in time: repeat with the same request_id to learn what became of it"
            raise Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, Reason.ACT_UNCONFIRMED, text) from error

    def _lane(self) -> pb.LaneState:
        return veil_lane(self._backend.lane_state(self._role), self._role)

    def _presence(self, request: pb.WatchLaneRequest, every_s: float) -> AbstractContextManager[None]:
        fields = requests.Fields()
        fields.require(0.1 <= every_s <= 60.0, "min_interval", "must be 0.1 s to 60 s")
        if request.officer_present:
            fields.officer(request.officer)
        fields.done()
        if not request.officer_present:
            return nullcontext()
        if self._role is not Role.OFFICER:
            text = f"officer_present is for the officer door, not for the {self._role.value} door"
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, Reason.ROLE_NOT_ALLOWED, text)
        return self._backend.console_watch(request.officer)


async def send(context: ServicerContext[Any, R], message: R) -> None:
    """Write one message of a stream; Refusal when the reader does not take it within `WRITE_TIMEOUT_S`."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await context.write(message)
    except TimeoutError as error:
        text = f"no message was taken for {WRITE_TIMEOUT_S:g} s"
        raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.READER_TOO_SLOW, text) from error


def outcome(answer: AnswerAct, not_found: Reason = Reason.CONVEYANCE_NOT_FOUND) -> pb.ActOutcome:
    """The answer to an act; Refusal when it is none but OK. `not_found`: what the act names."""
    if answer.result is not ActResult.OK:
        status, reason = _STATUS[answer.result]
        reason = not_found if answer.result is ActResult.NOT_FOUND else reason
        told = {"request_id": answer.request_id, "etag": answer.etag, "may_clear": ",".join(answer.may_clear)}
        facts = {name: text for name, text in told.items() if text}
        if answer.refused is not Refused.OTHERWISE:
            reason, facts["controlled_by"] = Reason(answer.refused), answer.controlled_by
        raise Refusal(status, reason, answer.message, facts=facts)
    return pb.ActOutcome(
        etag=answer.etag, message=answer.message, may_clear=answer.may_clear, at=wire.moment(answer.at)
    )
