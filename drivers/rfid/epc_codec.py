"""What an EPC's leading bits say about its coding scheme (GS1 EPC Tag Data Standard 2.2). Pure.

Never refuses a tag: what is not recognised is `raw`. The full decode of company prefixes and serials is not here.
"""

from typing import NamedTuple

_TOGGLE = 0x0100  # protocol control word: 0 GS1 EPC, 1 ISO application family

_FIXED = {
    0x2C: ("gdti-96", 96),
    0x2D: ("gsrn-96", 96),
    0x2E: ("gsrnp-96", 96),
    0x2F: ("usdod-96", 96),
    0x30: ("sgtin-96", 96),
    0x31: ("sscc-96", 96),
    0x32: ("sgln-96", 96),
    0x33: ("grai-96", 96),
    0x34: ("giai-96", 96),
    0x35: ("gid-96", 96),
    0x36: ("sgtin-198", 198),
    0x37: ("grai-170", 170),
    0x38: ("giai-202", 202),
    0x39: ("sgln-195", 195),
    0x3A: ("gdti-113", 113),
    0x3B: ("adi-var", 0),
    0x3C: ("cpi-96", 96),
    0x3D: ("cpi-var", 0),
    0x3E: ("gdti-174", 174),
    0x3F: ("sgcn-96", 96),
    0x40: ("itip-110", 110),
    0x41: ("itip-212", 212),
}
_PLUS = ("cpi", "grai", "sgln", "itip", "gsrn", "gsrnp", "gdti", "sgtin", "sgcn", "sscc", "giai", "dsgtin")
_WEB = {
    0xE6: "cpi++",
    0xE7: "gsrn++",
    0xE8: "gsrnp++",
    0xE9: "sgln++",
    0xEA: "gdti++",
    0xEB: "grai++",
    0xEC: "sgcn++",
    0xED: "itip++",
    0xEE: "giai++",
    0xEF: "sscc++",
    0xFC: "dsgtin++",
    0xFD: "sgtin++",
}
_SCHEMES = {**_FIXED, **{0xF0 + at: (f"{name}+", 0) for at, name in enumerate(_PLUS)}}
_SCHEMES |= {header: (name, 0) for header, name in _WEB.items()}

# The filter value is the 3 bits after the header, except: USDOD has 4, ADI-var 6, GID none.
_FILTER_BITS = {0x2F: 4, 0x3B: 6, 0x35: 0}


class EpcDescription(NamedTuple):
    """`scheme` name, "iso15961" or "raw"; `filter_value` None where the scheme has none; `afi` of ISO tags."""

    scheme: str
    filter_value: int | None = None
    afi: int | None = None


def describe_epc(pc: int, epc: bytes) -> EpcDescription:
    """Scheme of the EPC of a tag with protocol control word `pc` (0 when the reader gave none)."""
    if pc & _TOGGLE:
        return EpcDescription("iso15961", afi=pc & 0xFF)
    scheme, bits = _SCHEMES.get(epc[0], ("raw", 0)) if epc else ("raw", 0)
    if scheme == "raw" or len(epc) * 8 < bits or len(epc) < 2:
        return EpcDescription("raw")
    width = 0 if epc[0] in _WEB else _FILTER_BITS.get(epc[0], 3)
    if epc[0] >= 0xF0 and epc[0] not in _WEB:
        # The "+" schemes carry one bit (additional data follows) in front of the filter.
        return EpcDescription(scheme, epc[1] >> 4 & 0x07)
    return EpcDescription(scheme, epc[1] >> 8 - width if width else None)
