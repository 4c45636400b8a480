"""Input bits to lane roles: polarity, edge counters and continuity. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputPoint:
    """Which input of the module, from 0, and whether a set bit means active."""

    point: int
    active_high: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Levels by role, and level changes since the session (`session`, ns on the monotonic clock) began."""

    session: int
    levels: Mapping[str, bool]
    edges: Mapping[str, int]


def span_of(points: Mapping[str, InputPoint]) -> tuple[int, int]:
    """First point and number of points of the block that holds them all. ValueError when there are none."""
    numbers = [wired.point for wired in points.values()]
    return min(numbers), max(numbers) - min(numbers) + 1


def levels_of(points: Mapping[str, InputPoint], first: int, bits: Sequence[int]) -> dict[str, bool]:
    """Levels by role from a block of bits that begins at point `first`."""
    return {role: bool(bits[wired.point - first]) == wired.active_high for role, wired in points.items()}


class Continuity:
    """Counts edges, and begins a new session when two polls are further apart than `stale_ns`: what happened in
    between is unknown."""

    def __init__(self, roles: Mapping[str, object], stale_ns: int) -> None:
        self._stale_ns = stale_ns
        self._edges = dict.fromkeys(roles, 0)
        self._levels: Mapping[str, bool] | None = None
        self._session = 0
        self._last_ns = 0

    def take(self, mono_ns: int, levels: Mapping[str, bool]) -> Snapshot:
        """Add one poll."""
        if self._levels is None or mono_ns - self._last_ns > self._stale_ns:
            self._session = mono_ns
            self._edges = dict.fromkeys(levels, 0)
        else:
            for role, level in levels.items():
                self._edges[role] += level != self._levels[role]
        self._levels, self._last_ns = levels, mono_ns
        return Snapshot(self._session, levels, dict(self._edges))
