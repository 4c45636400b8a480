"""Faults between the driver and a module that has none itself: ours and libmodbus, behind a TCP proxy or a pty splice.
Whatever happens, nothing is called done that is not, and the next session has red again.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.api import (
    Aspect,
    DeviceError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    LinkLost,
    Observation,
    ProtocolViolation,
    Stamp,
)
from drivers.modbus.lane_io import LaneIo
from drivers.modbus.settings import LaneIoSettings, make_lane_io
from hil.devices.pty_splice import PtySplice
from hil.devices.tcp_proxy import TcpProxy
from tests.conformance.modbus.libmodbus import Client, Slave
from tests.conformance.modbus.null_modem import NullModem
from tests.conformance.modbus.test_driver_and_libmodbus_slave import wago
from tests.conformance.modbus.test_module_and_foreign_clients import ended, line_of, start
from tests.unit.modbus.lane_io_bench import bench
from tests.unit.modbus.lines import serial_bench

pytestmark = [pytest.mark.real_time, pytest.mark.needs("libmodbus")]

SERVER = "tests.conformance.modbus.libmodbus_server"
AGAIN_S = 2.0
"""From the end of a fault to red verified."""
ROLES: dict[str, Any] = {
    "green": {"point": 0},
    "zone_a": {"point": 0},
    "red_feedback": {"point": 8},
    "green_feedback": {"point": 10},
}


class RealClock:
    """Both clocks of this computer."""

    def stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), time.time_ns())


def tcp_session(port: int, profile: str = "wago_750_352", **changes: Any) -> LaneIo:
    settings = {"host": "127.0.0.1", "port": port, "profile": profile, "roles": ROLES, "poll_ms": 10, **changes}
    return make_lane_io("io-1", LaneIoSettings.model_validate(settings), RealClock())


def rtu_session(link: Path, **changes: Any) -> LaneIo:
    settings = {
        "serial": {"path": str(link), "baud": 19200, "parity": "N"},
        "profile": "generic_coils",
        "roles": ROLES,
        "poll_ms": 40,
        "watchdog_ms": 2000,
        "stale_ms": 2000,
        **changes,
    }
    return make_lane_io("io-1", LaneIoSettings.model_validate(settings), RealClock())


@asynccontextmanager
async def running(io: LaneIo) -> AsyncIterator[asyncio.Task[None]]:
    """A session that is up, red verified, or has failed."""
    up = asyncio.Event()

    def emit(item: Observation) -> None:
        if isinstance(item, DeviceUp):
            up.set()

    session = asyncio.ensure_future(io.run(emit))
    waiting = asyncio.ensure_future(up.wait())
    try:
        async with asyncio.timeout(10):
            await asyncio.wait([session, waiting], return_when=asyncio.FIRST_COMPLETED)
        yield session
    finally:
        waiting.cancel()
        session.cancel()
        await asyncio.wait([session, waiting])


async def served_again(make: Callable[[], LaneIo]) -> float:
    """Seconds until a new session has verified red, tried as a supervisor does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(10):
        while True:
            io = make()
            async with running(io) as session:
                if not session.done():
                    assert (await io.read()).coils is Aspect.RED, "an old green is not replayed"
                    return loop.time() - began
            await asyncio.sleep(0.05)


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[int, Callable[[], bool]]]:
    """Our module over TCP: its port, and whether its green output is on."""
    async with bench() as b:
        yield b.port.address[1], lambda: b.module.state.outputs[0]


@asynccontextmanager
async def libmodbus() -> AsyncIterator[tuple[int, Callable[[], bool]]]:
    """The same of libmodbus."""
    with Slave(wago) as slave:
        wago(slave)
        yield slave.port, lambda: bool(slave.mapping.tab_bits[0])


Module = Callable[[], AbstractAsyncContextManager[tuple[int, Callable[[], bool]]]]
MODULES: dict[str, Module] = {"ours": ours, "libmodbus": libmodbus}


@asynccontextmanager
async def proxied(module: Module) -> AsyncIterator[tuple[TcpProxy, Callable[[], bool]]]:
    async with module() as (port, green):
        proxy = TcpProxy("127.0.0.1", port)
        await proxy.open()
        try:
            yield proxy, green
        finally:
            await proxy.close()
            await asyncio.sleep(0)


ANSWER = {"way": "to_agent"}
TCP_FAULTS: dict[str, tuple[dict[str, Any], tuple[type[DeviceError], ...]]] = {
    "reset": ({"do": "reset"}, (LinkLost,)),
    "closed": ({"do": "close"}, (LinkLost,)),
    "black hole": ({"fault": "drop"}, (DeviceTimeout,)),
    "answers lost": ({**ANSWER, "fault": "drop"}, (DeviceTimeout,)),
    "answers late": ({**ANSWER, "fault": "delay", "ms": 400}, (DeviceTimeout,)),
    "wrong transaction": ({**ANSWER, "fault": "change", "at": 1, "mask": 0x55}, (ProtocolViolation, DeviceTimeout)),
    "wrong protocol": ({**ANSWER, "fault": "change", "at": 2}, (ProtocolViolation,)),
    "wrong length": ({**ANSWER, "fault": "change", "at": 5, "mask": 0x01}, (ProtocolViolation, DeviceTimeout)),
    "wrong unit": ({**ANSWER, "fault": "change", "at": 6, "mask": 0x02}, (ProtocolViolation,)),
    "wrong function": ({**ANSWER, "fault": "change", "at": 7, "mask": 0x03}, (ProtocolViolation,)),
    "noise": ({**ANSWER, "fault": "noise"}, (ProtocolViolation,)),
    "half answers": ({**ANSWER, "fault": "first", "size": 6}, (DeviceTimeout, ProtocolViolation)),
    **{f"cut at byte {at}": ({**ANSWER, "fault": "cut", "at": at}, (LinkLost,)) for at in (1, 6, 7, 9)},
}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("fault", TCP_FAULTS)
async def test_a_fault_on_the_way_ends_the_session_in_time_and_red_comes_back(module: str, fault: str) -> None:
    cause, ends = TCP_FAULTS[fault]
    async with proxied(MODULES[module]) as (proxy, green):
        io = tcp_session(proxy.port)
        async with running(io) as session:
            await io.write(Aspect.GREEN)
            assert green()
            proxy.verbs()[cause.get("do", "fault")](cause)
            async with asyncio.timeout(kill_to_red_s()):
                with pytest.raises(ends) as ended:
                    await session
            assert ended.value.hint or ended.value.message
        proxy.verbs()["clear"]({})
        assert await served_again(lambda: tcp_session(proxy.port)) <= AGAIN_S
        assert not green()


def kill_to_red_s() -> float:
    """A session that does not end by then leaves the head to the module's watchdog."""
    return 2.0


@pytest.mark.parametrize("module", MODULES)
async def test_answers_in_pieces_or_twice_are_answers(module: str) -> None:
    async with proxied(MODULES[module]) as (proxy, green):
        io = tcp_session(proxy.port)
        async with running(io) as session:
            for fault in ({"fault": "pieces", "size": 1, "ms": 2}, {**ANSWER, "fault": "twice"}):
                proxy.verbs()["fault"](fault)
                for aspect in (Aspect.GREEN, Aspect.RED):
                    await io.write(aspect)
                    assert green() is (aspect is Aspect.GREEN)
                    assert (await io.read()).coils is aspect
                proxy.verbs()["clear"]({})
            assert not session.done()


async def test_nobody_there_is_told_within_the_connection_bound() -> None:
    async with proxied(ours) as (proxy, _):
        proxy.refuse()
        with pytest.raises(LinkLost, match="refused") as ended:
            await tcp_session(proxy.port).run(lambda _: None)
        assert ended.value.code == "MODBUS_LINK_LOST"
        proxy.stall()
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(LinkLost, match="no answer to the connection attempt"):
            await tcp_session(proxy.port).run(lambda _: None)
        assert loop.time() - began <= 1.5
        await proxy.restore()
        assert await served_again(lambda: tcp_session(proxy.port)) <= AGAIN_S


async def test_a_frozen_server_is_noticed_and_served_again_when_it_goes_on() -> None:
    """libmodbus as a process: its kernel goes on answering for it, as with a hung module behind a good cable."""
    with ended(start(SERVER)) as server:
        port = json.loads(line_of(server))["port"]
        io = tcp_session(port, "generic_coils", watchdog_ms=2000)
        async with running(io) as session:
            await io.write(Aspect.GREEN)
            os.kill(server.pid, signal.SIGSTOP)
            async with asyncio.timeout(kill_to_red_s()):
                with pytest.raises(DeviceTimeout, match="no answer"):
                    await session
        os.kill(server.pid, signal.SIGCONT)
        again = await served_again(lambda: tcp_session(port, "generic_coils", watchdog_ms=2000))
        assert again <= AGAIN_S


EXCEPTIONS: dict[int, tuple[type[DeviceError], str]] = {
    **dict.fromkeys((1, 2, 3), (DeviceRefused, "MODBUS_CONFIGURATION")),
    **dict.fromkeys((4, 7, 8), (DeviceError, "MODBUS_DEVICE_FAILURE")),
    **dict.fromkeys((5, 6), (DeviceError, "MODBUS_BUSY")),
    **dict.fromkeys((10, 11), (LinkLost, "MODBUS_GATEWAY")),
}


@pytest.mark.parametrize("code", EXCEPTIONS)
async def test_exceptions_of_libmodbus_are_told_apart(code: int) -> None:
    kind, name = EXCEPTIONS[code]
    with Slave(wago) as slave:
        wago(slave)
        io = tcp_session(slave.port)
        async with running(io):
            slave.refuse_writes = code
            with pytest.raises(kind) as told:
                await io.write(Aspect.GREEN)
            assert told.value.code == name
            assert not slave.mapping.tab_bits[0]
            slave.refuse_writes = 0
        assert await served_again(lambda: tcp_session(slave.port)) <= AGAIN_S


async def test_another_client_that_writes_is_seen() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io):
            await io.write(Aspect.RED)
            assert not (await io.read()).foreign_write
            port = b.port.address[1]

            def write() -> None:
                client = Client(port)
                client.write_bit(0, True)
                client.close()

            await asyncio.to_thread(write)
            assert (await io.read()).foreign_write


# ---- a serial line ----


@asynccontextmanager
async def our_line(folder: Path) -> AsyncIterator[tuple[Path, Callable[[], bool] | None]]:
    async with serial_bench("generic_coils") as b:
        yield b.link, lambda: b.modules[1].state.outputs[0]


@contextmanager
def _libmodbus_line() -> Iterator[str]:
    with NullModem(19200) as cable, ended(start(SERVER, cable.ends[1], "19200")) as server:
        assert json.loads(line_of(server))["ready"]
        yield cable.ends[0]


@asynccontextmanager
async def libmodbus_line(folder: Path) -> AsyncIterator[tuple[Path, Callable[[], bool] | None]]:
    with _libmodbus_line() as port:
        yield Path(port), None


LINES = {"ours": our_line, "libmodbus": libmodbus_line}


@asynccontextmanager
async def spliced(module: str, folder: Path) -> AsyncIterator[tuple[PtySplice, Callable[[], bool] | None]]:
    async with LINES[module](folder) as (port, green):
        splice = PtySplice(folder / "spliced", port)
        splice.open()
        try:
            yield splice, green
        finally:
            splice.close()


RTU_FAULTS: dict[str, tuple[dict[str, Any], tuple[type[DeviceError], ...]]] = {
    "unplugged": ({"do": "unplug"}, (LinkLost,)),
    "cut at byte 3": ({**ANSWER, "fault": "cut", "at": 3}, (LinkLost,)),
    "stuck": ({"fault": "drop"}, (DeviceTimeout,)),
    "answers lost": ({**ANSWER, "fault": "drop"}, (DeviceTimeout,)),
    "noisy": ({**ANSWER, "fault": "flip", "rate": 0.05}, (DeviceTimeout, ProtocolViolation)),
}


@pytest.mark.parametrize("module", LINES)
@pytest.mark.parametrize("fault", RTU_FAULTS)
async def test_a_fault_on_the_serial_line_ends_the_session_and_red_comes_back(
    tmp_path: Path, module: str, fault: str
) -> None:
    cause, ends = RTU_FAULTS[fault]
    async with spliced(module, tmp_path) as (splice, _):
        io = rtu_session(splice.link)
        async with running(io) as session:
            await io.write(Aspect.GREEN)
            splice.verbs()[cause.get("do", "fault")](cause)
            async with asyncio.timeout(5):
                with pytest.raises(ends):
                    await session
        splice.verbs()["clear"]({})
        splice.plug()
        assert await served_again(lambda: rtu_session(splice.link)) <= AGAIN_S


@pytest.mark.parametrize("module", LINES)
async def test_pauses_inside_a_frame_are_waited_for_no_longer_than_the_time_out(tmp_path: Path, module: str) -> None:
    async with spliced(module, tmp_path) as (splice, _):
        io = rtu_session(splice.link, misses_allowed=10)
        loop = asyncio.get_running_loop()
        async with running(io):
            splice.verbs()["fault"]({**ANSWER, "fault": "pieces", "size": 1, "ms": 5})
            began = loop.time()
            with suppress(DeviceError):
                await io.write(Aspect.RED)
            assert loop.time() - began <= 1.0
        splice.verbs()["clear"]({})
        assert await served_again(lambda: rtu_session(splice.link)) <= AGAIN_S


async def test_flipped_bits_never_switch_what_was_not_asked(tmp_path: Path) -> None:
    """One byte of thirty, both ways: an acknowledged write is carried out."""
    async with spliced("ours", tmp_path) as (splice, green):
        assert green is not None
        acknowledged = failed = 0
        async with asyncio.timeout(30):
            while acknowledged < 6 or failed < 3:
                splice.verbs()["clear"]({})
                io = rtu_session(splice.link, misses_allowed=10)
                async with running(io) as session:
                    splice.verbs()["fault"]({"fault": "flip", "rate": 0.004})
                    while not session.done() and (acknowledged < 6 or failed < 3):
                        aspect = Aspect.GREEN if (acknowledged + failed) % 2 else Aspect.RED
                        try:
                            await io.write(aspect)
                        except DeviceError:
                            failed += 1
                        else:
                            acknowledged += 1
                            assert green() is (aspect is Aspect.GREEN)
