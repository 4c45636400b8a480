"""Endless random traffic, fixed by its seed: platoons, gaps, speeds, and trucks of every kind."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from hil.world.geometry import KMH
from hil.world.rules import ReleaseRule, Revision, Verdict
from hil.world.truck import Behaviour, TagSpec, TruckPlan, driver_card, transponder

_PATIENCE = 1000


class Kind(StrEnum):
    """What will be special about a truck."""

    RELEASED = "released"
    REFERRED = "referred"
    REFUSED = "refused"
    HELD = "held"
    LATE = "late"
    SILENT = "silent"
    REVOKED = "revoked"
    NO_TAG = "no_tag"
    SLEEVED_CARD = "sleeved_card"
    TWO_CARDS = "two_cards"
    LATE_CARD = "late_card"
    RUNS_RED = "runs_red"


def _default_shares() -> dict[Kind, float]:
    return {
        Kind.RELEASED: 0.72,
        Kind.REFERRED: 0.05,
        Kind.REFUSED: 0.02,
        Kind.HELD: 0.03,
        Kind.LATE: 0.05,
        Kind.SILENT: 0.01,
        Kind.REVOKED: 0.01,
        Kind.NO_TAG: 0.04,
        Kind.SLEEVED_CARD: 0.04,
        Kind.TWO_CARDS: 0.03,
        Kind.LATE_CARD: 0.0,
    }


@dataclass(frozen=True, slots=True)
class TrafficMix:
    """How the traffic is made up. `trucks_per_h` on average; `platoon_share` of the trucks follow their leader with a
    tail-to-nose gap of `platoon_gap_s`; the others come at random but never nearer than the widest of these gaps.
    `headway_s` and `stand_gap_m` are what every driver keeps to a moving and to a standing leader. `sleeve_db` is what
    a card loses in its sleeve: a shielding sleeve reduces the range or blocks the card (Koscher and others, CCS 2009).
    A late card is drawn from a blocking sleeve `late_card_s` after the truck entered. `shares` are weights. ValueError
    when the rate leaves no room."""

    trucks_per_h: float = 120.0
    platoon_share: float = 0.35
    platoon_gap_s: tuple[float, float] = (3.5, 8.0)
    speeds_kmh: tuple[tuple[float, float], ...] = ((10.0, 0.2), (15.0, 0.5), (20.0, 0.3))
    lengths_m: tuple[tuple[float, float], ...] = ((23.0, 0.7), (18.0, 0.15), (11.0, 0.08), (27.5, 0.07))
    shares: dict[Kind, float] = field(default_factory=_default_shares)
    headway_s: float = 1.5
    stand_gap_m: float = 4.0
    sleeve_db: float = 9.0
    late_card_s: tuple[float, float] = (12.0, 40.0)

    def __post_init__(self) -> None:
        if not 0.0 < self.trucks_per_h <= 300.0 or not 0.0 <= self.platoon_share < 1.0:
            raise ValueError("trucks_per_h must be over 0 and at most 300, platoon_share from 0 to under 1")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One generated truck, its kind and what the release service is to answer for it."""

    plan: TruckPlan
    kind: Kind
    rule: ReleaseRule


class Traffic:
    """An endless iterator of arrivals in order of time. Copyable; two with the same seed and mix give the same."""

    def __init__(self, seed: int, mix: TrafficMix | None = None, first_s: float = 2.0) -> None:
        self._mix = mix if mix is not None else TrafficMix()
        self._random = random.Random(seed)
        self._seed = seed
        self._number = 0
        self._enter_s = first_s
        self._cruise_kmh = 0.0
        self._follows = False

    def __iter__(self) -> "Traffic":
        return self

    def __next__(self) -> Arrival:
        rng, mix = self._random, self._mix
        if not self._follows:
            self._cruise_kmh = self._one_of(mix.speeds_kmh)
        length_m = self._one_of(mix.lengths_m)
        kind = rng.choices(list(mix.shares), list(mix.shares.values()))[0]
        self._number += 1
        plan = self._plan(kind, length_m)
        self._enter_s += self._interval_s(length_m)
        return Arrival(plan, kind, self._rule(kind))

    def take(self, count: int) -> list[Arrival]:
        """The next `count` arrivals."""
        return [next(self) for _ in range(count)]

    def _interval_s(self, length_m: float) -> float:
        """Time to the next truck: behind this one's tail, and on average the asked rate."""
        rng, mix = self._random, self._mix
        passing_s = length_m / (self._cruise_kmh * KMH)
        near_s = passing_s + rng.uniform(*mix.platoon_gap_s)
        # Loners make up for the platoons: the mean of both together is 3600 / rate.
        mean_s = (3600.0 / mix.trucks_per_h - mix.platoon_share * near_s) / (1.0 - mix.platoon_share)
        self._follows = rng.random() < mix.platoon_share
        if self._follows:
            return near_s
        least_s = passing_s + mix.platoon_gap_s[1]
        return least_s + rng.expovariate(1.0 / max(mean_s - least_s, 0.5))

    def _plan(self, kind: Kind, length_m: float) -> TruckPlan:
        rng, serial = self._random, self._number + 100_000 * (self._seed % 10_000)
        return TruckPlan(
            id=f"T{self._number}",
            enter_s=self._enter_s,
            cruise_kmh=self._cruise_kmh,
            length_m=length_m,
            tags=self._tags(kind, serial),
            plate_front=self._plate(),
            plate_rear=self._plate(),
            behaviour=Behaviour.RUNS_RED if kind is Kind.RUNS_RED else Behaviour.OBEYS,
            stop_short_m=round(rng.uniform(1.0, 2.0), 2),
            go_reaction_s=round(rng.uniform(0.8, 2.0), 2),
            stop_reaction_s=round(rng.uniform(1.0, 1.5), 2),
            gap_m=self._mix.stand_gap_m,
            headway_s=self._mix.headway_s,
        )

    def _tags(self, kind: Kind, serial: int) -> tuple[TagSpec, ...]:
        rng = self._random
        offset_m = round(rng.uniform(1.0, 3.0), 2)
        card = driver_card(serial, offset_m, level_db=-self._mix.sleeve_db if kind is Kind.SLEEVED_CARD else 0.0)
        windscreen = transponder(serial, round(offset_m - 0.4, 2))
        if kind is Kind.NO_TAG:
            return ()
        if kind is Kind.LATE_CARD:
            card = replace(card, present_from_s=self._enter_s + round(rng.uniform(*self._mix.late_card_s), 2))
        if kind is Kind.TWO_CARDS:
            return card, driver_card(serial + 50_000, offset_m, -1.5), windscreen
        return card, windscreen

    def _plate(self) -> str:
        rng = self._random
        province = rng.choice(("CA-ON", "CA-ON", "CA-QC", "US-MI", "US-OH", "US-NY"))
        letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTVWXYZ") for _ in range(2))
        return f"{province} {letters} {rng.randrange(10_000, 100_000)}"

    def _rule(self, kind: Kind) -> ReleaseRule:
        rng = self._random
        delay_s = round(rng.uniform(0.3, 1.5), 3)
        match kind:
            case Kind.REFERRED:
                reason = rng.choice(("commercial_exam", "documents", "random", "food_plant_animal"))
                return ReleaseRule(Verdict.REFER_SECONDARY, delay_s, reason=reason)
            case Kind.REFUSED:
                return ReleaseRule(Verdict.REFUSE_RETURN, delay_s)
            case Kind.HELD:
                return ReleaseRule(Verdict.HOLD_AT_LINE, delay_s)
            case Kind.LATE:
                return ReleaseRule(Verdict.RELEASE, round(rng.uniform(12.0, 20.0), 3))
            case Kind.SILENT:
                return ReleaseRule(Verdict.NO_DECISION, silent=True)
            case Kind.REVOKED:
                after_s = round(rng.uniform(1.0, 8.0), 3)
                turned = rng.choice((Verdict.HOLD_AT_LINE, Verdict.REFER_SECONDARY, Verdict.REFUSE_RETURN))
                change = Revision(after_s, turned)
                return ReleaseRule(Verdict.RELEASE, delay_s, revisions=(change,))
            case _:
                return ReleaseRule(Verdict.RELEASE, delay_s)

    def _one_of(self, weighted: tuple[tuple[float, float], ...]) -> float:
        values, weights = zip(*weighted, strict=True)
        return float(self._random.choices(values, weights)[0])


class PlanFeed:
    """The plans of a traffic, for `World`; `arrivals` keeps what was handed out, by truck id, until forgotten. `drop`
    says which stay at home; after a thousand in a row nobody comes any more."""

    def __init__(self, traffic: Traffic, drop: Callable[[TruckPlan], bool] = lambda _plan: False) -> None:
        self._traffic = traffic
        self._drop = drop
        self._over = False
        self.arrivals: dict[str, Arrival] = {}

    def __iter__(self) -> "PlanFeed":
        return self

    def __next__(self) -> TruckPlan:
        if self._over:
            raise StopIteration
        arrival = next((arrival for arrival in islice(self._traffic, _PATIENCE) if not self._drop(arrival.plan)), None)
        if arrival is None:
            raise StopIteration
        self.arrivals[arrival.plan.id] = arrival
        return arrival.plan

    def end(self) -> None:
        """Nobody comes any more, but for whom the world has asked for already."""
        self._over = True

    def forget(self, truck_id: str) -> None:
        """This truck is gone; nobody will ask for it again."""
        self.arrivals.pop(truck_id, None)
