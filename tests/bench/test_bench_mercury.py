"""Figures of the Mercury codec and driver: frames per second, and byte to observation on a paced line."""

import asyncio
import contextlib
import json
import statistics
import time
from pathlib import Path

import pytest

from drivers.api import DeviceUp, Observation, TagRead
from drivers.rfid import mercury_stream_codec as stream
from drivers.rfid.mercury_codec import FrameSplitter
from hil.devices import mercury_wire as wire
from tests.conformance.rfid.pty_reader import Session, virtual_reader

pytestmark = pytest.mark.bench

_SIGHTING = wire.Sighting(bytes.fromhex("300833B2DDD9014000000001"), -54, 1, timestamp_ms=100)


@pytest.mark.parametrize("flags", [0x0057, 0x01FF], ids=lambda flags: f"metadata_{flags:04x}")
def test_codec_rate(flags: int) -> None:
    frame = wire.tag_frame(_SIGHTING, flags, 0x1B)
    blob = frame * 100
    best = 0.0
    for _ in range(5):
        splitter = FrameSplitter()
        began = time.perf_counter()
        for _ in range(300):
            for item in splitter.feed(blob, 0.0):
                stream.decode_stream(item)
        best = max(best, 30_000 / (time.perf_counter() - began))
    lines = best * len(frame) * 10 / 115_200
    print(f"\nmercury codec, {len(frame)}-byte frames: {best:,.0f} frames/s, {lines:,.0f} x a 115200 line")  # noqa: T201
    # The codec must be no part of a core beside the busiest line.
    assert lines > 100


@pytest.mark.real_time
async def test_byte_to_observation(tmp_path: Path) -> None:
    """From the end of a tag frame's time on the wire to the emitted observation, 20 reads/s, 115200 bits/s."""
    async with virtual_reader(tmp_path) as reader:
        session = Session(reader.source(cycle_ms=1000))
        await session.until(lambda item: isinstance(item, DeviceUp))
        await reader.do("field", tags=[{"epc": "300833B2DDD9014000000001", "rssi_dbm": -54, "antenna": 1}])
        stream, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        writer.write(json.dumps({"do": "subscribe"}).encode() + b"\n")
        await stream.readline()
        sent: dict[int, int] = {}

        async def listen() -> None:
            while line := await stream.readline():
                event = json.loads(line)
                if event["event"] == "tag":
                    sent[event["count"]] = event["at_ns"]

        listener = asyncio.get_running_loop().create_task(listen())
        await asyncio.sleep(10)
        await session.end()
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener
        writer.close()
    reads: list[Observation] = [item for item in session.seen if isinstance(item, TagRead)]
    wire_ns = int(len(wire.tag_frame(_SIGHTING, 0x57, 0x1B)) * 10 / 115_200 * 1e9)
    delays = sorted((reads[n - 1].stamp.mono_ns - at - wire_ns) / 1e6 for n, at in sent.items() if n <= len(reads))
    p99 = delays[int(len(delays) * 0.99) - 1]
    p50 = statistics.median(delays)
    print(f"\nlast byte -> observation, {len(delays)} reads: p50 {p50:.2f} ms, p99 {p99:.2f} ms")  # noqa: T201
    assert p99 <= 20.0
