"""UUID version 7 from given values, so that a fold over the journal gives the same ids."""

import hashlib


def uuid7(utc_ns: int, seed: bytes, counter: int) -> str:
    """UUIDv7 text (RFC 9562, 5.7): 48 bits of Unix milliseconds, then 74 bits derived from `seed` and `counter`.

    Unique while (seed, counter) is; `utc_ns` only orders."""
    bits = int.from_bytes(hashlib.sha256(seed + counter.to_bytes(8, "big")).digest()[:10], "big")
    value = (utc_ns // 1_000_000 & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | bits & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
