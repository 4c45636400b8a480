"""A small store for tests, with a clock that runs on any loop."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

from drivers.api import Stamp
from edge_agent.store.records import BundleDraft, RecordClass, RecordDraft, StoreLimits
from edge_agent.store.store import Store

LANE = "ports/0427/lanes/1"
SMALL = StoreLimits(capacity_bytes=64 << 20, reserve_bytes=64 << 10)


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 1_767_225_600_000_000_000

    def stamp(self) -> Stamp:
        return Stamp(self.now_ns - 1_767_000_000_000_000_000, self.now_ns)


async def open_store(
    directory: Path, *, seed: int = 1, clock: HandClock | None = None, limits: StoreLimits = SMALL, lane: str = LANE
) -> Store:
    """A store whose epoch follows from the seed."""
    return await Store.open(directory, lane, clock or HandClock(), random.Random(seed).randbytes, limits)


def bundle(bundle_id: str, content: bytes = b"") -> BundleDraft:
    """A draft whose payload is the chain head, the id and the content."""
    build: Callable[[bytes], bytes] = lambda prev: prev + bundle_id.encode() + content  # noqa: E731
    return BundleDraft(bundle_id, build)


def event(event_id: str, content: bytes = b"event") -> RecordDraft:
    """A lane event's draft."""
    return RecordDraft(RecordClass.LANE_EVENT, event_id, "text/plain", content)


def chain_of(payloads: list[bytes], names: Callable[[bytes], bytes] = lambda payload: payload[:32]) -> bytes:
    """The head after these payloads, straight from the contract's words; `names` reads the head a payload names."""
    head = bytes(32)
    for payload in payloads:
        assert names(payload) == head
        head = hashlib.sha256(head + len(payload).to_bytes(8, "big") + payload).digest()
    return head
