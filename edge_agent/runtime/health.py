"""The board of conditions: what is wrong now, what it follows from, and what is worth showing. Pure bookkeeping."""

from dataclasses import dataclass, replace

from drivers.api import Stamp
from edge_agent.model.effects import Severity

_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ALARM: 2}


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is not as it should be. (`code`, `device`) names it; `device` "" means the lane as a whole.

    `hint` is the next step for a person. `depends_on` lists codes of causes: while one of them is raised for the same
    device or the lane, this condition is an effect and is not shown. It is shown `visible_after_s` after `since`.
    """

    code: str
    severity: Severity
    title: str
    hint: str
    since: Stamp
    depends_on: tuple[str, ...] = ()
    visible_after_s: float = 0.0
    device: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one condition: code and device."""
        return (self.code, self.device)


class HealthBoard:
    """The conditions raised now. Time is passed in; nothing here reads a clock."""

    def __init__(self) -> None:
        self._raised: dict[tuple[str, str], Condition] = {}

    def raise_condition(self, condition: Condition) -> bool:
        """Put it on the board; True when it was not there. A repeat updates the text and keeps the first `since`."""
        known = self._raised.get(condition.key)
        self._raised[condition.key] = condition if known is None else replace(condition, since=known.since)
        return known is None

    def clear(self, code: str, device: str = "") -> bool:
        """Take it off the board; True when it was there."""
        return self._raised.pop((code, device), None) is not None

    def clear_device(self, device: str) -> tuple[Condition, ...]:
        """Take every condition of one device off the board (it is well again) and return them."""
        gone = tuple(condition for condition in self._raised.values() if condition.device == device)
        for condition in gone:
            del self._raised[condition.key]
        return gone

    def raised(self) -> tuple[Condition, ...]:
        """Everything on the board, shown or not, oldest first."""
        return tuple(sorted(self._raised.values(), key=lambda c: (c.since.mono_ns, c.key)))

    def visible(self, now_mono_ns: int) -> tuple[Condition, ...]:
        """What a person should see at this time: causes before effects' noise, worst first, then oldest first."""
        shown = [
            condition
            for condition in self._raised.values()
            if now_mono_ns - condition.since.mono_ns >= condition.visible_after_s * 1e9
            and not self._is_effect(condition)
        ]
        return tuple(sorted(shown, key=lambda c: (-_RANK[c.severity], c.since.mono_ns, c.key)))

    def worst(self, now_mono_ns: int) -> Severity | None:
        """The worst severity a person should see at this time; None when all is well."""
        return next((condition.severity for condition in self.visible(now_mono_ns)), None)

    def _is_effect(self, condition: Condition) -> bool:
        # A cause that itself follows from this condition does not hide it: of a circle, something must stay visible.
        return any(condition not in self._causes_of(cause) for cause in self._causes_of(condition, depth=1))

    def _causes_of(self, condition: Condition, depth: int = 0) -> list[Condition]:
        """Raised causes of a condition: all of them, or only the direct ones with `depth=1`."""
        found: list[Condition] = []
        edge = [condition]
        while edge:
            effect = edge.pop()
            for other in self._raised.values():
                related = other.device in ("", effect.device) or effect.device == ""
                if other.code in effect.depends_on and related and other not in found and other.key != effect.key:
                    found.append(other)
                    edge.append(other)
            if depth == 1:
                break
        return found
