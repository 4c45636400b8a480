"""Who was seen where: an identity named by two lanes, sooner than a vehicle gets from one to the other."""

from collections import OrderedDict
from dataclasses import dataclass

TRAVEL_S = 900.0
"""What a vehicle needs at least from any lane to any other."""
MOST = 20_000
"""Identities remembered; the longest unseen are forgotten."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An identity named by a lane's request: its `token` there, when (`at_s` monotonic, `utc_ns` wall), how loud."""

    lane: str
    conveyance_id: str
    token: str
    at_s: float
    utc_ns: int
    rssi_peak_cdbm: int


class Elsewhere:
    """Remembers the last lane and vehicle of every identity, over all lanes of one service."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], Seen] = OrderedDict()

    def saw(self, kind: str, value: str, seen: Seen) -> Seen | None:
        """Note it; returns what another lane saw of it too short a time before, if it did."""
        key = (kind, value)
        before = self._last.get(key)
        if before is not None and before.lane == seen.lane and before.conveyance_id == seen.conveyance_id:
            return None
        self._last[key] = seen
        self._last.move_to_end(key)
        if len(self._last) > MOST:
            self._last.popitem(last=False)
        if before is None or before.lane == seen.lane or seen.at_s - before.at_s >= TRAVEL_S:
            return None
        return before
