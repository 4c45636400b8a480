"""A bounded share of the long runs that `reader_fuzz` makes: every family, another seed for each run of the file's."""

import pytest

from tests.unit.rfid import reader_fuzz


@pytest.mark.parametrize("family", sorted(reader_fuzz.FAMILIES))
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_and_random_bytes_are_records_counted_drops_or_one_error(family: str, seed: int) -> None:
    fed, found = reader_fuzz.run(family, 150_000, seed)
    assert fed >= 150_000
    assert found > 0
