"""One input out of what a lane has at its stop line: the interlock, the core and the barrier arm know it as
`stop_line_beam`, broken or clear, whichever layout made it."""

from dataclasses import replace

from drivers.api import InputSnapshot
from edge_agent.model.presence import BEAM_ROLE, LAYOUTS, PresenceLayout


class LineSensor:
    """Joins the line's inputs of one lane; one object for the life of the process.

    Any of them active means broken. One of them missing leaves `stop_line_beam` out, which the interlock takes for
    unknown. With two outputs the edge counter is an own one: a pulse of either counts, so that a lease given before it
    is used up. `differ_ns`: so long the outputs of a light curtain may contradict each other (the contacts of a pair
    change within one poll or two).
    """

    def __init__(self, layout: PresenceLayout, differ_ns: int) -> None:
        self._roles = LAYOUTS[layout].line_roles
        self._differ_ns = differ_ns
        self._session: int | None = None
        self._before: dict[str, tuple[bool, int]] = {}
        self._edges = 0
        self._differs_since_ns: int | None = None
        self._disagrees = False

    def joined(self, snapshot: InputSnapshot) -> InputSnapshot:
        """The same snapshot with the line as one input; levels of this session must come in order."""
        if self._roles == (BEAM_ROLE,):
            return snapshot
        levels = {role: level for role, level in snapshot.levels.items() if role not in self._roles}
        edges = {role: count for role, count in snapshot.edges.items() if role not in self._roles}
        now = {r: (snapshot.levels[r], snapshot.edges.get(r, 0)) for r in self._roles if r in snapshot.levels}
        if len(now) == len(self._roles):
            self._count(now, snapshot.session)
            self._compare(now, snapshot.stamp.mono_ns)
            levels[BEAM_ROLE], edges[BEAM_ROLE] = _broken(now), self._edges
        return replace(snapshot, levels=levels, edges=edges)

    def disagrees(self, now_ns: int) -> bool:
        """Whether two outputs have contradicted each other for longer than a change takes, and have not broken together
        since: one of them is stuck."""
        since = self._differs_since_ns
        if since is not None and now_ns - since > self._differ_ns:
            self._disagrees = True
        return self._disagrees

    def _count(self, now: dict[str, tuple[bool, int]], session: int) -> None:
        before, self._before = self._before, now
        if session != self._session:
            self._session, self._edges = session, 0
            return
        changed = _broken(before) != _broken(now)
        hidden = any(now[role][1] - before[role][1] > (now[role][0] != before[role][0]) for role in now)
        self._edges += changed + 2 * hidden

    def _compare(self, now: dict[str, tuple[bool, int]], at_ns: int) -> None:
        self.disagrees(at_ns)
        levels = [level for level, _ in now.values()]
        if any(levels) and not all(levels):
            if self._differs_since_ns is None:
                self._differs_since_ns = at_ns
            return
        self._differs_since_ns = None
        if all(levels):
            self._disagrees = False


def _broken(inputs: dict[str, tuple[bool, int]]) -> bool:
    return any(level for level, _ in inputs.values())
