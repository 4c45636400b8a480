"""What a timeline shows, as data: rows of bars and marks over seconds. Independent of where the run took place."""

from dataclasses import dataclass
from enum import StrEnum


class Ink(StrEnum):
    """What a bar or mark stands for; the drawing gives it its colour."""

    SENSOR = "sensor"
    IDENTITY = "identity"
    REQUEST = "request"
    RELEASE = "release"
    REFUSAL = "refusal"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    DARK = "dark"
    LIMIT = "limit"
    ACT = "act"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted, from one second of the run to another."""

    from_s: float
    to_s: float
    ink: Ink
    label: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a second of the run."""

    t: float
    ink: Ink
    label: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture. Rows of one `group` stand together under its name."""

    group: str
    name: str
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """One conveyance. `events` run down through all rows: acts, faults, and the moments that count."""

    title: str
    facts: tuple[str, ...]
    from_s: float
    to_s: float
    rows: tuple[Row, ...]
    events: tuple[Mark, ...] = ()
