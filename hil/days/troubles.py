"""The faults and acts of a random day: which, when and where, from the seed; and the same as a script for a lane."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from hil.world.faults import Happening, Trigger, Verb
from hil.world.geometry import ZONES

FAULTS_FROM_S = 20.0
BEAM = "stop_line_beam"
_MODES = ("closed", "attended", "degraded", "all_hold")
_ASIDE = ("refer_secondary", "refuse_return")
SECOND = "bso-2"
"""The officer who takes over from the one who works at the lane, and gives control back."""
_RACE_S = 0.02

PAIRS: tuple[tuple[Verb, Verb | None, float, float], ...] = (
    (Verb.LAMP_FEEDBACK_MISSING, Verb.LAMP_FEEDBACK_BACK, 0.1, 20.0),
    (Verb.SENSOR_STUCK, Verb.SENSOR_FREE, 0.2, 25.0),
    (Verb.CENTRE_DOWN, Verb.CENTRE_UP, 0.5, 40.0),
    (Verb.KILL_AGENT, Verb.START_AGENT, 0.5, 12.0),
    (Verb.HOLD_LANE, Verb.CLEAR_HOLD, 2.0, 20.0),
    (Verb.SENSOR_CHATTER, Verb.SENSOR_FREE, 0.5, 8.0),
    (Verb.SENSOR_FROZEN, Verb.SENSOR_FREE, 0.1, 3.0),
    (Verb.CENTRE_LATE, Verb.CENTRE_PROMPT, 10.0, 90.0),
    (Verb.MODULE_SILENT, Verb.MODULE_ANSWERS, 0.1, 8.0),
    (Verb.MODULE_LATE, Verb.MODULE_PROMPT, 1.0, 30.0),
    (Verb.CLOCK_STEP, None, 0.0, 0.0),
    (Verb.HOLD_CONVEYANCE, Verb.CLEAR_HOLD, 2.0, 20.0),
    (Verb.SET_MODE, Verb.SET_MODE, 3.0, 25.0),
    (Verb.RELEASE_CONVEYANCE, None, 0.0, 0.0),
    (Verb.REFER_CONVEYANCE, None, 0.0, 0.0),
    (Verb.DIRECT_CONVEYANCE, None, 0.0, 0.0),
    (Verb.ACKNOWLEDGE, None, 0.0, 0.0),
    (Verb.TAKE_CONTROL, Verb.GIVE_CONTROL, 2.0, 30.0),
    (Verb.CONSOLE_SILENT, Verb.CONSOLE_SPEAKS, 1.0, 15.0),
    (Verb.ARM_JAMS, Verb.ARM_FREED, 0.5, 25.0),
)
"""What begins, what ends it (None: it is over at once), and how long it lasts, seconds. New kinds at the end only: the
days of a seed keep their other faults."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One fault or act of a day, from its beginning to its end. `zone` where a sensor lies ("" otherwise)."""

    verb: Verb
    begins_s: float
    ends_s: float
    zone: str = ""
    words: Mapping[str, str | float | bool] = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{name} {value}" for name, value in self.words.items())
        lasts = f" until {self.ends_s:.3f}" if self.ends_s > self.begins_s else ""
        return " ".join(filter(None, (f"{self.begins_s:9.3f}", self.verb.value, self.zone, words))) + lasts


def troubles(seed: int, last_s: float, verbs: frozenset[Verb] | None = None) -> tuple[Trouble, ...]:
    """The faults of this seed's day until `last_s`: of each kind about one in 500 s, of different kinds at the same
    time too. `verbs`: only these kinds."""
    rng = random.Random(f"troubles {seed}")
    found = []
    for verb, _, shortest_s, longest_s in PAIRS:
        words = random.Random(f"words {seed} {verb}")
        t = FAULTS_FROM_S + rng.expovariate(1 / 200.0)
        while t < last_s:
            ends = min(t + rng.uniform(shortest_s, longest_s), last_s)
            zone = _zone(verb, rng)
            found.append(Trouble(verb, round(t, 3), round(ends, 3), zone, _words(verb, words)))
            t = ends + 15.0 + rng.expovariate(1 / 300.0)
    return tuple(trouble for trouble in found if verbs is None or trouble.verb in verbs)


def happenings(seed: int, found: tuple[Trouble, ...], calm_s: float) -> tuple[Happening, ...]:
    """The same as a script; `calm_s`: when all of it is over."""
    rng = random.Random(f"levels {seed}")
    ends = {begin: end for begin, end, _, _ in PAIRS}
    script = []
    for trouble in found:
        zone = {"zone": trouble.zone} if trouble.zone else {}
        level: dict[str, str | float | bool] = {}
        if trouble.verb is Verb.SENSOR_STUCK:
            # A beam is wired so that its own faults show as broken; one stuck clear cannot be told from an empty line.
            level = {"level": trouble.zone == BEAM or rng.random() < 0.5}
        begin = {**zone, **level, **trouble.words}
        if trouble.verb is Verb.TAKE_CONTROL:
            script += _race(seed, trouble)
        script.append(Happening(Trigger(at_s=trouble.begins_s), trouble.verb, begin))
        end = ends[trouble.verb]
        if end is not None:
            words = {"mode": "remote"} if end is Verb.SET_MODE else zone
            if end is Verb.GIVE_CONTROL:
                words = {"officer": SECOND}
            script.append(Happening(Trigger(at_s=trouble.ends_s), end, words))
        if end is Verb.CLEAR_HOLD:  # nobody may be there to take the first
            script.append(Happening(Trigger(at_s=calm_s + 1.0), Verb.CLEAR_HOLD))
    return tuple(script)


def _race(seed: int, trouble: Trouble) -> list[Happening]:
    """Both officers release whoever waits at the line, just before or after one takes over from the other."""
    rng = random.Random(f"race {seed} {trouble.begins_s}")
    found = []
    both: tuple[dict[str, str | float | bool], ...] = ({"place": 0}, {"place": 0, "officer": SECOND})
    for words in both:
        at_s = round(trouble.begins_s + rng.uniform(-_RACE_S, _RACE_S), 3)
        found.append(Happening(Trigger(at_s=at_s), Verb.RELEASE_CONVEYANCE, words))
    return found


def _zone(verb: Verb, rng: random.Random) -> str:
    if verb is Verb.SENSOR_FROZEN:  # a beam that misses its edge is one stuck clear
        return rng.choice([zone for zone in ZONES if zone != BEAM])
    return rng.choice(ZONES) if verb in (Verb.SENSOR_STUCK, Verb.SENSOR_CHATTER) else ""


def _words(verb: Verb, rng: random.Random) -> dict[str, str | float | bool]:
    place = rng.choice((0, 0, 1))
    match verb:
        case Verb.SENSOR_CHATTER:
            return {"hz": round(rng.uniform(2.0, 20.0), 1)}
        case Verb.CENTRE_LATE:
            return {"seconds": round(rng.uniform(0.5, 8.0), 2)}
        case Verb.MODULE_LATE:
            return {"ms": round(rng.uniform(20.0, 80.0))}
        case Verb.CLOCK_STEP:
            return {"ms": rng.choice((-1, 1)) * round(10 ** rng.uniform(2.0, 7.5))}
        case Verb.SET_MODE:
            return {"mode": rng.choice(_MODES)}
        case Verb.HOLD_CONVEYANCE | Verb.RELEASE_CONVEYANCE | Verb.REFER_CONVEYANCE:
            return {"place": place}
        case Verb.DIRECT_CONVEYANCE:
            return {"place": place, "verdict": rng.choice(_ASIDE)}
        case Verb.ACKNOWLEDGE:
            return {"condition": rng.choice(("CENTRE_LOST", "CORRIDOR_ORDER_UNKNOWN"))}
        case Verb.TAKE_CONTROL:
            return {"officer": SECOND}
        case _:
            return {}
