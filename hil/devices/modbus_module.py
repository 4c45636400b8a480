"""Virtual Modbus I/O module: `python -m hil.devices.modbus_module --control PATH [--profile NAME]`, over TCP
(`[--host] [--port 0]`) or on a serial line (`--link PATH [--baud 19200] [--unit 1] [--also UNIT:PROFILE ...]
[--felt-by UNIT]`).

Digital inputs and outputs, a watchdog or timed pulses as its kind has them, and one signal head wired to it (see
`modbus_state.Wiring`). Ready line: `{"ready": true, "device": "modbus_module", "profile", "control"}` with `host` and
`port`, or `link`, `baud` and `unit`. `--also` puts further modules on the line; their control sockets are PATH.UNIT.
`--felt-by`: the head's feedback is wired to that one's inputs.
Control verbs and events: see `modbus_unit.py`, for the line `modbus_rtu.py`.
"""

import argparse
import asyncio
from pathlib import Path

from hil.devices.control import announce_ready, until_told_to_end
from hil.devices.modbus_arm import ArmWiring
from hil.devices.modbus_catalogue import PROFILES
from hil.devices.modbus_rtu import RtuLine, RtuPort
from hil.devices.modbus_state import Wiring
from hil.devices.modbus_tcp import TcpPort
from hil.devices.modbus_unit import Module


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="virtual Modbus I/O module")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--link", type=Path, default=None, help="name of the serial port: RTU on a pty, 8N1")
    parser.add_argument("--baud", type=int, default=19200)
    parser.add_argument("--unit", type=int, default=1, help="unit id on the serial line")
    parser.add_argument(
        "--also", action="append", default=[], metavar="UNIT:PROFILE", help="another module on the line"
    )
    parser.add_argument("--felt-by", type=int, default=0, help="unit id of the --also module that feels the lamps")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="wago_750_352")
    parser.add_argument("--green", type=int, default=0, help="output of the green relay")
    parser.add_argument("--amber", type=int, default=None, help="output of the amber relay")
    parser.add_argument("--red-feedback", type=int, default=8, help="input that feels the red lamp, -1: none")
    parser.add_argument("--amber-feedback", type=int, default=-1)
    parser.add_argument("--green-feedback", type=int, default=10)
    parser.add_argument("--feedback", choices=["lamp", "contact"], default="lamp", help="what the feedback inputs feel")
    parser.add_argument("--lamp-delay-ms", type=float, default=20.0)
    parser.add_argument(
        "--arm", default="", metavar="RAISE,LOWER,UP,DOWN", help="a barrier arm: its outputs and limit inputs"
    )
    parser.add_argument("--arm-travel-ms", type=float, default=3000.0)
    return parser.parse_args()


def _wiring(options: argparse.Namespace) -> Wiring:
    def bit(number: int) -> int | None:
        return None if number < 0 else number

    return Wiring(
        green=options.green,
        amber=options.amber,
        red_feedback=bit(options.red_feedback),
        amber_feedback=bit(options.amber_feedback),
        green_feedback=bit(options.green_feedback),
        lamp_delay_s=options.lamp_delay_ms / 1000,
        feedback=options.feedback,
        arm=_arm_wiring(options),
    )


def _arm_wiring(options: argparse.Namespace) -> ArmWiring | None:
    if not options.arm:
        return None
    raise_output, lower_output, up_input, down_input = (int(point) for point in options.arm.split(","))
    return ArmWiring(raise_output, lower_output, up_input, down_input, options.arm_travel_ms / 1000)


async def _open_tcp(options: argparse.Namespace) -> list[Module]:
    port = TcpPort(options.host, options.port)
    module = Module(options.profile, _wiring(options), options.control, port)
    await module.open()
    host, number = port.address
    _announce(options, host=host, port=number)
    return [module]


async def _open_line(options: argparse.Namespace, line: RtuLine) -> list[Module]:
    modules = [Module(options.profile, _wiring(options), options.control, RtuPort(line, options.unit))]
    for further in options.also:
        unit, _, profile = further.partition(":")
        control = options.control.with_name(f"{options.control.name}.{unit}")
        modules.append(Module(profile, Wiring(), control, RtuPort(line, int(unit))))
    if options.felt_by:
        index = 1 + [int(further.partition(":")[0]) for further in options.also].index(options.felt_by)
        modules[0].state.feel_through(modules[index].state)
    for module in modules:
        await module.open()
    _announce(options, link=str(options.link), baud=options.baud, unit=options.unit)
    return modules


def _announce(options: argparse.Namespace, **where: object) -> None:
    announce_ready(device="modbus_module", profile=options.profile, control=str(options.control), **where)


async def _main() -> None:
    options = _parse_arguments()
    line = RtuLine(options.link, options.baud) if options.link is not None else None
    modules = await (_open_tcp(options) if line is None else _open_line(options, line))
    try:
        await until_told_to_end()
    finally:
        for module in modules:
            await module.close()
        if line is not None:
            await line.close()


if __name__ == "__main__":
    asyncio.run(_main())
