"""Random days from seeds, with oracles that watch every event. A failing seed prints the line that repeats it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hil.days.plan import ARM_KINDS, ARMS_FROM, LAYOUT_KINDS, LAYOUTS_FROM, Finding, finding_of, judged, plan_of
from hil.days.runner import repeat_line
from hil.rig.virtual_lane import Options

ROOT = Path(__file__).parents[2]
CI = bool(os.environ.get("CI"))
PASSAGES = 20_000 if CI else 2_000
"""Vehicles through the lane in every run of the tests: in continuous integration, and on a developer's machine."""
PARTS = 40 if CI else 10
"""Each takes its time alone, so that two processes end together; the seeds of the few are among those of the many."""
_SEEDS_APART = 1_000


@pytest.mark.timeout(1800)  # a quarter of a minute, but whoever has a deadline goes first
@pytest.mark.parametrize("part", range(PARTS))
def test_passages(part: int) -> None:
    """No wrong green, no bundle missed or doubled, no tag on another's record, and the lane works again."""
    passages, seed, wrong = 0, part * _SEEDS_APART, []
    while passages < PASSAGES / PARTS:
        day = judged(seed)
        passages += day.passages
        wrong += [f"{repeat_line(day.as_json())}: {sentence}" for sentence in day.found]
        assert day.passages or day.found, "a day without a passage shows nothing"
        seed += 1
    assert not wrong, "\n".join(wrong)


def test_a_judge_that_sees_nothing_would_be_noticed() -> None:
    """A relay slower than any limit: green outlives every nose, and the day says so."""
    plan = replace(plan_of(0), options=Options(lamp_delay_s=0.3))
    slow = plan.run(until_s=120.0)
    assert Finding.WRONG_GREEN in {finding_of(sentence) for sentence in plan.complaints(slow)}


def test_same_seed_same_digest_whatever_the_hash_seed() -> None:
    digests = set()
    code = "from hil.days.plan import plan_of; print(plan_of(2).run(until_s=400.0).lane.digest())"
    for hash_seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(len(LAYOUT_KINDS)), ids=[kind.name for kind in LAYOUT_KINDS])
def test_a_day_with_other_presence_sensors(number: int) -> None:
    """Held to the same: no wrong green, every bundle once, and the lane works again."""
    day = judged(LAYOUTS_FROM + number)
    assert day.kind == LAYOUT_KINDS[number].name
    assert day.greens > 20
    assert not day.found, f"{repeat_line(day.as_json())}: {day.found}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "faults"), [("arm, kills", set()), ("arm, slow module", {"BARRIER_NOT_MOVED", ""})])
def test_a_day_with_a_barrier_arm(kind: str, faults: set[str]) -> None:
    """Held to the same, and the arm is never asked down on anybody nor in doubt, and agrees with the light."""
    plans = map(plan_of, range(ARMS_FROM, ARMS_FROM + len(ARM_KINDS)))
    plan = next(plan for plan in plans if plan.kind.name == kind)
    day = plan.run()
    assert not plan.complaints(day), f"./dev hil days repeat {plan.seed}: {plan.complaints(day)}"
    assert day.lane.module.arm is not None
    asked = [role for _, role in day.lane.module.arm.oracle.asked]
    assert min(asked.count("barrier_raise"), asked.count("barrier_lower")) > 3
    told = {dict(event.facts)["fault"] for _, event in day.lane.lane_events if event.code == "BARRIER_FAULT"}
    assert told == faults, "an arm that jams is told, and cleared when it has been repaired"
