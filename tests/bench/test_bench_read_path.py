"""The whole read path on one core: bytes on the line, driver, health, token and seal, the core's assignment, journal.

Reads come as fast as the fastest reader on the market gives them, on the virtual clock; what is measured is the
processor time they take, so the figure says how many such readers one core could bear.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.api import Observation, TagRead
from edge_agent.central.seal_identity import IdentitySealer
from edge_agent.control.devices import DeviceTable
from edge_agent.control.identity import new_uuid7
from edge_agent.control.readers import ReaderWatch
from edge_agent.control.sightings import SightingTracker, TagClass
from edge_agent.model.identity import IdentityKind
from edge_agent.model.inputs import CoreInput, Tick
from edge_agent.model.lane import Zone, ZoneSpan
from edge_agent.passage.corridor import step
from edge_agent.runtime.health import HealthBoard
from edge_agent.wire.journal import encode_input
from hil.devices import llrp_wire, mercury_wire
from hil.rig.virtual_loop import VirtualClock
from tests.conformance.rfid.llrp_memory import LlrpBench
from tests.conformance.rfid.memory_module import Bench as MercuryBench
from tests.unit.passage.story import CONFIG, GEOMETRY, Lane

pytestmark = pytest.mark.bench

FASTEST_READER = 1_100
"""Reads per second a maker promises for the fastest reader in use (Impinj R700)."""
TIMES_MIN = 18
SECONDS = 15
PER_BATCH = 110  # a tenth of a second
TAGS = [bytes.fromhex("300833B2DDD90140000000") + bytes((number,)) for number in range(12)]
_AT_A = replace(GEOMETRY, antennas=(("reader-1", 1, ZoneSpan(-64.0, -56.0)),))


class ReadPath(list[Observation]):
    """What the agent does with an observation of a reader, from the driver's `emit` to the core and its journal."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        key = folder / "central.key"
        key.write_bytes(os.urandom(32))
        sealer = IdentitySealer(key, "ports/0453/lanes/07")
        self.lane = Lane(replace(CONFIG, geometry=_AT_A))
        self.reads = 0
        self.journal_bytes = 0
        self._clock = VirtualClock()
        self._board = HealthBoard()
        self._table = DeviceTable(self._board, lambda _record, _now: None)
        self._watch = ReaderWatch(self._board)
        self._swept_ns = 0
        self.tracker = SightingTracker(
            classes=(TagClass(IdentityKind.TRANSPONDER, TAGS[0][:4]),),
            site_key=os.urandom(32),
            seal=sealer.seal,
            sealed_key_id=sealer.key_id,
            new_id=new_uuid7,
            lost_s=2.0,
            early_reads=3,
        )

    def begin(self) -> None:
        """A truck stands on the advance loop."""
        now = self._clock.stamp()
        self.lane.now = now.mono_ns / 1e9
        self._table.add("reader-1", "any", now, required=True)
        self._watch.add("reader-1", "any", {1: 50})
        self.lane.start()
        self.lane.on(Zone.A)

    def append(self, item: Observation) -> None:
        """One observation."""
        self._table.observe(item)
        self._watch.observe(item)
        if isinstance(item, TagRead):
            self.reads += 1
            change = self.tracker.read(item)
            if change is not None:
                self._step(replace(change, at=self._clock.stamp()))
        if item.stamp.mono_ns - self._swept_ns >= 100_000_000:
            self._swept_ns = item.stamp.mono_ns
            now = self._clock.stamp()
            for swept in self.tracker.sweep(now):
                self._step(swept)
            self._step(Tick(now))

    def _step(self, event: CoreInput) -> None:
        before = self.lane.state
        self.lane.state, effects = step(before, event)
        if self.lane.state is not before or effects:
            self.journal_bytes += len(encode_input(event))

    def assigned(self) -> set[str]:
        """Tokens the core gave to the truck."""
        (truck,) = self.lane.state.conveyances
        return {given.sighting.claim.token for given in truck.assignments}


def judge(family: str, path: ReadPath, used_s: float) -> None:
    rate = path.reads / used_s
    times = rate / FASTEST_READER
    print(  # noqa: T201
        f"\n{family}, bytes to assigned sighting: {rate:,.0f} reads/s of processor time, {times:.0f} x {FASTEST_READER}"
    )
    assert path.reads >= FASTEST_READER * SECONDS
    assert len(path.assigned()) == len(TAGS)
    assert path.journal_bytes > 0
    assert times >= TIMES_MIN


class Meter:
    """Processor time between the first batch and the end of what the last one caused."""

    def __init__(self) -> None:
        self.began_s = 0.0
        self.used_s = 0.0

    def batch(self, send: Callable[[], None]) -> None:
        if not self.began_s:
            self.began_s = time.process_time()
        send()
        self.used_s = time.process_time() - self.began_s


async def test_mercury(tmp_path: Path) -> None:
    bench, path, meter = MercuryBench(), ReadPath(tmp_path), Meter()
    bench.seen = path
    path.begin()
    sightings = [mercury_wire.Sighting(epc, -54 - at, 1, timestamp_ms=100) for at, epc in enumerate(TAGS)]
    frames = [mercury_wire.tag_frame(one, 0x0057, 0x1B) for one in sightings]
    blob = b"".join(frames[at % len(frames)] for at in range(PER_BATCH))
    steps = [lambda b: meter.batch(lambda: b.peer.send(blob))] * (10 * SECONDS + 1)
    assert await bench.session(*steps, pause_s=0.1) is None
    judge("mercury", path, meter.used_s)


async def test_llrp(tmp_path: Path) -> None:
    bench, path, meter = LlrpBench(), ReadPath(tmp_path), Meter()
    bench.seen = path
    path.begin()
    content = llrp_wire.Content(flags=0x9F80, memory=0xC0, impinj=frozenset({52, 53, 67}))
    sightings = [llrp_wire.Sighting(epc, 1, -5400 - 100 * at, 10**15) for at, epc in enumerate(TAGS)]

    def report(b: LlrpBench) -> None:
        (spec,) = b.module.active()
        records = blobs.setdefault(spec.number, [llrp_wire.record(one, content, spec.number) for one in sightings])
        # One record a message, as a reader reports that is to report at once.
        messages.setdefault(spec.number, b"".join(llrp_wire.message(61, 0, record) for record in records))
        whole, rest = divmod(PER_BATCH, len(records))
        data = (
            messages[spec.number] * whole + messages[spec.number][: rest * len(messages[spec.number]) // len(records)]
        )
        meter.batch(lambda: b.send(data))

    blobs: dict[int, list[bytes]] = {}
    messages: dict[int, bytes] = {}
    assert await bench.session(*[report] * (10 * SECONDS + 1), pause_s=0.1) is None
    judge("llrp", path, meter.used_s)
