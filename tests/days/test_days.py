"""Random days from seeds, with an oracle that watches every event. A failing seed prints the line that repeats it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hil.days.day import complaints, record_complaints, run_day
from hil.world.faults import Verb

ROOT = Path(__file__).parents[2]
SIGHTED = frozenset({Verb.LAMP_FEEDBACK_MISSING, Verb.CENTRE_DOWN, Verb.HOLD_LANE})
"""Faults that leave the agent alive and its sensors true: nothing at all may be wrong with any record."""
DEADLY = SIGHTED | {Verb.KILL_AGENT}
BEAM = "stop_line_beam"


def _report(seed: int, verbs: frozenset[Verb], found: list[str], zone: str = "") -> str:
    words = " ".join(sorted(verb.value + (f":{zone}" if zone else "") for verb in verbs))
    return "\n".join([f"repeat with: python -m hil.days {seed} {words}".rstrip(), *found])


@pytest.mark.parametrize("seed", range(10))
def test_day_with_outages_and_holds(seed: int) -> None:
    day = run_day(seed, verbs=SIGHTED)
    found = complaints(day) + record_complaints(day)
    assert not found, _report(seed, SIGHTED, found)


@pytest.mark.parametrize("seed", range(20, 30))
def test_day_with_kills(seed: int) -> None:
    """A dead agent sees nothing, and still every truck has its own record and nobody is accused."""
    day = run_day(seed, verbs=DEADLY)
    found = complaints(day) + record_complaints(day)
    assert not found, _report(seed, DEADLY, found)


@pytest.mark.parametrize("seed", [9, 14, 18, 22, 25])
def test_day_with_a_beam_that_lies(seed: int) -> None:
    """It makes no vehicle, takes nobody's exit and accuses nobody."""
    verbs = frozenset({Verb.SENSOR_STUCK})
    day = run_day(seed, verbs=verbs, zones=frozenset({BEAM}))
    found = complaints(day) + record_complaints(day)
    assert day.troubles, "a day without any lie shows nothing"
    assert not found, _report(seed, verbs, found, BEAM)


@pytest.mark.parametrize("seed", range(100, 110))
def test_day_with_everything(seed: int) -> None:
    """Kills and lying sensors too: never a wrong green, the lane works again, nobody is accused, no tag is on a wrong
    record, and where certainty cannot be had the records say so."""
    day = run_day(seed)
    found = complaints(day) + record_complaints(day)
    assert not found, _report(seed, frozenset(), found)


def test_same_seed_same_digest_whatever_the_hash_seed() -> None:
    digests = set()
    for hash_seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "hil.days", "1", *sorted(verb.value for verb in SIGHTED)],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.add(done.stdout.splitlines()[-1])
    assert len(digests) == 1
