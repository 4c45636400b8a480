"""Connections to the release service, and its faults in the agent's words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from edge_agent.model.errors import CentralError, CentralRejected, CentralUnavailable

ANSWER_S = 3.0
"""Longest wait for the service's first message on a new stream."""

_STATUS_S = 1.0

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 1_000),
    # The time-out of the ping itself is another setting, 60 s by default: a stopped process keeps acknowledging TCP.
    ("grpc.http2.ping_timeout_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    # Also the time a connection attempt may take; 20 s by default.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Channels of one process would share a connection, and records would queue before decisions.
    ("grpc.use_local_subchannel_pool", 1),
)

# The service is there and refuses; anything else is a line that may come back.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


def connect(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel of its own to `host:port`: make one for decisions and one for records. Closing it is the caller's."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


@asynccontextmanager
async def faults_of(call: Any) -> AsyncIterator[None]:  # noqa: ANN401 - a stream-stream call of any messages
    """Turn everything a broken stream raises into a CentralError, and cancel the call at the end.

    A write to a stream that has broken raises a bare InvalidStateError, or INTERNAL for the first one: what really
    happened is the call's own status. Faults raised in a TaskGroup inside come out as one.
    """
    try:
        yield
    except (grpc.RpcError, asyncio.InvalidStateError) as error:
        raise await fault_of(call, error) from error
    except BaseExceptionGroup as group:
        known, other = group.split((grpc.RpcError, asyncio.InvalidStateError, CentralError))
        if known is None or other is not None:
            raise
        first = _leaf(known)
        if isinstance(first, CentralError):
            raise first from group
        raise await fault_of(call, first) from group
    finally:
        call.cancel()


async def fault_of(call: Any, error: BaseException) -> CentralError:  # noqa: ANN401 - see faults_of
    """The fault behind an error on a stream."""
    code, details, reason = grpc.StatusCode.UNKNOWN, type(error).__name__, ""
    with contextlib.suppress(TimeoutError):
        # A write may fail before the status has come. Not asyncio.timeout: see runtime.supervise on TaskGroups.
        code, details, reason = await asyncio.wait_for(_status(call), _STATUS_S)
    text = f"{code.name}: {details}" if details else code.name
    if code in _REFUSALS:
        return CentralRejected(
            f"CENTRAL_{reason or code.name}",
            f"the release service refuses the stream: {text}",
            "tell central's operators",
        )
    return CentralUnavailable(
        "CENTRAL_UNAVAILABLE", f"the stream to the release service broke: {text}", "check the line to central"
    )


async def _status(call: Any) -> tuple[grpc.StatusCode, str, str]:  # noqa: ANN401 - see faults_of
    return await call.code(), await call.details() or "", await _reason(call)


async def _reason(call: Any) -> str:  # noqa: ANN401 - see faults_of
    """The reason in google.rpc.ErrorInfo, in capitals; "" without one."""
    try:
        status = await rpc_status.aio.from_call(call)
    except (ValueError, AttributeError):
        return ""
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        # A fault the agent named says more than what broke because of it.
        named = [e for e in error.exceptions if isinstance(e, CentralError)]
        error = named[0] if named else error.exceptions[0]
    return error
