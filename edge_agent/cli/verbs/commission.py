"""`lanectl commission`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, as_dict, options, request_id
from edge_agent.cli.exits import Exit, Stop


@click.command("commission")
@acts.reason
@acts.officer(required=True)
@acts.lane_empty
@options(door="technician")
def command(agent: Agent, reason: str, officer: str, lane_empty: bool) -> None:
    """The kill test. Shows GREEN, stops writing to the module and measures how long it takes to turn red by itself. The
    lane must be closed, empty and closed off, and somebody must stand there and see it. Passed, it stays on record for
    this module, its firmware and its profile; without it the lane does not go REMOTE on real hardware."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    acts.ask_at_lane(agent, lane_empty)
    request = pb.CommissionHeadRequest(request_id=request_id(), officer=officer, reason=reason, lane_empty=True)
    response = agent.call(stub.CommissionHead, request, acts.TEST_TIMEOUT_S)
    if agent.as_json:
        agent.print_json(as_dict(response))
    elif response.HasField("red_after"):
        click.echo(f"red {response.red_after.ToMilliseconds()} ms after the last write, seen by {response.sign}")
    if not response.passed or response.why:
        hint = "do not use this module for green until it passes: see the runbook, HEAD_NOT_COMMISSIONED"
        outcome = "passed, but does not count" if response.passed else "was not passed"
        raise Stop(Exit.ALARM, f"the kill test {outcome}: {response.why}", hint, "KILL_TEST_FAILED")
    if not agent.as_json:
        click.echo("passed and on record")
