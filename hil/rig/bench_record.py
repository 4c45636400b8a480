"""Sealed bundles as central holds them, in the words of a run's record."""

from collections.abc import Callable

from hil.rig.run_record import Decided, Light, Read, Sealed
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.release.v1 import record_pb2

_PREFIXES = ("OUTCOME_", "IDENTITY_KIND_", "ASPECT_", "VERDICT_")


def sealed_of(bundle: record_pb2.Bundle, truck: str, world_s: Callable[[int], float]) -> Sealed:
    """One bundle. `world_s` turns a stamp of the monotonic clock into world seconds."""

    def maybe(moment: types.Moment) -> float | None:
        return world_s(moment.mono_ns) if moment.mono_ns else None

    vehicle = bundle.vehicle
    return Sealed(
        truck=truck,
        bundle_id=bundle.bundle_id,
        conveyance_id=bundle.conveyance_id,
        outcome=word(types.Outcome.Name(bundle.outcome)),
        flags=tuple(bundle.flags),
        detected=world_s(bundle.detected.mono_ns),
        ended=maybe(bundle.sealed),
        committed=maybe(bundle.key_times.committed),
        over_line=maybe(bundle.times.s_tail),
        speed_kmh=vehicle.speed_d_s_kmh or vehicle.speed_a_d_kmh,
        length_m=vehicle.length_m,
        stops=bundle.movement.stops,
        reads=tuple(
            Read(
                word(types.IdentityKind.Name(given.claim.kind)),
                given.claim.token,
                given.reads,
                world_s(given.first.mono_ns),
                world_s(given.last.mono_ns),
            )
            for given in bundle.identity.assignments
            if given.reads
        ),
        requests=tuple((world_s(made.at.mono_ns), made.complete) for made in bundle.requests),
        decisions=tuple(_decided(taken, world_s) for taken in bundle.decisions if not taken.ignored),
        lights=tuple(
            Light(world_s(e.at.mono_ns), word(types.Aspect.Name(e.commanded)), word(types.Aspect.Name(e.confirmed)))
            for e in bundle.signals
        ),
    )


def word(name: str) -> str:
    """The name of an enum's value as the files of this bench call it: `ASPECT_RED` is red; "" for unspecified."""
    prefix = next(prefix for prefix in _PREFIXES if name.startswith(prefix))
    found = name.removeprefix(prefix).lower()
    return "" if found == "unspecified" else found


def _decided(taken: record_pb2.Bundle.DecisionTaken, world_s: Callable[[int], float]) -> Decided:
    decision = taken.decision
    since_ns = decision.echoed_stamp_mono_ns or taken.received.mono_ns
    return Decided(
        world_s(taken.received.mono_ns),
        word(types.Verdict.Name(decision.verdict)),
        world_s(since_ns + decision.ttl_ms * 1_000_000),
        decision.authority != types.AUTHORITY_SYSTEM,
    )
