"""`lanectl passages`."""

import click

from edge_agent.cli.agent import Agent, as_dict, options


@click.command("passages")
@click.option("-n", "--count", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--page-token", default="", help="From next_page_token of an earlier --json answer.")
@options(door="technician")
def command(agent: Agent, count: int, page_token: str) -> None:
    """Sealed passages, newest first."""
    stub = agent.lane
    from edge_agent.cli.times import in_seconds, length, local
    from edge_agent.cli.words import word
    from securecorridor.lane.v1 import types_pb2 as pb
    from securecorridor.lane.v1.lane_service_pb2 import ListPassagesRequest

    request = ListPassagesRequest(page_size=count, page_token=page_token)
    answer = agent.call(stub.ListPassages, request)
    if agent.as_json:
        agent.print_json(as_dict(answer))
        return
    if not answer.passages:
        click.echo("no passage yet")
        return
    from rich.table import Table

    titles = (
        *("seq", "sealed", "outcome", "rolled", "transit", "first request to decision", "decision to green"),
        *("central", "bundle", "flags"),
    )
    table = Table(*titles, box=None, pad_edge=False)
    for passage in answer.passages:
        times = [
            length(in_seconds(getattr(passage, field))) if passage.HasField(field) else "-"
            for field in ("transit", "decision_latency", "green_latency")
        ]
        table.add_row(
            str(passage.seq),
            local(passage.seal_time),
            word(pb.Outcome, passage.outcome),
            "yes" if passage.released_without_stopping else "no",
            *times,
            "has it" if passage.delivered else "waiting",
            passage.bundle_id,
            ", ".join(passage.flags),
        )
    agent.console.print(table)
    if answer.next_page_token:
        click.echo(f"more: lanectl passages --page-token {answer.next_page_token}")
