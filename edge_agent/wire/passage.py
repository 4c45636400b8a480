"""A sealed bundle's bytes as a short `Passage` for lists."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from edge_agent.model.errors import StoreError
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import types_pb2 as pb
from securecorridor.release.v1 import record_pb2


def passage_message(payload: bytes, lane: str, seq: int, payload_sha256: bytes, *, delivered: bool) -> lane_pb.Passage:
    """The passage in short. StoreError when the payload is no bundle."""
    try:
        bundle = record_pb2.Bundle.FromString(payload)
    except DecodeError as error:
        raise StoreError("BUNDLE_UNREADABLE", f"bundle {seq} cannot be read", "see the runbook") from error
    message = lane_pb.Passage(
        name=f"{lane}/passages/{bundle.bundle_id}",
        bundle_id=bundle.bundle_id,
        conveyance_id=bundle.conveyance_id,
        outcome=bundle.outcome,
        flags=bundle.flags,
        detect_time=bundle.detected.time,
        seal_time=bundle.sealed.time,
        released_without_stopping=bundle.movement.released_without_stopping,
        transit=bundle.movement.transit,
        seq=seq,
        delivered=delivered,
        payload_sha256=payload_sha256,
    )
    times = bundle.key_times
    _between(times, "first_request", "first_decision", message.decision_latency)
    if times.HasField("green_confirmed") and bundle.decisions:
        # The decision that led to green is the last one received before it.
        before = [d.received for d in bundle.decisions if d.received.mono_ns <= times.green_confirmed.mono_ns]
        if before:
            message.green_latency.FromNanoseconds(times.green_confirmed.mono_ns - before[-1].mono_ns)
    return message


def _between(times: record_pb2.Bundle.Times, start: str, end: str, into: Duration) -> None:
    if times.HasField(start) and times.HasField(end):  # type: ignore[arg-type]
        first: pb.Moment = getattr(times, start)
        last: pb.Moment = getattr(times, end)
        into.FromNanoseconds(last.mono_ns - first.mono_ns)
