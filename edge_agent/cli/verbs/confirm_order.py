"""`lanectl confirm-order`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("confirm-order")
@click.argument("conveyances", nargs=-1, metavar="[CONVEYANCE]...")
@click.option("--empty", is_flag=True, help="Nobody stands in the corridor.")
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="officer")
def command(agent: Agent, conveyances: tuple[str, ...], empty: bool, reason: str, officer: str, yes: bool) -> None:
    """State which CONVEYANCEs stand in the corridor, from the stop line upstream, after a look on camera. Restores
    rolling operation when the order was unknown; vehicles of the lane that are not named are taken as gone."""
    if empty == bool(conveyances):
        raise click.UsageError("name the conveyances from the stop line upstream, or say --empty")
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    with acts.control(agent, officer, reason):
        lane = acts.read_lane(agent)
        named = [acts.find(lane, name, by_place=not yes) for name in conveyances]
        shown = "\n\n".join(acts.describe(lane, one) for one in named) or "the corridor is empty"
        forgotten = [c.conveyance_id for c in lane.conveyances if c.order and c not in named]
        if forgotten:
            shown += f"\n\nnot named, so taken as gone: {', '.join(forgotten)}"
        acts.ask(agent, shown, "Is this what you see on camera, from the stop line upstream, and nothing else?", yes)
        request = pb.ConfirmCorridorOrderRequest(
            request_id=request_id(),
            officer=officer,
            reason=reason,
            etag=lane.etag,
            conveyance_ids=[one.conveyance_id for one in named],
        )
        acts.act(agent, stub.ConfirmCorridorOrder, request)
