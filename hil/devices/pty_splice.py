"""A program between an agent's serial port and the device's: `python -m hil.devices.pty_splice --control PATH
--link PATH --to PORT`. The agent opens LINK; PORT is a virtual device's port or a real one. The bit
rate the agent sets is set at the device's port too. Ready line:
`{"ready": true, "device": "pty_splice", "link", "control"}`.

Control verbs: `fault`, `clear`, `faults`, `passed` (see `line_faults.py`), `unplug` and `replug` (the agent's port).
"""

import argparse
import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import Mapping
from pathlib import Path

from hil.devices.control import ControlChannel, Handler, announce_ready, until_told_to_end
from hil.devices.line_faults import WAYS, LineFaults, Way, fault_verbs

_INPUT_SPEED, _OUTPUT_SPEED = 4, 5


class PtySplice:
    """Passes bytes between a new pty behind `link` and the port `device`."""

    def __init__(self, link: Path, device: Path) -> None:
        self.link = link
        self.ways = {way: LineFaults(seed) for seed, way in enumerate(WAYS, 1)}
        self._path = device
        self._device = self._master = self._slave = -1
        self._to_agent = Way(self.ways["to_agent"], self._write_agent, self.unplug)
        self._to_device = Way(self.ways["to_device"], self._write_device, self.unplug)

    def open(self) -> None:
        """Open the device's port and offer the agent's. OSError: the device's cannot be opened."""
        self._device = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._device)
        asyncio.get_running_loop().add_reader(self._device, self._device_said)
        self.plug()

    def close(self) -> None:
        """End everything."""
        self.unplug()
        if self._device >= 0:
            asyncio.get_running_loop().remove_reader(self._device)
            os.close(self._device)
            self._device = -1

    def plug(self) -> None:
        """A new pty, and the link points at it."""
        if self._master >= 0:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self.link.with_name(self.link.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.link)
        asyncio.get_running_loop().add_reader(self._master, self._agent_said)

    def unplug(self) -> None:
        """The agent's port is gone, and what was on its way with it."""
        self._to_agent.close()
        self._to_device.close()
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def verbs(self) -> Mapping[str, Handler]:
        """The control channel's."""
        return {**fault_verbs(self.ways), "unplug": lambda _: self.unplug(), "replug": lambda _: self.plug()}

    def _agent_said(self) -> None:
        with contextlib.suppress(OSError):
            self._follow_rate()
            self._to_device.take(os.read(self._master, 4096))

    def _device_said(self) -> None:
        try:
            data = os.read(self._device, 4096)
        except OSError:
            data = b""
        if data:
            self._to_agent.take(data)
        else:  # its own adapter is gone
            self.close()

    def _follow_rate(self) -> None:
        wanted, mine = termios.tcgetattr(self._slave), termios.tcgetattr(self._device)
        if mine[_OUTPUT_SPEED] != wanted[_OUTPUT_SPEED]:
            mine[_INPUT_SPEED] = mine[_OUTPUT_SPEED] = wanted[_OUTPUT_SPEED]
            termios.tcsetattr(self._device, termios.TCSANOW, mine)

    def _write_agent(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def _write_device(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._device, data)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="faults between an agent's serial port and a device's")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket")
    parser.add_argument("--link", type=Path, required=True, help="name of the port the agent opens")
    parser.add_argument("--to", type=Path, required=True, metavar="PORT", help="the device's port")
    options = parser.parse_args()
    splice = PtySplice(options.link, options.to)
    control = ControlChannel(options.control, splice.verbs())
    splice.open()
    await control.open()
    announce_ready(device="pty_splice", link=str(options.link), control=str(options.control))
    await until_told_to_end()
    await control.close()
    splice.close()


if __name__ == "__main__":
    asyncio.run(_main())
