"""When room runs out: said early, delivered records go first, nothing is dropped in silence, and it recovers."""

import errno
import os
from pathlib import Path

import pytest

from edge_agent.model.errors import StoreError
from edge_agent.store.records import RecordClass, StoreLimits

from .lane_store import bundle, open_store

_LIMITS = StoreLimits(capacity_bytes=1 << 20, reserve_bytes=256 << 10)
_BIG = b"x" * 20_000


async def test_the_reserve_is_announced_before_the_store_is_full(tmp_path: Path) -> None:
    store = await open_store(tmp_path, limits=_LIMITS)
    told: list[tuple[bool, str]] = []
    store.on_health = lambda ok, code: told.append((ok, code))
    kept: list[str] = []
    fault: StoreError | None = None
    while fault is None:
        try:
            await store.commit([b"row"], [bundle(f"b{len(kept)}", _BIG)])
            kept.append(f"b{len(kept)}")
        except StoreError as error:
            fault = error
    assert fault.code == "STORE_FULL"
    assert told == [(False, "STORE_BELOW_RESERVE"), (False, "STORE_FULL")]
    held = await store.pending(RecordClass.BUNDLE, 0, 100)
    assert [r.record_id for r in held] == kept
    assert len((await store.load())[1]) == len(kept)
    # Passages that were in the corridor found room in the reserve: several bundles after the announcement.
    assert len(kept) * len(_BIG) > _LIMITS.capacity_bytes - _LIMITS.reserve_bytes
    await store.close()


async def test_what_central_holds_makes_room_and_health_returns(tmp_path: Path) -> None:
    store = await open_store(tmp_path, limits=_LIMITS)
    told: list[tuple[bool, str]] = []
    store.on_health = lambda ok, code: told.append((ok, code))
    count = 0
    while not told:
        await store.commit([b"row"], [bundle(f"b{count}", _BIG)])
        count += 1
    await store.checkpoint(b"state")
    await store.acknowledge(RecordClass.BUNDLE, count)
    assert told[-1] == (True, "")
    assert await store.pending(RecordClass.BUNDLE, 0, 100) == []
    for number in range(200):
        (sealed,) = await store.commit([], [bundle(f"c{number}", _BIG)])
        assert sealed.seq == count + number + 1
        await store.acknowledge(RecordClass.BUNDLE, sealed.seq)
    assert told[-1] == (True, "")
    assert (tmp_path / "data" / "lane.db").stat().st_size <= _LIMITS.capacity_bytes
    await store.close()


async def test_the_ballast_lies_ready_and_is_held_again_after_a_restart(tmp_path: Path) -> None:
    store = await open_store(tmp_path, limits=_LIMITS)
    ballast = tmp_path / "ballast"
    assert ballast.stat().st_blocks * 512 >= _LIMITS.reserve_bytes
    await store.close()
    ballast.unlink()
    again = await open_store(tmp_path, limits=_LIMITS)
    assert ballast.stat().st_size == _LIMITS.reserve_bytes
    await again.close()


async def test_a_file_system_that_does_not_tell_its_room_undoes_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked after the commit: whoever heard of a failure would store the same rows twice."""
    store = await open_store(tmp_path, limits=_LIMITS)
    with monkeypatch.context() as broken:
        broken.setattr(os, "statvfs", _fails)
        (sealed,) = await store.commit([b"row"], [bundle("b1")])
        assert sealed.seq == 1
        assert store.health == (False, "STORE_BELOW_RESERVE")
    await store.commit([b"another"])
    assert store.health == (True, "")
    assert (await store.load())[1] == [b"row", b"another"]
    await store.close()


def _fails(_path: object) -> os.statvfs_result:
    raise OSError(errno.EIO, "input/output error")
