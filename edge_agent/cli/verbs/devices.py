"""`lanectl devices`."""

import sys

import click

from edge_agent.cli.agent import Agent, as_dict, options
from edge_agent.cli.exits import Exit


@click.command("devices")
@options(door="technician")
def command(agent: Agent) -> None:
    """Every device with its last sign of life. Exit code 1 when one is down."""
    stub = agent.diagnostics
    from edge_agent.cli.times import ago, in_seconds, length
    from edge_agent.cli.words import named
    from securecorridor.lane.v1.diagnostics_service_pb2 import ListDevicesRequest

    answer = agent.call(stub.ListDevices, ListDevicesRequest())
    down = [device for device in answer.devices if not device.up]
    if agent.as_json:
        agent.print_json(as_dict(answer))
        sys.exit(Exit.DEGRADED if down else Exit.OK)
    from rich.table import Table

    titles = (
        "device",
        "kind",
        "state",
        "since",
        "last seen",
        "model",
        "firmware",
        "number",
        "profile",
        "sessions",
        "counters",
    )
    table = Table(*titles, box=None, pad_edge=False)
    for device in answer.devices:
        state = "up" if device.up else "DOWN, required" if device.required else "DOWN"
        counters = " ".join(f"{name}={device.counters[name]:g}" for name in sorted(device.counters))
        seen = f"{length(in_seconds(device.last_seen_age))} ago" if device.HasField("last_seen_age") else "-"
        table.add_row(
            device.device,
            device.kind,
            state,
            ago(device.since.time) if device.HasField("since") else "-",
            seen,
            device.model,
            device.firmware,
            f"{device.serial_number} ({device.identity})" if device.identity else device.serial_number,
            device.profile,
            str(device.sessions),
            counters,
        )
    agent.console.print(table)
    for device in down:
        code = f" [{device.fault_code}]" if device.fault_code else ""
        click.echo(f"{named(device.device, device.fault_text or 'has not answered yet')}{code}")
        if device.fault_hint:
            click.echo(f"  -> {device.fault_hint}")
    sys.exit(Exit.DEGRADED if down else Exit.OK)
