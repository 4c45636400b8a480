"""EPC decoding: the standard's published examples, every bound of the coding tables, and never a tag refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Secret
from drivers.rfid.epc_codec import EpcDescription, EpcReason, ProtocolControl, describe_epc, read_pc

_FILE = Path(__file__).parents[2] / "captures" / "epc" / "tds_examples.json"
_EXAMPLES: list[dict[str, Any]] = [
    example for edition in json.loads(_FILE.read_text())["editions"] for example in edition["examples"]
]


def bits_of(example: dict[str, Any]) -> bytes:
    """The EPC as a tag holds it: whole words of 16 bits."""
    text = example["hex"]
    return bytes.fromhex(text + "0" * (-len(text) % 4))


def pc_of(epc: bytes) -> int:
    """The protocol control word of a GS1 tag with this EPC."""
    return len(epc) // 2 << 11


def uri_of(described: EpcDescription) -> str | None:
    return None if described.uri is None else described.uri.reveal().decode()


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: f"{example['scheme']}-{example['hex'][:10]}")
def test_published_examples(example: dict[str, Any]) -> None:
    epc = bits_of(example)
    described = describe_epc(pc_of(epc), epc)
    assert described.scheme == example["scheme"]
    assert described.filter_value == example["filter"]
    assert uri_of(described) == (example["uri"] and f"urn:epc:id:{example['uri']}")
    assert described.reason == (None if example["uri"] else EpcReason.NOT_DECODED)
    assert describe_epc(0, epc) == described  # a reader that gives no control word


def test_iso_tag_is_not_taken_for_gs1() -> None:
    assert describe_epc(0x31A2, bytes.fromhex("3074257BF7194E4000001A85")) == EpcDescription("iso15961", afi=0xA2)


@pytest.mark.parametrize(
    ("epc", "reason"),
    [
        ("", EpcReason.TOO_SHORT),
        ("30", EpcReason.TOO_SHORT),
        ("3074257BF7194E400000", EpcReason.TOO_SHORT),
        ("E2002075581102532390", EpcReason.TID_CLASS),
        ("E28011052000764A92C10B6F", EpcReason.TID_CLASS),
        ("E004010012345678", EpcReason.TID_CLASS),
        ("000000000000000000000001", EpcReason.UNKNOWN_HEADER),
        ("FE00257BF7194E4000001A85", EpcReason.UNKNOWN_HEADER),
        ("307C257BF7194E4000001A85", EpcReason.PARTITION),
        ("347C257BF40000000000162E", EpcReason.PARTITION),
        # partition 6 has six digits: F4240h is 1,000,000
        ("307BD0900000004000001A85", EpcReason.COMPANY_PREFIX),
        ("347BD090000000000000162E", EpcReason.COMPANY_PREFIX),
        # partition 5, item reference F4240h
        ("3074257BF7D0900000000001", EpcReason.REFERENCE),
        # partition 0 leaves a GRAI no digit of an asset type, but four bits
        ("33600000000040400000162E", EpcReason.REFERENCE),
        ("3174257BF4499602D2000001", EpcReason.RESERVED_BITS),
        ("2D74257BF4499602D2800000", EpcReason.RESERVED_BITS),
        ("3074257BF7194E4000001A850001", EpcReason.RESERVED_BITS),
        # 20 characters end at bit 198: the ten bits that fill the word must be zero
        ("3674257BF6B7A659B2C2BF100000000000000000000000000001", EpcReason.RESERVED_BITS),
        # no serial at all; a zero between characters; a character GS1 keys do not have (1Bh)
        ("3674257BF6B7A640000000000000000000000000000000000000", EpcReason.SERIAL),
        ("3674257BF6B7A659B2C2BF100000000000000000000000800000", EpcReason.SERIAL),
        ("3674257BF6B7A64D800000000000000000000000000000000000", EpcReason.SERIAL),
        ("3874257BF40000000000000000000000000000000000000000000000", EpcReason.REFERENCE),
        # GDTI-113: the numeric string has no leading 1; is only the 1
        ("3A74257BF46072000000000F4F9F8000", EpcReason.SERIAL),
        ("3A74257BF46072000000000000008000", EpcReason.SERIAL),
        # DoD: a control character in the code; the letter O is none of its 34; a space inside
        ("2F02032533313934000003E8", EpcReason.CAGE_CODE),
        ("2F320434147454F00000162E", EpcReason.CAGE_CODE),
        ("2F320434147452000000162E", EpcReason.CAGE_CODE),
    ],
)
def test_what_breaks_a_coding_table_is_raw_with_the_reason(epc: str, reason: EpcReason) -> None:
    assert describe_epc(0, bytes.fromhex(epc)) == EpcDescription("raw", reason=reason)


# TDS table A-1: the characters of a serial number and their form in a URI.
_TABLE_A1 = {char: char for char in "!'()*+,-.0123456789:;=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"}
_TABLE_A1 |= {'"': "%22", "%": "%25", "&": "%26", "/": "%2F", "<": "%3C", ">": "%3E", "?": "%3F"}


@pytest.mark.parametrize("code", range(1, 128))
def test_every_character_of_a_serial_number(code: int) -> None:
    # SGTIN-198: 58 bits of header and key, then 20 characters of 7 bits, then 10 bits of the last word.
    value = int("3674257BF6B7A64", 16) << 148 | code << 143 | 0x41 << 136
    described = describe_epc(0, value.to_bytes(26, "big"))
    form = _TABLE_A1.get(chr(code))
    assert uri_of(described) == (form and f"urn:epc:id:sgtin:0614141.712345.{form}A")


def test_length_must_be_what_the_tag_announced() -> None:
    epc = bytes.fromhex("3074257BF7194E4000001A85")
    assert uri_of(describe_epc(0x3000, epc)) == "urn:epc:id:sgtin:0614141.812345.6789"
    assert describe_epc(0x4000, epc) == EpcDescription("raw", reason=EpcReason.PC_LENGTH)
    assert describe_epc(0x3000, epc + b"\0\0") == EpcDescription("raw", reason=EpcReason.PC_LENGTH)
    # With extended control words (bit 16h) the length on the air counts up to two of them.
    for pc in (0x3200, 0x3A00, 0x4200):
        assert describe_epc(pc, epc).scheme == "sgtin-96"
    for pc in (0x2A00, 0x4A00):
        assert describe_epc(pc, epc).reason == EpcReason.PC_LENGTH


def test_zero_words_behind_the_epc_change_nothing() -> None:
    epc = bytes.fromhex("3074257BF7194E4000001A85")
    assert describe_epc(0x4000, epc + bytes(4)) == describe_epc(0x3000, epc)


def test_control_word_fields() -> None:
    assert read_pc(0x3000) == ProtocolControl(6, False, False, False, None, 0)
    assert read_pc(0x3401) == ProtocolControl(6, True, False, False, None, 1)
    assert read_pc(0x6BC1) == ProtocolControl(13, False, True, True, 0xC1, 0)


def test_nothing_of_the_identity_is_printed() -> None:
    for example in _EXAMPLES:
        epc = bits_of(example)
        described = describe_epc(0, epc)
        printed = f"{described!r} {described!s} {described}"
        assert "urn:" not in printed
        assert example["uri"] is None or example["uri"].split(":")[1] not in printed
        assert epc.hex() not in printed.lower()


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: f"{example['scheme']}-{example['hex'][:10]}")
def test_every_bit_flip_is_another_identity_or_raw(example: dict[str, Any]) -> None:
    """Two tags whose bits differ share a URI only when they differ in the filter, which is no part of the identity, or
    in the scheme's length."""
    epc = bits_of(example)
    whole = int.from_bytes(epc, "big")
    before = describe_epc(0, epc)
    for bit in range(len(epc) * 8):
        flipped = (whole ^ 1 << bit).to_bytes(len(epc), "big")
        after = describe_epc(0, flipped)
        assert (after.uri is None) == (after.reason is not None)
        if before.uri is not None and after.uri == before.uri:
            assert after.scheme == before.scheme
            assert after.filter_value != before.filter_value


def test_a_cut_read_is_no_identity() -> None:
    for example in _EXAMPLES:
        epc = bits_of(example)
        for end in range(len(epc)):
            described = describe_epc(pc_of(epc), epc[:end])
            assert described.uri is None
            assert described.reason is not None


_HEADERS = st.integers(0, 255).map(lambda header: bytes([header]))


@given(st.integers(0, 0xFFFF), st.binary(max_size=62) | st.builds(bytes.__add__, _HEADERS, st.binary(max_size=30)))
def test_no_tag_is_ever_refused(pc: int, epc: bytes) -> None:
    described = describe_epc(pc, epc)
    if pc & 0x0100:
        assert described == EpcDescription("iso15961", afi=pc & 0xFF)
        return
    assert (described.uri is None) == (described.reason is not None)
    if described.scheme == "raw":
        assert described == EpcDescription("raw", reason=described.reason)
    else:
        assert described.filter_value is None or 0 <= described.filter_value <= 63
    if described.uri is not None:
        assert isinstance(described.uri, Secret)
        assert described.uri.reveal().isascii()
