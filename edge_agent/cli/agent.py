"""The agent as `lanectl` reaches it: one door, one call at a time, every failure as `Stop`."""

from __future__ import annotations  # grpc's classes are generic for the type checker only

import functools
import json
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from .exits import Exit, Stop

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message
    from rich.console import Console

    from securecorridor.lane.v1.capture_service_pb2_grpc import CaptureServiceStub
    from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
    from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub

SOCKET_DIR: Final = "/run/lane-edge-agent"
DOORS: Final = ("officer", "technician", "central", "viewer")
CALL_TIMEOUT_S: Final = 8.0
"""Longer than the agent's own bound on an act (5 s), so that its answer is the one shown."""

_FOLDER: Final = click.Path(path_type=Path, readable=False)

P = ParamSpec("P")
R = TypeVar("R")


class Agent:
    """A connection to one door, made at the first call."""

    def __init__(self, socket_dir: Path, door: str, as_json: bool) -> None:
        self.as_json = as_json
        self.door = door
        self._path = socket_dir / f"{door}.sock"

    @functools.cached_property
    def lane(self) -> LaneServiceStub:
        """`LaneService`."""
        from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub

        return LaneServiceStub(self._channel)

    @functools.cached_property
    def captures(self) -> CaptureServiceStub:
        """`CaptureService`."""
        from securecorridor.lane.v1.capture_service_pb2_grpc import CaptureServiceStub

        return CaptureServiceStub(self._channel)

    @functools.cached_property
    def diagnostics(self) -> DiagnosticsServiceStub:
        """`DiagnosticsService`."""
        from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub

        return DiagnosticsServiceStub(self._channel)

    @functools.cached_property
    def console(self) -> Console:
        """Where tables go: as wide as the terminal, or wide enough for a file."""
        from rich.console import Console

        terminal = sys.stdout.isatty()
        return Console(markup=False, highlight=False, emoji=False, width=None if terminal else 200)

    @functools.cached_property
    def _channel(self) -> grpc.Channel:
        _probe(self._path, self.door)
        # The core library's own lines on standard error would stand between ours.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc

        return grpc.insecure_channel(f"unix:{self._path.absolute()}")

    def call(self, method: Callable[..., R], request: Message, timeout_s: float = CALL_TIMEOUT_S) -> R:
        """One call, bounded in time. Stop when it fails."""
        import grpc

        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _stop(error, timeout_s) from error

    def stream(self, method: Callable[..., Any], request: Message, timeout_s: float | None) -> Iterator[Any]:
        """The messages of a stream; None: until it ends. Stop when it fails."""
        import grpc

        try:
            yield from method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _stop(error, timeout_s) from error

    def print_json(self, value: object) -> None:
        """One JSON document."""
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def as_dict(message: Message) -> dict[str, Any]:
    """A message in protobuf's JSON mapping with the contract's field names, unset scalars included, so that a script
    finds every key. No identity in clear."""
    from google.protobuf.json_format import MessageToDict

    value: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _without_identities(value)
    return value


def request_id() -> str:
    """A new id for one act."""
    return str(uuid.uuid4())


_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


def before_the_verb(group: Callable[..., None]) -> Callable[..., None]:
    """The same options in front of the verb, where they count unless the verb is given them too."""

    @_json
    @click.option(
        "--socket-dir",
        type=_FOLDER,
        help=f"Where the agent's doors are.  [env var: LANE_SOCKET_DIR; default: {SOCKET_DIR}]",
    )
    @click.option("--door", type=click.Choice(DOORS), help="Door to go through.")
    @functools.wraps(group)
    def command(**given: Any) -> None:  # noqa: ANN401 - values of the options by name
        click.get_current_context().obj = {name: value for name, value in given.items() if value}
        group()

    return command


def options(door: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options every verb has; the verb gets an `Agent` at this door, unless another is asked for."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @_json
        @click.option(
            "--socket-dir",
            type=_FOLDER,
            envvar="LANE_SOCKET_DIR",
            default=Path(SOCKET_DIR),
            show_default=True,
            show_envvar=True,
            help="Where the agent's doors are.",
        )
        @click.option("--door", type=click.Choice(DOORS), default=door, show_default=True, help="Door to go through.")
        @functools.wraps(verb)
        def command(**arguments: Any) -> None:  # noqa: ANN401
            context = click.get_current_context()
            after = {name: arguments.pop(name) for name in ("as_json", "socket_dir", "door")}
            before = {
                name: value
                for name, value in (context.obj or {}).items()
                if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE
            }
            where = after | before
            try:
                verb(Agent(**where), **arguments)
            except Stop as stop:
                stop.as_json = where["as_json"]
                raise

        return command

    return decorate


def _without_identities(value: dict[str, Any]) -> None:
    for conveyance in (*value.get("conveyances", ()), value.get("live") or {}):
        conveyance.pop("identities", None)


def _probe(path: Path, door: str) -> None:
    """Whether somebody listens: the kernel says more exactly than gRPC what is wrong."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CALL_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            hint = (
                "is it running? systemctl status lane-agent; "
                "if its api.socket_dir is another: --socket-dir or LANE_SOCKET_DIR"
            )
            raise Stop(Exit.UNREACHABLE, f"no agent: {path} does not exist", hint, "AGENT_ABSENT") from None
        except PermissionError:
            hint = f"{_group_hint(path)}; or use another door with --door"
            message = f"permission denied at the {door} door, {path}"
            raise Stop(Exit.UNREACHABLE, message, hint, "DOOR_DENIED") from None
        except OSError as error:
            hint = "the agent has ended without tidying up: systemctl status lane-agent"
            message = f"nobody answers at {path}: {error.strerror or error}"
            raise Stop(Exit.UNREACHABLE, message, hint, "AGENT_DOWN") from None


def _group_hint(path: Path) -> str:
    """The first thing on the way that this user may not pass, and the group that may."""
    import grp

    for place in (path.parent, path):
        need = os.X_OK if place == path.parent else os.R_OK | os.W_OK
        if os.access(place, need):
            continue
        try:
            gid = place.stat().st_gid
        except OSError:
            break
        try:
            group = grp.getgrgid(gid).gr_name
        except KeyError:
            group = str(gid)
        return f"join group {group}, which may open {place}: sudo usermod -aG {group} $USER, then log in again"
    return "ask for the group that may open it"


def _stop(error: grpc.RpcError, timeout_s: float | None) -> Stop:
    """A failed call as the exit code and words it stands for."""
    import grpc
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    call: Any = error
    code: grpc.StatusCode = call.code()
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(call)
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
    exits = {
        grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
        grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNREACHABLE,
    }
    if info.reason:
        return Stop(exits.get(code, Exit.REFUSED), call.details(), info.metadata.get("hint", ""), info.reason)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        hint = "it runs but is stuck or overloaded: journalctl -u lane-agent"
        return Stop(Exit.UNREACHABLE, f"the agent has not answered for {timeout_s:g} s", hint, "AGENT_STUCK")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        hint = "it is of another version: use the lanectl of /opt/lane-edge-agent/venv, or restart lane-agent"
        return Stop(Exit.UNREACHABLE, "the agent does not know this call", hint, "AGENT_OTHER_VERSION")
    hint = "it has stopped or is stopping: systemctl status lane-agent"
    return Stop(Exit.UNREACHABLE, f"the agent broke off: {code.name}: {call.details()}", hint, "AGENT_GONE")
