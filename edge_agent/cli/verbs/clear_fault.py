"""`lanectl clear-fault`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("clear-fault")
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="technician")
def command(agent: Agent, reason: str, officer: str, yes: bool) -> None:
    """Clear a latched signal fault, after a passed `lanectl signal-test`. The lane stays closed until an officer opens
    it."""
    stub = agent.lane
    from edge_agent.cli.words import signal
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    lane = acts.read_lane(agent)
    shown = f"{lane.name}: {signal(lane)}, fault {lane.signal.fault or 'none'}"
    acts.ask(agent, shown, "Has the cause been found and mended, and may the fault be cleared?", yes)
    request = pb.ClearSignalFaultRequest(request_id=request_id(), officer=officer, reason=reason)
    acts.act(agent, stub.ClearSignalFault, request)
