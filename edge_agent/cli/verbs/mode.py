"""`lanectl mode`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id
from edge_agent.cli.exits import Stop
from edge_agent.model.lane import LaneMode

MODES = tuple(mode.value for mode in LaneMode if mode is not LaneMode.FAULT)


@click.command("mode")
@click.argument("mode", type=click.Choice(MODES))
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="With maintenance: how long.")
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="officer")
def command(agent: Agent, mode: str, minutes: float | None, reason: str, officer: str, yes: bool) -> None:
    """Change the lane's mode. A technician may close it, and work at a closed one in mode maintenance, which ends by
    itself and leaves the lane closed: --door technician."""
    try:
        _change(agent, mode, minutes, reason, officer, yes)
    except Stop as stop:
        # Whether a mode lets more vehicles pass than the one before, and so needs control, is the agent's to say.
        if stop.code != "CONTROL_REQUIRED":
            raise
        with acts.control(agent, officer, reason):
            _change(agent, mode, minutes, reason, officer, yes=True)


def _change(agent: Agent, mode: str, minutes: float | None, reason: str, officer: str, yes: bool) -> None:
    stub = agent.lane
    from edge_agent.cli.words import signal, word
    from securecorridor.lane.v1 import lane_service_pb2 as pb
    from securecorridor.lane.v1 import types_pb2

    lane = acts.read_lane(agent)
    now = word(types_pb2.LaneMode, lane.mode)
    shown = f"{lane.name}: mode {now}, {len(lane.conveyances)} conveyances, {signal(lane)}"
    acts.ask(agent, shown, f"Change the mode from {now} to {mode}?", yes)
    request = pb.SetLaneModeRequest(
        request_id=request_id(),
        officer=officer,
        reason=reason,
        mode=types_pb2.LaneMode.Value(f"LANE_MODE_{mode.upper()}"),
    )
    if minutes is not None:
        request.duration.FromMilliseconds(round(minutes * 60_000))
    acts.act(agent, stub.SetLaneMode, request)
