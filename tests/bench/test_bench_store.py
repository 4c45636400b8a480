"""Rates of the store and of the way to central. `./dev bench` prints them; nothing here asserts a time of its own."""

import asyncio
import hashlib
import os
import time
from pathlib import Path

import pytest

from edge_agent.central.forward import ForwardPolicy, ForwardReports, ForwardSession
from edge_agent.runtime.clock import SystemClock
from edge_agent.store.records import BundleDraft, RecordClass
from edge_agent.store.store import Store
from edge_agent.wire import release
from hil.release_service.keys import make_keys
from hil.rig.processes import start
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import record_pb2
from tests.system.test_store_kill import ENVIRONMENT
from tests.unit.central.scripted import channel_to, running

pytestmark = [pytest.mark.bench, pytest.mark.real_time]
LANE = "ports/0427/lanes/1"


def _bundle(number: int) -> BundleDraft:
    """About 2 KB, as a passage with twenty reads makes."""

    def build(prev: bytes) -> bytes:
        message = record_pb2.Bundle(bundle_id=f"b{number:08}", chain_prev=prev, outcome=lane_pb.OUTCOME_REFERRED)
        message.flags.extend([hashlib.sha256(b"%d" % n).hexdigest() for n in range(29)])
        return release.payload(message)

    return BundleDraft(f"b{number:08}", build)


def _raw_fdatasync_hz(directory: Path, count: int = 500) -> float:
    """The disk's own limit: 2 KB appended and synchronised, one at a time."""
    content = os.urandom(2048)
    descriptor = os.open(directory / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began_s = time.perf_counter()
    for _ in range(count):
        os.write(descriptor, content)
        os.fdatasync(descriptor)
    rate = count / (time.perf_counter() - began_s)
    os.close(descriptor)
    return rate


async def test_durable_seals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = _raw_fdatasync_hz(tmp_path)
    store = await Store.open(tmp_path / "lane", LANE, SystemClock(), os.urandom)
    waits_ms: list[float] = []
    began_s = time.perf_counter()
    for number in range(1000):
        at_s = time.perf_counter()
        await store.commit([b"j" * 300], [_bundle(number)])
        waits_ms.append((time.perf_counter() - at_s) * 1000)
    single = 1000 / (time.perf_counter() - began_s)
    began_s = time.perf_counter()
    await asyncio.gather(*(store.commit([b"j" * 300], [_bundle(n)]) for n in range(1000, 6000)))
    grouped = 5000 / (time.perf_counter() - began_s)
    await store.close()
    waits_ms.sort()
    with capsys.disabled():
        print(  # noqa: T201 - the bench's result
            f"\nstore: {single:.0f} durable seals/s one at a time (p50 {waits_ms[500]:.2f}, p99 {waits_ms[990]:.2f} ms;"
            f" {single / limit:.2f} of the disk's {limit:.0f} fdatasync/s); {grouped:.0f}/s grouped"
        )
    assert grouped > single


async def test_unpaced_drain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = 10_000
    store = await Store.open(tmp_path / "lane", LANE, SystemClock(), os.urandom)
    await asyncio.gather(*(store.commit([], [_bundle(n)]) for n in range(count)))
    (tmp_path / "rules.yaml").write_text("conveyances: []\n")
    make_keys(tmp_path / "keys")
    arguments = ["-m", "hil.release_service", "serve", "--config", str(tmp_path / "rules.yaml")]
    arguments += ["--store", str(tmp_path / "central"), "--keys", str(tmp_path / "keys")]
    child = await start("release", [*arguments, "--control", str(tmp_path / "c")], tmp_path, environment=ENVIRONMENT)
    done = asyncio.Event()

    def acknowledged(_class: RecordClass, watermark: int) -> None:
        if watermark == count:
            done.set()

    reports = ForwardReports(lambda *_: None, lambda *_: None, acknowledged)
    async with channel_to(str(child.ready["target"])) as channel:
        session = ForwardSession(channel, store, LANE, RecordClass.BUNDLE, ForwardPolicy(rate_hz=0.0), reports)
        began_s = time.perf_counter()
        async with running(session.run(lambda _: None)):
            await done.wait()
        rate = count / (time.perf_counter() - began_s)
    await child.end()
    await store.close()
    with capsys.disabled():
        print(f"\ndrain: {rate:.0f} bundles/s of 2 KB, durable on both sides, unpaced")  # noqa: T201 - the result
