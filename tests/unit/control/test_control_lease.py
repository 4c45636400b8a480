"""How long an officer's control of the lane lasts."""

from drivers.api import Stamp
from edge_agent.control.control_lease import ControlLease
from edge_agent.model.inputs import ControlLost, CoreInput
from tests.unit.passage.story import Lane

ONE, TWO = "bso:p1", "bso:p2"


class Desk:
    """A lease over the core of a story, with a clock that a test sets."""

    def __init__(self) -> None:
        self.lane = Lane().start()
        self.lost: list[str] = []
        self.lease = ControlLease(lambda: self.lane.state.control, self._submit, self)

    def stamp(self) -> Stamp:
        return self.lane.at

    def _submit(self, event: CoreInput) -> None:
        assert isinstance(event, ControlLost)
        self.lost.append(event.officer)
        self.lane.feed(event)

    def after(self, seconds: float) -> float | None:
        """Time passes, in ticks as the agent's: what is left then."""
        for _ in range(round(seconds * 10)):
            self.lane.now = round(self.lane.now + 0.1, 6)
            self.lease.tick(self.lane.at)
        return self.lease.left_s(self.lane.at)


def test_it_counts_down_from_when_it_was_taken_and_anew_from_each_heartbeat() -> None:
    desk = Desk()
    assert desk.after(3.0) == 1.0
    assert desk.lease.keep(ONE) == 4.0
    assert desk.after(3.9) is not None
    assert desk.lost == []
    assert desk.after(0.1) is None
    assert desk.lost == [ONE], "once"
    assert desk.after(5.0) is None
    assert desk.lost == [ONE]
    assert desk.lease.keep(ONE) is None
    assert desk.lease.keep("") is None


def test_a_heartbeat_of_somebody_else_keeps_nothing() -> None:
    desk = Desk()
    assert desk.after(3.0)
    assert desk.lease.keep(TWO) is None
    desk.after(1.0)
    assert desk.lost == [ONE]


def test_whoever_takes_over_has_the_whole_time_before_them() -> None:
    desk = Desk()
    desk.after(3.5)
    desk.lane.control(TWO)
    assert desk.lease.keep(ONE) is None
    assert desk.after(3.5) is not None
    assert desk.after(0.5) is None
    assert desk.lost == [TWO]


def test_a_heartbeat_that_comes_too_late_saves_nothing_even_before_the_tick() -> None:
    desk = Desk()
    desk.lease.left_s(desk.lane.at)
    desk.lane.now += 4.0  # the agent was starved: no tick meanwhile
    assert desk.lease.keep(ONE) is None
    assert desk.lost == [ONE]


def test_a_person_at_a_terminal_asks_for_longer() -> None:
    desk = Desk()
    desk.after(1.0)
    desk.lane.control(ONE, duration_s=60.0)
    assert desk.after(59.9) is not None
    assert desk.after(0.2) is None, "from the tick that heard of it"


def test_wall_time_does_not_matter() -> None:
    desk = Desk()
    desk.after(3.0)
    later = Stamp(desk.lane.at.mono_ns, desk.lane.at.utc_ns + 10**15)
    desk.lease.tick(later)
    assert desk.lost == []
    assert desk.lease.left_s(later) == 1.0
