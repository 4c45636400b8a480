"""Signing encoding, digests and the hash chain of bundles. Works on bytes made elsewhere, once; encodes no bundle.

A chained hash makes a missing, changed or reordered bundle visible to whoever holds any later hash.
"""

import hashlib
from collections.abc import Iterable

GENESIS = bytes(32)
"""The hash before the first bundle of a chain."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE v1 (secure-systems-lab/dsse, protocol.md): what a signature is made over.

    `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in ASCII decimal without leading zeros."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def digest_of(payload: bytes) -> str:
    """`sha256:` + hex, the form in which bundles and evidence are named."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()


def chain_next(prev_hash: bytes, payload: bytes) -> bytes:
    """SHA-256 over the previous hash, the payload's length in 8 bytes big-endian, and the payload.

    ValueError when `prev_hash` is not 32 bytes."""
    if len(prev_hash) != 32:
        raise ValueError("a chain hash has 32 bytes")
    return hashlib.sha256(prev_hash + len(payload).to_bytes(8, "big") + payload).digest()


def first_break(entries: Iterable[tuple[bytes, bytes]], start: bytes = GENESIS) -> int | None:
    """Index of the first (payload, hash) whose hash does not follow from the one before; None when all do."""
    previous = start
    for index, (payload, chained) in enumerate(entries):
        if chain_next(previous, payload) != chained:
            return index
        previous = chained
    return None
