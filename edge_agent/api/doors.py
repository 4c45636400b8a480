"""Who may call what. The role is the door's; whatever is not in the table is refused."""

from __future__ import annotations  # grpc's classes are generic for the type checker only

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import grpc
from grpc.aio import AbortError, ServicerContext

from drivers.api import EdgeError
from edge_agent.model.decision import Role
from edge_agent.observe.log import log

from .errors import Reason, Refusal

_LOGGER = logging.getLogger("edge_agent.api")

MAX_STREAMS: Final = 48
"""Open streams at one door; calls beyond are refused, so that streams can never crowd out a HOLD."""

_ALL: Final = frozenset(Role)
_OFFICER: Final = frozenset({Role.OFFICER})
_TECHNICIAN: Final = frozenset({Role.TECHNICIAN})
_STAFF: Final = frozenset({Role.OFFICER, Role.TECHNICIAN})
_LANE: Final = "/securecorridor.lane.v1.LaneService/"
_CAPTURES: Final = "/securecorridor.lane.v1.CaptureService/"
_DIAGNOSTICS: Final = "/securecorridor.lane.v1.DiagnosticsService/"

ALLOWED: Final[dict[str, frozenset[Role]]] = {
    _LANE + "GetLane": _ALL,
    _LANE + "WatchLane": _ALL,
    _LANE + "ListPassages": _ALL,
    _LANE + "GetPassage": _ALL,
    _LANE + "WatchPassages": _ALL,
    _LANE + "HoldLane": _ALL,
    _LANE + "HoldConveyance": _ALL,
    _LANE + "ClearHold": _OFFICER,
    _LANE + "ReleaseConveyance": _OFFICER,
    _LANE + "ReferConveyance": _OFFICER,
    _LANE + "DirectConveyance": _OFFICER,
    _LANE + "ConfirmCorridorOrder": _OFFICER,
    _LANE + "TakeControl": _OFFICER,
    _LANE + "GiveControl": _OFFICER,
    _LANE + "KeepControl": _OFFICER,
    _LANE + "SetLaneMode": _STAFF,
    _LANE + "ClearSignalFault": _STAFF,
    _LANE + "TestSignal": _STAFF,
    _LANE + "CommissionHead": _STAFF,
    _LANE + "AcknowledgeCondition": _STAFF,
    _LANE + "SilenceAlarms": _STAFF,
    _DIAGNOSTICS + "ListDevices": _ALL,
    _DIAGNOSTICS + "ListReaders": _ALL,
    _DIAGNOSTICS + "ListConditions": _ALL,
    _DIAGNOSTICS + "GetOutbox": _ALL,
    _DIAGNOSTICS + "TailEvents": _ALL,
    _CAPTURES + "StartCapture": _TECHNICIAN,
    _CAPTURES + "StopCapture": _TECHNICIAN,
    _CAPTURES + "DeleteCapture": _TECHNICIAN,
    _CAPTURES + "ListCaptures": _STAFF,
    "/securecorridor.lane.v1.SightingService/ReportSightings": frozenset({Role.MEDIA}),
    "/grpc.health.v1.Health/Check": _ALL,
    "/grpc.health.v1.Health/List": _ALL,
    "/grpc.health.v1.Health/Watch": _ALL,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ALL,
}
"""RPC to the roles that may call it. What a role may ask for with it is narrowed further by the servicers."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour: TypeAlias = "Callable[[Any, ServicerContext[Any, Any]], Any]"


class Door(grpc.aio.ServerInterceptor):
    """Stands before every call of one door: lets in, refuses, and turns faults into rich errors."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._known: dict[str, Handler] = {}
        self._streams = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The guarded handler of a method; None (UNIMPLEMENTED) when there is no such method."""
        method = handler_call_details.method
        known = self._known.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        self._known[method] = guarded = self._guarded(method, handler)
        return guarded

    def _guarded(self, method: str, handler: Handler) -> Handler:
        codec = (handler.request_deserializer, handler.response_serializer)
        allowed = ALLOWED.get(method, frozenset())
        if self._role not in allowed:
            # Refused before a message is read: as a stream it needs none.
            return grpc.stream_stream_rpc_method_handler(self._refusing(method, allowed), *codec)
        if handler.response_streaming:
            behaviour = self._stream(handler.stream_stream if handler.request_streaming else handler.unary_stream)
            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(behaviour, *codec)
            return grpc.unary_stream_rpc_method_handler(behaviour, *codec)
        assert not handler.request_streaming, "no method of the lane streams requests for one answer"
        return grpc.unary_unary_rpc_method_handler(_answering(handler.unary_unary), *codec)

    def _refusing(self, method: str, allowed: frozenset[Role]) -> Behaviour:
        doors = ", ".join(sorted(role.value for role in allowed)) or "none"
        name = method.rpartition("/")[2]
        message = f"{name} is not for the {self._role.value} door; doors: {doors}"
        facts = {"method": name, "door": self._role.value, "doors": doors}
        status = Refusal(grpc.StatusCode.PERMISSION_DENIED, Reason.WRONG_DOOR, message, facts=facts).to_status()

        async def refuse(_requests: object, context: ServicerContext[Any, Any]) -> None:
            await context.abort_with_status(status)

        return refuse

    def _stream(self, behaviour: Any) -> Behaviour:  # noqa: ANN401 - coroutine or generator function of any message
        generates = inspect.isasyncgenfunction(behaviour)

        async def stream(request: Any, context: ServicerContext[Any, Any]) -> None:  # noqa: ANN401
            if self._streams >= MAX_STREAMS:
                text = f"{MAX_STREAMS} streams are open at this door"
                full = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.TOO_MANY_STREAMS, text)
                await context.abort_with_status(full.to_status())
            self._streams += 1
            try:
                if generates:
                    async for message in behaviour(request, context):
                        await context.write(message)
                else:
                    await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the edge of the API: every fault becomes a status
                await _abort(context, error)
            finally:
                self._streams -= 1

        return stream


def _answering(behaviour: Any) -> Behaviour:  # noqa: ANN401 - coroutine function of any message
    async def answer(request: Any, context: ServicerContext[Any, Any]) -> Any:  # noqa: ANN401
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the edge of the API: every fault becomes a status
            await _abort(context, error)

    return answer


async def _abort(context: ServicerContext[Any, Any], error: Exception) -> None:
    if isinstance(error, AbortError):
        raise error
    if isinstance(error, Refusal):
        refusal = error
    elif isinstance(error, EdgeError):
        facts = {"hint": error.hint} if error.hint else {}
        refusal = Refusal(grpc.StatusCode.UNAVAILABLE, error.code, error.message, facts=facts)
    else:
        # The text of a stray exception may hold anything, an identity value too: only its kind and place are told.
        place = _place(error)
        log(_LOGGER, logging.ERROR, "api_fault", code=Reason.INTERNAL, detail=f"{type(error).__name__} at {place}")
        refusal = Refusal(grpc.StatusCode.INTERNAL, Reason.INTERNAL, "a defect of the agent; its log has the place")
    await context.abort_with_status(refusal.to_status())


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return "?"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"
