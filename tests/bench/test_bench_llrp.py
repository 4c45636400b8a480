"""Figures of the LLRP codec and driver: tag reports per second beside sllurp's decoder in the same run."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivers.api import DeviceUp, TagRead
from drivers.rfid.llrp_codec import MessageSplitter
from drivers.rfid.llrp_report_codec import ReportDecoder
from hil.devices import llrp_wire as wire
from tests.conformance.rfid.llrp_process import EPC, virtual_llrp
from tests.conformance.rfid.pty_reader import Session

pytestmark = pytest.mark.bench

_ROOT = Path(__file__).parents[2]
_ROUNDS = 5
_TAGS = 10_000
_CONTENTS = {
    "standard fields": wire.Content(flags=0x1000 | 0x0800 | 0x0400 | 0x0200 | 0x0100 | 0x0080),
    "what the driver asks for": wire.Content(flags=0x9F80, memory=0xC0, impinj=frozenset((52, 53, 67))),
}
RATIO_MIN = 1.5


def report(content: wire.Content, tags: int) -> bytes:
    records = [
        wire.record(wire.Sighting(bytes.fromhex(EPC)[:-1] + bytes((n,)), 1, -5400 - n, 10**15 + n), content, 1)
        for n in range(tags)
    ]
    return wire.message(61, 1, *records)


def ours(message: bytes, messages: int) -> float:
    """Tags per second from the bytes of a stream to reports."""
    best = 0.0
    blob = message * messages
    for _ in range(_ROUNDS):
        splitter, decoder = MessageSplitter(), ReportDecoder()
        tags = 0
        began = time.perf_counter()
        for at in range(0, len(blob), 65_536):
            splitter.feed(blob[at : at + 65_536])
            while (found := splitter.take()) is not None:
                tags += len(decoder.decode(found.body))
        best = max(best, tags / (time.perf_counter() - began))
        assert (decoder.malformed, decoder.unknown) == (0, 0)
    return best


def sllurp(message: bytes, messages: int) -> float:
    """Tags per second of the peer, message by message: it has no stream to be fed."""
    command = [sys.executable, "-m", "tests.bench.llrp_peer_sllurp", message.hex(), str(messages), str(_ROUNDS)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("tags", [1, 50])
@pytest.mark.parametrize("name", list(_CONTENTS))
def test_decode_rate(name: str, tags: int) -> None:
    message = report(_CONTENTS[name], tags)
    mine, theirs = ours(message, _TAGS // tags), sllurp(message, _TAGS // tags)
    what = f"llrp decode, {tags} tags a report, {name}"
    print(f"\n{what}: {mine:,.0f} tags/s; sllurp {theirs:,.0f}; ratio {mine / theirs:.1f}")  # noqa: T201
    assert mine / theirs >= RATIO_MIN


@pytest.mark.real_time
async def test_reads_over_a_socket(tmp_path: Path) -> None:
    """Whole driver: every record that the virtual reader sends in five seconds becomes a TagRead."""
    async with virtual_llrp(tmp_path, "--reads-per-s", "2200") as reader:
        tags = [{"epc": f"{n:024X}", "rssi_dbm": -54, "antenna": 1 + n % 2} for n in range(120)]
        await reader.do("field", tags=tags)
        session = Session(reader.source())
        await session.until(lambda item: isinstance(item, DeviceUp))
        await asyncio.sleep(5)
        used = time.process_time()
        await asyncio.sleep(5)
        used = time.process_time() - used
        await reader.do("field", tags=[])
        state = await reader.until_state(connected=True)
        await session.until(lambda _item: sum(isinstance(i, TagRead) for i in session.seen) >= state["tag_count"])
        await session.end()
    reads = sum(isinstance(item, TagRead) for item in session.seen)
    print(f"\nllrp over a socket: {reads / 10:,.0f} reads/s, {used / 5:.1%} of a core, none lost")  # noqa: T201
    assert reads == state["tag_count"]
