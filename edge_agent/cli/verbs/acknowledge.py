"""`lanectl acknowledge`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id
from edge_agent.cli.exits import Exit, Stop


@click.command("acknowledge")
@click.argument("condition", metavar="CODE")
@click.option("--reason", default="", help="What was done about it; goes into the record.")
@acts.officer(required=False)
@options(door="technician")
def command(agent: Agent, condition: str, reason: str, officer: str) -> None:
    """Have it on record that somebody has seen the condition CODE (lanectl conditions). RECORD_QUARANTINED,
    STORE_QUARANTINED and CAPTURE_FAILED end by it; every other one ends when its cause does."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    raised = sorted({each.code for each in acts.read_lane(agent).conditions})
    if condition not in raised:
        hint = f"in force: {', '.join(raised) or 'none'}"
        raise Stop(Exit.NOT_FOUND, f"no condition {condition} is in force", hint, "CONDITION_NOT_FOUND")
    request = pb.AcknowledgeConditionRequest(
        request_id=request_id(), officer=officer, reason=reason, condition=condition
    )
    acts.act(agent, stub.AcknowledgeCondition, request)
