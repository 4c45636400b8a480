"""The EPC binary coding schemes as tables: field widths, ranges and URI forms (GS1 EPC Tag Data Standard 14). Pure.

Every decoder takes the scheme's bits as one integer and returns the pure identity URI, or why there is none. Decoders
are closures over precomputed rows: one table look-up for the partition, then shifts and masks.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple


class EpcReason(Enum):
    """Why an EPC has no URI. The values are stable and safe to print and count."""

    TOO_SHORT = "too_short"
    UNKNOWN_HEADER = "unknown_header"
    TID_CLASS = "tid_class"  # the chip's factory number, copied or defaulted into the EPC bank
    PC_LENGTH = "pc_length"  # not the number of words the tag announced: cut or joined on the way
    PARTITION = "partition"
    COMPANY_PREFIX = "company_prefix"
    REFERENCE = "reference"
    SERIAL = "serial"
    CAGE_CODE = "cage_code"
    RESERVED_BITS = "reserved_bits"
    NOT_DECODED = "not_decoded"  # the scheme is known by name only


Decode = Callable[[int], "str | EpcReason"]


class Scheme(NamedTuple):
    """One EPC header. `bits` the least length (all schemes with a decoder have exactly this length); the filter is
    `byte 1 >> filter_shift & filter_mask`, mask 0: no filter; `decode` None: known by name only."""

    name: str
    bits: int
    decode: Decode | None = None
    filter_shift: int = 5
    filter_mask: int = 0x07


# Class identifiers of the TID bank (ISO/IEC 15963): no EPC header has these values.
TID_CLASSES = frozenset({0xE0, 0xE2})

_PREFIX_BITS = (40, 37, 34, 30, 27, 24, 20)  # partition 0-6, for company prefixes of 12-6 digits
_ALPHABET = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_ESCAPED = {char: f"%{ord(char):02X}" for char in '"%&/<>?'}
# TDS annex A: the 82 characters of GS1 keys; URIs escape seven of them.
_TEXT = tuple(_ESCAPED.get(chr(code), chr(code)) if chr(code) in _ALPHABET else "" for code in range(128))
_CAGE = frozenset(b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ")  # no I, no O


def _text(value: int, bits: int, limit: int) -> str:
    """The 7-bit string in the low `bits` of `value` (TDS 14.4.2), at most `limit` characters; empty when invalid."""
    chars = []
    shift = bits - 7
    while shift >= 0:
        code = value >> shift & 0x7F
        if not code:
            break
        char = _TEXT[code]
        if not char:
            return ""
        chars.append(char)
        shift -= 7
    # After the last character only zeros, down to the bits that make no whole character.
    if len(chars) > limit or value & ((1 << (shift + 7)) - 1):
        return ""
    return "".join(chars)


def _keyed_head(kind: str, digits: int, key_bits: int, tail_bits: int) -> Decode:
    """Decoder of `urn:epc:id:<kind>:<prefix>.<reference>` where prefix and reference have `digits` digits together in
    `key_bits` bits, above `tail_bits` others."""
    rows = []
    for partition, prefix_bits in enumerate(_PREFIX_BITS):
        prefix_digits = 12 - partition
        reference_digits = digits - prefix_digits
        # A reference of no digits prints as nothing, and its padding bits must be zero.
        reference = f"%0{reference_digits}d" if reference_digits else "%.0s"
        reference_bits = key_bits - prefix_bits
        rows.append(
            (
                f"urn:epc:id:{kind}:%0{prefix_digits}d.{reference}",
                tail_bits + reference_bits,
                (1 << prefix_bits) - 1,
                10**prefix_digits,
                (1 << reference_bits) - 1,
                10**reference_digits,
            )
        )
    partition_shift = tail_bits + key_bits

    def decode(value: int) -> str | EpcReason:
        partition = value >> partition_shift & 7
        if partition == 7:
            return EpcReason.PARTITION
        form, prefix_shift, prefix_mask, prefix_end, reference_mask, reference_end = rows[partition]
        prefix = value >> prefix_shift & prefix_mask
        if prefix >= prefix_end:
            return EpcReason.COMPANY_PREFIX
        reference = value >> tail_bits & reference_mask
        if reference >= reference_end:
            return EpcReason.REFERENCE
        return form % (prefix, reference)

    return decode


def _with_number(kind: str, digits: int, key_bits: int, serial_bits: int) -> Decode:
    head = _keyed_head(kind, digits, key_bits, serial_bits)
    mask = (1 << serial_bits) - 1

    def decode(value: int) -> str | EpcReason:
        start = head(value)
        return f"{start}.{value & mask}" if isinstance(start, str) else start

    return decode


def _with_text(kind: str, digits: int, key_bits: int, characters: int) -> Decode:
    bits = characters * 7
    head = _keyed_head(kind, digits, key_bits, bits)

    def decode(value: int) -> str | EpcReason:
        start = head(value)
        if not isinstance(start, str):
            return start
        serial = _text(value, bits, characters)
        return f"{start}.{serial}" if serial else EpcReason.SERIAL

    return decode


def _with_zeros(kind: str, digits: int, key_bits: int, reserved_bits: int) -> Decode:
    head = _keyed_head(kind, digits, key_bits, reserved_bits)
    mask = (1 << reserved_bits) - 1

    def decode(value: int) -> str | EpcReason:
        # Tags that differ here only would otherwise become one identity.
        return EpcReason.RESERVED_BITS if value & mask else head(value)

    return decode


def _with_digits(kind: str, digits: int, key_bits: int, serial_bits: int) -> Decode:
    head = _keyed_head(kind, digits, key_bits, serial_bits)
    mask = (1 << serial_bits) - 1

    def decode(value: int) -> str | EpcReason:
        start = head(value)
        if not isinstance(start, str):
            return start
        # Numeric String (TDS 14.4.6): a leading 1 keeps the zeros behind it.
        serial = str(value & mask)
        return f"{start}.{serial[1:]}" if serial[0] == "1" and len(serial) > 1 else EpcReason.SERIAL

    return decode


def _asset(key_bits: int, *, text: bool) -> Decode:
    """GIAI: the reference takes all bits the company prefix leaves; with `text` it has at most 18-24 characters."""
    rows = []
    for partition, prefix_bits in enumerate(_PREFIX_BITS):
        prefix_digits = 12 - partition
        rows.append((f"urn:epc:id:giai:%0{prefix_digits}d.%s", key_bits - prefix_bits, 10**prefix_digits))
    key_mask = (1 << key_bits) - 1

    def decode(value: int) -> str | EpcReason:
        partition = value >> key_bits & 7
        if partition == 7:
            return EpcReason.PARTITION
        form, bits, prefix_end = rows[partition]
        prefix = (value & key_mask) >> bits
        if prefix >= prefix_end:
            return EpcReason.COMPANY_PREFIX
        if not text:
            return form % (prefix, value & ((1 << bits) - 1))
        reference = _text(value, bits, 18 + partition)
        return form % (prefix, reference) if reference else EpcReason.REFERENCE

    return decode


def _gid(value: int) -> str | EpcReason:
    return f"urn:epc:id:gid:{value >> 60 & 0xFFFFFFF}.{value >> 36 & 0xFFFFFF}.{value & 0xFFFFFFFFF}"


def _usdod(value: int) -> str | EpcReason:
    code = (value >> 36 & 0xFFFFFFFFFFFF).to_bytes(6, "big")
    code = code[1:] if code[0] == 0x20 else code  # a CAGE code of five behind a space, or a DoDAAC of six
    if not _CAGE.issuperset(code):
        return EpcReason.CAGE_CODE
    return f"urn:epc:id:usdod:{code.decode()}.{value & 0xFFFFFFFFF}"


# Sum of prefix and reference digits without the check digit: GTIN 13, GLN, GRAI and GDTI 12, SSCC and GSRN 17.
SCHEMES: dict[int, Scheme] = {
    0x2C: Scheme("gdti-96", 96, _with_number("gdti", 12, 41, 41)),
    0x2D: Scheme("gsrn-96", 96, _with_zeros("gsrn", 17, 58, 24)),
    0x2E: Scheme("gsrnp-96", 96, _with_zeros("gsrnp", 17, 58, 24)),
    0x2F: Scheme("usdod-96", 96, _usdod, 4, 0x0F),
    0x30: Scheme("sgtin-96", 96, _with_number("sgtin", 13, 44, 38)),
    0x31: Scheme("sscc-96", 96, _with_zeros("sscc", 17, 58, 24)),
    0x32: Scheme("sgln-96", 96, _with_number("sgln", 12, 41, 41)),
    0x33: Scheme("grai-96", 96, _with_number("grai", 12, 44, 38)),
    0x34: Scheme("giai-96", 96, _asset(82, text=False)),
    0x35: Scheme("gid-96", 96, _gid, 0, 0),
    0x36: Scheme("sgtin-198", 198, _with_text("sgtin", 13, 44, 20)),
    0x37: Scheme("grai-170", 170, _with_text("grai", 12, 44, 16)),
    0x38: Scheme("giai-202", 202, _asset(188, text=True)),
    0x39: Scheme("sgln-195", 195, _with_text("sgln", 12, 41, 20)),
    0x3A: Scheme("gdti-113", 113, _with_digits("gdti", 12, 41, 58)),
    0x3B: Scheme("adi-var", 16, filter_shift=2, filter_mask=0x3F),
    0x3C: Scheme("cpi-96", 96),
    0x3D: Scheme("cpi-var", 16),
    0x3E: Scheme("gdti-174", 174, _with_text("gdti", 12, 41, 17)),
    0x3F: Scheme("sgcn-96", 96),
    0x40: Scheme("itip-110", 110),
    0x41: Scheme("itip-212", 212),
}
# TDS 2: "+" schemes may carry more data behind the EPC, "++" schemes a web address too. Both put one bit that says so
# in front of the filter.
_PLUS = ("cpi", "grai", "sgln", "itip", "gsrn", "gsrnp", "gdti", "sgtin", "sgcn", "sscc", "giai", "dsgtin")
_WEB = ("cpi", "gsrn", "gsrnp", "sgln", "gdti", "grai", "sgcn", "itip", "giai", "sscc")
SCHEMES.update({0xF0 + at: Scheme(f"{name}+", 16, filter_shift=4) for at, name in enumerate(_PLUS)})
SCHEMES.update({0xE6 + at: Scheme(f"{name}++", 16, filter_shift=4) for at, name in enumerate(_WEB)})
SCHEMES.update({0xFC + at: Scheme(f"{name}++", 16, filter_shift=4) for at, name in enumerate(("dsgtin", "sgtin"))})
