"""What the release service is to answer for each truck: the truth that oracles and virtual services share."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The decision words of the wire."""

    RELEASE = "release"
    HOLD_AT_LINE = "hold_at_line"
    REFER_SECONDARY = "refer_secondary"
    REFUSE_RETURN = "refuse_return"
    MANUAL_LANE = "manual_lane"
    NO_DECISION = "no_decision"


@dataclass(frozen=True, slots=True)
class Revision:
    """A change of mind `after_s` from the first answer."""

    after_s: float
    verdict: Verdict
    reason: str = "unspecified"
    ttl_s: float = 120.0


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """What is answered for one truck: `delay_s` after the request, valid `ttl_s` from the request; nothing at all when
    `silent`. `reason` is the referral's reason class."""

    verdict: Verdict = Verdict.RELEASE
    delay_s: float = 0.8
    ttl_s: float = 120.0
    reason: str = "unspecified"
    revisions: tuple[Revision, ...] = ()
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as sent: at `t`, void from `until`."""

    t: float
    verdict: Verdict
    until: float
    revision: int


def answers(rule: ReleaseRule, requested_s: float) -> tuple[Answer, ...]:
    """Every answer to a request made at `requested_s`, in order of time."""
    if rule.silent:
        return ()
    first = requested_s + rule.delay_s
    given = [Answer(first, rule.verdict, requested_s + rule.ttl_s, 1)]
    for number, revision in enumerate(sorted(rule.revisions, key=lambda revision: revision.after_s), start=2):
        t = first + revision.after_s
        given.append(Answer(t, revision.verdict, t + revision.ttl_s, number))
    return tuple(given)
