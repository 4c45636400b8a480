"""What the acting verbs share: who acts, on which conveyance, what it will do, how it went."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import click

from .agent import Agent, as_dict, request_id
from .exits import Exit, Stop

if TYPE_CHECKING:
    from securecorridor.lane.v1.lane_service_pb2 import ActOutcome, ConveyanceState, LaneState

ID_MIN: Final = 6
"""Characters of the beginning of an id that may stand for it."""

TEST_TIMEOUT_S: Final = 25.0
"""Longer than the agent's own bound on a test of the head (20 s)."""

CONTROL_S: Final = 60.0
CONTROL_MAX_S: Final = 150.0
AFTER_S: Final = 10.0
"""Control of the lane for a person at a terminal, who sends no heartbeats: usual, the agent's own bound, and how much
longer than a release."""

lane_empty = click.option(
    "--lane-empty", is_flag=True, help="I stand at the lane and see it empty and closed off. Asked for when absent."
)
reason = click.option(
    "--reason",
    required=True,
    help="Why; goes into the record as typed, at most 200 characters: no names, plates or card numbers.",
)
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def officer(required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--officer`. Where it is not required it defaults to the numeric user id: a name must never get into a record."""
    text = "Pseudonym of the person acting, never a name."
    if required:
        return click.option("--officer", envvar="LANE_OFFICER", show_envvar=True, help=text, required=True)
    text += "  [default: uid-<number>]"
    return click.option("--officer", envvar="LANE_OFFICER", show_envvar=True, help=text, default=_user)


def read_lane(agent: Agent) -> LaneState:
    """The lane now."""
    stub = agent.lane
    from securecorridor.lane.v1.lane_service_pb2 import GetLaneRequest

    return agent.call(stub.GetLane, GetLaneRequest()).lane


def find(lane: LaneState, name: str, by_place: bool) -> ConveyanceState:
    """A conveyance by its id, a unique beginning of it or, where allowed, its place. Stop NOT_FOUND."""
    if name.isdecimal() and len(name) < ID_MIN:
        if not by_place:
            hint = "another vehicle may have that place by now: give the id"
            raise Stop(Exit.USAGE, "a place is not accepted with --yes", hint)
        found = [c for c in lane.conveyances if c.order == int(name) > 0]
    else:
        found = [c for c in lane.conveyances if c.conveyance_id == name] or [
            c for c in lane.conveyances if len(name) >= ID_MIN and c.conveyance_id.startswith(name)
        ]
    if len(found) == 1:
        return found[0]
    inside = ", ".join(c.conveyance_id for c in lane.conveyances) or "none"
    what = "several conveyances begin with" if found else "no conveyance in the lane is"
    raise Stop(Exit.NOT_FOUND, f"{what} {name}", f"in the lane: {inside}", "CONVEYANCE_NOT_FOUND")


def controlled(lane: LaneState) -> str:
    """Who controls the lane, since when and for how long, or how it came that nobody does."""
    from securecorridor.lane.v1.control_pb2 import Control

    from .times import in_seconds, length, since
    from .words import word

    control = lane.control
    how = word(Control.Change, control.change).replace("_", " ")
    why = f": {control.reason}" if control.reason else ""
    before = f" from {control.previous_officer}" if control.previous_officer else ""
    if control.officer:
        left = length(in_seconds(control.left))
        return f"{control.officer} controls it ({how}{before}) since {since(control.since, lane.at)}, {left} left{why}"
    if not control.change:
        return "nobody controls it"
    return f"nobody controls it ({how}{before}) since {since(control.since, lane.at)}{why}"


def take_control(agent: Agent, officer: str, reason: str, displaces: str, seconds: float) -> ActOutcome:
    """Take control of the lane from whom it was shown to have it. Stop when that is refused."""
    stub = agent.lane
    from securecorridor.lane.v1.control_pb2 import TakeControlRequest

    request = TakeControlRequest(request_id=request_id(), officer=officer, reason=reason, displaces=displaces)
    request.ttl.FromMilliseconds(round(seconds * 1000))
    return agent.call(stub.TakeControl, request).outcome


@contextmanager
def control(agent: Agent, officer: str, reason: str, seconds: float = CONTROL_S) -> Iterator[None]:
    """Control of the lane while acting and `seconds` longer, where nobody has it; it is given back when nothing came of
    the act. Stop when another officer has it: taking over is a verb of its own."""
    now = read_lane(agent).control.officer
    if now == officer:
        yield
        return
    if now:
        hint = "speak with them, or take over: lanectl take-control"
        raise Stop(Exit.REFUSED, f"{now} controls the lane", hint, "CONTROL_REQUIRED")
    stub = agent.lane
    from securecorridor.lane.v1.control_pb2 import GiveControlRequest

    take_control(agent, officer, reason, "", seconds)
    try:
        yield
    except (Stop, click.Abort, KeyboardInterrupt):
        back = GiveControlRequest(request_id=request_id(), officer=officer, reason="nothing was done")
        with suppress(Stop):  # what went wrong first is what to tell; control ends by itself
            agent.call(stub.GiveControl, back)
        raise


def describe(lane: LaneState, conveyance: ConveyanceState) -> str:
    """What an officer should look at before acting on it."""
    from securecorridor.lane.v1 import types_pb2 as pb

    from .words import decision, legs, signal, word

    place = f"place {conveyance.order}" if conveyance.order else "past the stop line"
    rows = [
        ("conveyance", f"{conveyance.conveyance_id}, {place}, {word(pb.Phase, conveyance.phase)}"),
        ("legs", legs(conveyance)),
        ("decision", decision(conveyance)),
        ("flags", ", ".join(conveyance.flags) or "-"),
        ("signal", signal(lane)),
    ]
    if conveyance.HasField("hold"):
        rows.append(("HELD", f"by {conveyance.hold.officer}: {conveyance.hold.reason}"))
    return "\n".join(f"{name:<12}{text}" for name, text in rows)


def ask(agent: Agent, shown: str, question: str, yes: bool) -> None:
    """Show what is about to happen and ask, unless told not to. Stop when the answer is no, or nobody can answer."""
    if yes:
        return
    if agent.as_json or not sys.stdin.isatty():
        raise Stop(Exit.USAGE, "nobody can be asked here", "repeat with --yes, and an id instead of a place")
    click.echo(shown)
    if not click.confirm(question):
        raise Stop(Exit.REFUSED, "nothing was done")


def ask_at_lane(agent: Agent, said: bool) -> None:
    """Have the person say that the lane is empty before green is shown to nobody. Stop when they do not."""
    if said:
        return
    if agent.as_json or not sys.stdin.isatty():
        raise Stop(Exit.USAGE, "nobody can be asked here", "repeat with --lane-empty, standing at the lane")
    click.echo("GREEN will be shown for about a second.")
    if not click.confirm("Do you stand at the lane and see it empty and closed off?"):
        raise Stop(Exit.REFUSED, "nothing was done")


def tell(agent: Agent, outcome: ActOutcome) -> None:
    """The answer to an act."""
    if agent.as_json:
        agent.print_json({"outcome": as_dict(outcome)})
        return
    may = f" (may be cleared by: {', '.join(outcome.may_clear)})" if outcome.may_clear else ""
    click.echo(f"{outcome.message}{may}")


def act(agent: Agent, method: Any, request: Any) -> None:  # noqa: ANN401 - one of the act RPCs and its request
    """Send one act and tell how it went. Stop when it is refused."""
    tell(agent, agent.call(method, request).outcome)


def _user() -> str:
    return f"uid-{os.environ.get('SUDO_UID') or os.getuid()}"
