"""Sessions in real time: the virtual readers as processes on ptys and sockets, recorded and replayed byte for byte."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from drivers import registry
from drivers.api import DeviceError, Observation, TagRead
from drivers.link.capture_codec import open_capture
from drivers.rfid.settings.encompass import EncompassSettings
from drivers.rfid.settings.llrp import LlrpSettings
from drivers.rfid.settings.mercury import MercurySettings
from tests.conformance.rfid.encompass_pty import virtual_encompass
from tests.conformance.rfid.llrp_process import TAG, virtual_llrp
from tests.conformance.rfid.pty_reader import RealClock, Session, virtual_reader

from .recorder import KEY, Recorder, assert_same

READS = 20


async def recorded(
    kind: str, settings: BaseModel, make: Callable[..., Any], fault: Callable[[], Awaitable[object]]
) -> Any:
    """A session with this many reads and then a fault: its capture file, observations and end."""
    recorder = Recorder(RealClock(), kind, settings)
    source = recorder.session(lambda clock, splice: make("reader-1", settings, clock, splice))
    session = Session(source)
    await session.until(lambda _item: sum(isinstance(item, TagRead) for item in session.seen) >= READS)
    await fault()
    error = await session.error()
    assert isinstance(error, DeviceError)
    return recorder.finished(), session.seen, error.code


def compare(file: bytes, seen: list[Observation], ended: str) -> None:
    """Replay and compare."""
    assert_same(open_capture(file, KEY.private_bytes_raw()), seen, ended)


def test_a_mercury_session_on_a_pty_until_it_is_unplugged(tmp_path: Path) -> None:
    async def run() -> Any:
        async with virtual_reader(tmp_path) as reader:
            settings = MercurySettings(port=str(reader.port), region="na", antennas=(1, 2), cycle_ms=200)
            await reader.do("field", tags=[TAG])
            return await recorded("mercury", settings, registry.make_mercury, lambda: reader.do("unplug"))

    compare(*asyncio.run(run()))


def test_an_encompass_session_on_a_pty_until_it_is_unplugged(tmp_path: Path) -> None:
    async def run() -> Any:
        async with virtual_encompass(tmp_path) as reader:
            settings = EncompassSettings(port=str(reader.port), antennas=(1, 2), keepalive_s=2)
            await reader.do("field", tags=[{"id": "KING 1302", "antenna": 1}])
            return await recorded("encompass", settings, registry.make_encompass, lambda: reader.do("unplug"))

    compare(*asyncio.run(run()))


def test_an_llrp_session_over_tcp_until_the_reader_falls_silent(tmp_path: Path) -> None:
    async def run() -> Any:
        async with virtual_llrp(tmp_path) as reader:
            settings = LlrpSettings(host="127.0.0.1", port=reader.port, antennas=(1, 2), keepalive_ms=200)
            await reader.do("field", tags=[TAG])
            return await recorded("llrp", settings, registry.make_llrp, lambda: reader.do("mute"))

    compare(*asyncio.run(run()))
