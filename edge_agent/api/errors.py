"""How a call is refused: one exception inside the doors, google.rpc.Status with ErrorInfo and BadRequest outside."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "securecorridor"
"""ErrorInfo.domain of every refusal."""

_NONE: Mapping[str, str] = MappingProxyType({})


class Reason(StrEnum):
    """ErrorInfo.reason: stable, one per way of being refused."""

    REQUEST_INVALID = "REQUEST_INVALID"
    """A field is missing or out of range; BadRequest names it."""
    WRONG_DOOR = "WRONG_DOOR"
    """This door's role may not call this."""
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    """The role may call this, but not for what it asks now; `may_clear` says who may end a hold."""
    ACT_REFUSED = "ACT_REFUSED"
    """What the caller saw is no longer true, or the lane's state does not allow the act."""
    CONTROL_REQUIRED = "CONTROL_REQUIRED"
    """Needs control of the lane, which nobody or somebody else has (`controlled_by`): take it first."""
    CONTROL_CHANGED = "CONTROL_CHANGED"
    """Control is not with the officer whom the caller was shown any more (`controlled_by`): look again."""
    CONVEYANCE_NOT_FOUND = "CONVEYANCE_NOT_FOUND"
    DEVICE_NOT_FOUND = "DEVICE_NOT_FOUND"
    """The lane has no reader or module of that name."""
    CAPTURE_NOT_FOUND = "CAPTURE_NOT_FOUND"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    READER_NOT_FOUND = "READER_NOT_FOUND"
    """This lane has no RFID reader of that name."""
    PASSAGE_NOT_FOUND = "PASSAGE_NOT_FOUND"
    """No passage has this id, or several begin with it."""
    ACT_UNCONFIRMED = "ACT_UNCONFIRMED"
    """No answer of the lane in time: repeat with the same request_id to learn what became of it."""
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    READER_TOO_SLOW = "READER_TOO_SLOW"
    """The caller did not take a message in time: open the stream again."""
    INTERNAL = "INTERNAL"
    """A defect of the agent; its log has the place."""


class Refusal(Exception):
    """Ends a call. `fields` becomes BadRequest, `facts` ErrorInfo.metadata; neither may hold an identity value."""

    def __init__(
        self,
        status: grpc.StatusCode,
        reason: str,
        message: str,
        fields: Mapping[str, str] = _NONE,
        facts: Mapping[str, str] = _NONE,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.fields = fields
        self.facts = facts

    def to_status(self) -> grpc.Status:
        """The rich status, for `abort_with_status`."""
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=dict(self.facts))
        details = [_packed(info)]
        if self.fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
                for field, text in self.fields.items()
            ]
            details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
        code: int = self.status.value[0]
        return rpc_status.to_status(status_pb2.Status(code=code, message=self.message, details=details))


def invalid(fields: Mapping[str, str]) -> Refusal:
    """INVALID_ARGUMENT, naming each field and what is wrong with it."""
    text = "; ".join(f"{field}: {why}" for field, why in fields.items())
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, Reason.REQUEST_INVALID, text, fields)


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
