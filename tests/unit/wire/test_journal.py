"""What is journalled comes back as it was, for every kind of core input."""

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.model.errors import StoreError
from edge_agent.model.inputs import CoreInput
from edge_agent.wire.journal import decode_input, encode_input

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.parametrize("kind", get_args(CoreInput), ids=lambda k: k.__name__)
def test_every_core_input_survives_the_journal(kind: type[CoreInput]) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.from_type(kind))
    def survives(event: CoreInput) -> None:
        assert decode_input(encode_input(event)) == event

    survives()


@given(st.binary(max_size=200) | st.sampled_from([b"{}", b'{"t":"Tick"}', b'{"t":"Nonsense","at":1}', b"[1]", b"null"]))
def test_bytes_that_are_no_journal_record_are_a_store_error(data: bytes) -> None:
    with pytest.raises(StoreError):
        decode_input(data)
