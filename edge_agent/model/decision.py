"""Decisions, leases and the officer's acts."""

from dataclasses import dataclass
from enum import StrEnum

from drivers.api import Stamp

from .identity import IdentityClaim


class Verdict(StrEnum):
    """What the authority says. NO_DECISION is never shown as green."""

    RELEASE = "release"
    HOLD_AT_LINE = "hold_at_line"
    REFER_SECONDARY = "refer_secondary"
    REFUSE_RETURN = "refuse_return"
    MANUAL_LANE = "manual_lane"
    NO_DECISION = "no_decision"


class ReferralReason(StrEnum):
    """Reason class of a referral."""

    UNSPECIFIED = "unspecified"
    COMMERCIAL_EXAM = "commercial_exam"
    IMMIGRATION = "immigration"
    CUSTOMS = "customs"
    FOOD_PLANT_ANIMAL = "food_plant_animal"
    OTHER_AGENCY = "other_agency"
    DOCUMENTS = "documents"
    RANDOM = "random"
    EQUIPMENT = "equipment"


class Authority(StrEnum):
    """Who decided: the central service, an officer remotely, or an officer at the lane."""

    SYSTEM = "system"
    BSO = "bso"
    BSO_LOCAL = "bso_local"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision (or revision) on one conveyance.

    It binds `conveyance_id` and `identity_digest`. It lives until `echoed_mono_ns + ttl_ms` on this computer's
    monotonic clock, where `echoed_mono_ns` is the stamp of the request it answers; absolute times are evidence only.
    `cargo` are the cargo claims central holds for the conveyance (they complete the cargo leg).
    """

    decision_id: str
    conveyance_id: str
    revision: int
    verdict: Verdict
    authority: Authority
    identity_digest: str
    echoed_mono_ns: int
    ttl_ms: int
    issued_utc_ns: int
    received: Stamp
    basis: str = ""
    referral: ReferralReason = ReferralReason.UNSPECIFIED
    officer: str = ""
    cargo: tuple[IdentityClaim, ...] = ()
    programmes: tuple[str, ...] = ()

    @property
    def deadline_mono_ns(self) -> int:
        """Monotonic time at which the decision is no longer live."""
        return self.echoed_mono_ns + self.ttl_ms * 1_000_000


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission for green, for one conveyance: what the passage core hands to the interlock.

    `seq` rises strictly (a lease cannot be replayed). `standing`: only for a vehicle standing at the stop line (the one
    kind allowed while the order of the corridor is unknown). `beam_edges` is the stop-line beam's edge counter and
    `input_session` its session when granted: any later edge means somebody has crossed.
    """

    conveyance_id: str
    seq: int
    deadline_mono_ns: int
    standing: bool
    authority: Authority
    decision_id: str
    beam_edges: int
    input_session: int


class ActKind(StrEnum):
    """What an officer (or another authenticated role) may do."""

    HOLD_LANE = "hold_lane"
    CLEAR_HOLD = "clear_hold"
    HOLD_CONVEYANCE = "hold_conveyance"
    RELEASE_CONVEYANCE = "release_conveyance"
    REFER_CONVEYANCE = "refer_conveyance"
    DIRECT_CONVEYANCE = "direct_conveyance"
    ACKNOWLEDGE = "acknowledge"
    CONFIRM_ORDER = "confirm_order"
    SET_MODE = "set_mode"
    CLEAR_FAULT = "clear_fault"
    START_CAPTURE = "start_capture"
    STOP_CAPTURE = "stop_capture"
    DELETE_CAPTURE = "delete_capture"
    TEST_SIGNAL = "test_signal"
    TEST_KILL = "test_kill"
    TAKE_CONTROL = "take_control"
    GIVE_CONTROL = "give_control"
    SILENCE = "silence"


class Role(StrEnum):
    """Who came through which door of the API."""

    OFFICER = "officer"
    TECHNICIAN = "technician"
    CENTRAL = "central"
    MEDIA = "media"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class OfficerAct:
    """One act. `request_id` makes it idempotent; `etag` is the state the officer saw (checked for RELEASE and REFER).

    `officer` is a pseudonym, never a name. `confirmed_order`: for CONFIRM_ORDER, the conveyance ids the officer sees on
    camera from the stop line upstream (empty: the corridor is empty). `verdict`/`referral`: for DIRECT and REFER.
    `mode`: for SET_MODE, and `duration_s` with maintenance. `condition`: for ACKNOWLEDGE. `capture` names a capture; to
    start one also `device` and `duration_s`. `lane_empty`: for the tests of the
    head, that the person stands at the lane and sees it empty and closed off. `displaces`: for TAKE_CONTROL, the
    officer who was shown as controlling the lane ("": nobody), and `duration_s` without a sign of life.
    """

    kind: ActKind
    request_id: str
    officer: str
    role: Role
    conveyance_id: str = ""
    etag: str = ""
    identity_digest: str = ""
    reason: str = ""
    lease_s: float = 0.0
    verdict: Verdict = Verdict.NO_DECISION
    referral: ReferralReason = ReferralReason.UNSPECIFIED
    confirmed_order: tuple[str, ...] = ()
    mode: str = ""
    condition: str = ""
    capture: str = ""
    device: str = ""
    duration_s: float = 0.0
    lane_empty: bool = False
    displaces: str = ""


class ControlChange(StrEnum):
    """How control of the lane came to be where it is. NONE: nobody has had it yet. LOST: the console of the officer
    who had it sent no sign of life in time."""

    NONE = "none"
    TAKEN = "taken"
    TAKEN_OVER = "taken_over"
    GIVEN_BACK = "given_back"
    LOST = "lost"
    RESTARTED = "restarted"


class Refused(StrEnum):
    """Why an act was refused, where its caller can do something about it in particular; the values are stable.

    CONTROL_REQUIRED: the act needs control of the lane, which nobody or somebody else has. CONTROL_CHANGED: it is not
    with the officer whom the caller was shown any more."""

    OTHERWISE = ""
    CONTROL_REQUIRED = "CONTROL_REQUIRED"
    CONTROL_CHANGED = "CONTROL_CHANGED"


class ActResult(StrEnum):
    """Answer to an act; the values are gRPC status names. `OK` for a repeat of the same request_id too."""

    OK = "OK"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    NOT_FOUND = "NOT_FOUND"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold in force, on the lane or on one conveyance, and who may clear it. `times`: how often it was given."""

    since: Stamp
    by: str
    role: Role
    reason: str
    clear_roles: tuple[Role, ...] = (Role.OFFICER,)
    times: int = 1

    @property
    def etag(self) -> str:
        """Another one whenever it is given again."""
        return f"{self.since.mono_ns:x}.{self.times}"
