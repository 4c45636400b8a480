"""EPC scheme names: examples of the GS1 Tag Data Standard, and never an exception."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.rfid.epc_codec import EpcDescription, describe_epc


def test_standard_examples() -> None:
    # Tag Data Standard, encoding examples: SGTIN-96 with filter 3; USDOD-96; GID-96 has no filter.
    assert describe_epc(0x3000, bytes.fromhex("3074257BF7194E4000001A85")) == EpcDescription("sgtin-96", 3)
    assert describe_epc(0x3000, bytes.fromhex("2F02032533313934000003E8")) == EpcDescription("usdod-96", 0)
    assert describe_epc(0x3000, bytes.fromhex("3500E86F8000A9E000000586")) == EpcDescription("gid-96")


def test_iso_tag_is_not_taken_for_gs1() -> None:
    assert describe_epc(0x31A2, bytes.fromhex("3074257BF7194E4000001A85")) == EpcDescription("iso15961", afi=0xA2)


def test_factory_number_and_short_codes_are_raw() -> None:
    for epc in (bytes.fromhex("E2002075581102532390"), bytes.fromhex("3074"), b"\x30", b""):
        assert describe_epc(0x3000, epc) == EpcDescription("raw")


@given(st.integers(0, 0xFFFF), st.binary(max_size=62))
def test_no_tag_is_ever_refused(pc: int, epc: bytes) -> None:
    assert describe_epc(pc, epc).scheme
