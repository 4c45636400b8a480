"""A serial line with virtual modules on it, in this process, and sessions on that line."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from drivers.api import DeviceError, DeviceUp, Observation, Stamp
from drivers.modbus.lane_io import LaneIo
from drivers.modbus.settings import LaneIoSettings, default_profile_dir, make_lane_io
from drivers.modbus.shared_line import SharedLines
from hil.devices.modbus_rtu import RtuLine, RtuPort
from hil.devices.modbus_state import Wiring
from hil.devices.modbus_unit import Module
from tests.unit.modbus.scripted import until

ROLES: dict[str, Any] = {
    "green": {"point": 0},
    "zone_a": {"point": 0},
    "stop_line_beam": {"point": 3},
    "red_feedback": {"point": 8},
    "green_feedback": {"point": 10},
}
WIRING = Wiring(lamp_delay_s=0.005)
REPLY_MS, QUIET_MS = 400, 100
"""More patient than the shipped profiles: a busy computer must not look like a dead module here."""


class RealClock:
    """Both clocks of this computer."""

    def stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), time.time_ns())


@dataclass
class LineBench:
    """The line, its modules by unit, and what they said."""

    line: RtuLine
    link: Path
    profiles: Path
    modules: dict[int, Module] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, list[Observation]] = field(default_factory=dict)
    lines: SharedLines = field(default_factory=SharedLines)

    def session(self, device: str = "io-1", **changes: Any) -> LaneIo:
        """A session on the line; several share it."""
        settings = {
            "serial": {"path": str(self.link), "baud": self.line.pty.baud, "parity": "N"},
            "profile": "generic_coils",
            "roles": ROLES,
            "poll_ms": 40,
            "watchdog_ms": 2000,
            "stale_ms": 2000,
            **changes,
        }
        self.seen[device] = []
        return make_lane_io(device, LaneIoSettings.model_validate(settings), RealClock(), self.profiles, self.lines)

    def named(self, unit: int, name: str) -> list[dict[str, Any]]:
        """Events of one unit."""
        return [event for event in self.events if event["unit_id"] == unit and event["event"] == name]

    @asynccontextmanager
    async def running(self, io: LaneIo, device: str = "io-1") -> AsyncIterator[asyncio.Task[None]]:
        """A session that is up; ended by cancellation."""
        seen = self.seen[device]
        task = asyncio.ensure_future(io.run(seen.append))
        try:
            await until(lambda: any(isinstance(item, DeviceUp) for item in seen) or task.done())
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, DeviceError):
                await task

    def listen(self, unit: int, module: Module) -> None:
        """Keep what a module publishes, with the time."""

        def record(event: str, **fields: Any) -> None:
            self.events.append({"event": event, "unit_id": unit, "at_ns": time.monotonic_ns(), **fields})

        module.control.publish = record  # type: ignore[method-assign]
        state = module.state
        state._publish = state.lamps._publish = state.watchdog._publish = record


def patient_profiles(folder: Path) -> Path:
    """The shipped profiles with the reply times of this file."""
    for path in default_profile_dir().glob("*.yaml"):
        profile = yaml.safe_load(path.read_text())
        profile["timeouts"] |= {"reply_ms": REPLY_MS, "quiet_ms": QUIET_MS}
        (folder / path.name).write_text(yaml.safe_dump(profile))
    return folder


@asynccontextmanager
async def serial_bench(*profiles: str, baud: int = 19200) -> AsyncIterator[LineBench]:
    """Modules of these profiles as units 1, 2, ... of one line."""
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        link = Path(folder) / "tty"
        bench = LineBench(RtuLine(link, baud), link, patient_profiles(Path(folder)))
        for unit, profile in enumerate(profiles, 1):
            module = Module(profile, WIRING, Path(folder) / f"control.{unit}", RtuPort(bench.line, unit))
            bench.modules[unit] = module
            bench.listen(unit, module)
        for module in bench.modules.values():
            await module.open()
        try:
            yield bench
        finally:
            for module in bench.modules.values():
                await module.close()
                module.state.power_cycle()
            await bench.line.close()
            await asyncio.sleep(0.03)
