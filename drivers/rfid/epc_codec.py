"""What the EPC memory of a Gen2 tag says: scheme, filter and pure identity URI (GS1 EPC Tag Data Standard). Pure.

Never refuses a tag: what does not decode by the letter of the standard is `raw` with the reason, and the caller keeps
the bits. Nothing is repaired or cut off: two tags whose bits differ never share a URI by accident.
"""

from dataclasses import dataclass
from typing import NamedTuple

from drivers.api import Secret
from drivers.rfid.epc_scheme_codec import SCHEMES, TID_CLASSES, EpcReason

__all__ = ["EpcDescription", "EpcReason", "ProtocolControl", "describe_epc", "read_pc"]

_TOGGLE = 0x0100
_EXTENDED = 0x0200
_USER_MEMORY = 0x0400
_RAW = "raw"
_ISO = "iso15961"


class EpcDescription(NamedTuple):
    """What an EPC is. Safe to print: the URI is an identity value and is wrapped.

    `scheme` name in lower case ("sgtin-96", "sgtin+"), "iso15961" or "raw"; `filter_value` None where the scheme has
    none; `afi` application family of ISO tags; `uri` pure identity URI in ASCII (TDS 6), None when the value is not
    decoded; `reason` why there is no URI (None for ISO tags, which carry none).
    """

    scheme: str
    filter_value: int | None = None
    afi: int | None = None
    uri: Secret | None = None
    reason: EpcReason | None = None


@dataclass(frozen=True, slots=True)
class ProtocolControl:
    """The protocol control word of the EPC bank (UHF Gen2 air interface 6.3.2.1.2.2; bits 10h-1Fh).

    `words` length of the EPC, 0-31 words of 16 bits; `user_memory` the tag says its user memory is used; `extended` an
    extended word (XPC_W1) follows; `iso` the toggle: False GS1 EPC, True ISO with `afi`; `attributes` low byte of a GS1
    tag.
    """

    words: int
    user_memory: bool
    extended: bool
    iso: bool
    afi: int | None
    attributes: int


def read_pc(pc: int) -> ProtocolControl:
    """Fields of the protocol control word `pc`; bits above the low 16 are ignored."""
    iso = bool(pc & _TOGGLE)
    low = pc & 0xFF
    return ProtocolControl(
        words=pc >> 11 & 0x1F,
        user_memory=bool(pc & _USER_MEMORY),
        extended=bool(pc & _EXTENDED),
        iso=iso,
        afi=low if iso else None,
        attributes=0 if iso else low,
    )


def describe_epc(pc: int, epc: bytes) -> EpcDescription:
    """Scheme, filter and URI of the EPC of a tag with protocol control word `pc` (0 when the reader gave none).

    Total over all `pc` and all bytes: raises nothing. `epc` holds neither the protocol control words nor the CRC.
    """
    if pc & _TOGGLE:
        return EpcDescription(_ISO, afi=pc & 0xFF)
    size = len(epc)
    if size < 2:
        return EpcDescription(_RAW, reason=EpcReason.TOO_SHORT)
    scheme = SCHEMES.get(epc[0])
    if scheme is None:
        tid = epc[0] in TID_CLASSES
        return EpcDescription(_RAW, reason=EpcReason.TID_CLASS if tid else EpcReason.UNKNOWN_HEADER)
    if pc and pc >> 10 & 0x3E != size and not _counts_extended_words(pc, size):
        return EpcDescription(_RAW, reason=EpcReason.PC_LENGTH)
    name, bits, decode, shift, mask = scheme
    spare = (size << 3) - bits
    if spare < 0:
        return EpcDescription(_RAW, reason=EpcReason.TOO_SHORT)
    filter_value = epc[1] >> shift & mask if mask else None
    if decode is None:
        return EpcDescription(name, filter_value, None, None, EpcReason.NOT_DECODED)
    value = int.from_bytes(epc, "big")
    if spare:
        if value & ((1 << spare) - 1):
            return EpcDescription(_RAW, reason=EpcReason.RESERVED_BITS)
        value >>= spare
    uri = decode(value)
    if isinstance(uri, str):
        return EpcDescription(name, filter_value, None, Secret(uri.encode()))
    return EpcDescription(_RAW, reason=uri)


def _counts_extended_words(pc: int, size: int) -> bool:
    # A tag with extended words answers with a length that counts them; readers hand the EPC over without.
    return bool(pc & _EXTENDED) and 0 < (pc >> 10 & 0x3E) - size <= 4
