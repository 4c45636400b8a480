"""Unix sockets of the doors: the folder, stale sockets, group and mode."""

import grp
import os
import socket
import stat
from pathlib import Path
from typing import Final

from drivers.api import EdgeError

_PATH_MAX: Final = 107
"""sockaddr_un.sun_path holds 108 bytes with its closing zero (unix(7))."""


def make_folder(folder: Path) -> None:
    """The sockets' folder with mode 0750, made when missing. EdgeError API_SOCKET_DIR."""
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o750)
    except OSError as error:
        hint = "api.socket_dir must be a folder the agent's user may write"
        raise EdgeError("API_SOCKET_DIR", f"{folder}: {error.strerror}", hint) from error


def clear_the_way(path: Path) -> None:
    """Remove a socket nobody listens on any more. EdgeError API_SOCKET_TAKEN when somebody does, API_SOCKET_PATH when
    the path is too long or something else lies there."""
    if len(os.fsencode(path)) > _PATH_MAX:
        hint = "choose a shorter api.socket_dir"
        raise EdgeError("API_SOCKET_PATH", f"{path} is longer than {_PATH_MAX} bytes", hint)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EdgeError("API_SOCKET_PATH", f"{path} is not a socket", "move it away")
    if _answers(path):
        hint = "another agent serves this folder: stop it, or give this one another api.socket_dir"
        raise EdgeError("API_SOCKET_TAKEN", f"{path} is in use", hint)
    path.unlink(missing_ok=True)


def open_to(path: Path, group: str) -> EdgeError | None:
    """Mode 0660 for the group ("": the agent's own). When that cannot be had, 0600 and the fault to be told."""
    if not group:
        path.chmod(0o660)
        return None
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(0o660)
    except (KeyError, OSError) as error:
        path.chmod(0o600)
        why = "there is no such group" if isinstance(error, KeyError) else f"{error.strerror}"
        hint = f"make the group and put the agent's user into it: groupadd {group}; until then only the agent gets in"
        return EdgeError("API_GROUP", f"{path.name} cannot be opened to group {group}: {why}", hint)
    return None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A listener with a full backlog must not hold up the start; it is alive all the same.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
