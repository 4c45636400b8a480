"""`lanectl release`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id


@click.command("release")
@click.argument("conveyance")
@click.option("--lease", type=click.FloatRange(min=0, min_open=True, max=3600), help="Seconds of green permitted.")
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="officer")
def command(agent: Agent, conveyance: str, lease: float | None, reason: str, officer: str, yes: bool) -> None:
    """Release CONVEYANCE (id, its beginning, or its place when asked): a lease for green, limited in time. It cannot
    overrule the interlock, and fails if the vehicle is no longer what was shown."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb

    longest = min(acts.CONTROL_MAX_S, max(acts.CONTROL_S, (lease or 0.0) + acts.AFTER_S))
    with acts.control(agent, officer, reason, longest):
        lane = acts.read_lane(agent)
        found = acts.find(lane, conveyance, by_place=not yes)
        for_s = f"for at most {lease:g} s" if lease else "for as long as the lane's policy allows"
        acts.ask(agent, acts.describe(lane, found), f"Release it, {for_s}?", yes)
        request = pb.ReleaseConveyanceRequest(
            request_id=request_id(),
            officer=officer,
            reason=reason,
            conveyance_id=found.conveyance_id,
            etag=found.etag,
            identity_digest=found.identity_digest,
        )
        if lease:
            request.lease.FromMicroseconds(round(lease * 1e6))
        acts.act(agent, stub.ReleaseConveyance, request)
