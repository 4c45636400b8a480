"""What the world tells: events, truck views, and a digest to compare two runs."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class EventKind(StrEnum):
    """NOSE and TAIL are crossings of a named point, ZONE an edge of a sensor, DIVERTED a departure by the side. STRUCK:
    a truck drove into the arm."""

    ENTERED = "entered"
    LEFT = "left"
    DIVERTED = "diverted"
    NOSE = "nose"
    TAIL = "tail"
    ZONE = "zone"
    STOPPED = "stopped"
    MOVED = "moved"
    LAMP = "lamp"
    STRUCK = "struck"


@dataclass(frozen=True, slots=True)
class WorldEvent:
    """One change, at world second `t`. `place` is the point, the zone or the lamp's aspect; `on` the level of a zone,
    or for a crossing whether it went downstream; `x_m` and `v_mps` are the truck's nose and speed then."""

    t: float
    kind: EventKind
    truck: str = ""
    place: str = ""
    on: bool = True
    x_m: float = 0.0
    v_mps: float = 0.0


class TruckState(StrEnum):
    """How a truck moves."""

    MOVING = "moving"
    STANDING = "standing"
    REVERSING = "reversing"


class TruckView(NamedTuple):
    """A truck as a camera would see it: nose and tail in metres, speed in m/s (negative in reverse), the driver's
    place `cab_m`."""

    id: str
    nose_m: float
    tail_m: float
    v_mps: float
    state: TruckState
    plate_front: str | None
    plate_rear: str | None
    cab_m: float


def digest(events: Iterable[WorldEvent]) -> str:
    """SHA-256 over the events, times and places to a nanosecond and a nanometre."""
    running = hashlib.sha256()
    for e in events:
        line = f"{e.t:.9f} {e.kind} {e.truck} {e.place} {e.on} {e.x_m:.9f} {e.v_mps:.9f}\n"
        running.update(line.encode())
    return running.hexdigest()
