"""Enumerations across the wire: model members and protobuf numbers, mapped by name."""

from enum import Enum
from typing import Any, Generic, TypeVar

from drivers.api import Aspect, Grade
from edge_agent.model.conveyance import Outcome, Phase
from edge_agent.model.decision import Authority, ReferralReason, Verdict
from edge_agent.model.effects import Severity
from edge_agent.model.identity import IdentityKind, Leg
from edge_agent.model.lane import LaneMode
from securecorridor.lane.v1 import types_pb2 as pb

E = TypeVar("E", bound=Enum)


class EnumMap(Generic[E]):
    """Both directions of one enumeration. Building it fails when a member has no counterpart."""

    def __init__(self, members: type[E], wire: Any, unspecified: E | None = None) -> None:  # noqa: ANN401 - generated
        prefix = wire.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")
        self._to = {m: 0 if m is unspecified else wire.Value(prefix + m.name) for m in members}
        self._from = {number: member for member, number in self._to.items()}
        self._unspecified = unspecified

    def to_wire(self, member: E | None) -> Any:  # noqa: ANN401 - generated enum value types differ
        """The wire number; 0 (unspecified) for None."""
        return 0 if member is None else self._to[member]

    def from_wire(self, number: int) -> E | None:
        """The member, or the unspecified one (None when there is none) for a number this version does not know."""
        return self._from.get(number, self._unspecified)


ASPECT = EnumMap(Aspect, pb.Aspect)
GRADE = EnumMap(Grade, pb.Grade, Grade.NONE)
LANE_MODE = EnumMap(LaneMode, pb.LaneMode)
LEG = EnumMap(Leg, pb.Leg)
IDENTITY_KIND = EnumMap(IdentityKind, pb.IdentityKind)
VERDICT = EnumMap(Verdict, pb.Verdict)
REFERRAL = EnumMap(ReferralReason, pb.ReferralReason, ReferralReason.UNSPECIFIED)
AUTHORITY = EnumMap(Authority, pb.Authority)
PHASE = EnumMap(Phase, pb.Phase)
OUTCOME = EnumMap(Outcome, pb.Outcome)
SEVERITY = EnumMap(Severity, pb.Severity)
