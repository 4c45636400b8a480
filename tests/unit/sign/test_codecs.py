"""SNMP and NTCIP 1203 octets: published ones, the virtual sign's own code as a peer, and whatever else may come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import ProtocolViolation
from drivers.sign import dms_codec as dms
from drivers.sign.snmp_codec import GET, RESPONSE, SET, Binding, Message, decode, encode, named
from hil.devices import ntcip_wire

# GetRequest of sysDescr.0, community public, as in the text books on RFC 1157.
TEXT_BOOK = bytes.fromhex("302602010004067075626c6963a019020101020100020100300e300c06082b060102010101000500")

# As they went between a management system and another maker's sign; from a published capture of 2015 firmware.
CAPTURED_ACTIVATION = bytes.fromhex(
    "303802010004067075626c6963a32b020244000201000201 00301f301d060d2b060104018936040203060300"
    "040cffffff0300011d0f00000000"
)
CAPTURED_CRC = bytes.fromhex(
    "303102010004067075626c6963a224020243ff020100020100301830160610 2b06010401893604020305080105030102021d0f"
)
CAPTURED_TIME = bytes.fromhex(
    "302f02010004067075626c6963a222020243c7020100020100301630 14060d2b060104018936040203060400020300ffff"
)
CAPTURED_COUNTER = bytes.fromhex(
    "302f02010004067075626c6963a222020243cc020100020100301630 14060d2b0601040189360402030a04004103100000"
)
CAPTURED_MULTI = b"[pt30o0][pb][cf][jp3][jl3][fo220,B62F]TEST"

OIDS = st.lists(st.integers(0, 2**31), max_size=12).map(lambda tail: (1, 3, *tail))
VALUES = st.none() | st.integers(-(2**31), 2**31 - 1) | st.binary(max_size=300)
MESSAGES = st.builds(
    Message,
    version=st.sampled_from([0, 1]),
    community=st.binary(max_size=20),
    kind=st.sampled_from([GET, SET, RESPONSE]),
    request_id=st.integers(-(2**31), 2**31 - 1),
    bindings=st.lists(st.builds(Binding, OIDS, VALUES), max_size=4).map(tuple),
    error=st.integers(0, 18),
    index=st.integers(0, 4),
)


def test_the_text_books_request() -> None:
    message = Message(0, b"public", GET, 1, (Binding(dms.SYS_DESCR),))
    assert encode(message) == TEXT_BOOK
    assert decode(TEXT_BOOK) == message


def test_captured_octets_of_another_makers_sign() -> None:
    """Its activation of a message is what ours would be, with the CRC that it computed itself."""
    crc = dms.message_crc(CAPTURED_MULTI)
    code = bytes.fromhex("ffffff") + dms.MessageId(dms.Memory.CHANGEABLE, 1, crc).encode() + bytes(4)
    activate = Message(0, b"public", SET, 0x4400, (Binding(dms.ACTIVATE, code),))
    cell = dms.message_object(dms.Column.CRC, 1)
    told = Message(0, b"public", RESPONSE, 0x43FF, (Binding(cell, crc),))
    remaining = Message(0, b"public", RESPONSE, 0x43C7, (Binding((*dms.ACTIVATE[:-2], 4, 0), 0xFFFF),))
    for message, octets in ((activate, CAPTURED_ACTIVATION), (told, CAPTURED_CRC), (remaining, CAPTURED_TIME)):
        assert decode(octets) == message
        assert encode(message) == octets
    assert decode(CAPTURED_COUNTER).bindings[0].value == 0x100000, "a Counter32, which nobody sets"
    assert ntcip_wire.crc_octets(CAPTURED_MULTI + bytes(2)).hex() == "1d0f"


@given(MESSAGES)
def test_what_is_encoded_is_decoded_again(message: Message) -> None:
    assert decode(encode(message)) == message


@given(MESSAGES.filter(lambda message: message.kind != RESPONSE))
def test_the_virtual_sign_reads_what_the_driver_writes(message: Message) -> None:
    version, community, kind, request_id, variables = ntcip_wire.parse(encode(message))
    assert (version, community, kind, request_id) == (
        message.version, message.community, message.kind, message.request_id,
    )  # fmt: skip
    assert variables == [(binding.oid, binding.value) for binding in message.bindings]
    answer = decode(ntcip_wire.build(version, community, request_id, 0, 0, variables))
    assert answer.bindings == message.bindings


def decoded(octets: bytes) -> None:
    """A message, or the one fault there is."""
    try:
        decode(octets)
    except ProtocolViolation as error:
        assert error.code == "SNMP_MALFORMED"  # noqa: PT017 - most octets are none, a few are


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_one_fault(octets: bytes) -> None:
    decoded(octets)


@pytest.mark.parametrize("at", range(len(TEXT_BOOK)))
def test_every_prefix_and_every_flipped_bit_is_a_message_or_one_fault(at: int) -> None:
    with pytest.raises(ProtocolViolation, match="not an SNMP message"):
        decode(TEXT_BOOK[:at])
    for bit in range(8):
        damaged = bytearray(TEXT_BOOK)
        damaged[at] ^= 1 << bit
        decoded(bytes(damaged))


def test_absent_objects_and_unsigned_numbers() -> None:
    wanted = Message(1, b"", RESPONSE, 1, (Binding(dms.SYS_DESCR),))
    absent = encode(wanted)
    assert absent.endswith(b"\x05\x00")
    for tag in (0x80, 0x81, 0x82):
        assert decode(absent[:-2] + bytes((tag, 0))).bindings[0].value is None
    number = encode(Message(1, b"", RESPONSE, 1, (Binding(dms.SYS_DESCR, b"\xff\xff"),)))
    assert decode(number[:-4] + b"\x42" + number[-3:]).bindings[0].value == 65535


def test_an_answer_about_other_objects_is_none() -> None:
    message = Message(0, b"", RESPONSE, 1, (Binding(dms.TABLE_SOURCE, b"x"),))
    assert named(message, [dms.TABLE_SOURCE]) == [b"x"]
    with pytest.raises(ProtocolViolation):
        named(message, [dms.SYS_DESCR])


def test_the_crc_is_that_of_iso_3309_with_its_octets_exchanged() -> None:
    assert dms.message_crc(b"1234567", ord("8"), ord("9")) == 0x6E90, "its check value is 906E"


@given(st.binary(max_size=255), st.integers(0, 1), st.integers(0, 1))
def test_the_virtual_signs_crc_is_the_drivers(multi: bytes, beacon: int, pixels: int) -> None:
    crc = ntcip_wire.crc_octets(multi + bytes((beacon, pixels)))
    assert dms.message_crc(multi, beacon, pixels).to_bytes(2) == crc


def test_codes_have_the_standards_layout() -> None:
    code = dms.MessageId(3, 1, 0x8815)
    assert dms.activation(code, 2, 200, bytes((10, 0, 0, 7))) == bytes.fromhex("0002c80300018815 0a000007")
    assert dms.decode_message_id(code.encode()) == code
    assert dms.decode_message_id(b"") is None
    assert dms.BLANK.encode() == bytes.fromhex("0700010000")
    for minutes in (0, 0xFFFF):
        with pytest.raises(ValueError, match="ends"):
            dms.activation(code, minutes, 1, bytes(4))
    assert dms.errors_of(0b10_0000_0000_0000 | 1 << 5) == ("pixel", "door open")
    assert (dms.refusal_of(7), dms.refusal_of(2)) == ("its message has another CRC", "")
    assert dms.message_object(dms.Column.MULTI, 11)[-4:] == (1, 3, 3, 11)
