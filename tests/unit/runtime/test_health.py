"""HealthBoard: causes hide effects, blips stay silent, the worst comes first."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Stamp
from edge_agent.model.effects import Severity
from edge_agent.runtime.health import Condition, HealthBoard

SECOND = 1_000_000_000


def condition(
    code: str,
    severity: Severity = Severity.WARNING,
    since_s: float = 0.0,
    depends_on: tuple[str, ...] = (),
    visible_after_s: float = 0.0,
    device: str = "",
) -> Condition:
    return Condition(
        code, severity, code.lower(), "do this", Stamp(round(since_s * SECOND), 0), depends_on, visible_after_s, device
    )


def codes(board: HealthBoard, at_s: float) -> list[str]:
    return [shown.code for shown in board.visible(round(at_s * SECOND))]


def test_an_effect_is_hidden_while_its_cause_is_raised() -> None:
    board = HealthBoard()
    board.raise_condition(condition("NO_TAGS", Severity.ALARM, depends_on=("LINK_LOST",), device="rfid"))
    board.raise_condition(condition("LINK_LOST", device="rfid"))
    assert codes(board, 0) == ["LINK_LOST"]
    assert board.worst(0) is Severity.WARNING
    assert board.clear("LINK_LOST", "rfid")
    assert codes(board, 0) == ["NO_TAGS"]
    assert board.worst(0) is Severity.ALARM


def test_a_cause_on_another_device_hides_nothing() -> None:
    board = HealthBoard()
    board.raise_condition(condition("NO_TAGS", depends_on=("LINK_LOST",), device="rfid-1"))
    board.raise_condition(condition("LINK_LOST", device="rfid-2"))
    assert codes(board, 0) == ["LINK_LOST", "NO_TAGS"]


def test_a_blip_stays_silent() -> None:
    board = HealthBoard()
    board.raise_condition(condition("LINK_LOST", since_s=10, visible_after_s=2))
    assert codes(board, 11.9) == []
    assert board.worst(round(11.9 * SECOND)) is None
    assert codes(board, 12) == ["LINK_LOST"]


def test_a_repeat_keeps_the_first_since() -> None:
    board = HealthBoard()
    assert board.raise_condition(condition("LINK_LOST", since_s=10, visible_after_s=2))
    assert not board.raise_condition(condition("LINK_LOST", since_s=11, visible_after_s=2))
    assert board.raised()[0].since.mono_ns == 10 * SECOND
    assert not board.clear("OTHER")


def test_worst_first_then_oldest_first() -> None:
    board = HealthBoard()
    board.raise_condition(condition("C", Severity.INFO, since_s=0))
    board.raise_condition(condition("B", Severity.ALARM, since_s=2))
    board.raise_condition(condition("A", Severity.ALARM, since_s=1))
    assert codes(board, 3) == ["A", "B", "C"]
    assert [c.code for c in board.raised()] == ["C", "A", "B"]


def test_clearing_a_device_leaves_the_others() -> None:
    board = HealthBoard()
    board.raise_condition(condition("A", device="one"))
    board.raise_condition(condition("B", device="one"))
    board.raise_condition(condition("A", device="two"))
    assert {c.code for c in board.clear_device("one")} == {"A", "B"}
    assert [c.device for c in board.raised()] == ["two"]


@given(st.dictionaries(st.sampled_from("ABCDE"), st.lists(st.sampled_from("ABCDE"), max_size=3), min_size=1))
def test_something_is_always_visible_whatever_depends_on_what(graph: dict[str, list[str]]) -> None:
    board = HealthBoard()
    for code, causes in graph.items():
        board.raise_condition(condition(code, depends_on=tuple(causes)))
    assert board.visible(0)
