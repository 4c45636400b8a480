"""Barrier arm, message sign, beacon and tone as people are shown them: what was asked for, and what is known of it."""

from dataclasses import dataclass
from enum import StrEnum

from drivers.api import Grade, Stamp


class SignText(StrEnum):
    """What a message sign can be told to say, in both languages. STOP is what every sign says by itself, when nobody
    tells it anything; BLANK is for a green on a sign that may not say PROCEED."""

    STOP = "stop"
    PROCEED = "proceed"
    SECONDARY = "secondary"
    CLOSED = "closed"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class ArmShown:
    """The arm by its limit switches: `position` up, down, between, both (they contradict) or unknown, since `since`;
    `asked` the movement under way (none, raise, lower); `fault` a latched fault's code or ""; `against` why it is not
    asked down, most important first."""

    position: str
    since: Stamp
    asked: str
    fault: str
    against: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignShown:
    """`wanted` since `since`; `shown` what the sign is known to say, None while that is not known; `grade` how well."""

    wanted: SignText
    since: Stamp
    shown: SignText | None
    grade: Grade


@dataclass(frozen=True, slots=True)
class AlarmShown:
    """Beacon or tone: `wanted` since `since`; `shown` whether it is known to be on, None while that is not known;
    `silenced_by` who has silenced what it would tell of otherwise, "" for nobody."""

    wanted: bool
    since: Stamp
    shown: bool | None
    silenced_by: str = ""


@dataclass(frozen=True, slots=True)
class NoticesShown:
    """What drivers and staff are told besides the light; None: the lane has no such thing."""

    sign: SignShown | None = None
    beacon: AlarmShown | None = None
    tone: AlarmShown | None = None
