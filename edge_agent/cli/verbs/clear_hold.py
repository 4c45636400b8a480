"""`lanectl clear-hold`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("clear-hold")
@click.option("--conveyance", metavar="ID", default="", help="The hold of this one and not the lane's.")
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="officer")
def command(agent: Agent, conveyance: str, reason: str, officer: str, yes: bool) -> None:
    """End a hold. Nothing turns green by it; decisions that are still live take effect again."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    with acts.control(agent, officer, reason):
        lane = acts.read_lane(agent)
        found = acts.find(lane, conveyance, by_place=not yes) if conveyance else None
        hold = found.hold if found is not None else lane.hold
        shown = f"hold by {hold.officer or '-'}: {hold.reason or 'no reason given'}"
        if found is not None:
            shown = f"{acts.describe(lane, found)}\n{shown}"
        acts.ask(agent, shown, "Clear this hold? Live decisions take effect again.", yes)
        conveyance_id = found.conveyance_id if found is not None else ""
        request = pb.ClearHoldRequest(
            request_id=request_id(), officer=officer, reason=reason, conveyance_id=conveyance_id, etag=hold.etag
        )
        acts.act(agent, stub.ClearHold, request)
