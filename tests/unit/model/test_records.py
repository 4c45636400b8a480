"""Changed copies of frozen records: what they are, and for which records there are none."""

from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from drivers.api import Stamp
from edge_agent.model.conveyance import Conveyance, Flag, ZoneTimes
from edge_agent.model.records import replace

NOW = Stamp(5, 7)


@dataclass(frozen=True, slots=True)
class Checked:
    a: int
    b: int

    def __post_init__(self) -> None:
        assert self.a < self.b


@dataclass(frozen=True, slots=True)
class Derived:
    a: int
    b: int = field(init=False, default=3)


def test_a_changed_copy_is_a_record_of_its_kind_and_the_first_stays_as_it_was() -> None:
    before = Conveyance("c", "b", 1, NOW)
    after = replace(before, flags=(Flag.LATE,), times=ZoneTimes(a_nose=NOW))
    assert type(after) is Conveyance
    assert after == Conveyance("c", "b", 1, NOW, times=ZoneTimes(a_nose=NOW), flags=(Flag.LATE,))
    assert before == Conveyance("c", "b", 1, NOW)
    assert hash(after) == hash(replace(after))
    assert repr(after).startswith("Conveyance(conveyance_id='c'")


def test_a_changed_copy_is_frozen_too() -> None:
    after = replace(Conveyance("c", "b", 1, NOW), order=2)
    with pytest.raises(FrozenInstanceError):
        after.order = 3  # type: ignore[misc]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(KeyError):
        replace(NOW, seconds=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("record", [Checked(1, 2), Derived(1)])
def test_a_record_that_does_more_at_its_creation_is_refused(record: Checked | Derived) -> None:
    with pytest.raises(TypeError, match="does more"):
        replace(record, a=2)
