"""The driver and our module on a network that loses packets: the kernel's TCP in between, in a namespace of its own."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from drivers.api import Aspect, DeviceError
from hil.devices.lossy_network import FAR, HERE, LossyPath, run_apart
from hil.devices.modbus_tcp import TcpPort
from hil.devices.modbus_unit import Module
from tests.conformance.modbus.test_line_faults import running, served_again, tcp_session
from tests.unit.modbus.lane_io_bench import WIRING

pytestmark = [pytest.mark.real_time, pytest.mark.needs("root", "tun")]

WRITES = 40


def test_lost_packets_cost_time_and_never_truth() -> None:
    """One packet of fifty. TCP repeats after 200 ms at the soonest, which is the time-out of an exchange: such a
    session may end, and the next one has red first. What is called done is done."""

    async def lose() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            module = Module("wago_750_352", WIRING, Path(folder) / "control", TcpPort(HERE))
            await module.open()
            assert isinstance(module.port, TcpPort)
            port = module.port.address[1]
            path = LossyPath(0.02)
            path.open()
            try:
                done = 0
                while done < WRITES:
                    io = tcp_session(port, host=FAR, misses_allowed=10)
                    async with running(io) as session:
                        while not session.done() and done < WRITES:
                            aspect = Aspect.GREEN if done % 2 else Aspect.RED
                            try:
                                await io.write(aspect)
                            except DeviceError:
                                continue
                            assert module.state.outputs[0] is (aspect is Aspect.GREEN)
                            done += 1
                assert path.lost > 0
                path.loss = 1.0
                async with running(tcp_session(port, host=FAR)) as session:
                    with pytest.raises(DeviceError):
                        await session
                path.loss = 0.0
                assert await served_again(lambda: tcp_session(port, host=FAR)) <= 2.0
                assert not module.state.outputs[0]
            finally:
                path.close()
                await module.close()
                module.state.watchdog.stop()
                await asyncio.sleep(0.01)

    run_apart(lose, 50.0)
