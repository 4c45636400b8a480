"""DSSE encoding against the published example, and a chain that shows every tampering."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.bundle.seal import GENESIS, chain_next, digest_of, first_break, pae


def test_pae_gives_the_published_bytes() -> None:
    """The test vector of the DSSE protocol page."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(max_size=30), st.binary(max_size=60), st.text(max_size=30), st.binary(max_size=60))
def test_pae_is_injective(type_a: str, a: bytes, type_b: str, b: bytes) -> None:
    if (type_a, a) != (type_b, b):
        assert pae(type_a, a) != pae(type_b, b)


def test_digest_and_chain_by_hand() -> None:
    assert digest_of(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert chain_next(GENESIS, b"abc") == hashlib.sha256(bytes(32) + b"\x00\x00\x00\x00\x00\x00\x00\x03abc").digest()
    with pytest.raises(ValueError, match="32 bytes"):
        chain_next(b"", b"abc")


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=8), st.data())
def test_every_change_is_found_where_it_is(payloads: list[bytes], data: st.DataObject) -> None:
    chained, previous = [], GENESIS
    for payload in payloads:
        previous = chain_next(previous, payload)
        chained.append((payload, previous))
    assert first_break(chained) is None
    index = data.draw(st.integers(0, len(chained) - 1))
    changed = list(chained)
    changed[index] = (chained[index][0] + b"x", chained[index][1])
    assert first_break(changed) == index
    missing = chained[:index] + chained[index + 1 :]
    assert first_break(missing) == (index if index < len(missing) else None)
