"""Runs a scenario on the virtual clock and says in words what is not as the file expects."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from drivers.api import Aspect
from edge_agent.model.conveyance import Conveyance, Flag
from hil.rig.virtual_lane import Options, VirtualLane
from hil.rig.virtual_loop import VirtualLoop
from hil.world.events import EventKind
from hil.world.faults import Trigger
from hil.world.scenario import Expectation, Scenario, TruckExpectation


def play(story: Scenario, options: Options | None = None) -> VirtualLane:
    """The lane after the story, on a virtual loop of its own."""
    plans = {plan.id: plan for plan in story.trucks}
    lane = VirtualLane(story.world(), story.rules.__getitem__, plans.__getitem__, story.happenings, options)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(lane.run(story.then.run_for_s))
    return lane


def complaints(story: Scenario, lane: VirtualLane) -> list[str]:
    """Everything that did not come out as expected; empty when all is well."""
    return [*_lane(story.then, lane), *_bundles(lane), *(c for t in story.then.trucks for c in _truck(t, lane))]


def _lane(then: Expectation, lane: VirtualLane) -> Iterator[str]:
    for verdict in lane.wrong:
        yield f"wrong green at {verdict.t:.3f}: {verdict.rule.value}: {verdict.text}"
    if lane.module.arm is not None:
        yield from lane.module.arm.wrongs
    if then.green_for is not None and tuple(lane.greens) != then.green_for:
        yield f"green for {lane.greens}, expected {list(then.green_for)}"
    if then.sealed is not None and len(lane.sealed()) != then.sealed:
        yield f"{len(lane.sealed())} sealed, expected {then.sealed}"
    for red_by in then.red_by:
        moment = _moment(lane, red_by.trigger)
        if moment is None:
            yield f"red_by: {red_by.trigger} never came"
        elif lane.shown_at(moment + red_by.within_s) is not Aspect.RED:
            yield f"not red {red_by.within_s} s after {moment:.3f}"
    yield from _acts(then, lane)


def _acts(then: Expectation, lane: VirtualLane) -> Iterator[str]:
    refused = [act for act in lane.acts if act.result != "OK"]
    if then.refused and [act.verb for act in refused] == list(then.refused):
        return
    if then.refused:
        yield f"refused: {[act.verb.value for act in refused]}, expected {[verb.value for verb in then.refused]}"
    for act in refused:
        yield f"act {act.verb.value} {act.truck} at {act.t:.3f}: {act.result or 'no answer'}: {act.message}"


def _moment(lane: VirtualLane, trigger: Trigger) -> float | None:
    if trigger.at_s is not None:
        return trigger.at_s
    return next((event.t + trigger.plus_s for event in lane.events if trigger.fits(event)), None)


def _bundles(lane: VirtualLane) -> Iterator[str]:
    """One bundle per vehicle, numbered without a gap; every vehicle that has left has one; one of nobody says so."""
    nobodys = {p.conveyance.conveyance_id for p in lane.sealed() if not p.truck and Flag.UNPROVEN in p.conveyance.flags}
    trucks = Counter(p.truck for p in lane.sealed() if p.conveyance.conveyance_id not in nobodys)
    entered = {event.truck for event in lane.events if event.kind is EventKind.ENTERED}
    gone = {event.truck for event in lane.events if event.kind in (EventKind.LEFT, EventKind.DIVERTED)}
    for truck, count in trucks.items():
        if count > 1 or truck not in entered:
            yield f"{count} bundles for {truck or 'nobody'}"
    for truck in sorted(gone - set(trucks)):
        yield f"no bundle for {truck}, which has left"
    if [bundle.seq for bundle in lane.ledger.bundles] != list(range(1, len(lane.ledger.bundles) + 1)):
        yield "bundle sequence has a gap"


def _truck(wanted: TruckExpectation, lane: VirtualLane) -> Iterator[str]:
    record = next((passage.conveyance for passage in lane.sealed() if passage.truck == wanted.truck), None)
    stopped = any(e.kind is EventKind.STOPPED and e.truck == wanted.truck and e.x_m < 0.0 for e in lane.events)
    crossed = any(e.kind is EventKind.NOSE and e.place == "S" and e.on and e.truck == wanted.truck for e in lane.events)
    pairs = (
        ("greens", wanted.greens, lane.greens.count(wanted.truck)),
        ("stopped", wanted.stopped, stopped),
        ("crossed", wanted.crossed, crossed),
    )
    for name, expected, found in pairs:
        if expected is not None and expected != found:
            yield f"{wanted.truck} {name}: {found}, expected {expected}"
    if record is None:
        yield f"{wanted.truck}: no bundle"
    else:
        yield from _record(wanted, record)


def _record(wanted: TruckExpectation, record: Conveyance) -> Iterator[str]:
    outcome = record.outcome.value if record.outcome is not None else "none"
    if wanted.outcome is not None and outcome != wanted.outcome.value:
        yield f"{wanted.truck} outcome: {outcome}, expected {wanted.outcome.value}"
    flags = {flag.value for flag in record.flags}
    if not set(wanted.flags) <= flags:
        yield f"{wanted.truck} flags: {sorted(flags)}, expected {sorted(wanted.flags)}"
    if set(wanted.without_flags) & flags:
        yield f"{wanted.truck} flags: {sorted(flags)}, expected none of {sorted(wanted.without_flags)}"
