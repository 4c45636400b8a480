"""The virtual module's own framing: any bytes are a frame, a refusal or the end of the connection."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.devices.modbus_catalogue import PROFILES
from hil.devices.modbus_state import ModuleState, Wiring
from hil.devices.modbus_wire import GarbageError, Refusal, join_frame, parse_request, take_frame


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_apart(data: bytes) -> None:
    buffer = bytearray(data)
    with suppress(GarbageError):
        while (frame := take_frame(buffer)) is not None:
            with suppress(Refusal):
                parse_request(frame.pdu)


@given(st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(min_size=1, max_size=253), st.binary(max_size=5))
def test_frames_come_out_as_they_went_in(transaction: int, unit: int, pdu: bytes, rest: bytes) -> None:
    buffer = bytearray(join_frame(transaction, unit, pdu) + rest)
    frame = take_frame(buffer)
    assert frame is not None
    assert (frame.transaction, frame.unit, frame.pdu) == (transaction, unit, pdu)
    assert bytes(buffer) == rest


@pytest.mark.parametrize("profile", sorted(PROFILES))
@given(st.sampled_from([1, 2, 3, 4]), st.integers(0, 0xFFFF), st.integers(1, 40))
def test_any_read_is_answered_in_full_or_refused(profile: str, function: int, address: int, count: int) -> None:
    registers = PROFILES[profile]()
    state = ModuleState(Wiring(), registers.watchdog_unit_s, lambda *_, **__: None)
    request = parse_request(bytes([function]) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))
    with suppress(Refusal):
        assert len(registers.read(state, request)) == count
