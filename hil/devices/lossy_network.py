"""A network that loses packets: a network namespace of one thread, with one address that is reached through a tunnel
device whose other end is this program. Needs root and /dev/net/tun.

Every packet sent to `FAR` comes back from there with its two addresses swapped (its check sums hold: they are sums), so
that a server on `HERE` is reached as one at `FAR`, and each way passes the tunnel once. What is lost is lost there; TCP
of the kernel does the rest.
"""

import asyncio
import ctypes
import fcntl
import os
import random
import struct
import subprocess
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

TUN = Path("/dev/net/tun")
HERE, FAR = "10.77.0.1", "10.77.0.2"

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_NAME = "lossy0"
_LONGEST = 65_536


class LossyPath:
    """The tunnel, in the network namespace of the calling thread. `loss`: share of the packets that are lost."""

    def __init__(self, loss: float, seed: int = 1) -> None:
        self.loss = loss
        self.passed = 0
        self.lost = 0
        self._chance = random.Random(seed)
        self._tunnel = -1

    def open(self) -> None:
        """Make it and start passing packets. OSError: this process may not."""
        self._tunnel = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tunnel, _TUNSETIFF, struct.pack("16sH22x", _NAME.encode(), _IFF_TUN_WITHOUT_HEADER))
        up, address = ["link", "set", _NAME, "up"], ["addr", "add", f"{HERE}/30", "dev", _NAME]
        for command in (["link", "set", "lo", "up"], address, up):
            subprocess.run(["ip", *command], check=True)
        asyncio.get_running_loop().add_reader(self._tunnel, self._pass_on)

    def close(self) -> None:
        """Take it away."""
        asyncio.get_running_loop().remove_reader(self._tunnel)
        os.close(self._tunnel)

    def _pass_on(self) -> None:
        packet = os.read(self._tunnel, _LONGEST)
        if packet[0] >> 4 != 4:
            return  # what IPv6 says to nobody
        if self._chance.random() < self.loss:
            self.lost += 1
            return
        self.passed += 1
        os.write(self._tunnel, packet[:12] + packet[16:20] + packet[12:16] + packet[20:])


def _leave_the_network() -> None:
    """A new network namespace for this thread; what it starts is in there too."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace of its own")


def run_apart(work: Callable[[], Coroutine[Any, Any, None]], timeout_s: float) -> None:
    """Run on a loop in a thread with a network of its own, and raise what it raises. OSError: not allowed."""
    failed: list[BaseException] = []

    def apart() -> None:
        try:
            _leave_the_network()
            asyncio.run(asyncio.wait_for(work(), timeout_s))
        except BaseException as error:  # noqa: BLE001 - raised again where the thread was started
            failed.append(error)

    thread = threading.Thread(target=apart, name="lossy-network")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
