"""kill -9 at any moment: what was acknowledged is there, in order, once; and a frozen centre is noticed in time."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.api import EdgeError
from edge_agent.central.connection import connect
from edge_agent.central.decide import DecideSession, LaneSide, outgoing_channel
from edge_agent.model.errors import CentralError
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.supervise import Backoff, keep_running
from edge_agent.store.records import OpenKind, RecordClass, StoreLimits
from edge_agent.store.store import Store, dump
from hil.release_service.book import dump as dump_held
from hil.release_service.keys import make_keys
from hil.rig.processes import Child, Control, start
from securecorridor.release.v1 import record_pb2
from securecorridor.release.v1 import release_service_pb2 as pb
from tests.unit.store.lane_store import chain_of
from tests.unit.store.writer_process import LANE

ROOT = Path(__file__).resolve().parents[2]
_PATHS = (str(ROOT), str(ROOT / "proto" / "gen"), os.environ.get("PYTHONPATH", ""))
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(_PATHS)}
_LIMITS = StoreLimits(reserve_bytes=64 << 10)


async def _start_writer(directory: Path, target: str, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.store.writer_process",
        str(directory),
        target,
        str(count),
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


async def _read_acks(process: asyncio.subprocess.Process, acks: list[str], until: Callable[[bytes], bool]) -> None:
    """Collect acknowledgements until a line asks to stop, or the process has ended and all it said was read."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.startswith(b"ACK ") and line.endswith(b"\n"):
            acks.append(line.split()[1].decode())
        if until(line):
            return


async def _kill_writer(directory: Path, target: str, rng: random.Random, acks: list[str]) -> None:
    process = await _start_writer(directory, target, 10**9)
    await _read_acks(process, acks, lambda line: line.startswith(b"ACK"))
    reading = asyncio.get_running_loop().create_task(_read_acks(process, acks, lambda _line: False))
    await asyncio.sleep(rng.uniform(0.0, 0.3))
    process.kill()
    await reading
    await process.wait()


@pytest.mark.real_time
async def test_ten_kills_lose_no_acknowledged_bundle_and_leave_no_gap(tmp_path: Path) -> None:
    rng = random.Random(1)
    acks: list[str] = []
    for _ in range(10):
        await _kill_writer(tmp_path, "", rng, acks)
    assert len(acks) > 50
    store = await Store.open(tmp_path, LANE, SystemClock(), os.urandom, _LIMITS)
    assert store.opened.kind is OpenKind.CONTINUED
    held = await store.pending(RecordClass.BUNDLE, 0, 10**6)
    assert [r.seq for r in held] == list(range(1, len(held) + 1))
    assert not any(r.damaged for r in held)
    names = [r.record_id for r in held]
    known = set(names)
    assert len(known) == len(names)
    # Some were durable and could not say so any more; those that did are all there, in order.
    assert [name for name in names if name in set(acks)] == acks
    assert store.chain() == (chain_of([r.payload for r in held], _chain_prev), len(held))
    events = await store.pending(RecordClass.LANE_EVENT, 0, 10**6)
    assert [r.seq for r in events] == list(range(1, len(events) + 1))
    await store.close()
    assert [line.removeprefix("ACK ") for line in dump(tmp_path)] == names


def _chain_prev(payload: bytes) -> bytes:
    return record_pb2.Bundle.FromString(payload).chain_prev


@contextlib.asynccontextmanager
async def _service(tmp_path: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[Child]:
    rules = tmp_path / "rules.yaml"
    rules.write_text("default: {verdict: hold_at_line, delay_s: 0}\n")
    keys = tmp_path / "keys"
    if not keys.exists():
        make_keys(keys)
    arguments = ["-m", "hil.release_service", "serve", "--config", str(rules), "--store", str(tmp_path / "central")]
    arguments += ["--keys", str(keys), "--control", str(tmp_path / "control"), "--listen", listen]
    child = await start("release", arguments, tmp_path, environment=ENVIRONMENT)
    try:
        yield child
    finally:
        await child.end()


def _have(tmp_path: Path) -> list[str]:
    return [line.split()[1] for line in dump_held(tmp_path / "central")]


@pytest.mark.real_time
async def test_lane_and_centre_killed_by_turns_still_deliver_everything_once_in_order(tmp_path: Path) -> None:
    rng = random.Random(2)
    store_dir = tmp_path / "lane"
    acks: list[str] = []
    async with _service(tmp_path) as first:
        target = str(first.ready["target"])
        for _ in range(2):
            await _kill_writer(store_dir, target, rng, acks)
        writer = await _start_writer(store_dir, target, 2_000)
        await _read_acks(writer, acks, lambda line: line.startswith(b"ACK"))
        first.kill()
    # The lane goes on sealing while the centre comes and goes.
    for _ in range(2):
        async with _service(tmp_path, target) as centre:
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            centre.kill()
    await _read_acks(writer, acks, lambda line: line == b"DONE\n")
    expected = [line.removeprefix("ACK ") for line in dump(store_dir)]
    async with _service(tmp_path, target):
        control = Control(tmp_path / "control")
        while True:
            stats = await control.do("stats")
            if stats["records"].get("bundle", 0) >= len(expected):
                break
            await asyncio.sleep(0.1)
        assert stats["chain_ok"]
        assert stats["rejected"] == 0
        await control.close()
        writer.kill()
        await writer.wait()
    have = _have(tmp_path)
    assert have == expected
    assert [name for name in have if name in set(acks)] == acks


@pytest.mark.real_time
async def test_a_frozen_centre_is_noticed_within_five_seconds(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    links: list[tuple[float, bool]] = []
    changed = asyncio.Event()

    def on_link(up: bool) -> None:
        links.append((loop.time(), up))
        changed.set()

    def fault(_error: EdgeError) -> None:
        pass

    async def next_link() -> bool:
        await changed.wait()
        changed.clear()
        return links[-1][1]

    side = LaneSide(
        hello=lambda: pb.DecideHello(lane=LANE, epoch="e"),
        current=lambda: (),
        heartbeat=pb.LaneHeartbeat,
        on_decision=lambda _: None,
        on_link=on_link,
    )
    async with _service(tmp_path) as child:
        channel = connect(str(child.ready["target"]))
        outgoing = outgoing_channel()
        running = loop.create_task(
            keep_running(
                lambda: DecideSession(channel, outgoing, side, SystemClock()),
                lambda _: None,
                Backoff(0.2, random.Random(1)),
                fault,
                CentralError,
            )
        )
        assert await next_link()
        os.kill(child.pid, signal.SIGSTOP)
        frozen_s = loop.time()
        assert not await next_link()
        # A bound on the system, not on this machine: three heartbeats of 1 s and what the third may take.
        assert links[-1][0] - frozen_s <= 5.0
        os.kill(child.pid, signal.SIGCONT)
        assert await next_link()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await channel.close()
