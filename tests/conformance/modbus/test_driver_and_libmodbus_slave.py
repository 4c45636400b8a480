"""The bus and a whole lane I/O session against a libmodbus slave."""

import asyncio
import json
import time
from typing import Any

import pytest

from drivers.api import Aspect, DeviceRefused, DeviceTimeout, DeviceUp, InputSnapshot, LinkLost, Observation, Stamp
from drivers.modbus.bus import BusTiming, ModbusBus, Priority
from drivers.modbus.pdu_codec import read_bits, read_registers, write_bits, write_register
from drivers.modbus.settings import LaneIoSettings, make_lane_io
from drivers.modbus.settings.line import TcpLine
from tests.conformance.modbus.libmodbus import Slave
from tests.conformance.modbus.null_modem import NullModem
from tests.conformance.modbus.test_module_and_foreign_clients import ended, line_of, start

pytestmark = [pytest.mark.real_time, pytest.mark.needs("libmodbus")]

SERVER = "tests.conformance.modbus.libmodbus_server"


class RealClock:
    """Both clocks of this computer."""

    def stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), time.time_ns())


def wago(slave: Slave) -> None:
    """Make a plain slave look like the coupler: the output image at 512, lamps on inputs 8 and 10, identity."""
    table = slave.mapping
    for point in range(8):
        table.tab_bits[512 + point] = table.tab_bits[point]
    table.tab_input_bits[8], table.tab_input_bits[10] = 1 - table.tab_bits[0], table.tab_bits[0]
    table.tab_registers[0x1006] = 1
    table.tab_registers[0x2011], table.tab_registers[0x2012] = 750, 352


async def test_every_function_used_is_understood() -> None:
    with Slave() as slave:
        bus = ModbusBus("io-1", TcpLine("127.0.0.1", slave.port), BusTiming())
        await bus.open()
        try:
            bits = (True, False, True, True, False, False, True, False, True)
            assert await bus.transact(1, write_bits(5, bits), Priority.WRITE) == ()
            assert await bus.transact(1, read_bits(1, 5, 9), Priority.POLL) == tuple(map(int, bits))
            slave.mapping.tab_input_bits[3] = 1
            assert await bus.transact(1, read_bits(2, 0, 5), Priority.POLL) == (0, 0, 0, 1, 0)
            assert await bus.transact(1, write_register(0x1000, 0xBEEF), Priority.WRITE) == ()
            assert await bus.transact(1, read_registers(3, 0xFFF, 3), Priority.POLL) == (0, 0xBEEF, 0)
            assert await bus.transact(1, read_registers(4, 0, 2), Priority.POLL) == (0, 0)
            with pytest.raises(DeviceRefused):
                await bus.transact(1, read_bits(1, 5000, 1), Priority.POLL)
            assert bus.statistics.mismatches == 0
        finally:
            bus.close()


async def test_a_session_from_start_to_lost_link() -> None:
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "profile": "wago_750_352",
        "poll_ms": 10,
        "roles": {
            "green": {"point": 0},
            "zone_a": {"point": 0},
            "red_feedback": {"point": 8},
            "green_feedback": {"point": 10},
        },
    }
    with Slave(wago) as slave:
        wago(slave)
        io = make_lane_io("io-1", LaneIoSettings.model_validate({**settings, "port": slave.port}), RealClock())
        seen: list[Observation] = []
        task = asyncio.ensure_future(io.run(seen.append))
        try:
            async with asyncio.timeout(10):
                while len(seen) < 3:  # noqa: ASYNC110 - the slave is a thread
                    await asyncio.sleep(0.002)
            assert isinstance(seen[0], DeviceUp)
            assert isinstance(seen[1], InputSnapshot)
            for aspect in (Aspect.GREEN, Aspect.RED):
                await io.write(aspect)
                found = await io.read()
                assert (found.coils, found.lamps, found.foreign_write) == (aspect, aspect, False)
            slave.mapping.tab_bits[512] = 1
            assert (await io.read()).foreign_write
        finally:
            slave.close()
            with pytest.raises(LinkLost):
                await task


async def test_a_session_with_a_libmodbus_server_on_a_serial_line() -> None:
    with NullModem(19200) as cable, ended(start(SERVER, cable.ends[1], "19200")) as server:
        assert json.loads(line_of(server))["ready"]
        settings: dict[str, Any] = {
            "serial": {"path": cable.ends[0], "baud": 19200, "parity": "N"},
            "profile": "generic_coils",
            "poll_ms": 40,
            "watchdog_ms": 2000,
            "roles": {
                "green": {"point": 0},
                "zone_a": {"point": 0},
                "red_feedback": {"point": 8},
                "green_feedback": {"point": 10},
            },
        }
        io = make_lane_io("io-1", LaneIoSettings.model_validate(settings), RealClock())
        seen: list[Observation] = []
        task = asyncio.ensure_future(io.run(seen.append))
        async with asyncio.timeout(10):
            while len(seen) < 3 and not task.done():  # noqa: ASYNC110 - the server is a process
                await asyncio.sleep(0.002)
        for aspect in (Aspect.GREEN, Aspect.RED):
            await io.write(aspect)
            await io.read()  # the server's inputs follow after the write
            found = await io.read()
            assert (found.coils, found.foreign_write) == (aspect, False)
        server.kill()
        with pytest.raises(DeviceTimeout, match="no answer of unit 1"):
            await task
        assert io.bus.statistics.mismatches == 0
