"""`lanectl show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from edge_agent.cli.agent import Agent, as_dict, options
from edge_agent.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from securecorridor.lane.v1.lane_service_pb2 import GetPassageResponse, Passage

_LOOKED_AT: Final = 500
"""Newest passages among which a beginning that the agent does not know is looked for; one page."""
_CANDIDATES: Final = 10
_NUMBER_MAX: Final = 15
"""Digits of the longest passage number."""


@click.command("show")
@click.argument("passage", metavar="ID")
@options(door="technician")
def command(agent: Agent, passage: str) -> None:
    """One passage: times, identity legs, decisions, signals, flags. ID is its number as `lanectl passages` shows it, or
    a bundle or conveyance id or the beginning of one (6 characters or more). Identities are shown as tokens, never in
    clear."""
    answer = _find(agent, passage)
    from edge_agent.cli import passage_text

    if agent.as_json:
        agent.print_json(_json(answer))
        return
    if answer.HasField("live"):
        click.echo(passage_text.live(answer.live))
        return
    click.echo(passage_text.summary(answer.passage))
    if not answer.bundle:
        click.echo("the lane no longer holds the record; central has it")
        return
    click.echo(passage_text.bundle(answer.bundle))


def _find(agent: Agent, name: str) -> GetPassageResponse:
    """The passage of a number, or of an id or a beginning that only it has. Stop NOT_FOUND."""
    stub = agent.lane
    from securecorridor.lane.v1.lane_service_pb2 import GetPassageRequest

    # No id begins with 1 to 9: the first digits of a UUIDv7 are its time, 0 for some centuries to come.
    if name.isdecimal() and not name.startswith("0") and len(name) <= _NUMBER_MAX:
        seq = int(name)
        found = [passage for passage in _sealed(agent, seq + 1, 1) if passage.seq == seq]
        if not found:
            hint = "the passages that the lane still has: lanectl passages"
            raise Stop(Exit.NOT_FOUND, f"no passage has number {seq}", hint, "PASSAGE_NOT_FOUND")
        return agent.call(stub.GetPassage, GetPassageRequest(id=found[0].bundle_id))
    try:
        return agent.call(stub.GetPassage, GetPassageRequest(id=name))
    except Stop as stop:
        if stop.code != "PASSAGE_NOT_FOUND":
            raise
    return agent.call(stub.GetPassage, GetPassageRequest(id=_only_one(agent, name)))


def _only_one(agent: Agent, name: str) -> str:
    """The id of the only passage that this begins. Stop NOT_FOUND says whether it is none or several, and which."""
    from edge_agent.cli.acts import read_lane

    sealed = _sealed(agent, 0, _LOOKED_AT)
    live = [c for c in read_lane(agent).conveyances if c.conveyance_id.startswith(name) or c.bundle_id.startswith(name)]
    found = [p for p in sealed if p.bundle_id.startswith(name) or p.conveyance_id.startswith(name)]
    ids = [c.conveyance_id for c in live] + [p.bundle_id for p in found]
    if len(ids) == 1:
        return ids[0]
    shown = [f"{c.conveyance_id} (in the lane)" for c in live] + [f"{p.seq} {p.bundle_id}" for p in found or sealed]
    more = f" and {len(shown) - _CANDIDATES} more" if len(shown) > _CANDIDATES else ""
    hint = f"{'they are' if ids else 'the newest are'}: {', '.join(shown[:_CANDIDATES]) or 'none'}{more}"
    message = f"several passages begin with {name}" if ids else f"no passage begins with {name}"
    raise Stop(Exit.NOT_FOUND, message, f"{hint}; a number is enough: lanectl show 3", "PASSAGE_NOT_FOUND")


def _sealed(agent: Agent, below: int, count: int) -> list[Passage]:
    """Sealed passages, newest first, with numbers below this one (0: all)."""
    stub = agent.lane
    from securecorridor.lane.v1.lane_service_pb2 import ListPassagesRequest

    request = ListPassagesRequest(page_size=count, page_token=str(below) if below else "")
    return list(agent.call(stub.ListPassages, request).passages)


def _json(answer: GetPassageResponse) -> dict[str, object]:
    from edge_agent.cli.passage_text import parse

    whole = as_dict(answer)
    return {
        "passage": whole.get("passage"),
        "live": whole.get("live"),
        "bundle": as_dict(parse(answer.bundle)) if answer.bundle else None,
    }
