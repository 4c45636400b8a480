"""What the service manager hears."""

import socket
from pathlib import Path

from edge_agent.runtime.systemd import ServiceManager


def test_readiness_status_watchdog_and_end_arrive_as_sd_notify_defines_them(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        manager = ServiceManager({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"})
        manager.ready("red verified")
        manager.alive()
        manager.stopping("bye")
        manager.close()
        heard = [listener.recv(4096).decode() for _ in range(3)]
    assert heard == ["READY=1\nSTATUS=red verified", "WATCHDOG=1", "STOPPING=1\nSTATUS=bye"]
    assert manager.watchdog_s == 2.0


def test_without_a_manager_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        manager = ServiceManager(environment)
        manager.ready("red")
        manager.alive()
        manager.close()
