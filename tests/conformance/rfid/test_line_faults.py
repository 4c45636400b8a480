"""Faults between each reader's driver and its reader, by pty splice or TCP proxy: told by name, no tag invented."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.api import DeviceError, DeviceTimeout, LinkLost, Observation, ProtocolViolation, TagRead
from hil.devices.pty_splice import PtySplice
from hil.devices.tcp_proxy import TcpProxy
from tests.conformance.rfid.encompass_pty import PtyEncompass, virtual_encompass
from tests.conformance.rfid.llrp_process import VirtualLlrp, virtual_llrp
from tests.conformance.rfid.pty_reader import PtyReader, Session, virtual_reader

pytestmark = pytest.mark.real_time

EPC = "300833B2DDD9014000000001"
TEXT = b"KING 1302"
ENDS_S = 8.0
"""More than three signs of life of the slowest family."""
ANSWER = {"way": "to_agent"}
FAULTS: dict[str, tuple[dict[str, Any], tuple[type[DeviceError], ...]]] = {
    "cable pulled": ({"do": "lose"}, (LinkLost,)),
    "black hole": ({"fault": "drop"}, (DeviceTimeout,)),
    **{f"cut at byte {at}": ({**ANSWER, "fault": "cut", "at": at}, (LinkLost,)) for at in (1, 7, 20)},
}


SERIAL: dict[str, Callable[[Path], AbstractAsyncContextManager[PtyReader | PtyEncompass]]] = {
    "mercury": virtual_reader,
    "encompass": virtual_encompass,
}


class Line:
    """A reader with something between it and its driver."""

    def __init__(self, reader: PtyReader | PtyEncompass | VirtualLlrp, between: PtySplice | TcpProxy) -> None:
        self._reader = reader
        self._between = between

    def session(self) -> Session:
        settings = {VirtualLlrp: {"keepalive_ms": 400}, PtyEncompass: {"keepalive_s": 2}, PtyReader: {"cycle_ms": 250}}
        return Session(self._reader.source(**settings[type(self._reader)]))

    def fault(self, cause: dict[str, Any]) -> None:
        lose = "reset" if isinstance(self._between, TcpProxy) else "unplug"
        self._between.verbs()[lose if "do" in cause else "fault"](cause)

    def heal(self) -> None:
        self._between.verbs()["clear"]({})
        if isinstance(self._between, PtySplice):
            self._between.plug()


@asynccontextmanager
async def line(family: str, folder: Path) -> AsyncIterator[Line]:
    if family == "llrp":
        async with virtual_llrp(folder) as llrp:
            await llrp.do("field", tags=[{"epc": EPC, "rssi_dbm": -54, "antenna": 1}])
            proxy = TcpProxy("127.0.0.1", llrp.port)
            await proxy.open()
            llrp.port = proxy.port
            try:
                yield Line(llrp, proxy)
            finally:
                await proxy.close()
                await asyncio.sleep(0)
        return
    async with SERIAL[family](folder) as reader:
        epc = EPC if family == "mercury" else TEXT.hex()
        await reader.do("field", tags=[{"epc": epc, "rssi_dbm": -54, "antenna": 1}])
        splice = PtySplice(folder / "spliced", reader.port)
        splice.open()
        reader.port = splice.link
        try:
            yield Line(reader, splice)
        finally:
            splice.close()


def is_tag(item: Observation) -> bool:
    return isinstance(item, TagRead)


async def reads(session: Session, count: int) -> None:
    """So many more reads."""
    for _ in range(count):
        await session.until(is_tag, after=len(session.seen))


@pytest.mark.parametrize("family", ["mercury", "encompass", "llrp"])
async def test_a_fault_on_the_line_is_told_by_name_and_reading_comes_back(tmp_path: Path, family: str) -> None:
    async with line(family, tmp_path) as reader:
        for name, (cause, ends) in FAULTS.items():
            session = reader.session()
            await reads(session, 1)
            reader.fault(cause)
            async with asyncio.timeout(ENDS_S):
                error = await session.error()
            assert isinstance(error, ends), (name, error)
            reader.heal()
        last = reader.session()
        await reads(last, 2)
        await last.end()


@pytest.mark.parametrize("family", ["mercury", "encompass", "llrp"])
async def test_bytes_in_small_pieces_are_read_as_well(tmp_path: Path, family: str) -> None:
    async with line(family, tmp_path) as reader:
        reader.fault({**ANSWER, "fault": "pieces", "size": 5, "ms": 1})
        session = reader.session()
        await reads(session, 3)
        reader.heal()
        await session.end()


async def test_flipped_bits_make_no_tag_that_is_not_there(tmp_path: Path) -> None:
    """The family whose frames carry a check sum; one bit of a thousand, one frame of four."""
    found: list[Observation] = []
    async with line("mercury", tmp_path) as reader:
        async with asyncio.timeout(30):
            while sum(map(is_tag, found)) < 20:
                reader.heal()
                session = reader.session()
                await reads(session, 1)
                reader.fault({**ANSWER, "fault": "flip", "rate": 0.001})
                ended = asyncio.ensure_future(session.error())
                await asyncio.wait([ended], timeout=1.5)
                if not ended.done():
                    ended.cancel()
                    await session.end()
                else:
                    assert isinstance(ended.result(), (DeviceTimeout, ProtocolViolation, DeviceError))
                found += session.seen
        assert {item.epc.reveal() for item in found if isinstance(item, TagRead)} == {bytes.fromhex(EPC)}
