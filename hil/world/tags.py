"""The radio numbers of the virtual lane, all in one place: 96-bit EPCs as upper-case hex.

A lane tells driver cards and transponders from other tags by configured prefixes. Card numbers are opaque (border
cards carry a number and nothing else), so are transponders'; cargo carries SGTIN-96 (GS1 Tag Data Standard).
"""

DRIVER_CARD_PREFIX = "0FA5"
TRANSPONDER_PREFIX = "0D70"
CARGO_PREFIX = "30"

_MASK64 = (1 << 64) - 1


def mix64(value: int) -> int:
    """SplitMix64 finaliser (Steele, Lea, Flood 2014): a fixed, well spread 64-bit function of an integer."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK64
    return value ^ (value >> 31)


def driver_card_epc(serial: int) -> str:
    """The EPC of driver card number `serial`."""
    return f"{DRIVER_CARD_PREFIX}{mix64(serial) & 0xFFFFFFFFFFFF:012X}{serial & 0xFFFFFFFF:08X}"


def transponder_epc(serial: int) -> str:
    """The EPC of windscreen transponder number `serial`."""
    return f"{TRANSPONDER_PREFIX}{mix64(serial ^ 0x5A5A) & 0xFFFFFFFFFFFF:012X}{serial & 0xFFFFFFFF:08X}"


def cargo_epc(serial: int) -> str:
    """An SGTIN-96: filter 3, partition 5 (7-digit company prefix, 6-digit item), a serial of 38 bits."""
    company, item = 614141, 812345
    bits = (0x30 << 88) | (3 << 85) | (5 << 82) | (company << 58) | (item << 38) | (serial & ((1 << 38) - 1))
    return f"{bits:024X}"


def transponder_tid(serial: int) -> str:
    """A serialised 96-bit TID, class E2 (ISO/IEC 18000-63); driver cards are given none, as theirs are not unique."""
    return f"E2801160{serial & 0xFFFFFFFF:08X}{mix64(serial) & 0xFFFFFFFF:08X}"
