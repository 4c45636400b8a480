"""`lanectl give-control`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("give-control")
@acts.reason
@acts.officer(required=True)
@options(door="officer")
def command(agent: Agent, reason: str, officer: str) -> None:
    """Give control of the lane back: nobody has it then, and no officer's release is live any more."""
    stub = agent.lane
    from securecorridor.lane.v1 import control_pb2 as control_pb

    request = control_pb.GiveControlRequest(request_id=request_id(), officer=officer, reason=reason)
    acts.act(agent, stub.GiveControl, request)
