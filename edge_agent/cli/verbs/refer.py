"""`lanectl refer`."""

import click

from edge_agent.cli import acts
from edge_agent.cli.agent import Agent, options, request_id
from edge_agent.model.decision import ReferralReason

CLASSES = tuple(reason.value for reason in ReferralReason if reason is not ReferralReason.UNSPECIFIED)


@click.command("refer")
@click.argument("conveyance")
@click.option("--for", "referral", type=click.Choice(CLASSES), required=True, help="Class of the referral.")
@acts.reason
@acts.officer(required=True)
@acts.yes
@options(door="officer")
def command(agent: Agent, conveyance: str, referral: str, reason: str, officer: str, yes: bool) -> None:
    """Send CONVEYANCE (id, its beginning, or its place when asked) to secondary. Fails if the vehicle is no longer what
    was shown."""
    stub = agent.lane
    from securecorridor.lane.v1 import lane_service_pb2 as pb
    from securecorridor.lane.v1 import types_pb2

    with acts.control(agent, officer, reason):
        lane = acts.read_lane(agent)
        found = acts.find(lane, conveyance, by_place=not yes)
        acts.ask(agent, acts.describe(lane, found), f"Send it to secondary for {referral}?", yes)
        request = pb.ReferConveyanceRequest(
            request_id=request_id(),
            officer=officer,
            reason=reason,
            conveyance_id=found.conveyance_id,
            etag=found.etag,
            identity_digest=found.identity_digest,
            referral_reason=types_pb2.ReferralReason.Value(f"REFERRAL_REASON_{referral.upper()}"),
        )
        acts.act(agent, stub.ReferConveyance, request)
