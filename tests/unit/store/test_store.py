"""The store: one transaction for an input and all it caused, sequences without gaps, a chain that continues."""

import asyncio
from pathlib import Path

import apsw
import pytest

from edge_agent.model.errors import StoreError
from edge_agent.store.records import BundleDraft, OpenKind, OutboxStatus, RecordClass, RecordDraft, StoreLimits
from edge_agent.store.store import Store, dump

from .lane_store import LANE, SMALL, HandClock, bundle, chain_of, event, open_store

_DAY_NS = 86_400 * 10**9


def _of(store: Store, record_class: RecordClass) -> OutboxStatus:
    return next(status for status in store.status() if status.record_class is record_class)


async def test_a_commit_holds_journal_bundles_and_records_across_a_restart(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    assert store.opened.kind is OpenKind.FRESH
    sealed = await store.commit([b"one", b"two"], [bundle("b1"), bundle("b2")], [event("e1")])
    assert [(s.bundle_id, s.seq, s.chain_length) for s in sealed] == [("b1", 1, 1), ("b2", 2, 2)]
    assert store.chain() == (chain_of([s.payload for s in sealed]), 2)
    epoch = store.epoch
    await store.close()

    again = await open_store(tmp_path, seed=2)
    assert (again.opened.kind, again.opened.journal_rows, again.epoch) == (OpenKind.CONTINUED, 2, epoch)
    assert await again.load() == (None, [b"one", b"two"])
    assert again.chain() == (sealed[1].chain_head, 2)
    assert [r.payload for r in await again.pending(RecordClass.BUNDLE, 0, 10)] == [s.payload for s in sealed]
    assert [r.record_id for r in await again.pending(RecordClass.LANE_EVENT, 0, 10)] == ["e1"]
    await again.close()


async def test_sealing_an_id_again_returns_the_first(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    (first,) = await store.commit([], [bundle("b1", b"first")])
    again = await store.commit([], [bundle("b1", b"second"), bundle("b1", b"third")], [event("e1"), event("e1")])
    assert again == (first, first)
    assert _of(store, RecordClass.BUNDLE).last_seq == 1
    assert _of(store, RecordClass.LANE_EVENT).last_seq == 1
    await store.close()


async def test_a_build_that_fails_leaves_nothing_and_harms_nobody_else(tmp_path: Path) -> None:
    store = await open_store(tmp_path)

    def broken(_prev: bytes) -> bytes:
        raise ValueError("no such passage")

    results = await asyncio.gather(
        store.commit([b"a"], [bundle("b1")]),
        store.commit([b"lost"], [bundle("b2"), BundleDraft("b3", broken)], [event("e1")]),
        store.commit([b"c"], [bundle("b4")]),
        return_exceptions=True,
    )
    assert isinstance(results[1], ValueError)
    assert (await store.load())[1] == [b"a", b"c"]
    held = await store.pending(RecordClass.BUNDLE, 0, 10)
    assert [(r.seq, r.record_id) for r in held] == [(1, "b1"), (2, "b4")]
    assert store.chain() == (chain_of([r.payload for r in held]), 2)
    assert _of(store, RecordClass.LANE_EVENT).last_seq == 0
    await store.close()


async def test_a_cancelled_commit_is_carried_out_in_its_order(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    given_up = asyncio.get_running_loop().create_task(store.commit([b"a"], [bundle("b1")]))
    await asyncio.sleep(0)
    given_up.cancel()
    await store.commit([b"b"], [bundle("b2")])
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert (await store.load())[1] == [b"a", b"b"]
    assert [r.record_id for r in await store.pending(RecordClass.BUNDLE, 0, 10)] == ["b1", "b2"]
    await store.close()


async def test_a_checkpoint_replaces_the_journal_before_it(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([b"a", b"b"])
    await store.checkpoint(b"state")
    await store.commit([b"c"])
    assert await store.load() == (b"state", [b"c"])
    await store.checkpoint(b"later")
    await store.close()
    again = await open_store(tmp_path)
    assert await again.load() == (b"later", [])
    await again.close()


async def test_acknowledging_moves_the_watermark_and_never_back(tmp_path: Path) -> None:
    clock = HandClock()
    store = await open_store(tmp_path, clock=clock)
    await store.commit([], [bundle(f"b{n}", b"x" * 100) for n in range(1, 6)])
    before = _of(store, RecordClass.BUNDLE)
    assert (before.records, before.oldest_utc_ns, before.watermark) == (5, clock.now_ns, 0)
    await store.acknowledge(RecordClass.BUNDLE, 3)
    await store.acknowledge(RecordClass.BUNDLE, 1)
    after = _of(store, RecordClass.BUNDLE)
    assert (after.records, after.watermark, after.last_seq) == (2, 3, 5)
    assert after.bytes == before.bytes * 2 // 5
    assert [b.delivered for b in await store.list_bundles(10)] == [False, False, True, True, True]
    with pytest.raises(StoreError) as ahead:
        await store.acknowledge(RecordClass.BUNDLE, 6)
    assert ahead.value.code == "STORE_WATERMARK_AHEAD"
    await store.close()
    again = await open_store(tmp_path)
    assert _of(again, RecordClass.BUNDLE) == after
    await again.close()


async def test_sequences_go_on_after_everything_was_delivered_and_forgotten(tmp_path: Path) -> None:
    clock = HandClock()
    store = await open_store(tmp_path, clock=clock)
    await store.commit([b"a"], [bundle("b1"), bundle("b2")], [event("e1")])
    await store.acknowledge(RecordClass.BUNDLE, 2)
    await store.acknowledge(RecordClass.LANE_EVENT, 1)
    clock.now_ns += 6 * _DAY_NS
    await store.checkpoint(b"s")
    assert len(await store.list_bundles(10)) == 2
    clock.now_ns += 2 * _DAY_NS
    await store.checkpoint(b"s")
    assert await store.list_bundles(10) == []
    assert await store.pending(RecordClass.LANE_EVENT, 0, 10) == []
    (sealed,) = await store.commit([], [bundle("b3")], [event("e2")])
    assert (sealed.seq, sealed.chain_length) == (3, 3)
    assert [r.seq for r in await store.pending(RecordClass.LANE_EVENT, 0, 10)] == [2]
    await store.close()
    again = await open_store(tmp_path)
    assert (again.opened.kind, again.chain()[1]) == (OpenKind.CONTINUED, 3)
    await again.close()


async def test_years_of_deliveries_leave_no_row_an_hour(tmp_path: Path) -> None:
    clock = HandClock()
    store = await open_store(tmp_path, clock=clock)
    for number in range(1, 41):
        await store.commit([], [bundle(f"b{number}")])
        await store.acknowledge(RecordClass.BUNDLE, number)
        clock.now_ns += _DAY_NS // 2
    await store.checkpoint(b"s")
    assert [b.bundle_id for b in await store.list_bundles(50)] == [f"b{n}" for n in range(40, 26, -1)]
    await store.close()
    database = apsw.Connection(str(tmp_path / "data" / "lane.db"))
    assert database.execute("SELECT count(*) FROM delivery").fetchall() == [(15,)]
    database.close()


async def test_what_a_replay_could_seal_again_is_not_forgotten(tmp_path: Path) -> None:
    clock = HandClock()
    store = await open_store(tmp_path, clock=clock, limits=StoreLimits(64 << 20, 64 << 10, retention_s=0.0))
    await store.checkpoint(b"before")
    (sealed,) = await store.commit([b"a"], [bundle("b1")])
    await store.acknowledge(RecordClass.BUNDLE, 1)
    clock.now_ns += _DAY_NS
    await store.close()
    again = await open_store(tmp_path, clock=clock, limits=StoreLimits(64 << 20, 64 << 10, retention_s=0.0))
    assert await again.commit([], [bundle("b1", b"other")]) == (sealed,)
    await again.close()


async def test_quarantined_records_are_counted_kept_and_hold_their_place(tmp_path: Path) -> None:
    clock = HandClock()
    store = await open_store(tmp_path, clock=clock)
    await store.commit([b"a"], [bundle("b1"), bundle("b2"), bundle("b3")])
    await store.quarantine(RecordClass.BUNDLE, 2, "PAYLOAD_INVALID")
    await store.acknowledge(RecordClass.BUNDLE, 3)
    clock.now_ns += 30 * _DAY_NS
    await store.checkpoint(b"s")
    assert [b.bundle_id for b in await store.list_bundles(10)] == ["b2"]
    assert _of(store, RecordClass.BUNDLE).quarantined == 1
    await store.close()


async def test_a_bundle_is_found_by_id_or_by_the_only_prefix(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([], [bundle("0199-aa"), bundle("0199-ab"), bundle("0200-aa")])
    found = await store.get_bundle("0199-aa")
    assert found is not None
    assert (found.bundle_id, found.seq) == ("0199-aa", 1)
    assert (await store.get_bundle("02")) is not None
    assert await store.get_bundle("0199") is None
    assert await store.get_bundle("03") is None
    assert [b.seq for b in await store.list_bundles(2)] == [3, 2]
    assert [b.seq for b in await store.list_bundles(2, before_seq=2)] == [1]
    await store.close()


async def test_a_forwarder_wakes_on_new_records_only(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    news = store.appended()
    await store.commit([b"journal only"])
    assert not news.is_set()
    await store.commit([], [], [event("e1")])
    assert news.is_set()
    assert not store.appended().is_set()
    await store.close()


async def test_evidence_and_supplements_have_sequences_of_their_own(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([], [bundle("b1")], [RecordDraft(c, "r", "t", b"x") for c in list(RecordClass)[1:]])
    assert [status.last_seq for status in store.status()] == [1, 1, 1, 1]
    with pytest.raises(StoreError, match="sealed, not appended"):
        await store.commit([], [], [RecordDraft(RecordClass.BUNDLE, "b2", "t", b"x")])
    await store.close()


async def test_a_second_agent_on_the_same_store_is_refused_with_the_next_step(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    with pytest.raises(StoreError) as refused:
        await open_store(tmp_path)
    assert refused.value.code == "STORE_IN_USE"
    assert "stop the other agent" in refused.value.hint
    await store.commit([b"still mine"])
    await store.close()
    await (await open_store(tmp_path)).close()


async def test_another_lanes_store_is_refused_untouched(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([], [bundle("b1")])
    await store.close()
    with pytest.raises(StoreError) as refused:
        await open_store(tmp_path, lane="ports/0427/lanes/2")
    assert refused.value.code == "STORE_OTHER_LANE"
    assert list(dump(tmp_path)) == ["ACK b1"]


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.commit([b"late"])


@pytest.mark.real_time
async def test_it_works_in_its_own_thread_and_groups_what_comes_together(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, LANE, HandClock(), bytes, SMALL)
    await asyncio.gather(*(store.commit([f"{n}".encode()], [bundle(f"b{n}")]) for n in range(600)))
    assert (await store.load())[1] == [f"{n}".encode() for n in range(600)]
    held = await store.pending(RecordClass.BUNDLE, 0, 1000)
    assert [(r.seq, r.record_id) for r in held] == [(n + 1, f"b{n}") for n in range(600)]
    assert store.chain() == (chain_of([r.payload for r in held]), 600)
    await store.close()


async def test_dump_names_every_durable_bundle_delivered_or_not(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit([], [bundle("b1"), bundle("b2")], [event("e1")])
    await store.acknowledge(RecordClass.BUNDLE, 1)
    await store.close()
    assert list(dump(tmp_path)) == ["ACK b1", "ACK b2"]
    with pytest.raises(StoreError, match="no store"):
        list(dump(tmp_path / "elsewhere"))
