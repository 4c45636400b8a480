"""Aspects to coils and back: what a head's outputs command, and what its feedback inputs show. Pure.

Energise to proceed: red is all coils off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.api import Aspect, Grade


@dataclass(frozen=True, slots=True)
class HeadWiring:
    """Output points of a head. Red needs none."""

    green: int
    amber: int | None = None

    @property
    def first(self) -> int:
        """First point of the block that is written and read as one."""
        return self.green if self.amber is None else min(self.green, self.amber)

    @property
    def count(self) -> int:
        """Size of that block. Points in between that carry no lamp are held off."""
        last = self.green if self.amber is None else max(self.green, self.amber)
        return last - self.first + 1

    def block(self, aspect: Aspect) -> tuple[bool, ...]:
        """The coils that command an aspect. ValueError for one this head cannot be told to show."""
        lit = self._point(aspect)
        return tuple(point == lit for point in range(self.first, self.first + self.count))

    def commanded(self, block: Sequence[int]) -> Aspect | None:
        """The aspect a block of coils commands; None for green and amber together."""
        green = bool(block[self.green - self.first])
        amber = self.amber is not None and bool(block[self.amber - self.first])
        if green and amber:
            return None
        return Aspect.GREEN if green else Aspect.AMBER if amber else Aspect.RED

    def _point(self, aspect: Aspect) -> int | None:
        if aspect is Aspect.RED:
            return None
        if aspect is Aspect.GREEN:
            return self.green
        if aspect is Aspect.AMBER and self.amber is not None:
            return self.amber
        raise ValueError(f"this head has no {aspect}")


@dataclass(frozen=True, slots=True)
class LampState:
    """What the feedback shows. `aspect` None: not enough feedback to say, or a conflict."""

    aspect: Aspect | None
    conflict: bool


_LAMPS = {"red_feedback": Aspect.RED, "amber_feedback": Aspect.AMBER, "green_feedback": Aspect.GREEN}


def lamps_shown(levels: Mapping[str, bool]) -> LampState:
    """What the feedback inputs show. Without red and green feedback no darkness is claimed."""
    lit = [aspect for role, aspect in _LAMPS.items() if levels.get(role)]
    if len(lit) > 1:
        return LampState(None, conflict=True)
    if lit:
        return LampState(lit[0], conflict=False)
    complete = "red_feedback" in levels and "green_feedback" in levels
    return LampState(Aspect.DARK if complete else None, conflict=False)


def wired_grade(roles: Mapping[str, object], lamp_feedback: bool) -> Grade:
    """The best confirmation the wiring can give. Both red and green must be felt to count for more than the coils."""
    if "red_feedback" in roles and "green_feedback" in roles:
        return Grade.LAMP if lamp_feedback else Grade.CONTACT
    return Grade.COIL
