"""`lanectl tail`."""

import json
import sys

import click

from edge_agent.cli.agent import CALL_TIMEOUT_S, Agent, as_dict, options


@click.command("tail")
@click.option("-f", "--follow", is_flag=True, help="Go on with each event as it happens, until Ctrl-C.")
@click.option("-n", "--backlog", type=click.IntRange(0, 1000), default=20, show_default=True, help="Past events shown.")
@options(door="technician")
def command(agent: Agent, follow: bool, backlog: int) -> None:
    """What happened in the lane, oldest first. With --json one object a line."""
    stub = agent.diagnostics
    from edge_agent.cli.times import local
    from edge_agent.cli.words import word
    from securecorridor.lane.v1 import types_pb2 as pb
    from securecorridor.lane.v1.diagnostics_service_pb2 import TailEventsRequest

    request = TailEventsRequest(backlog=backlog, follow=follow)
    try:
        for message in agent.stream(stub.TailEvents, request, None if follow else CALL_TIMEOUT_S):
            event = message.event
            if agent.as_json:
                click.echo(json.dumps(as_dict(event)))
            else:
                facts = " ".join(f"{name}={event.facts[name]}" for name in sorted(event.facts))
                where = f"{event.conveyance_id} " if event.conveyance_id else ""
                severity = word(pb.Severity, event.severity)
                click.echo(f"{local(event.at.time, millis=True)} {severity:<8}{event.code:<24}{where}{facts}")
            sys.stdout.flush()
    except KeyboardInterrupt:
        # How a person ends it; not a failure.
        return
