"""Which chip a tag has, from the first words of its TID bank (ISO/IEC 15963, GS1 EPC Tag Data Standard 16). Pure.

Nothing of the serial number is taken out: what is described here is the same for all chips of one model.
"""

from dataclasses import dataclass
from enum import Enum


class TidClass(Enum):
    """The class identifier in the first byte."""

    GS1 = "gs1"  # E2: mask designer and model follow
    ISO_7816_6 = "iso_7816_6"  # E0: chip manufacturer and 48-bit serial number follow
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class TidDescription:
    """`designer` mask designer 0-511 and `model` 0-4095, None outside class GS1; `extended` an XTID word follows;
    `security` and `file` the capability bits of Gen2v2 chips; `serial_bits` what the bytes read hold of a serial number
    the standard vouches for, 0 none: such a TID may be shared by many tags and must not be taken as unique."""

    tid_class: TidClass
    designer: int | None = None
    model: int | None = None
    extended: bool = False
    security: bool = False
    file: bool = False
    serial_bits: int = 0


def describe_tid(tid: bytes) -> TidDescription:
    """Class, designer, model and kind of serial number of a TID bank read from its start. Raises nothing."""
    if len(tid) >= 8 and tid[0] == 0xE0:
        return TidDescription(TidClass.ISO_7816_6, serial_bits=48)
    if len(tid) < 4 or tid[0] != 0xE2:
        return TidDescription(TidClass.RAW)
    extended = bool(tid[1] & 0x80)
    return TidDescription(
        TidClass.GS1,
        designer=(tid[1] & 0x1F) << 4 | tid[2] >> 4,
        model=(tid[2] & 0x0F) << 8 | tid[3],
        extended=extended,
        security=bool(tid[1] & 0x40),
        file=bool(tid[1] & 0x20),
        serial_bits=_serial_bits(tid) if extended else 0,
    )


def _serial_bits(tid: bytes) -> int:
    """Length of the serial number the XTID word announces, 0 when it announces none or was not read to its end."""
    if len(tid) < 6 or not tid[4] >> 5:
        return 0
    bits = 48 + 16 * ((tid[4] >> 5) - 1)
    return bits if len(tid) * 8 >= 48 + bits else 0
