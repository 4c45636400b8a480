"""Requests of `LaneService` to the core's `OfficerAct`, checked field by field. Pure; raises Refusal."""

import re
from collections.abc import Sequence
from typing import Final, Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from edge_agent.model.decision import ActKind, OfficerAct, ReferralReason, Role, Verdict
from edge_agent.model.lane import LaneMode
from edge_agent.passage.lane_control import LONGEST_S
from edge_agent.wire import enums
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb

from .errors import invalid

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
OFFICER_MAX: Final = 128
REASON_MAX: Final = 200
ORDER_MAX: Final = 64
LEASE_MAX_S: Final = 3600.0
DIRECTIONS: Final = frozenset({Verdict.HOLD_AT_LINE, Verdict.REFUSE_RETURN, Verdict.MANUAL_LANE})


class Fields:
    """Collects what is wrong with a request, so that the caller learns all of it at once."""

    def __init__(self) -> None:
        self._wrong: dict[str, str] = {}

    def require(self, good: bool, field: str, why: str) -> None:
        """Note `why` for the field unless it is good."""
        if not good:
            self._wrong.setdefault(field, why)

    def id(self, value: str, field: str, what: str) -> None:
        """An id or tag as the agent gave it out."""
        self.require(_ID.fullmatch(value) is not None, field, f"must be {what}" if value else f"is missing: {what}")

    def officer(self, value: str, field: str = "officer") -> None:
        """A person's pseudonym."""
        good = 0 < len(value) <= OFFICER_MAX and value.isprintable() and not value.isspace()
        self.require(good, field, f"must be the person's pseudonym, 1 to {OFFICER_MAX} printable characters")

    def done(self) -> None:
        """Raise Refusal INVALID_ARGUMENT if anything was wrong."""
        if self._wrong:
            raise invalid(self._wrong)


class _Act(Protocol):
    request_id: str
    officer: str
    reason: str


def seconds(message: Message, field: str, value: Duration, default: float) -> float:
    """A duration field in seconds, `default` when absent."""
    return value.seconds + value.nanos / 1e9 if message.HasField(field) else default


def hold_lane(request: pb.HoldLaneRequest, role: Role) -> OfficerAct:
    """Red at once for the lane."""
    begun(request).done()
    return OfficerAct(ActKind.HOLD_LANE, request.request_id, request.officer, role, reason=reason_of(request))


def hold_conveyance(request: pb.HoldConveyanceRequest, role: Role) -> OfficerAct:
    """Red at once for one conveyance."""
    fields = begun(request)
    fields.id(request.conveyance_id, "conveyance_id", "an id from LaneState")
    fields.done()
    return OfficerAct(
        ActKind.HOLD_CONVEYANCE,
        request.request_id,
        request.officer,
        role,
        conveyance_id=request.conveyance_id,
        reason=reason_of(request),
    )


def clear_hold(request: pb.ClearHoldRequest, role: Role) -> OfficerAct:
    """The end of a hold; of the lane's when no conveyance is named."""
    fields = begun(request)
    if request.conveyance_id:
        fields.id(request.conveyance_id, "conveyance_id", "an id from LaneState")
    if request.etag:
        fields.id(request.etag, "etag", "Hold.etag as displayed")
    fields.done()
    return OfficerAct(
        ActKind.CLEAR_HOLD,
        request.request_id,
        request.officer,
        role,
        conveyance_id=request.conveyance_id,
        etag=request.etag,
        reason=reason_of(request),
    )


def release(request: pb.ReleaseConveyanceRequest, role: Role) -> OfficerAct:
    """An officer's release, bound to what was displayed."""
    fields = begun(request)
    _displayed(fields, request.conveyance_id, request.etag, request.identity_digest)
    lease_s = seconds(request, "lease", request.lease, 0.0)
    asked = request.HasField("lease")
    fields.require(not asked or 0 < lease_s <= LEASE_MAX_S, "lease", f"must be above 0 and at most {LEASE_MAX_S:g} s")
    fields.done()
    return OfficerAct(
        ActKind.RELEASE_CONVEYANCE,
        request.request_id,
        request.officer,
        role,
        conveyance_id=request.conveyance_id,
        etag=request.etag,
        identity_digest=request.identity_digest,
        reason=reason_of(request),
        lease_s=lease_s,
        verdict=Verdict.RELEASE,
    )


def refer(request: pb.ReferConveyanceRequest, role: Role) -> OfficerAct:
    """To secondary, bound to what was displayed."""
    fields = begun(request)
    _displayed(fields, request.conveyance_id, request.etag, request.identity_digest)
    referral = enums.REFERRAL.from_wire(request.referral_reason) or ReferralReason.UNSPECIFIED
    known = request.referral_reason == 0 or referral is not ReferralReason.UNSPECIFIED
    fields.require(known, "referral_reason", "is not known to this agent")
    fields.done()
    return OfficerAct(
        ActKind.REFER_CONVEYANCE,
        request.request_id,
        request.officer,
        role,
        conveyance_id=request.conveyance_id,
        etag=request.etag,
        identity_digest=request.identity_digest,
        reason=reason_of(request),
        verdict=Verdict.REFER_SECONDARY,
        referral=referral,
    )


def direct(request: pb.DirectConveyanceRequest, role: Role) -> OfficerAct:
    """Any other verdict, bound to the state displayed."""
    fields = begun(request)
    fields.id(request.conveyance_id, "conveyance_id", "an id from LaneState")
    fields.id(request.etag, "etag", "ConveyanceState.etag as displayed")
    verdict = enums.VERDICT.from_wire(request.verdict) or Verdict.NO_DECISION
    fields.require(verdict in DIRECTIONS, "verdict", "must be HOLD_AT_LINE, REFUSE_RETURN or MANUAL_LANE")
    fields.done()
    return OfficerAct(
        ActKind.DIRECT_CONVEYANCE,
        request.request_id,
        request.officer,
        role,
        conveyance_id=request.conveyance_id,
        etag=request.etag,
        reason=reason_of(request),
        verdict=verdict,
    )


def confirm_order(request: pb.ConfirmCorridorOrderRequest, role: Role) -> OfficerAct:
    """What the officer sees in the corridor, from the stop line upstream."""
    fields = begun(request)
    fields.id(request.etag, "etag", "LaneState.etag as displayed")
    named: Sequence[str] = request.conveyance_ids
    fields.require(len(named) <= ORDER_MAX, "conveyance_ids", f"are more than {ORDER_MAX}")
    fields.require(len(set(named)) == len(named), "conveyance_ids", "names one twice")
    for index, conveyance_id in enumerate(named[:ORDER_MAX]):
        fields.id(conveyance_id, f"conveyance_ids[{index}]", "an id from LaneState")
    fields.done()
    return OfficerAct(
        ActKind.CONFIRM_ORDER,
        request.request_id,
        request.officer,
        role,
        etag=request.etag,
        reason=reason_of(request),
        confirmed_order=tuple(named),
    )


def take_control(request: control_pb.TakeControlRequest, role: Role) -> OfficerAct:
    """Control of the lane, from whom it was displayed."""
    fields = begun(request)
    if request.displaces:
        fields.officer(request.displaces, "displaces")
    ttl_s = seconds(request, "ttl", request.ttl, 0.0)
    asked = request.HasField("ttl")
    fields.require(not asked or 0 < ttl_s <= LONGEST_S, "ttl", f"must be above 0 and at most {LONGEST_S:g} s")
    fields.done()
    return OfficerAct(
        ActKind.TAKE_CONTROL,
        request.request_id,
        request.officer,
        role,
        reason=reason_of(request),
        duration_s=ttl_s,
        displaces=request.displaces,
    )


def give_control(request: control_pb.GiveControlRequest, role: Role) -> OfficerAct:
    """Nobody controls the lane any more."""
    begun(request).done()
    return OfficerAct(ActKind.GIVE_CONTROL, request.request_id, request.officer, role, reason=reason_of(request))


def keep_control(request: control_pb.KeepControlRequest) -> str:
    """Whose console is alive."""
    fields = Fields()
    fields.officer(request.officer)
    fields.done()
    return request.officer


def set_mode(request: pb.SetLaneModeRequest, role: Role) -> OfficerAct:
    """Another lane mode."""
    fields = begun(request)
    mode = enums.LANE_MODE.from_wire(request.mode)
    settable = mode is not None and mode is not LaneMode.FAULT
    fields.require(settable, "mode", "must be CLOSED, ATTENDED, REMOTE, DEGRADED, ALL_HOLD or MAINTENANCE")
    duration_s = seconds(request, "duration", request.duration, 0.0)
    asked = request.HasField("duration")
    fields.require(not asked or duration_s > 0, "duration", "must be above 0 s")
    fields.require(not asked or mode is LaneMode.MAINTENANCE, "duration", "is for MAINTENANCE only")
    fields.done()
    return OfficerAct(
        ActKind.SET_MODE,
        request.request_id,
        request.officer,
        role,
        reason=reason_of(request),
        mode=mode.value if mode is not None else "",
        duration_s=duration_s,
    )


def clear_fault(request: pb.ClearSignalFaultRequest, role: Role) -> OfficerAct:
    """The end of a latched signal fault."""
    begun(request).done()
    return OfficerAct(ActKind.CLEAR_FAULT, request.request_id, request.officer, role, reason=reason_of(request))


def test_head(kind: ActKind, request: pb.TestSignalRequest | pb.CommissionHeadRequest, role: Role) -> OfficerAct:
    """A test of the head, TEST_SIGNAL or TEST_KILL."""
    begun(request).done()
    return OfficerAct(
        kind, request.request_id, request.officer, role, reason=reason_of(request), lane_empty=request.lane_empty
    )


def acknowledge(request: pb.AcknowledgeConditionRequest, role: Role) -> OfficerAct:
    """A person has seen a condition."""
    fields = begun(request)
    fields.id(request.condition, "condition", "Condition.code")
    fields.done()
    return OfficerAct(
        ActKind.ACKNOWLEDGE,
        request.request_id,
        request.officer,
        role,
        reason=reason_of(request),
        condition=request.condition,
    )


def silence(request: pb.SilenceAlarmsRequest, role: Role) -> OfficerAct:
    """The end of tone and beacon of what has happened up to now."""
    begun(request).done()
    return OfficerAct(ActKind.SILENCE, request.request_id, request.officer, role, reason=reason_of(request))


def begun(request: _Act) -> Fields:
    """What every act has, looked at; the caller looks at the rest."""
    fields = Fields()
    given = _UUID.fullmatch(request.request_id) is not None
    fields.require(given, "request_id", "must be a UUID made by the caller, e.g. 0190e1c2-5a70-7000-8000-000000000001")
    fields.officer(request.officer)
    return fields


def _displayed(fields: Fields, conveyance_id: str, etag: str, digest: str) -> None:
    fields.id(conveyance_id, "conveyance_id", "an id from LaneState")
    fields.id(etag, "etag", "ConveyanceState.etag as displayed")
    fields.id(digest, "identity_digest", "ConveyanceState.identity_digest as displayed")


def reason_of(request: _Act) -> str:
    """The reason as it goes into the record."""
    # Tidied instead of refused: nobody's HOLD may fail over a line break or a long sentence.
    return "".join(c if c.isprintable() else " " for c in request.reason[:REASON_MAX]).strip()
