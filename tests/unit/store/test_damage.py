"""A damaged store is set aside whole and never stops the lane; a damaged record is never passed for a good one."""

import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from edge_agent.model.errors import StoreError
from edge_agent.store.ledger import LedgerState
from edge_agent.store.records import OpenKind, RecordClass
from edge_agent.store.store import dump
from edge_agent.store.writer import Writer

from .lane_store import bundle, event, open_store

Harm = Callable[[Path], None]


def _sql(statement: str) -> Harm:
    def harm(data: Path) -> None:
        connection = apsw.Connection(str(data / "lane.db"))
        connection.execute(statement).fetchall()
        connection.close()

    return harm


def _overwrite(data: Path) -> None:
    (data / "lane.db").write_bytes(random.Random(1).randbytes(50_000))


def _truncate(data: Path) -> None:
    path = data / "lane.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _scramble_pages(data: Path) -> None:
    content = bytearray((data / "lane.db").read_bytes())
    content[8192:] = random.Random(2).randbytes(len(content) - 8192)
    (data / "lane.db").write_bytes(content)


def _empty(data: Path) -> None:
    (data / "lane.db").write_bytes(b"")


def _remove(data: Path) -> None:
    (data / "lane.db").unlink()


@pytest.mark.parametrize(
    "harm",
    [
        _overwrite,
        _truncate,
        _scramble_pages,
        _empty,
        _remove,
        _sql("UPDATE journal SET body = 'flipped' WHERE pos = (SELECT max(pos) FROM journal)"),
        _sql("UPDATE checkpoint SET body = 'flipped'"),
        _sql("UPDATE record SET payload = 'flipped' WHERE seq = 2 AND class = 'bundle'"),
        _sql("UPDATE record SET record_id = 'b9' WHERE seq = 2 AND class = 'bundle'"),
        _sql("DELETE FROM record WHERE seq = 3 AND class = 'bundle'"),
        _sql("UPDATE ledger SET body = replace(body, '3', '4')"),
        _sql("DELETE FROM ledger"),
        _sql("DROP TABLE journal"),
        _sql("PRAGMA application_id = 7"),
    ],
)
async def test_a_damaged_store_is_set_aside_and_a_new_one_begins(tmp_path: Path, harm: Harm) -> None:
    store = await open_store(tmp_path)
    await store.commit([b"a"], [bundle(f"b{n}", b"x" * 3000) for n in (1, 2, 3)], [event("e1")])
    await store.checkpoint(b"state")
    await store.commit([b"b", b"c"])
    old_epoch = store.epoch
    await store.close()
    harm(tmp_path / "data")

    again = await open_store(tmp_path, seed=2)
    report = again.opened
    assert report.kind is OpenKind.QUARANTINED
    assert report.reason
    assert report.quarantine is not None
    assert report.quarantine.parent == tmp_path / "quarantine"
    assert report.quarantine.is_dir()
    assert again.epoch != old_epoch
    assert await again.load() == (None, [])
    (sealed,) = await again.commit([b"new"], [bundle("n1")])
    assert (sealed.seq, sealed.payload[:32], sealed.chain_length) == (1, bytes(32), 1)
    await again.close()
    third = await open_store(tmp_path, seed=3)
    assert third.opened.kind is OpenKind.CONTINUED
    await third.close()


async def test_the_new_store_names_the_old_chain_when_it_can_be_read(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    (sealed,) = await store.commit([b"a"], [bundle("b1")])
    epoch = store.epoch
    await store.close()
    _sql("UPDATE journal SET body = 'flipped'")(tmp_path / "data")
    again = await open_store(tmp_path, seed=2)
    report = again.opened
    assert (report.previous_epoch, report.previous_chain_head, report.previous_chain_length) == (
        epoch,
        sealed.chain_head,
        1,
    )
    await again.close()


async def test_a_start_that_is_cut_off_after_setting_a_store_aside_is_told_at_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(tmp_path)
    (sealed,) = await store.commit([b"a"], [bundle("b1")])
    epoch = store.epoch
    await store.close()
    _sql("UPDATE journal SET body = 'flipped'")(tmp_path / "data")
    with monkeypatch.context() as full:
        full.setattr(Writer, "_create", _no_room)
        with pytest.raises(StoreError):
            await open_store(tmp_path, seed=2)
    assert not (tmp_path / "data").exists()
    again = await open_store(tmp_path, seed=3)
    report = again.opened
    assert report.kind is OpenKind.QUARANTINED
    assert report.quarantine is not None
    assert report.quarantine.parent == tmp_path / "quarantine"
    assert (report.previous_epoch, report.previous_chain_head) == (epoch, sealed.chain_head)
    await again.close()
    third = await open_store(tmp_path)
    assert third.opened.kind is OpenKind.CONTINUED
    await third.close()


def _no_room(_writer: Writer, _state: LedgerState) -> None:
    raise StoreError("STORE_FULL", "no room", "free disk space")


async def test_two_quarantines_in_one_second_do_not_collide(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        store = await open_store(tmp_path, seed=seed)
        await store.close()
        _overwrite(tmp_path / "data")
    await (await open_store(tmp_path, seed=4)).close()
    assert len(list((tmp_path / "quarantine").iterdir())) == 3


async def test_an_old_record_that_rotted_is_marked_and_keeps_its_place(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([], [bundle(f"b{n:03}") for n in range(1, 101)])
    await store.close()
    _sql("UPDATE record SET payload = 'rotten' WHERE seq = 7")(tmp_path / "data")
    _sql("UPDATE record SET record_id = CAST(x'ff' AS TEXT) WHERE seq = 8")(tmp_path / "data")
    again = await open_store(tmp_path)
    assert again.opened.kind is OpenKind.CONTINUED
    records = await again.pending(RecordClass.BUNDLE, 5, 4)
    assert [(r.seq, r.damaged) for r in records] == [(6, False), (7, True), (8, True), (9, False)]
    assert records[1].payload == b""
    assert await again.get_bundle("b007") is None
    assert "ACK b007" not in list(dump(tmp_path))
    await again.close()


async def test_a_store_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([], [bundle("b1")])
    await store.close()
    _sql("PRAGMA user_version = 99")(tmp_path / "data")
    with pytest.raises(StoreError) as refused:
        await open_store(tmp_path)
    assert refused.value.code == "STORE_NEWER_SCHEMA"
    assert not (tmp_path / "quarantine").exists()
    assert list(dump(tmp_path)) == ["ACK b1"]


async def test_a_store_that_a_power_cut_left_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "lane.db").write_bytes(b"half")
    store = await open_store(tmp_path)
    assert store.opened.kind is OpenKind.FRESH
    await store.close()


async def test_single_bit_flips_never_pass_for_good_data(tmp_path: Path) -> None:
    """Whatever bit flips: the store opens, and what it hands out is what was put in."""
    source = tmp_path / "source"
    store = await open_store(source)
    sealed = await store.commit([b"j%d" % n for n in range(20)], [bundle(f"b{n}", b"x" * 500) for n in range(20)])
    await store.checkpoint(b"state")
    await store.commit([b"k%d" % n for n in range(20)])
    await store.close()
    good = {s.bundle_id: s.payload for s in sealed}
    content = (source / "data" / "lane.db").read_bytes()
    rng = random.Random(5)
    for case in range(40):
        harmed = bytearray(content)
        harmed[rng.randrange(len(harmed))] ^= 1 << rng.randrange(8)
        directory = tmp_path / f"case{case}"
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "lane.db").write_bytes(harmed)
        flipped = await open_store(directory, seed=case + 2)
        if flipped.opened.kind is OpenKind.CONTINUED:
            assert await flipped.load() == (b"state", [b"k%d" % n for n in range(20)])
            for record in await flipped.pending(RecordClass.BUNDLE, 0, 100):
                assert record.damaged or good[record.record_id] == record.payload
        await flipped.close()
