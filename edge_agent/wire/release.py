"""Effects and bundle records to `securecorridor.release.v1` messages. What is serialised here is never made again."""

from google.protobuf.message import Message

from drivers.api import Stamp
from edge_agent.model.effects import AddSupplement, AskRelease, EmitEvent, WithdrawRequest
from edge_agent.model.inputs import SeenElsewhere
from edge_agent.model.lane import LaneIdentity
from securecorridor.release.v1 import record_pb2 as record
from securecorridor.release.v1 import release_service_pb2 as pb

from . import enums, types

BUNDLE_TYPE = "application/x-protobuf; message=securecorridor.release.v1.Bundle"
SUPPLEMENT_TYPE = "application/x-protobuf; message=securecorridor.release.v1.Supplement"
LANE_EVENT_TYPE = "application/x-protobuf; message=securecorridor.release.v1.LaneEvent"


def payload(message: Message) -> bytes:
    """The record's bytes, map fields sorted. Made once: hashes, chain and signatures are over exactly these."""
    return message.SerializeToString(deterministic=True)


def envelope(payload_type: str, content: bytes) -> record.Envelope:
    """Stored bytes with their type; unsigned while lanes have no signing key."""
    return record.Envelope(payload_type=payload_type, payload=content)


def site(lane: LaneIdentity) -> record.Site:
    """Where a record is made."""
    return record.Site(lane=lane.lane, office=lane.office, unlocode=lane.unlocode, direction=lane.direction)


def agent_state(lane: LaneIdentity) -> record.AgentState:
    """What software and configuration make the record."""
    return record.AgentState(
        version=lane.agent_version,
        config_digest=lane.config_digest,
        profile_digest=lane.profile_digest,
        interlock_digest=lane.interlock_digest,
    )


def release_request(
    effect: AskRelease, *, seq: int, bundle_id: str, order: int, commit_in_ms: int
) -> pb.ReleaseRequest:
    """A release request. `order` 1 = first upstream of the stop line; `commit_in_ms` negative: inside, 0: unknown."""
    return pb.ReleaseRequest(
        seq=seq,
        conveyance_id=effect.conveyance_id,
        bundle_id=bundle_id,
        revision=effect.revision,
        identity_digest=effect.identity_digest,
        identities=[types.assignment(assignment) for assignment in effect.assignments],
        complete=effect.complete,
        stamp_mono_ns=effect.at.mono_ns,
        at=types.moment(effect.at),
        order=order,
        commit_in_ms=commit_in_ms,
    )


def withdrawal(effect: WithdrawRequest) -> pb.Withdrawal:
    """The conveyance needs no decision any more."""
    return pb.Withdrawal(conveyance_id=effect.conveyance_id, reason=effect.reason, at=types.moment(effect.at))


def seen_elsewhere(message: pb.SeenElsewhere, received: Stamp) -> SeenElsewhere:
    """What central tells of another lane, stamped with its arrival."""
    return SeenElsewhere(
        at=received,
        conveyance_id=message.conveyance_id,
        token=message.token,
        lane=message.lane,
        seen_utc_ns=message.seen_time.ToNanoseconds(),
        rssi_peak_cdbm=message.rssi_peak_cdbm,
    )


def lane_event(effect: EmitEvent, event_id: str, lane: LaneIdentity, recorded: Stamp) -> record.LaneEvent:
    """A lane event; `recorded` is when it goes to the store."""
    message = record.LaneEvent(
        event_id=event_id,
        site=site(lane),
        code=effect.code,
        severity=enums.SEVERITY.to_wire(effect.severity),
        at=types.moment(effect.at),
        conveyance_id=effect.conveyance_id,
        facts=dict(effect.facts),
    )
    message.record_time.FromNanoseconds(recorded.utc_ns)
    return message


def supplement(effect: AddSupplement, supplement_id: str, lane: LaneIdentity) -> record.Supplement:
    """What became known about a sealed bundle."""
    return record.Supplement(
        supplement_id=supplement_id,
        bundle_id=effect.bundle_id,
        site=site(lane),
        kind=effect.kind,
        at=types.moment(effect.at),
        facts=dict(effect.facts),
    )
