"""`lanectl capture`: captures of what passes a device's link, in maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, as_dict, options, request_id
from edge_agent.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from securecorridor.lane.v1.capture_service_pb2 import Capture

_why = click.option("--reason", required=True, help="Why; goes into the record.")


@click.group("capture")
def command() -> None:
    """Capture what passes a device's link, encrypted, to find a fault of reader or module elsewhere (lanectl replay).

    Captures hold identities: they are made in mode maintenance only, end by themselves, cannot be read at the lane,
    and who made them is on record."""


@command.command("start")
@click.argument("device")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="How long; the longest allowed if absent.")
@_why
@acts.officer(required=False)
@options(door="technician")
def start(agent: Agent, device: str, minutes: float | None, reason: str, officer: str) -> None:
    """Begin a capture of DEVICE. Its session begins anew, so that the capture holds a whole one."""
    stub = agent.captures
    from securecorridor.lane.v1 import capture_service_pb2 as pb

    request = pb.StartCaptureRequest(request_id=request_id(), officer=officer, reason=reason, device=device)
    if minutes is not None:
        request.duration.FromMilliseconds(round(minutes * 60_000))
    answer = agent.call(stub.StartCapture, request)
    if agent.as_json:
        agent.print_json(as_dict(answer))
        return
    click.echo(answer.outcome.message)
    if answer.HasField("capture"):
        click.echo(f"file: {answer.capture.path}, sealed to {answer.capture.key_id}")


@command.command("stop")
@click.argument("capture", default="")
@_why
@acts.officer(required=False)
@options(door="technician")
def stop(agent: Agent, capture: str, reason: str, officer: str) -> None:
    """End a capture: CAPTURE is its name, a beginning of it, or its device; not needed when only one runs."""
    stub = agent.captures
    from securecorridor.lane.v1 import capture_service_pb2 as pb

    running = [each for each in _all(agent) if each.running]
    if not running:
        raise Stop(Exit.NOT_FOUND, "no capture is running", "see lanectl capture list", "CAPTURE_NOT_FOUND")
    found = running[0] if not capture and len(running) == 1 else _find(capture, running)
    request = pb.StopCaptureRequest(request_id=request_id(), officer=officer, reason=reason, capture=found.capture)
    acts.act(agent, stub.StopCapture, request)


@command.command("list")
@options(door="technician")
def list_(agent: Agent) -> None:
    """Captures at the lane, newest first."""
    captures = _all(agent)
    if agent.as_json:
        agent.print_json({"captures": [as_dict(each) for each in captures]})
        return
    if not captures:
        click.echo("no capture at the lane")
        return
    from rich.table import Table

    from edge_agent.cli.times import ago, in_seconds, length

    table = Table("capture", "device", "kind", "begun", "bytes", "state", "sealed to", "file", box=None, pad_edge=False)
    for each in captures:
        state = f"runs, {length(in_seconds(each.left))} left" if each.running else "ended"
        begun = ago(each.started.time) if each.HasField("started") else "-"
        table.add_row(each.capture, each.device, each.kind, begun, str(each.bytes), state, each.key_id, each.path)
    agent.console.print(table)


@command.command("delete")
@click.argument("capture")
@_why
@acts.officer(required=False)
@acts.yes
@options(door="technician")
def delete(agent: Agent, capture: str, reason: str, officer: str, yes: bool) -> None:
    """Delete a capture from the lane: CAPTURE is its name or a beginning of it."""
    stub = agent.captures
    from securecorridor.lane.v1 import capture_service_pb2 as pb

    found = _find(capture, _all(agent))
    acts.ask(agent, f"{found.capture}: {found.device}, {found.bytes} bytes", "Delete this capture?", yes)
    request = pb.DeleteCaptureRequest(request_id=request_id(), officer=officer, reason=reason, capture=found.capture)
    acts.act(agent, stub.DeleteCapture, request)


def _all(agent: Agent) -> list[Capture]:
    stub = agent.captures
    from securecorridor.lane.v1 import capture_service_pb2 as pb

    return list(agent.call(stub.ListCaptures, pb.ListCapturesRequest()).captures)


def _find(name: str, captures: list[Capture]) -> Capture:
    """The one that is meant: by its name, a beginning of 6 characters or more, or its device. Stop NOT_FOUND."""
    fitting = [
        each for each in captures if each.device == name or (len(name) >= acts.ID_MIN and each.capture.startswith(name))
    ]
    if len(fitting) == 1:
        return fitting[0]
    what = "several captures fit" if fitting else "no capture fits"
    raise Stop(Exit.NOT_FOUND, f"{what} {name!r}", "see lanectl capture list", "CAPTURE_NOT_FOUND")
