"""The service manager's notification socket (sd_notify(3)): readiness, a status line, the watchdog."""

import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """Tells the service manager how this process is; does nothing when none listens.

    `environment` gives NOTIFY_SOCKET (a path, or `@name` for an abstract socket) and WATCHDOG_USEC.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6
        """Interval within which `alive` must be called; 0: no watchdog."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def ready(self, status: str) -> None:
        """The process serves."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for the technician (`systemctl status`)."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog: only after a completed iteration of the loop that matters."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """The process is on its way out."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            # A manager that does not read must not stop the lane; its watchdog will notice what is missing.
            return
