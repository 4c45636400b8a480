"""`python -m tests.unit.store.writer_process DIR [TARGET]`: commits bundles for ever, to be killed at any moment.

Prints `ACK <bundle_id>` once a commit has returned, never before. With a TARGET it forwards all classes meanwhile.
Stops sealing and prints `DONE` when COUNT bundles (third argument) were sealed in this life, then goes on forwarding.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

import grpc

from drivers.api import EdgeError
from edge_agent.central.connection import connect
from edge_agent.central.forward import ForwardPolicy, ForwardReports, ForwardSession
from edge_agent.model.errors import CentralError
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.supervise import Backoff, keep_running
from edge_agent.store.records import BundleDraft, RecordClass, RecordDraft, StoreLimits
from edge_agent.store.store import Store
from edge_agent.wire import release
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import record_pb2

LANE = "ports/0427/lanes/1"


def real_bundle(bundle_id: str) -> BundleDraft:
    """A bundle as the release service checks it."""

    def build(prev: bytes) -> bytes:
        message = record_pb2.Bundle(bundle_id=bundle_id, chain_prev=prev, outcome=lane_pb.OUTCOME_RELEASED_ROLLING)
        message.flags.extend(["late"] * 100)
        return release.payload(message)

    return BundleDraft(bundle_id, build)


def real_event(event_id: str) -> RecordDraft:
    """A lane event as the release service checks it."""
    content = release.payload(record_pb2.LaneEvent(event_id=event_id, code="lane.mode_changed"))
    return RecordDraft(RecordClass.LANE_EVENT, event_id, release.LANE_EVENT_TYPE, content)


async def write(store: Store, rng: random.Random, count: int) -> None:
    """Seal `count` bundles in groups, acknowledging each on standard output once it is durable."""
    sealed = 0
    while sealed < count:
        names = [f"{rng.getrandbits(64):016x}" for _ in range(rng.randint(1, 4))]
        done = await store.commit(
            [b"row"] * rng.randint(0, 5),
            [real_bundle(name) for name in names],
            [real_event(name) for name in names[:1]],
        )
        sys.stdout.write("".join(f"ACK {bundle.bundle_id} {bundle.seq}\n" for bundle in done))
        sys.stdout.flush()
        sealed += len(done)
        if rng.random() < 0.05:
            await store.checkpoint(b"state")
        await asyncio.sleep(0)
    sys.stdout.write("DONE\n")
    sys.stdout.flush()


async def forward(store: Store, channel: grpc.aio.Channel, record_class: RecordClass) -> None:
    """Forward one class for ever, as fast as it goes."""

    def complain(*what: object) -> None:
        sys.stderr.write(f"{what}\n")

    def fault(error: EdgeError) -> None:
        complain(record_class, error)

    reports = ForwardReports(complain, complain)
    await keep_running(
        lambda: ForwardSession(channel, store, LANE, record_class, ForwardPolicy(rate_hz=0.0), reports),
        lambda _: None,
        Backoff(0.2, random.Random(1)),
        fault,
        CentralError,
    )


async def main(directory: Path, target: str, count: int) -> None:
    """Run until killed."""
    store = await Store.open(directory, LANE, SystemClock(), os.urandom, StoreLimits(reserve_bytes=64 << 10))
    async with asyncio.TaskGroup() as group:
        group.create_task(write(store, random.Random(os.urandom(8)), count))
        if target:
            channel = connect(target)
            for record_class in (RecordClass.BUNDLE, RecordClass.LANE_EVENT):
                group.create_task(forward(store, channel, record_class))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
