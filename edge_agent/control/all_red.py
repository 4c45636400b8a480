"""All outputs off, by a program that shares nothing with a running agent: `edge-agent all-red`, systemd's ExecStopPost.

It runs after crashes, kills and watchdog time-outs too. The module's own watchdog has the same job; this one is quicker
when the agent died early in the watchdog's time.
"""

import asyncio
import sys
from pathlib import Path

from drivers import registry
from drivers.api import Aspect, DeviceUp, EdgeError, Observation
from edge_agent.config.load import load_config
from edge_agent.config.schema import LaneConfig, LaneIoDevice
from edge_agent.runtime.clock import SystemClock

_BOUND_S = 3.0


async def _all_red(config: LaneConfig) -> None:
    device = next(d for d in config.devices if isinstance(d, LaneIoDevice) and d.id == config.signal.device)
    session = registry.make_lane_io(device.id, device, SystemClock())
    up = asyncio.Event()

    def emit(observation: Observation) -> None:
        if isinstance(observation, DeviceUp):
            up.set()

    async with asyncio.timeout(_BOUND_S), asyncio.TaskGroup() as group:
        running = group.create_task(session.run(emit), name="all-red")
        await up.wait()
        # The session's own start has written red and verified it; this is the last word on the wire.
        await session.write(Aspect.RED)
        running.cancel()


def main(config_path: Path) -> int:
    """Write red and verify it; exit code 1 with the reason on standard error when it could not be done."""
    config = load_config(config_path)
    failed = ""
    try:
        asyncio.run(_all_red(config))
    except* EdgeError as group:
        failed = "; ".join(str(error) for error in group.exceptions)
    except* TimeoutError:
        failed = f"the I/O module did not answer within {_BOUND_S:g} s: check its power and network"
    if failed:
        print(f"all-red: {failed}", file=sys.stderr)  # noqa: T201 - a program of its own
    return 1 if failed else 0
