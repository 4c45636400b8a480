"""`lanectl show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_agent.cli.agent import Agent, as_dict, options

if TYPE_CHECKING:
    from securecorridor.lane.v1.lane_service_pb2 import GetPassageResponse


@click.command("show")
@click.argument("passage", metavar="ID")
@options(door="technician")
def command(agent: Agent, passage: str) -> None:
    """One passage by bundle or conveyance id or its beginning (6 characters or more): times, identity legs, decisions,
    signals, flags. Identities are shown as tokens, never in clear."""
    stub = agent.lane
    from edge_agent.cli import passage_text
    from securecorridor.lane.v1.lane_service_pb2 import GetPassageRequest

    answer = agent.call(stub.GetPassage, GetPassageRequest(id=passage))
    if agent.as_json:
        agent.print_json(_json(answer))
        return
    if answer.HasField("live"):
        click.echo(passage_text.live(answer.live))
        return
    click.echo(passage_text.summary(answer.passage))
    if not answer.bundle:
        click.echo("the lane no longer holds the record; central has it")
        return
    click.echo(passage_text.bundle(answer.bundle))


def _json(answer: GetPassageResponse) -> dict[str, object]:
    from edge_agent.cli.passage_text import parse

    whole = as_dict(answer)
    return {
        "passage": whole.get("passage"),
        "live": whole.get("live"),
        "bundle": as_dict(parse(answer.bundle)) if answer.bundle else None,
    }
