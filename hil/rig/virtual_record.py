"""A story played on the virtual clock, and what came out of it as a record."""

import asyncio

from drivers.api import Stamp
from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import Authority
from hil.rig.run_record import Acted, Decided, Light, Read, RunRecord, Sealed
from hil.rig.virtual_lane import Options, VirtualLane
from hil.rig.virtual_loop import VirtualLoop
from hil.world.scenario import Scenario


def play(story: Scenario, options: Options | None = None) -> VirtualLane:
    """The lane after the story, on a virtual loop of its own."""
    plans = {plan.id: plan for plan in story.trucks}
    lane = VirtualLane(story.world(), story.rules.__getitem__, plans.__getitem__, story.happenings, options)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(lane.run(story.then.run_for_s))
    return lane


def record_of(lane: VirtualLane) -> RunRecord:
    """What came out of a lane that has ended."""
    return RunRecord(
        until_s=lane.now_s,
        events=tuple(lane.events),
        shown=tuple((t, aspect.value) for t, aspect in lane.shown),
        greens=tuple(lane.greens),
        sensors=tuple(lane.world.geometry.zones()),
        happened=tuple(lane.happened),
        acts=tuple(Acted(a.t, a.verb, a.truck, a.result, a.message) for a in lane.acts),
        wrong=tuple(lane.wrong),
        sealed=tuple(_sealed(p.truck, p.conveyance, lane.began_s) for p in lane.sealed()),
        numbers=tuple(bundle.seq for bundle in lane.ledger.bundles),
        unsealed=tuple(_sealed(p.truck, p.conveyance, lane.began_s) for p in lane.unsealed()),
        arm_wrong=tuple(lane.module.arm.oracle.wrongs) if lane.module.arm is not None else (),
    )


def _sealed(truck: str, known: Conveyance, began_s: float) -> Sealed:
    def s(stamp: Stamp) -> float:
        return stamp.mono_ns / 1e9 - began_s

    def maybe(stamp: Stamp | None) -> float | None:
        return None if stamp is None else s(stamp)

    return Sealed(
        truck=truck,
        bundle_id=known.bundle_id,
        conveyance_id=known.conveyance_id,
        outcome=known.outcome.value if known.outcome is not None else "",
        flags=tuple(flag.value for flag in known.flags),
        detected=s(known.detected),
        ended=maybe(known.ended),
        committed=maybe(known.committed),
        over_line=maybe(known.times.s_tail),
        speed_kmh=known.speed_kmh,
        length_m=known.length_m,
        stops=known.stops,
        reads=tuple(
            Read(
                a.sighting.claim.kind.value,
                a.sighting.claim.token,
                a.sighting.reads,
                s(a.sighting.first),
                s(a.sighting.last),
                s(a.at),
            )
            for a in known.assignments
        ),
        requests=tuple((s(made.at), made.complete) for made in known.requests),
        decisions=tuple(
            Decided(
                s(d.received),
                d.verdict.value,
                d.deadline_mono_ns / 1e9 - began_s,
                d.authority is not Authority.SYSTEM,
            )
            for d in known.decisions
        ),
        lights=tuple(
            Light(s(e.at), e.commanded.value, e.confirmed.value if e.confirmed is not None else "")
            for e in known.signals
        ),
    )
