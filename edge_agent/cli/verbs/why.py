"""`lanectl why`."""

import sys

import click

from edge_agent.cli.agent import Agent, as_dict, options


@click.command("why")
@options(door="technician")
def command(agent: Agent) -> None:
    """What keeps the lane red, most important first: since when, by whom, and what to do next. Exit code as status."""
    lane_stub = agent.lane
    from edge_agent.cli.times import since
    from edge_agent.cli.words import exit_of_lane, sign, signal
    from securecorridor.lane.v1.lane_service_pb2 import GetLaneRequest

    lane = agent.call(lane_stub.GetLane, GetLaneRequest()).lane
    if agent.as_json:
        whole = as_dict(lane)
        kept = {key: whole.get(key) for key in ("name", "at", "mode", "signal", "red_causes")}
        kept |= {"sign": whole["sign"]} if "sign" in whole else {}
        agent.print_json(kept | {"green": not lane.red_causes})
        sys.exit(exit_of_lane(lane))
    click.echo(f"{lane.name}: {signal(lane)}")
    if lane.HasField("sign"):
        click.echo(f"message sign: {sign(lane.sign)}")
    if not lane.red_causes:
        click.echo(f"green is for {lane.signal.granted_to or 'nobody'}; nothing keeps the lane red")
    for number, cause in enumerate(lane.red_causes, 1):
        by = f", by {cause.by}" if cause.by else ""
        click.echo(f"{number:>2}. {cause.text} [{cause.code}]")
        click.echo(f"    since {since(cause.since, lane.at)}{by}")
        if cause.hint:
            click.echo(f"    -> {cause.hint}")
    sys.exit(exit_of_lane(lane))
