"""The virtual module's own framing: any bytes are a frame, a refusal or the end of the connection."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.pdu_codec import Request, pulse_bit, read_bits, write_bits
from hil.devices.modbus_catalogue import PROFILES, WaveshareRelay
from hil.devices.modbus_state import ModuleState, Wiring
from hil.devices.modbus_wire import GarbageError, Refusal, join_frame, join_rtu, open_rtu, parse_request, take_frame


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


PUBLISHED = {
    # The maker's wiki page of the Modbus RTU Relay, development protocol.
    "relay 0 on": ("01 05 00 00 FF 00 8C 3A", Request(5, 0, 0xFF00)),
    "relay 0 off": ("01 05 00 00 00 00 CD CA", Request(5, 0, 0)),
    "all on": ("01 0F 00 00 00 08 01 FF BE D5", write_bits(0, (True,) * 8)),
    "read all": ("01 01 00 00 00 08 3D CC", read_bits(1, 0, 8)),
    "relay 0 on for 700 ms": ("01 05 02 00 00 07 8D B0", pulse_bit(0x0200, 7)),
    "relay 1 on for 800 ms": ("01 05 02 01 00 08 9C 74", pulse_bit(0x0201, 8)),
}


@pytest.mark.parametrize("what", PUBLISHED)
def test_published_frames_of_the_relay_module(what: str) -> None:
    """The driver makes them, and the virtual module takes them apart."""
    text, request = PUBLISHED[what]
    frame = bytes.fromhex(text)
    assert join_rtu(1, request.pdu()) == frame
    opened = open_rtu(frame)
    assert opened is not None
    assert (opened.unit, opened.pdu) == (1, request.pdu())


async def test_the_relay_module_does_what_the_published_frames_say() -> None:
    relays = WaveshareRelay()
    state = ModuleState(Wiring(), relays.watchdog_unit_s, lambda *_, **__: None)

    def take(what: str) -> None:
        relays.write(state, parse_request(PUBLISHED[what][1].pdu(), any_coil_word=True))

    take("all on")
    assert relays.read(state, parse_request(PUBLISHED["read all"][1].pdu())) == [1] * 8
    take("relay 0 off")
    take("relay 1 on for 800 ms")
    take("relay 0 on for 700 ms")
    assert state.pulsing == {0, 1}
    await asyncio.sleep(0.75)
    assert state.outputs[:2] == [False, True]
    await asyncio.sleep(0.1)
    assert state.outputs[:3] == [False, False, True]
    with pytest.raises(Refusal):
        relays.read(state, parse_request(bytes.fromhex("01 0000 0004")))


REGISTERS = {
    # Tables of the makers' manuals: what is asked for, and what a module at rest with input 1 active answers.
    "moxa_e1214": {
        "02 0000 0006": [0, 1, 0, 0, 0, 0],
        "04 0030 0001": [2],
        "01 1030 0001": [0],
        "04 1388 0001": [0x4531],
    },
    "icpdas_et7060": {"02 0000 0006": [0, 1, 0, 0, 0, 0], "03 022D 0002": [0, 0], "04 0161 0001": [0x0123]},
    "adam_6050": {"02 0000 000C": [0, 1, *[0] * 10], "01 0010 0006": [0] * 6, "03 00D2 0002": [0x6050, 0]},
}


@pytest.mark.parametrize("profile", REGISTERS)
def test_the_makers_tables(profile: str) -> None:
    registers = PROFILES[profile]()
    state = ModuleState(Wiring(), registers.watchdog_unit_s, lambda *_, **__: None)
    state.set_inputs({1: True})
    for asked, answer in REGISTERS[profile].items():
        assert registers.read(state, parse_request(bytes.fromhex(asked))) == answer, asked
