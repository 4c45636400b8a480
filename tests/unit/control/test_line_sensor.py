"""What stands at the stop line becomes one input, broken or clear, and doubt about it becomes red or a condition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import InputSnapshot, Stamp
from edge_agent.control.line_sensor import LineSensor
from edge_agent.model.presence import PresenceLayout

MS = 1_000_000
PAIR = ("stop_line_curtain_1", "stop_line_curtain_2")
BEAM = "stop_line_beam"


class Curtain:
    """Two outputs, polled."""

    def __init__(self) -> None:
        self.sensor = LineSensor(PresenceLayout.LIGHT_CURTAIN, 300 * MS)
        self.levels = dict.fromkeys(PAIR, False)
        self.edges = dict.fromkeys(PAIR, 0)
        self.ms = 0
        self.session = 1

    def poll(self, *levels: bool, after_ms: int = 25) -> tuple[bool, int]:
        """The joined level and edge counter at the next poll."""
        self.ms += after_ms
        for role, level in zip(PAIR, levels, strict=False):
            self.edges[role] += level != self.levels[role]
            self.levels[role] = level
        raw = {**self.levels, "zone_s": True}
        shot = InputSnapshot(Stamp(self.ms * MS, 0), "io-1", self.session, raw, {**self.edges, "zone_s": 3})
        joined = self.sensor.joined(shot)
        assert set(joined.levels) == {BEAM, "zone_s"}
        assert joined.edges["zone_s"] == 3
        return joined.levels[BEAM], joined.edges[BEAM]

    def disagrees(self) -> bool:
        return self.sensor.disagrees(self.ms * MS)


def test_either_output_breaks_it_and_both_clear_it() -> None:
    curtain = Curtain()
    assert curtain.poll(False, False) == (False, 0)
    assert curtain.poll(True, False) == (True, 1)
    assert curtain.poll(True, True) == (True, 1)
    assert curtain.poll(False, True) == (True, 1)
    assert curtain.poll(False, False) == (False, 2)
    assert not curtain.disagrees()


def test_a_pulse_of_one_output_between_two_polls_is_counted() -> None:
    curtain = Curtain()
    curtain.poll(False, False)
    curtain.edges[PAIR[1]] += 2
    assert curtain.poll(False, False) == (False, 2)


def test_a_new_session_counts_anew() -> None:
    curtain = Curtain()
    curtain.poll(False, False)
    curtain.poll(True, True)
    curtain.session = 2
    assert curtain.poll(False, False) == (False, 0)


def test_an_output_stuck_clear_is_told_at_the_first_vehicle_until_both_break() -> None:
    curtain = Curtain()
    curtain.poll(False, False)
    curtain.poll(True, False)
    assert not curtain.disagrees()
    curtain.poll(after_ms=300)
    assert not curtain.disagrees(), "exactly the time that a change may take"
    curtain.poll(after_ms=1)
    assert curtain.disagrees()
    curtain.poll(False, False)
    assert curtain.disagrees(), "both clear says nothing of the one that never broke"
    curtain.poll(True, True)
    assert not curtain.disagrees()


def test_a_contradiction_that_ends_between_two_polls_is_not_forgotten() -> None:
    curtain = Curtain()
    curtain.poll(True, False)
    curtain.poll(False, False, after_ms=2000)
    assert curtain.disagrees()


def test_a_missing_output_leaves_the_line_unknown() -> None:
    sensor = LineSensor(PresenceLayout.LIGHT_CURTAIN, 300 * MS)
    shot = InputSnapshot(Stamp(0, 0), "io-1", 1, {PAIR[0]: False, "zone_s": False}, {})
    assert BEAM not in sensor.joined(shot).levels


def test_a_beam_is_as_the_module_says() -> None:
    sensor = LineSensor(PresenceLayout.LOOPS_AND_BEAM, 300 * MS)
    shot = InputSnapshot(Stamp(0, 0), "io-1", 1, {BEAM: True}, {BEAM: 7})
    assert sensor.joined(shot) is shot
    assert not sensor.disagrees(10_000 * MS)


@pytest.mark.parametrize("levels", [(False, True, True, False), (True, False, True)])
def test_a_loop_at_the_line_is_the_line(levels: tuple[bool, ...]) -> None:
    sensor = LineSensor(PresenceLayout.LOOPS_ONLY, 300 * MS)
    before: bool | None = None
    edges = 0
    for poll, level in enumerate(levels):
        edges += before is not None and level != before
        raw = InputSnapshot(Stamp(poll * MS, 0), "io-1", 1, {"stop_line_loop": level}, {"stop_line_loop": 40 + edges})
        joined = sensor.joined(raw)
        assert (joined.levels, joined.edges) == ({BEAM: level}, {BEAM: edges})
        before = level


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from((0, 0, 2))), max_size=30))
def test_the_counter_moves_whenever_the_line_may_have_been_broken(polls: list[tuple[bool, bool, int]]) -> None:
    """Nobody crosses between two polls unnoticed: what the interlock compares is never the same after a break."""
    curtain = Curtain()
    level, count = curtain.poll(False, False)
    for first, second, hidden in polls:
        curtain.edges[PAIR[0]] += hidden
        now, edges = curtain.poll(first, second)
        assert now == (first or second)
        assert edges >= count
        assert (edges > count) == (now != level or bool(hidden))
        assert (edges - count) % 2 == (now != level)
        level, count = now, edges
