"""What does not pass every door: identities in clear are the officer's, words that people typed are for staff and
central. A reason should hold no personal data, and may all the same."""

from typing import Final

from edge_agent.model.decision import Role
from edge_agent.passage.codes import TYPED
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb

READ_WORDS: Final = frozenset({Role.OFFICER, Role.TECHNICIAN, Role.CENTRAL})
_SAYING: Final = frozenset({"HOLD_LANE", "HOLD_CONVEYANCE", "MODE"})
"""Causes of red whose text ends with what a person typed, after a colon."""


def veil_lane(lane: lane_pb.LaneState, role: Role) -> lane_pb.LaneState:
    """The lane, made new for this caller, as this role may see it."""
    for conveyance in lane.conveyances:
        veil_conveyance(conveyance, role)
    if role in READ_WORDS:
        return lane
    for message in ("hold", "maintenance", "control"):
        if lane.HasField(message):
            getattr(lane, message).ClearField("reason")
    for cause in lane.red_causes:
        if cause.code in _SAYING:
            cause.text = cause.text.partition(": ")[0]
    return lane


def veil_conveyance(conveyance: lane_pb.ConveyanceState, role: Role) -> None:
    """One conveyance, made new for this caller."""
    # The backend is told the role and leaves them out itself; identities in clear deserve a second lock.
    if role is not Role.OFFICER:
        conveyance.ClearField("identities")
    if role in READ_WORDS:
        return
    if conveyance.HasField("hold"):
        conveyance.hold.ClearField("reason")
    if conveyance.HasField("decision") and conveyance.decision.officer:
        conveyance.decision.ClearField("basis")  # of an officer's decision: the reason as it was typed


def veil_passage(answer: lane_pb.GetPassageResponse, role: Role) -> lane_pb.GetPassageResponse:
    """One passage, made new for this caller. The sealed record is given whole or not at all: it has a hash."""
    if answer.HasField("live"):
        veil_conveyance(answer.live, role)
    if role not in READ_WORDS:
        answer.ClearField("bundle")
    return answer


def veil_event(event: diagnostics_pb.TailEvent, role: Role) -> diagnostics_pb.TailEvent:
    """The event, which others share, as this role may see it."""
    if role in READ_WORDS or event.code not in TYPED:
        return event
    told = diagnostics_pb.TailEvent()
    told.CopyFrom(event)
    told.facts.pop(TYPED[event.code], None)
    return told
