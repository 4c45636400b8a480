"""Whose record is it? Whoever was over the sensor that made it, by the world's events and the record's stamps."""

from collections.abc import Callable, Iterable
from itertools import chain

from hil.world.events import EventKind, WorldEvent
from hil.world.geometry import LINE_ZONES
from securecorridor.lane.v1 import types_pb2 as types

_FELT_S = 0.5
"""An edge is in the record so long after it happened, at most."""
_BEFORE_S = 0.05
_SENSORS = {
    "a_nose": "zone_a",
    "d_nose": "zone_d",
    "s_loop": "zone_s",
    "s_nose": "stop_line_beam",
    "x_nose": "zone_x",
}
_AT_LINE = frozenset(chain.from_iterable(LINE_ZONES.values()))

_FROM_THE_LINE = ("stop_line_beam", "zone_s", "zone_d", "zone_a", "zone_x")


class Owners:
    """`world_s` turns a stamp of the monotonic clock into world seconds."""

    def __init__(self, world_s: Callable[[int], float]) -> None:
        self._world_s = world_s
        self._edges: dict[str, list[WorldEvent]] = {zone: [] for zone in _SENSORS.values()}

    def take(self, event: WorldEvent) -> None:
        """A world event."""
        if event.kind is EventKind.ZONE:
            self._edges[_SENSORS["s_nose"] if event.place in _AT_LINE else event.place].append(event)

    def match(self, records: Iterable[tuple[str, types.ZoneTimes, types.Moment]]) -> dict[str, str]:
        """Record id, with its times and when it began, to truck ("" for nobody). A record that a lie began is the
        truck's that came into it, unless that has one of its own; one of which no edge is known (it stood there when
        the agent came up) is whose who was over a sensor then, from the line upstream."""
        votes = {record: self._votes(times) or self._standing(began) for record, times, began in records}
        found = {record: each[0] if each else "" for record, each in votes.items()}
        for record, each in votes.items():
            later = next((truck for truck in each if truck), "")
            if not found[record] and later not in found.values():
                found[record] = later
        return found

    def _votes(self, times: types.ZoneTimes) -> list[str]:
        """Who was over each sensor that the record names, in order of time."""
        given = {field.name: moment.mono_ns for field, moment in times.ListFields()}
        seen = [(given[name], zone) for name, zone in _SENSORS.items() if name in given]
        return [self._over(zone, max(0.0, self._world_s(at_ns))) for at_ns, zone in sorted(seen)]

    def _standing(self, began: types.Moment) -> list[str]:
        t = max(0.0, self._world_s(began.mono_ns))
        over = (self._over(zone, t) for zone in _FROM_THE_LINE)
        return [truck for truck in over if truck]

    def _over(self, zone: str, t: float) -> str:
        truck = ""
        for event in self._edges[zone]:
            if event.t > t + _BEFORE_S:
                break
            if event.on:
                truck = event.truck
            elif event.t < t - _FELT_S:
                truck = ""
        return truck
