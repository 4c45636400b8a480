"""From a seed alone to a whole random day: its kind, its traffic, its faults; and what was found wrong with it, sorted.

The seed is all that has to be written down to have the day again with the same version of this package.
"""

import dataclasses
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hil.days.day import Day, Without, complaints, doubted, record_complaints, run_day
from hil.days.troubles import BEAM
from hil.rig.virtual_lane import Options
from hil.world.events import EventKind
from hil.world.faults import Verb
from hil.world.geometry import Geometry, Layout
from hil.world.traffic import Kind, TrafficMix

DAY_S = 1800.0

HUNT_FROM = 10_000_000
"""From this seed on days are wilder than what the lane is held to: what they find is work, not a broken promise."""

LAYOUTS_FROM = 20_000_000
"""From this seed on the lanes have other presence sensors, and are held to the same."""

ARMS_FROM = 30_000_000
"""From this seed on a barrier arm stands at the line, and may jam; it is held to what its oracle says, too."""
_ARM_TRAVEL_S = 3.0

_WIDE_ACTS = frozenset({Verb.HOLD_LANE, Verb.HOLD_CONVEYANCE, Verb.SET_MODE})
_SINGLE_ACTS = frozenset({Verb.RELEASE_CONVEYANCE, Verb.REFER_CONVEYANCE, Verb.DIRECT_CONVEYANCE})
_TWO_OFFICERS = frozenset({Verb.ACKNOWLEDGE, Verb.TAKE_CONTROL, Verb.CONSOLE_SILENT})
_ACTS = _WIDE_ACTS | _SINGLE_ACTS | _TWO_OFFICERS
_OUTAGES = _ACTS | {Verb.LAMP_FEEDBACK_MISSING, Verb.CENTRE_DOWN, Verb.CENTRE_LATE, Verb.CLOCK_STEP}
_KILLS = _OUTAGES | {Verb.KILL_AGENT}
_SLOW = _OUTAGES | {Verb.MODULE_LATE, Verb.MODULE_SILENT}
_JAMS = frozenset({Verb.ARM_JAMS})


class Finding(StrEnum):
    """What can be wrong with a day."""

    WRONG_GREEN = "wrong_green"
    MISSED_BUNDLE = "missed_bundle"
    DOUBLED_BUNDLE = "doubled_bundle"
    MISASSOCIATION = "misassociation"
    ACCUSED = "accused"
    OTHER = "other"


ABOUT_RECORDS = frozenset(Finding) - {Finding.WRONG_GREEN}
"""What can be wrong with a record; a wrong green fails a day of any kind."""

_TIMES = frozenset({Finding.OTHER, Finding.DOUBLED_BUNDLE})
"""Not whose tags a record claims, nor whether one is missing, but when they end, which times and doubts are on them,
and whether a vehicle that a lie has split says so on every record but one."""


@dataclass(frozen=True, slots=True)
class DayKind:
    """One family of days. `verbs` None: every kind of trouble. `zones` None: any sensor may lie. `counted`: of what is
    wrong with a record, this does not fail the day and is counted only: a sensor that lies can hide a vehicle or make
    one up, and what the lane makes of that is not right on every such day yet. `geometry`: the lane and its presence
    sensors; `arm_travel_s`: how long the barrier arm at its line takes, None where there is none."""

    name: str
    verbs: frozenset[Verb] | None
    zones: frozenset[str] | None = None
    counted: frozenset[Finding] = frozenset()
    geometry: Geometry = field(default_factory=Geometry)
    arm_travel_s: float | None = None


KINDS: tuple[DayKind, ...] = (
    DayKind("calm", frozenset()),
    DayKind("outages", _OUTAGES),
    DayKind("kills", _KILLS),
    DayKind("lying beam", _WIDE_ACTS | {Verb.SENSOR_STUCK}, frozenset({BEAM})),
    DayKind("lying sensors", _KILLS | {Verb.SENSOR_STUCK}, counted=_TIMES),
    DayKind("everything", None, counted=_TIMES),
    DayKind("slow module", _SLOW),
)
HUNT_KINDS: tuple[DayKind, ...] = (
    DayKind("hunt: kills and a slow module", _KILLS | _SLOW),
    DayKind("hunt: lying sensors", _KILLS | {Verb.SENSOR_STUCK}),
    DayKind("hunt: chatter and lost edges", _OUTAGES | {Verb.SENSOR_CHATTER, Verb.SENSOR_FROZEN}),
    DayKind("hunt: everything", None),
)
LAYOUT_KINDS: tuple[DayKind, ...] = (
    DayKind("loops only", _OUTAGES, geometry=Geometry(layout=Layout.LOOPS_ONLY)),
    DayKind("light curtain", _OUTAGES, geometry=Geometry(layout=Layout.LIGHT_CURTAIN)),
    DayKind("no exit loop", _OUTAGES, geometry=Geometry(exit_loop=False)),
    DayKind(
        "lying curtain", _WIDE_ACTS | {Verb.SENSOR_STUCK}, frozenset({BEAM}),
        geometry=Geometry(layout=Layout.LIGHT_CURTAIN),
    ),
    DayKind(
        "loops only, kills", _KILLS, counted=ABOUT_RECORDS,
        geometry=Geometry(layout=Layout.LOOPS_ONLY, exit_loop=False),
    ),
)  # fmt: skip
ARM_KINDS: tuple[DayKind, ...] = (
    DayKind("arm", frozenset(), arm_travel_s=_ARM_TRAVEL_S),
    DayKind("arm, outages", _OUTAGES | _JAMS, arm_travel_s=_ARM_TRAVEL_S),
    DayKind("arm, kills", _KILLS | _JAMS, arm_travel_s=_ARM_TRAVEL_S),
    DayKind("arm, lying beam", _WIDE_ACTS | {Verb.SENSOR_STUCK}, frozenset({BEAM}), arm_travel_s=_ARM_TRAVEL_S),
    DayKind("arm, slow module", _SLOW | _JAMS, arm_travel_s=_ARM_TRAVEL_S),
    DayKind("arm, lying sensors", _KILLS | {Verb.SENSOR_STUCK}, counted=ABOUT_RECORDS, arm_travel_s=_ARM_TRAVEL_S),
    DayKind("arm, everything", None, counted=ABOUT_RECORDS, arm_travel_s=_ARM_TRAVEL_S),
    DayKind(
        "arm, light curtain", _OUTAGES | _JAMS, geometry=Geometry(layout=Layout.LIGHT_CURTAIN),
        arm_travel_s=_ARM_TRAVEL_S,
    ),
    DayKind(
        "arm, loops only", _KILLS | _JAMS, counted=ABOUT_RECORDS, geometry=Geometry(layout=Layout.LOOPS_ONLY),
        arm_travel_s=_ARM_TRAVEL_S,
    ),
)  # fmt: skip

# Word by word what the judges say; whatever else they say is OTHER.
_SAID: tuple[tuple[str, Finding], ...] = (
    ("wrong green", Finding.WRONG_GREEN),
    ("no bundle for", Finding.MISSED_BUNDLE),
    ("sequence has a gap", Finding.MISSED_BUNDLE),
    ("bundles for", Finding.DOUBLED_BUNDLE),
    ("is sealed and alive", Finding.DOUBLED_BUNDLE),
    ("sealed twice", Finding.DOUBLED_BUNDLE),
    ("a tag of", Finding.MISASSOCIATION),
    ("is accused", Finding.ACCUSED),
)


def finding_of(complaint: str) -> Finding:
    """What a judge's sentence is about."""
    return next((finding for words, finding in _SAID if words in complaint), Finding.OTHER)


@dataclass(frozen=True, slots=True)
class DayPlan:
    """A day before it is run, and the lane it is run on."""

    seed: int
    kind: DayKind
    mix: TrafficMix
    day_s: float = DAY_S
    options: Options = field(default_factory=Options)

    def run(self, without: Without | None = None, *, until_s: float = math.inf) -> Day:
        """Run it, or its beginning until `until_s`. ExceptionGroup when a part of the agent breaks."""
        kind = self.kind
        without = without if without is not None else Without(after_s=until_s)
        return run_day(
            self.seed, self.day_s, verbs=kind.verbs, zones=kind.zones, mix=self.mix, without=without,
            options=self.options, faults=kind.verbs is None or bool(kind.verbs), geometry=kind.geometry,
            arm_travel_s=kind.arm_travel_s,
        )  # fmt: skip

    def complaints(self, day: Day) -> list[str]:
        """Everything wrong with a day of this plan that this kind of day is held to."""
        return complaints(day) + [said for said in record_complaints(day) if not self._counted_only(said)]

    def still_open(self, day: Day) -> list[str]:
        """What is wrong with records of a day that is not held to them."""
        return [said for said in record_complaints(day) if self._counted_only(said)] if self.kind.counted else []

    def _counted_only(self, complaint: str) -> bool:
        return finding_of(complaint) in self.kind.counted


_RANGES = ((ARMS_FROM, ARM_KINDS), (LAYOUTS_FROM, LAYOUT_KINDS), (HUNT_FROM, HUNT_KINDS), (0, KINDS))


def plan_of(seed: int) -> DayPlan:
    """The day of a seed: kinds in turn, and roads from half empty to full."""
    rng = random.Random(f"day {seed}")
    mix = TrafficMix(
        trucks_per_h=rng.choice((150.0, 240.0, 300.0, 300.0)),
        platoon_share=rng.choice((0.2, 0.5, 0.8)),
        shares=_shares(),
    )
    kinds = next(kinds for first, kinds in _RANGES if seed >= first)
    return DayPlan(seed, kinds[seed % len(kinds)], mix)


def _shares() -> dict[Kind, float]:
    """Fewer that must be talked to than on a real day, and more that are revoked: a queue that never moves tries
    little."""
    shares = dict(TrafficMix().shares)
    shares[Kind.REVOKED] = 0.05
    return shares | {Kind.LATE: 0.03, Kind.NO_TAG: 0.02, Kind.REFERRED: 0.03, Kind.HELD: 0.02}


@dataclass(frozen=True, slots=True)
class DayResult:
    """One day in figures. `passages`: trucks that left the lane; `cpu_s` of this process; `found`: the sentences that
    fail it; `still_open`: those that its kind is not held to; `counts` has both; `doubted`: records that claim nobody's
    tags, because they say that they may be of two vehicles."""

    seed: int
    kind: str
    passages: int
    virtual_s: float
    cpu_s: float
    greens: int
    bundles: int
    digest: str
    found: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()
    doubted: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For a record file."""
        return {**dataclasses.asdict(self), "found": list(self.found), "still_open": list(self.still_open)}


def judged(seed: int) -> DayResult:
    """Run and judge the day of a seed. Whatever breaks in it is a complaint about it."""
    plan = plan_of(seed)
    began = time.process_time()
    try:
        day = plan.run()
        found, known = plan.complaints(day), plan.still_open(day)
    except Exception as error:  # noqa: BLE001 - a program error in the lane is the day's finding
        found = [f"the run broke: {_innermost(error)!r}"]
        return DayResult(seed, plan.kind.name, 0, 0.0, _spent(began), 0, 0, "", tuple(found), (), 0, _counts(found))
    lane = day.lane
    left = sum(event.kind in (EventKind.LEFT, EventKind.DIVERTED) for event in lane.events)
    return DayResult(
        seed, plan.kind.name, left, plan.day_s, _spent(began), len(lane.greens), len(lane.ledger.bundles),
        lane.digest(), tuple(found), tuple(known), doubted(day), _counts(found + known),
    )  # fmt: skip


def _spent(began: float) -> float:
    return round(time.process_time() - began, 3)


def _counts(found: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for complaint in found:
        name = finding_of(complaint).value
        counts[name] = counts.get(name, 0) + 1
    return counts


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
