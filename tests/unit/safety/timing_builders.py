"""Records for the timing tests, each harmless unless told otherwise."""

from drivers.api import Aspect, Grade, InputSnapshot, SignalReadback, Stamp
from edge_agent.model.decision import Authority, Lease
from edge_agent.safety import timing
from edge_agent.safety.facts import Facts, Permit
from edge_agent.safety.timing import History, Limits, SignalOrders

MS = 1_000_000
NOW = 50_000 * MS
LIMITS = Limits(amber_ns=3_000 * MS, source_grace_ns=400 * MS)
RED, AMBER, GREEN, DARK = Aspect.RED, Aspect.AMBER, Aspect.GREEN, Aspect.DARK


def lease(
    seq: int = 5, *, deadline: int = NOW + 1, who: str = "c1", edges: int = 4, session: int = 2, standing: bool = False
) -> Lease:
    return Lease(who, seq, deadline, standing, Authority.SYSTEM, "d1", edges, session)


def zones(*, at: int = NOW, beam: bool = False, loop: bool = False, edges: int = 4, session: int = 2) -> InputSnapshot:
    levels = {"stop_line_beam": beam, "zone_s": loop, "zone_a": True}
    return InputSnapshot(Stamp(at, 0), "io", session, levels, {"stop_line_beam": edges, "zone_s": 9, "zone_a": 1})


def shown(
    coils: Aspect | None = RED,
    lamps: Aspect | None = RED,
    *,
    at: int = NOW,
    grade: Grade = Grade.CONTACT,
    conflict: bool = False,
    tripped: bool = False,
    foreign: bool = False,
) -> SignalReadback:
    return SignalReadback(Stamp(at, 0), "io", coils, lamps, grade, conflict, tripped, foreign)


def orders(
    granted: Lease | None = None,
    *,
    permit: Permit = Permit.ROLLING,
    hold: bool = False,
    cleared: int = 0,
    order: bool = True,
    source: bool = True,
) -> SignalOrders:
    return SignalOrders(permit, hold, cleared, order, granted, source)


def steady(aspect: Aspect = RED, *, since: int = NOW - 2_000 * MS, ready: bool = True) -> History:
    """An aspect commanded and confirmed long ago."""
    return History(commanded=aspect, changed_ns=since, ready=ready, green_seq=4, green_for="c1")


def ask(
    history: History,
    *,
    given: SignalOrders | None = None,
    inputs: InputSnapshot | None = None,
    reading: SignalReadback | None = None,
    now: int = NOW,
    limits: Limits = LIMITS,
) -> tuple[Facts, History]:
    return timing.classify(history, given or orders(), inputs, reading, now, limits)
