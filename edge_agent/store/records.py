"""What goes into the store and comes out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class RecordClass(StrEnum):
    """Priority classes of durable records, most urgent first. Each has its own gap-free sequence from 1."""

    BUNDLE = "bundle"
    SUPPLEMENT = "supplement"
    LANE_EVENT = "lane_event"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A bundle to seal. `build(chain_prev)` gets the 32-byte chain head before it and returns the payload; it runs in
    the writer thread inside the transaction, so it must be quick and touch nothing shared."""

    bundle_id: str
    build: Callable[[bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """Any other durable record, already serialised. `record_id` makes it idempotent within its class."""

    record_class: RecordClass
    record_id: str
    payload_type: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A durable bundle: its sequence, exact bytes, and the chain after it."""

    bundle_id: str
    seq: int
    payload: bytes = field(repr=False)
    payload_sha256: bytes
    chain_head: bytes
    chain_length: int


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """A record to forward. `damaged`: the row fails its own SHA-256; its payload is then empty and must not be trusted,
    but its place in the sequence stays, so that the receiver learns of the loss. `chain_head` only for bundles."""

    seq: int
    record_id: str
    payload_type: str
    payload: bytes = field(repr=False)
    payload_sha256: bytes
    chain_head: bytes = b""
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """One class now: what is not yet acknowledged (`records`, `bytes`, wall time of the oldest or None), the last
    sequence used, the acknowledged watermark, and how many records were quarantined."""

    record_class: RecordClass
    records: int
    bytes: int
    oldest_utc_ns: int | None
    last_seq: int
    watermark: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle still held. `delivered`: the release service has acknowledged it."""

    seq: int
    bundle_id: str
    payload: bytes = field(repr=False)
    payload_sha256: bytes
    delivered: bool


class OpenKind(StrEnum):
    """How a store was found."""

    FRESH = "fresh"
    CONTINUED = "continued"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What `Store.open` found. For QUARANTINED: where the damaged files went, why, and the old chain if readable
    (`previous_*`; "" and 0 when not), to be told to central as a lane event."""

    kind: OpenKind
    journal_rows: int
    quarantine: Path | None = None
    reason: str = ""
    previous_epoch: str = ""
    previous_chain_head: bytes = b""
    previous_chain_length: int = 0


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Room and retention. `capacity_bytes` bounds the database; the last `reserve_bytes` of it, and as much of the disk
    (held by a ballast file), are kept for passages already in the corridor. Delivered bodies stay `retention_s`."""

    capacity_bytes: int = 2 << 30
    reserve_bytes: int = 16 << 20
    retention_s: float = 7 * 86_400.0
