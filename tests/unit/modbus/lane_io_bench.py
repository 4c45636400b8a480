"""A virtual I/O module on a free port of this process, its events, and sessions with it."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drivers.api import Aspect, DeviceError, DeviceUp, Observation, SignalReadback, Stamp
from drivers.modbus.lane_io import LaneIo
from drivers.modbus.settings import LaneIoSettings, make_lane_io
from hil.devices.modbus_state import Wiring
from hil.devices.modbus_tcp import TcpPort
from hil.devices.modbus_unit import Module
from tests.unit.modbus.scripted import until

ROLES: dict[str, Any] = {
    "green": {"point": 0},
    "amber": {"point": 3},
    "zone_a": {"point": 0},
    "stop_line_beam": {"point": 1, "active": "low"},
    "red_feedback": {"point": 8},
    "amber_feedback": {"point": 9},
    "green_feedback": {"point": 10},
}
WIRING = Wiring(green=0, amber=3, red_feedback=8, amber_feedback=9, green_feedback=10, lamp_delay_s=0.005)


class RealClock:
    """Both clocks of this computer."""

    def stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), time.time_ns())


@dataclass
class Bench:
    """A module on a free port, its events, and what a session emits."""

    module: Module
    profile: str
    events: list[dict[str, Any]] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)

    @property
    def port(self) -> TcpPort:
        assert isinstance(self.module.port, TcpPort)
        return self.module.port

    def session(self, **changes: Any) -> LaneIo:
        settings = {"host": "127.0.0.1", "port": self.port.address[1], "profile": self.profile, "roles": ROLES}
        return make_lane_io(
            "io-1",
            LaneIoSettings.model_validate({**settings, "poll_ms": 10, "watchdog_ms": 2000, **changes}),
            RealClock(),
        )

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    @asynccontextmanager
    async def running(self, io: LaneIo) -> AsyncIterator[asyncio.Task[None]]:
        """A session that is up; ended by cancellation."""
        task = asyncio.ensure_future(io.run(self.seen.append))
        try:
            await until(lambda: any(isinstance(item, DeviceUp) for item in self.seen) or task.done())
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, DeviceError):
                await task

    async def fails(self, io: LaneIo) -> DeviceError:
        """Run a session to its end."""
        with pytest.raises(DeviceError) as ended:
            await io.run(self.seen.append)
        return ended.value


@asynccontextmanager
async def bench(profile: str = "wago_750_352", wiring: Wiring = WIRING) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        module = Module(profile, wiring, Path(folder) / "control", TcpPort())
        found = Bench(module, profile)
        publish = module.control.publish

        def record(event: str, **fields: Any) -> None:
            found.events.append({"event": event, **fields})
            publish(event, **fields)

        module.control.publish = record  # type: ignore[method-assign]
        module.state._publish = module.state.lamps._publish = module.state.watchdog._publish = record
        await module.open()
        try:
            yield found
        finally:
            await module.close()
            module.state.watchdog.stop()
            await asyncio.sleep(0.01)


async def shown(io: LaneIo, wanted: Aspect) -> SignalReadback:
    """The readback once the lamps have followed."""
    async with asyncio.timeout(10):
        while (found := await io.read()).lamps is not wanted:  # noqa: ASYNC110 - the lamps are another device
            await asyncio.sleep(0.002)
    return found
