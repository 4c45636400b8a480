"""What a lane told, in full, line by line: who reads events, requests and answers reads every word of them."""

from drivers.api import Stamp
from edge_agent.model.effects import (
    AddSupplement,
    AnswerAct,
    AskRelease,
    Effect,
    EmitEvent,
    GrantLease,
    SealBundle,
    SetCondition,
    WithdrawLease,
    WithdrawRequest,
)
from edge_agent.passage.views import red_causes

from .story import NS, Lane


def chronicle(lane: Lane, since: int = 0) -> list[str]:
    """Every effect from this one on. Vehicles are called by their number in the lane (#1), and so are their bundles."""
    names: dict[str, str] = {}
    for conveyance in (*lane.state.conveyances, *lane.bundles):
        names[conveyance.conveyance_id] = names[conveyance.bundle_id] = f"#{conveyance.order}"
    lines = []
    for effect in lane.effects[since:]:
        line = f"{_second(effect.at)} {_told(effect)}"
        for identifier, name in names.items():
            line = line.replace(identifier, name)
        lines.append(line.rstrip())
    return lines


def why(lane: Lane) -> list[str]:
    """What keeps the first vehicle from green, as the officer reads it."""
    lines = [f"-- {lane.now:.1f} {lane.mode}, why not green:"]
    for cause in red_causes(lane.state, lane.at):
        since = f" since {cause.since.mono_ns / NS:.1f}" if cause.since is not None else ""
        by = f" by {cause.by}" if cause.by else ""
        lines.append(f"   {cause.code.value}: {cause.text}{since}{by}{'' if cause.immediate else ', gently'}")
    return lines


def _second(at: Stamp) -> str:
    return f"{at.mono_ns / NS:.1f}"


def _told(effect: Effect) -> str:
    match effect:
        case EmitEvent():
            facts = "".join(f" {key}={value}" for key, value in effect.facts)
            return f"{effect.severity.value} {effect.code} {effect.conveyance_id or '-'}{facts}"
        case SetCondition():
            return f"{effect.severity.value} {effect.code} {effect.active}: {effect.title} ({effect.hint})"
        case AskRelease():
            read = len(effect.assignments)
            return f"ask {effect.conveyance_id} revision {effect.revision} reads {read} complete {effect.complete}"
        case WithdrawRequest():
            return f"ask no more {effect.conveyance_id}: {effect.reason}"
        case GrantLease(lease=lease):
            until = lease.deadline_mono_ns / NS
            how = "standing" if lease.standing else "rolling"
            return f"lease {lease.seq} {lease.conveyance_id} {how} {lease.authority.value} until {until:.1f}"
        case WithdrawLease():
            return f"no lease {effect.seq}: {effect.reason}{' at once' if effect.immediate else ''}"
        case SealBundle(conveyance=it):
            outcome = it.outcome.value if it.outcome is not None else "none"
            return f"sealed {it.conveyance_id} {outcome} {' '.join(it.flags)}"
        case AddSupplement():
            facts = "".join(f" {key}={value}" for key, value in effect.facts)
            return f"supplement {effect.bundle_id} {effect.kind}{facts}"
        case AnswerAct():
            return " ".join(
                (
                    f"answer {effect.request_id} {effect.result.value}: {effect.message}",
                    *effect.may_clear, effect.refused.value, effect.controlled_by,
                )
            ).rstrip()  # fmt: skip
