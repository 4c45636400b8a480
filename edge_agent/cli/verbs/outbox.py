"""`lanectl outbox`."""

import sys

import click

from edge_agent.cli.agent import Agent, as_dict, options
from edge_agent.cli.exits import Exit


@click.command("outbox")
@options(door="technician")
def command(agent: Agent) -> None:
    """Records waiting for central, by class. Exit code 1 when central is away or has refused records."""
    stub = agent.diagnostics
    from edge_agent.cli.times import ago, in_seconds, length
    from securecorridor.lane.v1.diagnostics_service_pb2 import GetOutboxRequest

    answer = agent.call(stub.GetOutbox, GetOutboxRequest())
    troubled = not answer.connected or any(waiting.quarantined for waiting in answer.classes)
    if agent.as_json:
        agent.print_json(as_dict(answer))
        sys.exit(Exit.DEGRADED if troubled else Exit.OK)
    since = f", since {ago(answer.connected_since.time)}" if answer.HasField("connected_since") else ""
    click.echo(f"central is {'connected' if answer.connected else 'AWAY'}{since}; epoch {answer.epoch}")
    head = answer.chain_head.hex()[:16]
    click.echo(f"chain of {answer.chain_length} bundles, head {head}...; store {answer.store_bytes / 1e6:.1f} MB")
    from rich.table import Table

    titles = ("class", "waiting", "kB", "oldest", "last seq", "central has", "refused")
    table = Table(*titles, box=None, pad_edge=False)
    for waiting in answer.classes:
        oldest = length(in_seconds(waiting.oldest_age)) if waiting.HasField("oldest_age") else "-"
        numbers = (waiting.last_seq, waiting.watermark, waiting.quarantined)
        size = f"{waiting.bytes / 1000:.1f}"
        table.add_row(waiting.record_class, str(waiting.records), size, oldest, *(str(number) for number in numbers))
    agent.console.print(table)
    sys.exit(Exit.DEGRADED if troubled else Exit.OK)
