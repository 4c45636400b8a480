"""`lanectl take-control`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options


@click.command("take-control")
@click.option(
    "--seconds", type=click.FloatRange(2, acts.CONTROL_MAX_S), default=acts.CONTROL_S, show_default=True,
    help="How long it lasts; call again to prolong it.",
)  # fmt: skip
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="officer")
def command(agent: Agent, seconds: float, reason: str, officer: str, yes: bool) -> None:
    """Control the lane, also in place of the officer who does now, who is shown who took it and why. What can lead to
    green needs control; where nobody has it, the verbs take it by themselves."""
    lane = acts.read_lane(agent)
    shown = acts.controlled(lane)
    question = f"Take over from {lane.control.officer}?" if lane.control.officer else "Take control of the lane?"
    acts.ask(agent, f"{lane.name}: {shown}", question, yes)
    acts.tell(agent, acts.take_control(agent, officer, reason, lane.control.officer, seconds))
