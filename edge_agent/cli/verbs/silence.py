"""`lanectl silence`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("silence")
@click.option("--reason", default="", help="Why; goes into the record.")
@acts.officer(required=False)
@options(door="technician")
def command(agent: Agent, reason: str, officer: str) -> None:
    """End tone and beacon of the violations up to now; the next one is told again. The beacon of a latched fault stays
    lit until the fault is cleared."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    request = pb.SilenceAlarmsRequest(request_id=request_id(), officer=officer, reason=reason)
    acts.act(agent, stub.SilenceAlarms, request)
