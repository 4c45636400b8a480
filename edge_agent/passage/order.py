"""Whether the order of vehicles in the corridor is known: how that is lost, and the one way it comes back by itself."""

from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import Severity
from edge_agent.model.records import replace

from .codes import EventCode
from .state import LaneState, Order, Track
from .turn import Turn


def lose_order(turn: Turn, reason: str) -> None:
    """The order is in doubt from now on, whatever was accounted for before."""
    order = turn.state.order
    since = turn.at if order.known or order.since is None else order.since
    turn.state = replace(turn.state, order=Order(since=since, reason=reason, lost_ns=turn.now_ns))
    turn.flag_all(Flag.ORDER_UNKNOWN, upstream_only=True)
    turn.event(EventCode.ORDER_LOST, Severity.ALARM, reason=reason)


def restore_order(turn: Turn, how: str) -> None:
    """The order is known again."""
    turn.state = replace(turn.state, order=Order(known=True, since=turn.at, reason=how))
    turn.event(EventCode.ORDER_RESTORED, Severity.INFO, how=how)


def accounted(state: LaneState, track: Track) -> bool:
    """Whether every zone saw this vehicle in turn, at plausible times, since the order was last in doubt: then what
    stands at the stop line is what entered at A, although something may still hide elsewhere."""
    entered = track.fixes.a_nose
    return (
        entered is not None
        and entered.mono_ns >= state.order.lost_ns
        and not track.suspect
        and Flag.STOPPED_IN_CORRIDOR not in track.conveyance.flags
        and Flag.REVERSED not in track.conveyance.flags
    )


def account_for(turn: Turn, track: Track) -> None:
    """A vehicle left through X. In a lane without passing, one that entered at A after the doubt began, and was
    released standing, pushed everything hidden out ahead of it."""
    if turn.state.order.known or not track.stood or track.fixes.x_tail is None or not accounted(turn.state, track):
        return
    turn.state = replace(turn.state, order=replace(turn.state.order, accounted=True))


def review_order(turn: Turn) -> None:
    """Stop-and-release has accounted for every presence edge: the corridor is empty and every zone is clear."""
    state = turn.state
    if state.order.known or not state.order.accounted or state.tracks or not state.zones.fresh:
        return
    if not any(state.zones.levels.values()):
        restore_order(turn, "stop_and_release")
