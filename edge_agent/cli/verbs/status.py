"""`lanectl status`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from edge_agent.cli.agent import Agent, as_dict, options

if TYPE_CHECKING:
    from securecorridor.lane.v1.lane_service_pb2 import ConveyanceState, LaneState


@click.command("status")
@options(door="technician")
def command(agent: Agent) -> None:
    """The lane now: mode, signal, conveyances, conditions. The exit code is the worst condition's."""
    lane_stub = agent.lane
    from edge_agent.cli.words import exit_of_lane
    from securecorridor.lane.v1.lane_service_pb2 import GetLaneRequest

    lane = agent.call(lane_stub.GetLane, GetLaneRequest()).lane
    if agent.as_json:
        agent.print_json(as_dict(lane))
    else:
        _show(agent, lane)
    sys.exit(exit_of_lane(lane))


def _show(agent: Agent, lane: LaneState) -> None:
    from edge_agent.cli.acts import controlled
    from edge_agent.cli.times import since
    from edge_agent.cli.words import named, signal, word
    from securecorridor.lane.v1 import types_pb2 as pb

    now = lane.at
    order = "known" if lane.corridor_order_known else "UNKNOWN: no rolling green"
    lines = [
        ("lane", f"{lane.name}, agent {lane.agent_version}"),
        ("mode", word(pb.LaneMode, lane.mode)),
        ("signal", f"{signal(lane)}, since {since(lane.signal.confirmed_since, now)}"),
        ("order", f"{order}, since {since(lane.corridor_order_since, now)}"),
        ("centre", f"{'up' if lane.centre_up else 'DOWN'}, since {since(lane.centre_since, now)}"),
        ("console", "an officer is watching" if lane.console_present else "nobody is watching"),
        ("control", controlled(lane)),
        ("zones", ", ".join(f"{zone.zone} {word(zone.Level, zone.level)}" for zone in lane.zones) or "-"),
    ]
    lines[3:3] = _actuators(lane)
    lines.append(("sensors", f"{lane.presence.layout}{_standing(lane)}"))
    lines += [("blind" if not place else "", sentence) for place, sentence in enumerate(lane.presence.cannot_see)]
    if lane.HasField("hold"):
        may = ", ".join(lane.hold.may_clear)
        by = f"by {lane.hold.officer} since {since(lane.hold.since, now)}"
        lines.append(("HOLD", f"{by}: {lane.hold.reason or 'no reason given'} (may be cleared by: {may})"))
    if lane.HasField("maintenance"):
        lines.append(("WORK", _maintenance(lane)))
    for name, text in lines:
        click.echo(f"{name:<8}{text}")
    _conveyances(agent, lane)
    for condition in lane.conditions:
        severity = word(pb.Severity, condition.severity)
        click.echo(f"{severity:<8}{condition.code}: {named(condition.device, condition.title)}; {condition.hint}")
    if lane.red_causes:
        click.echo(f"red     {lane.red_causes[0].text} (more: lanectl why)")


def _actuators(lane: LaneState) -> Iterator[tuple[str, str]]:
    """What the lane has besides its head; nothing of what it has not."""
    from edge_agent.cli.times import since
    from edge_agent.cli.words import alarm, arm, sign

    if lane.HasField("arm"):
        yield "arm", f"{arm(lane.arm)}, since {since(lane.arm.position_since, lane.at)}"
    if lane.HasField("sign"):
        yield "sign", f"{sign(lane.sign)}, since {since(lane.sign.wanted_since, lane.at)}"
    if lane.HasField("beacon"):
        yield "beacon", f"{alarm(lane.beacon)}, since {since(lane.beacon.wanted_since, lane.at)}"
    if lane.HasField("tone"):
        yield "tone", f"{alarm(lane.tone)}, since {since(lane.tone.wanted_since, lane.at)}"


def _standing(lane: LaneState) -> str:
    why = lane.presence.standing_only
    return f"; nobody rolls: {why}" if why else ""


def _maintenance(lane: LaneState) -> str:
    from edge_agent.cli.times import in_seconds, length, since

    work = lane.maintenance
    captured = f"; captured: {', '.join(work.captured_devices)}" if work.captured_devices else ""
    left = length(in_seconds(work.left))
    why = work.reason or "no reason given"
    return f"maintenance by {work.officer} since {since(work.since, lane.at)}, {left} left: {why}{captured}"


def _conveyances(agent: Agent, lane: LaneState) -> None:
    from edge_agent.cli.words import decision, legs, word
    from securecorridor.lane.v1 import types_pb2 as pb

    if not lane.conveyances:
        click.echo("        no vehicle in the lane")
        return
    from rich.table import Table

    table = Table(
        "place", "conveyance", "phase", "legs", "decision", "nose from line", "km/h", "flags", box=None, pad_edge=False
    )
    for conveyance in lane.conveyances:
        place = str(conveyance.order) if conveyance.order else "past"
        nose = _nose(conveyance)
        flags = [*conveyance.flags, *(["HELD"] if conveyance.HasField("hold") else [])]
        table.add_row(
            f"{place}{' GREEN' if conveyance.green else ''}",
            conveyance.conveyance_id,
            word(pb.Phase, conveyance.phase),
            legs(conveyance),
            decision(conveyance),
            nose,
            f"{conveyance.speed_kmh:.0f}",
            ", ".join(flags),
        )
    agent.console.print(table)


def _nose(conveyance: ConveyanceState) -> str:
    """Where the nose can be, the end nearer to the stop line first; negative is before the line."""
    if not conveyance.position_earliest_m and not conveyance.position_latest_m:
        return "-"
    near, far = sorted((conveyance.position_earliest_m, conveyance.position_latest_m), key=abs)
    return f"{near:.0f}..{far:.0f} m"
