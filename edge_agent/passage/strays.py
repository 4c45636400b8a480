"""Tags of no vehicle: counted by antenna, excluded while they stay where they are, and what they say of an antenna."""

from collections.abc import Iterator

from edge_agent.model.effects import SetCondition, Severity
from edge_agent.model.identity import Sighting
from edge_agent.model.records import replace

from .association import faint
from .codes import ConditionCode, EventCode
from .kinematics import NS
from .state import LaneState, LooseTag, Pending
from .turn import Turn

MOST_LOOSE = 64
"""Tags of no vehicle that are remembered at once; the oldest are forgotten."""


def count_stray(turn: Turn, pending: Pending) -> None:
    """Count a stray once, by antenna, and remember its tag. One that is heard again and again, and those of the next
    lane, count too, but say nothing of the antenna's aim."""
    sighting = pending.sighting
    known = _loose(turn.state, sighting) is not None
    hear_loose(turn, sighting)
    if pending.stray:
        return
    antenna = _name(sighting)
    counted = dict(turn.state.strays)
    counted[antenna] = counted.get(antenna, 0) + 1
    counts = replace(turn.state.counts, strays=turn.state.counts.strays + 1)
    turn.state = replace(turn.state, strays=tuple(sorted(counted.items())), counts=counts)
    if not known and not faint(sighting, turn.state.config.geometry):
        times = dict(turn.state.stray_times)
        times[antenna] = (*times.get(antenna, ()), turn.now_ns)[-turn.state.config.policy.stray_alarm :]
        turn.state = replace(turn.state, stray_times=tuple(sorted(times.items())))
    turn.event(EventCode.STRAY, Severity.INFO, antenna=antenna, count=counted[antenna])


def hear_loose(turn: Turn, sighting: Sighting) -> None:
    """A tag of no vehicle is there, or still there. Those of the next lane are not remembered: they pass by."""
    if faint(sighting, turn.state.config.geometry):
        return
    before = _loose(turn.state, sighting)
    last_ns, level = sighting.last.mono_ns, sighting.rssi_peak_cdbm
    if before is None:
        now = LooseTag(sighting.claim.token, sighting.device, sighting.antenna, sighting.first.mono_ns, last_ns, level)
    else:
        now = replace(before, last_ns=last_ns, level_cdbm=max(level, before.level_cdbm))
    if now != before:
        rest = tuple(tag for tag in turn.state.loose if tag is not before)
        turn.state = replace(turn.state, loose=(*rest, now)[-MOST_LOOSE:])


def is_loose(state: LaneState, sighting: Sighting) -> bool:
    """Whether this is a tag of no vehicle that is where it was: not louder than it ever was there."""
    tag = _loose(state, sighting)
    return tag is not None and sighting.rssi_peak_cdbm < tag.level_cdbm + state.config.policy.static_rise_cdb


def given(turn: Turn, sighting: Sighting) -> None:
    """It has moved and belongs to a vehicle: what was thought of it no longer holds."""
    tag = _loose(turn.state, sighting)
    if tag is not None:
        turn.state = replace(turn.state, loose=tuple(t for t in turn.state.loose if t is not tag))


def review_strays(turn: Turn) -> None:
    """Raise and clear what strays say: an antenna that looks elsewhere, a tag that stays in the field."""
    state = turn.state
    if not state.loose and not state.stray_times and not state.named:
        return
    policy = state.config.policy
    forget_ns, window_ns = int(policy.static_forget_s * NS), int(policy.stray_window_s * NS)
    kept = tuple(tag for tag in state.loose if tag.last_ns + forget_ns > turn.now_ns)
    times = tuple((name, at) for name, at in state.stray_times if at[-1] + window_ns > turn.now_ns)
    if kept != state.loose or times != state.stray_times:
        turn.state = state = replace(state, loose=kept, stray_times=times)
    static = sorted({f"{tag.device}/{tag.antenna}" for tag in state.loose if _static(state, tag, turn.now_ns)})
    _tell(
        turn, ConditionCode.STATIC_TAG, tuple(static), "A tag stays in the field of {}",
        "look for a card, label or parked vehicle there; it is given to nobody meanwhile",
    )  # fmt: skip
    aim = tuple(name for name, at in times if len(at) >= policy.stray_alarm and at[0] + window_ns > turn.now_ns)
    _tell(
        turn, ConditionCode.ANTENNA_AIM, aim, "Tags of no vehicle are heard by {}",
        "turn the antenna down and towards its own lane, or lower its read power",
    )  # fmt: skip


def strays_due_ns(turn: Turn) -> Iterator[int]:
    """When time alone changes what strays say; past instants have done so already."""
    policy = turn.state.config.policy
    found = [tag.last_ns + int(policy.static_forget_s * NS) for tag in turn.state.loose]
    if ConditionCode.STATIC_TAG.value in turn.state.conditions:
        found += [tag.last_ns + int(policy.stray_after_s * NS) for tag in turn.state.loose]
    window_ns = int(policy.stray_window_s * NS)
    for _, at in turn.state.stray_times:
        found += [at[0] + window_ns, at[-1] + window_ns]
    return (due for due in found if due > turn.now_ns)


def _static(state: LaneState, tag: LooseTag, now_ns: int) -> bool:
    policy = state.config.policy
    long = tag.last_ns - tag.since_ns >= int(policy.static_after_s * NS)
    return long and now_ns < tag.last_ns + int(policy.stray_after_s * NS)


def _loose(state: LaneState, sighting: Sighting) -> LooseTag | None:
    where = (sighting.claim.token, sighting.device, sighting.antenna)
    return next((tag for tag in state.loose if (tag.token, tag.device, tag.antenna) == where), None)


def _tell(turn: Turn, code: ConditionCode, antennas: tuple[str, ...], title: str, hint: str) -> None:
    """Raise a condition that names antennas, anew whenever they are others."""
    named = dict(turn.state.named)
    if named.get(code.value, ()) == antennas:
        return
    rest = {name: told for name, told in named.items() if name != code.value}
    if antennas:
        rest[code.value] = antennas
    others = {*turn.state.conditions} - {code.value}
    conditions = tuple(sorted({*others, code.value} if antennas else others))
    turn.state = replace(turn.state, named=tuple(sorted(rest.items())), conditions=conditions)
    text = title.format(", ".join(antennas)) if antennas else "No tag of that kind any more"
    turn.effects.append(SetCondition(turn.at, code.value, Severity.WARNING, bool(antennas), text, hint))


def _name(sighting: Sighting) -> str:
    return f"{sighting.device}/{sighting.antenna}"
