"""TID banks of common chips, as their data sheets and published reads give the first words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rfid.epc_tid_codec import TidClass, TidDescription, describe_tid


@pytest.mark.parametrize(
    ("tid", "described"),
    [
        # Impinj Monza 4QT: designer 001h, model 105h, XTID with a 48-bit serial number.
        ("E28011052000000000000001", TidDescription(TidClass.GS1, 0x001, 0x105, extended=True, serial_bits=48)),
        # Alien Higgs 3: designer 003h, model 412h, no XTID: no serial number the standard vouches for.
        ("E20034120000000000000001", TidDescription(TidClass.GS1, 0x003, 0x412)),
        # NXP UCODE DNA: designer 006h with the security bit.
        ("E2C06892", TidDescription(TidClass.GS1, 0x006, 0x892, extended=True, security=True)),
        # The serial number was not read to its end: it cannot tell two tags apart.
        ("E28011052000000000", TidDescription(TidClass.GS1, 0x001, 0x105, extended=True)),
        ("E28011050000000000000001", TidDescription(TidClass.GS1, 0x001, 0x105, extended=True)),
        ("E280110560000000000000000000000000000001", TidDescription(TidClass.GS1, 0x001, 0x105, True, serial_bits=80)),
        ("E0040100000000FF", TidDescription(TidClass.ISO_7816_6, serial_bits=48)),
        ("E00401", TidDescription(TidClass.RAW)),
        ("3074257B", TidDescription(TidClass.RAW)),
        ("", TidDescription(TidClass.RAW)),
    ],
)
def test_chips(tid: str, described: TidDescription) -> None:
    assert describe_tid(bytes.fromhex(tid)) == described


@given(st.binary(max_size=40), st.sampled_from([b"", b"\xe2", b"\xe0"]))
def test_any_bytes_are_described(tid: bytes, start: bytes) -> None:
    described = describe_tid(start + tid)
    assert described.serial_bits <= len(start + tid) * 8
    assert tid.hex() not in repr(described) or len(tid) < 4
