"""What the passage core wants done. Shells carry effects out after the input that caused them is in the journal."""

from dataclasses import dataclass
from enum import StrEnum

from drivers.api import Stamp

from .conveyance import Conveyance
from .decision import ActResult, Lease, Refused
from .identity import Assignment


@dataclass(frozen=True, slots=True)
class AskRelease:
    """Send a release request for this conveyance: its identity set, digest and revision as of now."""

    at: Stamp
    conveyance_id: str
    revision: int
    identity_digest: str
    assignments: tuple[Assignment, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class WithdrawRequest:
    """The conveyance has left or been sealed: central need not decide any more."""

    at: Stamp
    conveyance_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class GrantLease:
    """Permission for green goes to the interlock. Shells must have journalled the cause first."""

    at: Stamp
    lease: Lease


@dataclass(frozen=True, slots=True)
class WithdrawLease:
    """No lease is in force. `immediate`: red at once; else amber may be shown where the head has it."""

    at: Stamp
    seq: int
    reason: str
    immediate: bool


@dataclass(frozen=True, slots=True)
class SealBundle:
    """The passage is over: build, chain and store its bundle, durably, within 1 s."""

    at: Stamp
    conveyance: Conveyance


@dataclass(frozen=True, slots=True)
class AddSupplement:
    """Something became known after sealing: `kind` (e.g. late_revision), small text facts without identity values."""

    at: Stamp
    bundle_id: str
    kind: str
    facts: tuple[tuple[str, str], ...]


class Severity(StrEnum):
    """How much a record or condition matters to its reader."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """A lane event for central, officer and technician: `code` stable, `facts` without identity values."""

    at: Stamp
    code: str
    severity: Severity
    conveyance_id: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SetCondition:
    """Raise (`active`) or clear a health condition."""

    at: Stamp
    code: str
    severity: Severity
    active: bool
    title: str
    hint: str


@dataclass(frozen=True, slots=True)
class AnswerAct:
    """The answer to an officer's act. `controlled_by`: with a refusal for control, who has it ("": nobody)."""

    at: Stamp
    request_id: str
    result: ActResult
    message: str
    etag: str
    may_clear: tuple[str, ...] = ()
    refused: Refused = Refused.OTHERWISE
    controlled_by: str = ""


Effect = (
    AskRelease
    | WithdrawRequest
    | GrantLease
    | WithdrawLease
    | SealBundle
    | AddSupplement
    | EmitEvent
    | SetCondition
    | AnswerAct
)
