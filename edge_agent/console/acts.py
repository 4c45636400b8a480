"""Officer's acts: JSON of the page to a request of `lane.v1`, and the agent's answer or fault to JSON and a status."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb

_DETAILS_KEY = "grpc-status-details-bin"
_HOLD_DEADLINE_S = 3.0
_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Act:
    """One verb of the page: the method it becomes, and how long the page waits for the answer.

    `persistent`: tried until the deadline when the agent is not there; only for what can do no harm when it comes late.
    """

    method: str
    request: type[Message]
    deadline_s: float = _DEADLINE_S
    persistent: bool = False


ACTS: Final[Mapping[str, Act]] = {
    "hold_lane": Act("HoldLane", pb.HoldLaneRequest, _HOLD_DEADLINE_S, persistent=True),
    "hold_conveyance": Act("HoldConveyance", pb.HoldConveyanceRequest, _HOLD_DEADLINE_S, persistent=True),
    "clear_hold": Act("ClearHold", pb.ClearHoldRequest),
    "release": Act("ReleaseConveyance", pb.ReleaseConveyanceRequest),
    "refer": Act("ReferConveyance", pb.ReferConveyanceRequest),
    "direct": Act("DirectConveyance", pb.DirectConveyanceRequest),
    "confirm_order": Act("ConfirmCorridorOrder", pb.ConfirmCorridorOrderRequest),
    "take_control": Act("TakeControl", control_pb.TakeControlRequest),
    "give_control": Act("GiveControl", control_pb.GiveControlRequest),
    "set_mode": Act("SetLaneMode", pb.SetLaneModeRequest),
    "clear_fault": Act("ClearSignalFault", pb.ClearSignalFaultRequest),
    "silence": Act("SilenceAlarms", pb.SilenceAlarmsRequest),
    "acknowledge": Act("AcknowledgeCondition", pb.AcknowledgeConditionRequest),
}

_STATUS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 403,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}

_NOT_SENT = "the lane could not be reached: nothing was done"
_NOT_KNOWN = "the lane did not answer, whether it was done is not known"


class BadAct(Exception):
    """The body cannot become a request; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page gets: an HTTP status and the body; `code` is the gRPC status name, for metrics."""

    status: int
    code: str
    body: Mapping[str, Any]


def request_of(act: Act, body: object, officer: str) -> Message:
    """The request. The officer is who signed in, whatever the body says. BadAct."""
    if not isinstance(body, dict):
        raise BadAct("the body must be a JSON object")
    if "officer" in body:
        raise BadAct("the officer is who signed in, not a field of the act")
    try:
        uuid.UUID(str(body.get("request_id", "")))
    except ValueError as error:
        raise BadAct("request_id must be a UUID") from error
    try:
        return json_format.ParseDict({**body, "officer": officer}, act.request())
    except json_format.ParseError as error:
        raise BadAct(str(error)) from error


def answer_of(response: Any) -> Answer:  # noqa: ANN401 - any act's response: all have an outcome
    """The agent took the act."""
    outcome = response.outcome
    body = {
        "ok": True,
        "code": "OK",
        "message": outcome.message,
        "etag": outcome.etag,
        "may_clear": list(outcome.may_clear),
    }
    return Answer(200, "OK", body)


def refusal_of(error: grpc.aio.AioRpcError, *, sent: bool = True) -> Answer:
    """The agent refused the act, or was not there. `sent`: the act may have left this computer.

    The body's `known` is false when nobody can tell whether the act was done."""
    code, reason = error.code(), _reason(error)
    silent = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) and not reason
    if silent and not sent:
        code = grpc.StatusCode.UNAVAILABLE
    said = error.details() or code.name
    body = {
        "ok": False,
        "code": code.name,
        "message": (_NOT_KNOWN if sent else _NOT_SENT) if silent else said,
        "reason": reason,
        "known": not (silent and sent),
    }
    return Answer(_STATUS.get(code, 502), code.name, body)


def _reason(error: grpc.aio.AioRpcError) -> str:
    """The stable reason of google.rpc.ErrorInfo; "" when the agent sent none."""
    metadata = error.trailing_metadata()
    packed = metadata.get(_DETAILS_KEY) if metadata is not None else None
    if not isinstance(packed, bytes):
        return ""
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""
