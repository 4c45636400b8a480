"""Figures of the Mercury codec and driver: frames per second, and byte to observation on a paced line."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from uhfreader18.checksum import crc16 as uhf_crc
from uhfreader18.stream import StreamBuffer

from drivers.api import DeviceUp, Observation, TagRead
from drivers.rfid import mercury_stream_codec as stream
from drivers.rfid.mercury_codec import FrameSplitter
from hil.devices import mercury_wire as wire
from tests.conformance.rfid.pty_reader import Session, virtual_reader

pytestmark = pytest.mark.bench

_SIGHTING = wire.Sighting(bytes.fromhex("300833B2DDD9014000000001"), -54, 1, timestamp_ms=100)
_NUMBERED = replace(_SIGHTING, data=bytes.fromhex("E2801160200074CF1D970934"))


_ROUNDS = 5
_BLOB_FRAMES = 100
PEER_RATIO_MIN = 5.0
WIRE_BAUD = 921_600
WIRE_RATIO_MIN = 100.0


def rate(feed: Callable[[], int], turns: int) -> float:
    """Frames per second of processor time, best of some rounds; `feed` takes a hundred frames and returns how many it
    found."""
    best = 0.0
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(turns):
            assert feed() == _BLOB_FRAMES
        best = max(best, turns * _BLOB_FRAMES / (time.process_time() - began))
    return best


def peer_frame(size: int) -> bytes:
    """A UHFReader18 reply of so many bytes: an inventory record, check low byte first."""
    body = bytes((size - 1, 0x00, 0x01, 0x03)) + bytes(range(1, size - 5))
    return body + uhf_crc(body).to_bytes(2, "little")


@pytest.mark.parametrize("flags", [0x0057, 0x01FF, 0x00D7], ids=lambda flags: f"metadata_{flags:04x}")
def test_codec_rate(flags: int) -> None:
    """Splitting and decoding, beside splitting alone and beside uhfreader18's stream parser, which only splits."""
    frame = wire.tag_frame(_NUMBERED if flags == 0x00D7 else _SIGHTING, flags, 0x1B)
    blob, peer_blob = frame * _BLOB_FRAMES, peer_frame(len(frame)) * _BLOB_FRAMES
    splitter, buffer = FrameSplitter(), StreamBuffer()
    whole = rate(lambda: len([stream.decode_stream(item) for item in splitter.feed(blob, 0.0)]), 200)
    split = rate(lambda: len(splitter.feed(blob, 0.0)), 200)
    peer = rate(lambda: len(buffer.feed(peer_blob).frames), 40)
    lines = whole * len(frame) * 10 / WIRE_BAUD
    print(  # noqa: T201
        f"\nmercury, {len(frame)}-byte frames: split and decoded {whole:,.0f}/s, split {split:,.0f}/s; uhfreader18 "
        f"{peer:,.0f}/s: {whole / peer:.1f} x and {split / peer:.1f} x; {lines:,.0f} x a {WIRE_BAUD} line"
    )
    assert whole >= PEER_RATIO_MIN * peer
    assert lines >= WIRE_RATIO_MIN


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
