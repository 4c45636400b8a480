"""Forwarding, against the reference service and scripted ones: order, once, watermarks, poison, window, yielding."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest

from edge_agent.central.forward import ForwardPolicy, ForwardReports, ForwardSession
from edge_agent.model.errors import CentralError, CentralRejected, StoreError
from edge_agent.runtime.supervise import Backoff, keep_running
from edge_agent.store.records import OutboxRecord, OutboxStatus, RecordClass
from edge_agent.store.store import Store, dump
from hil.release_service.book import dump as dump_held
from securecorridor.release.v1 import release_service_pb2 as pb
from tests.unit.store.lane_store import LANE, open_store
from tests.unit.store.writer_process import real_bundle, real_event

from .scripted import ScriptedService, channel_to, reference, running, scripted, served

pytestmark = pytest.mark.real_time
FAST = ForwardPolicy(rate_hz=0.0)


@dataclass
class Told:
    """What the session reported."""

    alarms: list[str] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    watermark: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def reports(self) -> ForwardReports:
        return ForwardReports(self._alarm, self._reject, self._acknowledged)

    def _alarm(self, code: str, _message: str) -> None:
        self.alarms.append(code)
        self.news.set()

    def _reject(self, _class: RecordClass, record: OutboxRecord, reason: str) -> None:
        self.rejects.append((record.seq, reason))
        self.news.set()

    def _acknowledged(self, _class: RecordClass, watermark: int) -> None:
        self.watermark = watermark
        self.news.set()

    async def until(self, watermark: int) -> None:
        while self.watermark < watermark:
            self.news.clear()
            await self.news.wait()


def _session(
    channel: grpc.aio.Channel, store: Store, told: Told, record_class: RecordClass = RecordClass.BUNDLE,
    policy: ForwardPolicy = FAST,
) -> ForwardSession:  # fmt: skip
    return ForwardSession(channel, store, LANE, record_class, policy, told.reports)


async def _fill(store: Store, count: int, begin: int = 1) -> None:
    await store.commit([], [real_bundle(f"b{n}") for n in range(begin, begin + count)])


def _held(tmp_path: Path) -> list[str]:
    return [line.split()[1] for line in dump_held(tmp_path / "central")]


def _acks(tmp_path: Path) -> list[str]:
    return [line.split()[1] for line in dump(tmp_path / "lane")]


async def test_backlog_and_new_records_of_each_class_arrive_once_in_order(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 150)
    await store.commit([], [], [real_event(f"e{n}") for n in range(20)])
    told, told_events = Told(), Told()
    async with (
        reference(tmp_path) as (service, channel),
        running(_session(channel, store, told).run(lambda _: None)),
        running(_session(channel, store, told_events, RecordClass.LANE_EVENT).run(lambda _: None)),
    ):
        await told.until(150)
        await _fill(store, 3, begin=151)
        await told.until(153)
        await told_events.until(20)
        assert (service.book.figures.chain_mismatches, service.book.figures.duplicates) == (0, 0)
        assert service.book.figures.outcomes == {"released_rolling": 153}
    assert [status.records for status in store.status()] == [0, 0, 0, 0]
    await store.close()
    assert _held(tmp_path) == _acks(tmp_path) == [f"b{n}" for n in range(1, 154)]


async def test_a_service_that_comes_and_goes_gets_everything_once(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    told = Told()
    faults: list[CentralError] = []
    async with served(ScriptedService(None, None)) as target:
        pass
    async with channel_to(target) as channel:
        backoff = Backoff(0.1, random.Random(1))
        lasting = keep_running(
            lambda: _session(channel, store, told), lambda _: None, backoff, faults.append, CentralError
        )
        async with running(lasting):
            for life in range(4):
                await _fill(store, 60, begin=life * 60 + 1)
                async with reference(tmp_path, listen=target):
                    await told.until(life * 60 + 20)
            async with reference(tmp_path, listen=target):
                await told.until(240)
    assert told.alarms == []
    await store.close()
    assert _held(tmp_path) == _acks(tmp_path)
    assert len(_held(tmp_path)) == 240


async def test_a_poison_record_is_set_apart_and_the_rest_goes_on(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 3)
    told = Told()
    async with reference(tmp_path) as (service, channel):
        service.book.poison["bundle"] = 1
        async with running(_session(channel, store, told).run(lambda _: None)):
            await told.until(3)
        assert service.book.figures.chain_mismatches == 0
        async with running(_session(channel, store, told).run(lambda _: None)):
            await _fill(store, 1, begin=4)
            await told.until(4)
    assert told.rejects == [(1, "REFUSED_BY_TEST")]
    assert store.status()[0].quarantined == 1
    assert [b.bundle_id for b in await store.list_bundles(10)] == ["b4", "b3", "b2", "b1"]
    await store.close()
    assert _held(tmp_path) == ["b2", "b3", "b4"]


async def test_a_rotten_record_is_told_to_central_and_the_rest_goes_on(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 100)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "lane" / "data" / "lane.db"))
    connection.execute("UPDATE record SET payload = x'00' WHERE seq = 2").fetchall()
    connection.close()
    store = await open_store(tmp_path / "lane")
    told = Told()
    async with reference(tmp_path) as (_, channel), running(_session(channel, store, told).run(lambda _: None)):
        await told.until(100)
    assert told.rejects == [(2, "PAYLOAD_HASH_MISMATCH")]
    await store.close()
    assert _held(tmp_path) == ["b1", *(f"b{n}" for n in range(3, 101))]


async def test_a_restored_disk_is_an_alarm_and_nothing_is_sent(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 2)
    await store.close()
    shutil.copytree(tmp_path / "lane" / "data", tmp_path / "image")
    store = await open_store(tmp_path / "lane")
    await _fill(store, 2, begin=3)
    told = Told()
    async with reference(tmp_path) as (_, channel):
        async with running(_session(channel, store, told).run(lambda _: None)):
            await told.until(4)
        await store.close()
        shutil.rmtree(tmp_path / "lane" / "data")
        shutil.copytree(tmp_path / "image", tmp_path / "lane" / "data")
        clone = await open_store(tmp_path / "lane")
        await _fill(clone, 1, begin=99)
        with pytest.raises(CentralRejected) as refused:
            await _session(channel, clone, told).run(lambda _: None)
        await clone.close()
    assert refused.value.code == "CENTRAL_WATERMARK_AHEAD"
    assert told.alarms == ["WATERMARK_AHEAD"]
    assert _held(tmp_path) == ["b1", "b2", "b3", "b4"]


async def test_a_centre_that_lost_its_memory_gets_everything_still_held(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 5)
    told = Told()
    async with reference(tmp_path) as (_, channel), running(_session(channel, store, told).run(lambda _: None)):
        await told.until(5)
    shutil.rmtree(tmp_path / "central")
    await _fill(store, 1, begin=6)
    async with reference(tmp_path) as (service, channel), running(_session(channel, store, told).run(lambda _: None)):
        await told.until(6)
        assert service.book.figures.chain_mismatches == 0
    assert told.alarms == ["WATERMARK_BEHIND"]
    await store.close()
    assert _held(tmp_path) == [f"b{n}" for n in range(1, 7)]


async def test_what_central_lost_and_the_lane_has_forgotten_is_an_alarm() -> None:
    class Forgetful:
        epoch = "e1"

        async def pending(self, *_: Any) -> list[OutboxRecord]:
            return [OutboxRecord(9, "b9", "t", b"", b"")]

        def status(self) -> Any:
            from edge_agent.store.records import OutboxStatus

            return (OutboxStatus(RecordClass.BUNDLE, 0, 0, None, 9, 9, 0),)

    async def serve(requests: AsyncIterator[pb.ForwardRequest], context: Any) -> None:
        await anext(requests)
        await context.write(pb.ForwardResponse(resume=pb.ForwardResume(watermark=4, window=1)))
        await asyncio.Event().wait()

    told = Told()
    store: Any = Forgetful()
    async with scripted(forward=serve) as channel:
        with pytest.raises(CentralRejected):
            await _session(channel, store, told).run(lambda _: None)
    assert told.alarms == ["WATERMARK_LOST"]


async def test_no_more_than_the_window_is_in_flight(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 40)
    in_flight: list[int] = []

    async def serve(requests: AsyncIterator[pb.ForwardRequest], context: Any) -> None:
        await anext(requests)
        await context.write(pb.ForwardResponse(resume=pb.ForwardResume(watermark=0, window=4)))
        acknowledged = 0
        async for request in requests:
            in_flight.append(request.record.seq - acknowledged)
            if request.record.seq - acknowledged == 4 or request.record.seq == 40:
                acknowledged += 4
                await context.write(pb.ForwardResponse(ack=pb.ForwardAck(watermark=acknowledged)))

    told = Told()
    async with scripted(forward=serve) as channel, running(_session(channel, store, told).run(lambda _: None)):
        await told.until(40)
    assert max(in_flight) == 4
    assert len(in_flight) == 40
    await store.close()


async def test_records_wait_while_a_decision_is_awaited(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 1)
    asked = asyncio.Event()
    busy = True

    def is_busy() -> bool:
        asked.set()
        return busy

    told = Told()
    policy = ForwardPolicy(rate_hz=1000.0, busy=is_busy)
    async with (
        reference(tmp_path) as (service, channel),
        running(_session(channel, store, told, policy=policy).run(lambda _: None)),
    ):
        for _ in range(3):
            asked.clear()
            await asked.wait()
        assert service.seen("bundle") == []
        busy = False
        await told.until(1)
    await store.close()


async def test_a_reason_to_stop_is_told_with_the_services_reason(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "lane")
    async with reference(tmp_path) as (_, channel):
        session = ForwardSession(channel, store, "nonsense", RecordClass.BUNDLE, FAST, Told().reports)
        with pytest.raises(CentralRejected) as refused:
            await session.run(lambda _: None)
    assert refused.value.code == "CENTRAL_LANE_NAME_INVALID"
    await store.close()


class _StoreThatFails:
    """A store whose next call of one kind fails, as on a full disk; told by `failed`."""

    def __init__(self, store: Store, call: str) -> None:
        self._store = store
        self.epoch = store.epoch
        self.call = call
        self.failed = 0

    async def _fail_once(self, call: str) -> None:
        if self.call == call and not self.failed:
            self.failed += 1
            raise StoreError("STORE_FULL", "no room", "free disk space")

    async def pending(self, record_class: RecordClass, after_seq: int, limit: int) -> list[OutboxRecord]:
        await self._fail_once("pending")
        return await self._store.pending(record_class, after_seq, limit)

    async def acknowledge(self, record_class: RecordClass, watermark: int) -> None:
        await self._fail_once("acknowledge")
        await self._store.acknowledge(record_class, watermark)

    async def quarantine(self, record_class: RecordClass, seq: int, reason: str) -> None:
        await self._fail_once("quarantine")
        await self._store.quarantine(record_class, seq, reason)

    def status(self) -> tuple[OutboxStatus, ...]:
        return self._store.status()

    def appended(self) -> asyncio.Event:
        return self._store.appended()


@pytest.mark.parametrize("call", ["pending", "acknowledge", "quarantine"])
async def test_a_store_that_fails_for_a_moment_ends_a_stream_and_not_the_agent(tmp_path: Path, call: str) -> None:
    store = await open_store(tmp_path / "lane")
    await _fill(store, 3)
    told, failing = Told(), _StoreThatFails(store, call)
    faults: list[CentralError] = []
    async with reference(tmp_path) as (service, channel):
        service.book.poison["bundle"] = 1
        forwarding = keep_running(
            lambda: ForwardSession(channel, failing, LANE, RecordClass.BUNDLE, FAST, told.reports),
            lambda _: None, Backoff(0.1, random.Random(1)), faults.append, CentralError,
        )  # fmt: skip
        async with running(forwarding):
            await told.until(3)
    assert [fault.code for fault in faults] == ["STORE_FULL"]
    assert failing.failed == 1
    await store.close()
