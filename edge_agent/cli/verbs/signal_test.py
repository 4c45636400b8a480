"""`lanectl signal-test`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, as_dict, options, request_id
from edge_agent.cli.exits import Exit, Stop


@click.command("signal-test")
@acts.reason
@acts.officer(required=True)
@acts.lane_empty
@options(door="technician")
def command(agent: Agent, reason: str, officer: str, lane_empty: bool) -> None:
    """Show each aspect of the head once, for about a second. GREEN TOO: the lane must be closed, empty and closed off,
    and somebody must stand there and see it. A passed test is what a latched signal fault needs to be cleared."""
    stub = agent.lane
    from edge_agent.cli.words import word
    from securecorridor.lane.v1 import lane_service_pb2 as pb
    from securecorridor.lane.v1 import types_pb2

    acts.ask_at_lane(agent, lane_empty)
    request = pb.TestSignalRequest(request_id=request_id(), officer=officer, reason=reason, lane_empty=True)
    response = agent.call(stub.TestSignal, request, acts.TEST_TIMEOUT_S)
    if agent.as_json:
        agent.print_json(as_dict(response))
    else:
        for step in response.steps:
            shown = f"{word(types_pb2.Aspect, step.shown)} ({word(types_pb2.Grade, step.grade)})"
            end = f"confirmed in {step.confirmed_after.ToMilliseconds()} ms" if step.passed else f"FAILED: {step.why}"
            click.echo(f"{word(types_pb2.Aspect, step.aspect):<6} shows {shown}, {end}")
        if response.passed:
            click.echo("passed; a latched signal fault may be cleared now: lanectl clear-fault")
    if not response.passed:
        hint = "mend the head (lamps, relays, feedback), then test again"
        raise Stop(Exit.ALARM, "the signal test was not passed", hint, "SIGNAL_TEST_FAILED")
