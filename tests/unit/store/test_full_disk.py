"""A disk that is really full: what was durable stays, acknowledgements still get through, and health returns."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.model.errors import StoreError
from edge_agent.store.records import BundleDraft, RecordClass, StoreLimits

from .lane_store import open_store

_LIMITS = StoreLimits(reserve_bytes=2 << 20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs, which this machine does not give")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def _big(name: str) -> BundleDraft:
    return BundleDraft(name, lambda prev: prev + os.urandom(20_000))


@pytest.mark.needs("root")
async def test_a_full_disk_loses_nothing_and_is_freed_by_central(small_disk: Path) -> None:
    store = await open_store(small_disk / "lane", limits=_LIMITS)
    told: list[tuple[bool, str]] = []
    store.on_health = lambda ok, code: told.append((ok, code))
    kept: list[str] = []
    fault: StoreError | None = None
    while fault is None:
        try:
            await store.commit([b"row"], [_big(f"b{len(kept)}")])
            kept.append(f"b{len(kept)}")
        except StoreError as error:
            fault = error
    assert fault.code == "STORE_FULL"
    assert told == [(False, "STORE_BELOW_RESERVE"), (False, "STORE_FULL")]
    assert [r.record_id for r in await store.pending(RecordClass.BUNDLE, 0, 10_000)] == kept
    await store.acknowledge(RecordClass.BUNDLE, len(kept))
    await store.checkpoint(b"state")
    for number in range(50):
        (sealed,) = await store.commit([], [_big(f"c{number}")])
        assert sealed.seq == len(kept) + number + 1
        await store.acknowledge(RecordClass.BUNDLE, sealed.seq)
    await store.checkpoint(b"later")
    await store.commit([b"row"])
    assert store.health == (True, "")
    assert told[-1] == (True, "")
    await store.close()
    again = await open_store(small_disk / "lane", limits=_LIMITS)
    assert await again.load() == (b"later", [b"row"])
    assert again.chain()[1] == len(kept) + 50
    await again.close()
