"""A run against its story: every clause of `then` with what was found. The same judge wherever the run took place."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hil.oracles.wrong_green import Rule, Verdict
from hil.rig.run_record import RunRecord, Sealed
from hil.world.events import EventKind
from hil.world.faults import Trigger
from hil.world.scenario import Expectation, RedBy, Scenario, TruckExpectation


@dataclass(frozen=True, slots=True)
class Finding:
    """One clause in the words of the file, whether it holds, and what was found instead where it does not."""

    clause: str
    holds: bool
    found: str = ""


def findings(story: Scenario, run: RunRecord, slack_s: float = 0.0) -> tuple[Finding, ...]:
    """Every clause of the story, and those that no file has to say. `slack_s`: what the bench itself may add to the
    moment of a `red_by` (0 on the virtual clock)."""
    lane = (
        *_always(story.then, run),
        _acts(story.then, run),
        *_lane(story.then, run),
        *(_red_by(red, run, slack_s) for red in story.then.red_by),
    )
    return (*lane, *(finding for truck in story.then.trucks for finding in _truck(truck, run)))


def complaints(story: Scenario, run: RunRecord, slack_s: float = 0.0) -> list[str]:
    """What did not come out as expected; empty when all is well."""
    return [f"{f.clause}: {f.found}" for f in findings(story, run, slack_s) if not f.holds]


def _always(then: Expectation, run: RunRecord) -> Iterator[Finding]:
    outlived = [_crossing(run, verdict) for verdict in run.wrong if verdict.rule is Rule.AFTER_NOSE]
    if then.outlived:
        yield _same("green outlives the noses of", list(then.outlived), outlived)
    wrong = [
        f"at {verdict.t:.3f} {verdict.rule.value}: {verdict.text}"
        for verdict in run.wrong
        if not (verdict.rule is Rule.AFTER_NOSE and _crossing(run, verdict) in then.outlived)
    ]
    yield _clean("never a wrong green" + (" otherwise" if then.outlived else ""), wrong)
    yield _clean("the arm moved over nobody", list(run.arm_wrong))
    yield _clean("one record for each vehicle", list(_doubles(run)))
    gap = [] if list(run.numbers) == list(range(1, len(run.numbers) + 1)) else [f"numbered {list(run.numbers)}"]
    yield _clean("records numbered without a gap", gap)
    yield _clean("the script could do all it says", list(run.trouble))


def _crossing(run: RunRecord, verdict: Verdict) -> str:
    """The truck whose nose had crossed the line last when this verdict fell; "" when none had."""
    noses = [e for e in run.events if e.kind is EventKind.NOSE and e.place == "S" and e.on and e.t <= verdict.t]
    return max(noses, key=lambda event: event.t).truck if noses else ""


def _doubles(run: RunRecord) -> Iterator[str]:
    """Every vehicle that has left has one record; one of nobody says so."""
    trucks = Counter(sealed.truck for sealed in run.sealed if sealed.truck or "unproven" not in sealed.flags)
    entered = {event.truck for event in run.events if event.kind is EventKind.ENTERED}
    gone = {event.truck for event in run.events if event.kind in (EventKind.LEFT, EventKind.DIVERTED)}
    for truck, count in trucks.items():
        if count > 1 or truck not in entered:
            yield f"{count} for {truck or 'nobody'}"
    for truck in sorted(gone - set(trucks)):
        yield f"none for {truck}, which has left"


def _acts(then: Expectation, run: RunRecord) -> Finding:
    refused = [act for act in run.acts if act.result != "OK"]
    clause = f"refused {[verb.value for verb in then.refused]}, no other act" if then.refused else "every act was taken"
    told = [f"{a.verb.value} {a.truck} at {a.t:.3f}: {a.result or 'no answer'}: {a.message}" for a in refused]
    holds = [act.verb for act in refused] == list(then.refused)
    return Finding(clause, holds, "" if holds else "; ".join(told) or "every act was taken")


def _lane(then: Expectation, run: RunRecord) -> Iterator[Finding]:
    if then.green_for is not None:
        yield _same("green for", list(then.green_for), list(run.greens))
    if then.sealed is not None:
        yield _same("sealed", then.sealed, len(run.sealed))


def _red_by(red_by: RedBy, run: RunRecord, slack_s: float) -> Finding:
    clause = f"red within {red_by.within_s:g} s of {_told(red_by.trigger)}"
    moment = _moment(run, red_by.trigger)
    if moment is None:
        return Finding(clause, holds=False, found="that moment never came")
    shown = run.shown_at(moment + red_by.within_s + slack_s)
    return Finding(
        clause, shown == "red", "" if shown == "red" else f"{shown} {red_by.within_s:g} s after {moment:.3f}"
    )


def _moment(run: RunRecord, trigger: Trigger) -> float | None:
    if trigger.at_s is not None:
        return trigger.at_s
    return next((event.t + trigger.plus_s for event in run.events if trigger.fits(event)), None)


def _told(trigger: Trigger) -> str:
    if trigger.at_s is not None:
        return f"second {trigger.at_s:g}"
    what = " ".join(word for word in (trigger.truck, trigger.kind.value if trigger.kind else "", trigger.place) if word)
    return f"{what} + {trigger.plus_s:g} s" if trigger.plus_s else what


def _truck(wanted: TruckExpectation, run: RunRecord) -> Iterator[Finding]:
    name = wanted.truck
    stopped = any(e.kind is EventKind.STOPPED and e.truck == name and e.x_m < 0.0 for e in run.events)
    crossed = any(e.kind is EventKind.NOSE and e.place == "S" and e.on and e.truck == name for e in run.events)
    for word, expected, found in (
        ("greens", wanted.greens, run.greens.count(name)),
        ("stopped", wanted.stopped, stopped),
        ("crossed", wanted.crossed, crossed),
    ):
        if expected is not None:
            yield _same(f"{name} {word}", expected, found)
    record = next((sealed for sealed in run.sealed if sealed.truck == name), None)
    if record is None:
        yield Finding(f"{name} has a record", holds=False, found="no bundle")
    else:
        yield from _record(wanted, record)


def _record(wanted: TruckExpectation, record: Sealed) -> Iterator[Finding]:
    name, flags = wanted.truck, set(record.flags)
    if wanted.outcome is not None:
        yield _same(f"{name} outcome", wanted.outcome.value, record.outcome or "none")
    if wanted.flags:
        holds = set(wanted.flags) <= flags
        yield Finding(f"{name} flags {', '.join(wanted.flags)}", holds, "" if holds else f"found {sorted(flags)}")
    if wanted.without_flags:
        holds = not set(wanted.without_flags) & flags
        clause = f"{name} without flags {', '.join(wanted.without_flags)}"
        yield Finding(clause, holds, "" if holds else f"found {sorted(flags)}")


def _same(name: str, expected: object, found: object) -> Finding:
    return Finding(f"{name} {expected}", expected == found, "" if expected == found else f"found {found}")


def _clean(clause: str, wrong: Sequence[str]) -> Finding:
    return Finding(clause, not wrong, "; ".join(wrong))
