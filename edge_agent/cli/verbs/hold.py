"""`lanectl hold`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("hold")
@click.option("--conveyance", metavar="ID", default="", help="Hold this one (id or its beginning) and not the lane.")
@click.option("--reason", default="", help="Why; goes into the record as typed: no names, plates or card numbers.")
@acts.officer(required=False)
@options(door="technician")
def command(agent: Agent, conveyance: str, reason: str, officer: str) -> None:
    """Red at once, for the lane or for one conveyance. Never asks."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    if not conveyance:
        acts.act(agent, stub.HoldLane, pb.HoldLaneRequest(request_id=request_id(), officer=officer, reason=reason))
        return
    found = acts.find(acts.read_lane(agent), conveyance, by_place=False)
    request = pb.HoldConveyanceRequest(
        request_id=request_id(), officer=officer, reason=reason, conveyance_id=found.conveyance_id
    )
    acts.act(agent, stub.HoldConveyance, request)
