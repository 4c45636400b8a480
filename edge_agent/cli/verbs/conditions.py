"""`lanectl conditions`."""

import sys

import click

from edge_agent.cli.agent import Agent, as_dict, options


@click.command("conditions")
@options(door="technician")
def command(agent: Agent) -> None:
    """Conditions in force, worst first, each with what to do next. The exit code is the worst one's."""
    stub = agent.diagnostics
    from edge_agent.cli.times import ago
    from edge_agent.cli.words import exit_of, named, word
    from securecorridor.lane.v1 import types_pb2 as pb
    from securecorridor.lane.v1.diagnostics_service_pb2 import ListConditionsRequest

    answer = agent.call(stub.ListConditions, ListConditionsRequest())
    if agent.as_json:
        agent.print_json(as_dict(answer))
        sys.exit(exit_of(answer.conditions))
    if not answer.conditions:
        click.echo("all is well")
    for condition in answer.conditions:
        title = named(condition.device, condition.title)
        click.echo(f"{word(pb.Severity, condition.severity):<8}{condition.code}: {title}")
        click.echo(f"        since {ago(condition.since.time)}")
        if condition.hint:
            click.echo(f"        -> {condition.hint}")
    sys.exit(exit_of(answer.conditions))
