"""A process that holds green on a module: `python -m tests.conformance.modbus.session_process PORT`. It prints `green`
once the lamp is confirmed, then goes on writing every 100 ms until it is killed."""

import asyncio
import sys
import time

from drivers.api import Aspect, Observation, Stamp
from drivers.modbus.settings import LaneIoSettings, make_lane_io


class _Clock:
    def stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), time.time_ns())


async def _hold_green(port: int) -> None:
    roles = {"green": {"point": 0}, "red_feedback": {"point": 8}, "green_feedback": {"point": 10}}
    settings = {"host": "127.0.0.1", "port": port, "profile": "wago_750_352", "roles": roles}
    io = make_lane_io("io-1", LaneIoSettings.model_validate(settings), _Clock())
    up = asyncio.Event()

    def emit(_: Observation) -> None:
        up.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(io.run(emit))
        await up.wait()
        told = False
        while True:
            await io.write(Aspect.GREEN)
            if (await io.read()).lamps is Aspect.GREEN and not told:
                told = True
                sys.stdout.write("green\n")
                sys.stdout.flush()
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(_hold_green(int(sys.argv[1])))
