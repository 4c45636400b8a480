"""Scenarios: a lane's story as YAML (given, when, then), read strictly into frozen records.

`given`: seed, lane, trucks with what the release service answers for each, stray tags. `when`: what happens, at a time
or at an event. `then`: what must have come out. `hil/scenarios/*.yaml` are the examples.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from hil.world.events import EventKind
from hil.world.faults import OFFICER_VERBS, Happening, Trigger, Verb
from hil.world.geometry import ALL_ZONES, POINTS, Geometry, Lamp, Layout
from hil.world.rf import RfModel, StrayTag
from hil.world.rules import ReleaseRule, Revision, Verdict
from hil.world.strict_yaml import (
    Problems,
    Read,
    ScenarioError,
    Section,
    Unusable,
    compose,
    each,
    flag_of,
    number,
    one_of,
    text_of,
    whole,
    word,
)
from hil.world.truck import (
    Act,
    Behaviour,
    ReverseAct,
    StopAct,
    TagKind,
    TagSpec,
    TruckPlan,
    cargo_tag,
    driver_card,
    transponder,
)
from hil.world.world import World

__all__ = ["Expectation", "Outcome", "RedBy", "Scenario", "ScenarioError", "TruckExpectation", "load_scenario"]

_SECONDS = number(0.0, 100_000.0)
_METRES = number(-1000.0, 1000.0)
_TRUCK_NUMBERS: Mapping[str, Read[float]] = {
    "cruise_kmh": number(1.0, 60.0),
    "length_m": number(1.0, 60.0),
    "start_m": _METRES,
    "start_kmh": number(0.0, 60.0),
    "brake_mps2": number(0.1, 2.0),
    "accelerate_mps2": number(0.1, 3.0),
    "stop_reaction_s": number(0.0, 10.0),
    "go_reaction_s": number(0.0, 10.0),
    "stop_short_m": number(0.1, 10.0),
    "gap_m": number(0.5, 50.0),
    "headway_s": number(0.5, 20.0),
}
MODES = ("closed", "attended", "remote", "degraded", "all_hold", "maintenance")
REASONS = (
    "unspecified", "commercial_exam", "immigration", "customs", "food_plant_animal", "other_agency", "documents",
    "random", "equipment",
)  # fmt: skip
FLAGS = (
    "waiting_at_line", "late", "revoked", "late_revocation", "late_change", "reversed", "diverted", "ambiguous",
    "violation", "orphaned", "abandoned", "no_tag", "multiple_cards", "order_unknown", "unconfirmed_green",
    "stalled_after_green", "stopped_in_corridor", "centre_lost", "sensor_fault", "restarted", "clock_stepped",
    "duplicate_identity", "reader_gap", "doubtful", "unproven", "mixed", "late_card", "passback", "seen_elsewhere",
    "tid_mismatch",
)  # fmt: skip
"""As the agent marks a passage; a test keeps these words and the agent's the same."""
# What a verb must be told (name -> how to read it). `truck` names a truck of the scenario.
_ARGS: Mapping[Verb, Mapping[str, Read[Any]]] = {
    Verb.HOLD_CONVEYANCE: {"truck": text_of},
    Verb.RELEASE_CONVEYANCE: {"truck": text_of},
    Verb.REFER_CONVEYANCE: {"truck": text_of, "reason": word(*REASONS)},
    Verb.DIRECT_CONVEYANCE: {"truck": text_of, "verdict": one_of(Verdict)},
    Verb.DIRECT_TRUCK: {"truck": text_of, "way": word("through", "side")},
    Verb.SET_MODE: {"mode": word(*MODES)},
    Verb.ACKNOWLEDGE: {"condition": text_of},
    Verb.SENSOR_STUCK: {"zone": word(*ALL_ZONES), "level": flag_of},
    Verb.SENSOR_CHATTER: {"zone": word(*ALL_ZONES), "hz": number(0.5, 20.0)},
    Verb.SENSOR_FROZEN: {"zone": word(*ALL_ZONES)},
    Verb.SENSOR_FREE: {"zone": word(*ALL_ZONES)},
    Verb.CENTRE_LATE: {"seconds": number(0.0, 60.0)},
    Verb.MODULE_LATE: {"ms": number(0.0, 1000.0)},
    Verb.CLOCK_STEP: {"ms": number(-1e9, 1e9)},
    Verb.PERSON_CROSSES: {"seconds": number(0.1, 60.0)},
}


class Outcome(StrEnum):
    """How a passage may end, in the words of the agent."""

    RELEASED_ROLLING = "released_rolling"
    RELEASED_STOPPED = "released_stopped"
    REFERRED = "referred"
    REFUSED = "refused"
    MANUAL = "manual"
    VIOLATION = "violation"
    ABANDONED = "abandoned"
    REVERSED = "reversed"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class TruckExpectation:
    """What must have become of one truck. None or empty: not asked. `greens` counts greens shown for it; `stopped`
    whether it stood anywhere upstream of S; `crossed` whether its nose ever crossed S."""

    truck: str
    outcome: Outcome | None = None
    flags: tuple[str, ...] = ()
    without_flags: tuple[str, ...] = ()
    greens: int | None = None
    stopped: bool | None = None
    crossed: bool | None = None


@dataclass(frozen=True, slots=True)
class RedBy:
    """The head shows red at `within_s` after the trigger at the latest."""

    trigger: Trigger
    within_s: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must hold after `run_for_s`. `green_for`: the trucks that got green, in this order and no others (None: not
    asked). `sealed`: how many passages were sealed. `refused`: the officers' acts that must be refused, in this order;
    all others must be taken. Never a wrong green is always asked, but for `outlived`: green must outlive the noses of
    these trucks, in this order, because nothing at the line can see them."""

    run_for_s: float
    green_for: tuple[str, ...] | None = None
    sealed: int | None = None
    red_by: tuple[RedBy, ...] = ()
    trucks: tuple[TruckExpectation, ...] = ()
    refused: tuple[Verb, ...] = ()
    outlived: tuple[str, ...] = ()
    never_wrong_green: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. `rules` has an entry for every truck. `arm_travel_s`: how long the barrier arm takes; None: no arm."""

    name: str
    title: str
    seed: int
    geometry: Geometry
    trucks: tuple[TruckPlan, ...]
    rules: Mapping[str, ReleaseRule]
    strays: tuple[StrayTag, ...]
    happenings: tuple[Happening, ...]
    then: Expectation
    arm_travel_s: float | None = None

    def world(self, rf: RfModel | None = None) -> World:
        """A fresh world for this story."""
        return World(self.geometry, self.trucks, self.seed, rf, self.strays, self.arm_travel_s)


@dataclass(frozen=True, slots=True)
class _TruckPart:
    plan: TruckPlan
    rule: ReleaseRule


def load_scenario(text: str, name: str) -> Scenario:
    """Read a scenario; `name` stands in messages and as the story's name. ScenarioError with every fault found."""
    problems = Problems(name)
    try:
        scenario = _read_scenario(problems, compose(text, name), name)
    except Unusable:
        problems.check()
        raise AssertionError("an unusable node without a problem") from None
    problems.check()
    return scenario


def _read_scenario(problems: Problems, root: yaml.Node, name: str) -> Scenario:
    top = Section(problems, root, "scenario")
    title = top.get("scenario", text_of, name)
    given = Section(problems, top.need("given", _node), "given")
    seed = given.get("seed", whole(0, 2**32), 1)
    cruise_kmh, geometry = given.get("lane", _read_lane, (15.0, Geometry()))
    parts = given.need("trucks", each(lambda p, n: _read_truck(p, n, cruise_kmh)))
    strays = given.items("strays", _read_stray)
    arm_travel_s = given.get("arm", _read_arm, None)
    given.close()
    happenings = top.items("when", _read_happening)
    then = top.need("then", _read_then)
    top.close()
    trucks = tuple(sorted((part.plan for part in parts), key=lambda plan: plan.enter_s))
    rules = {part.plan.id: part.rule for part in parts}
    if len(rules) != len(trucks):
        problems.note(given.node, "given: two trucks have the same id")
    for happening in happenings:
        zone = happening.args.get("zone")
        if zone is not None and zone not in geometry.zones():
            problems.note(root, f"scenario: when names {zone}, which this lane has not: {', '.join(geometry.zones())}")
    for truck in sorted(_named(happenings, then) - set(rules)):
        problems.note(root, f"scenario: when or then names truck {truck}, which is not given: {', '.join(rules)}")
    return Scenario(name, title, seed, geometry, trucks, rules, strays, happenings, then, arm_travel_s)


def _named(happenings: tuple[Happening, ...], then: Expectation) -> set[str]:
    named = {str(happening.args["truck"]) for happening in happenings if "truck" in happening.args}
    named |= {happening.trigger.truck for happening in happenings} | {red.trigger.truck for red in then.red_by}
    named |= set(then.green_for or ()) | set(then.outlived) | {truck.truck for truck in then.trucks}
    return named - {""}


def _node(_problems: Problems, node: yaml.Node) -> yaml.Node:
    return node


def _read_lane(problems: Problems, node: yaml.Node) -> tuple[float, Geometry]:
    lane = Section(problems, node, "lane")
    cruise_kmh = lane.get("cruise_kmh", number(1.0, 60.0), 15.0)
    default = Geometry()
    measures = {
        key: lane.get(key, _METRES, getattr(default, key))
        for key in ("entry_m", "a_m", "d_m", "x_m", "exit_m", "loop_m", "sight_m")
    }
    layout = lane.get("layout", one_of(Layout), default.layout)
    exit_loop = lane.get("exit_loop", flag_of, default.exit_loop)
    lane.close()
    try:
        return cruise_kmh, dataclasses.replace(default, **measures, layout=layout, exit_loop=exit_loop)
    except ValueError as error:
        raise problems.refuse(node, f"lane: {error}") from None


def _read_arm(problems: Problems, node: yaml.Node) -> float | None:
    arm = Section(problems, node, "arm")
    travel_s = arm.get("travel_s", number(0.5, 60.0), 3.0)
    arm.close()
    return travel_s


def _read_truck(problems: Problems, node: yaml.Node, cruise_kmh: float) -> _TruckPart:
    truck = Section(problems, node, "truck")
    truck_id = truck.need("id", text_of)
    enter_s = truck.get("enter_s", _SECONDS, 1.0)
    numbers: dict[str, float] = {"cruise_kmh": cruise_kmh}
    for key, read in _TRUCK_NUMBERS.items():
        if truck.has(key):
            numbers[key] = truck.get(key, read, 0.0)
    tags = truck.items("tags", _read_tag)
    front = truck.get("plate_front", text_of, "") or None
    rear = truck.get("plate_rear", text_of, "") or None
    behaviour = truck.get("behaviour", one_of(Behaviour), Behaviour.OBEYS)
    acts = truck.items("acts", _read_act)
    drawbar = truck.get("drawbar", _read_drawbar, None)
    rule = truck.get("release", _read_rule, ReleaseRule())
    truck.close()
    try:
        plan = TruckPlan(
            truck_id,
            enter_s,
            tags=tags,
            plate_front=front,
            plate_rear=rear,
            behaviour=behaviour,
            acts=acts,
            drawbar=drawbar,
            **numbers,
        )
    except ValueError as error:
        raise problems.refuse(node, str(error)) from None
    return _TruckPart(plan, rule)


def _read_drawbar(problems: Problems, node: yaml.Node) -> tuple[float, float]:
    drawbar = Section(problems, node, "drawbar")
    found = drawbar.need("from_m", _METRES), drawbar.need("to_m", _METRES)
    drawbar.close()
    return found


def _read_tag(problems: Problems, node: yaml.Node) -> TagSpec:
    tag = Section(problems, node, "tag")
    kind = tag.need("kind", one_of(TagKind))
    serial = tag.need("serial", whole(0, 2**31))
    make = {TagKind.DRIVER_CARD: driver_card, TagKind.TRANSPONDER: transponder, TagKind.CARGO: cargo_tag}[kind]
    spec = make(serial)
    spec = dataclasses.replace(
        spec,
        epc=tag.get("epc", text_of, spec.epc),
        tid=tag.get("tid", text_of, spec.tid or "") or None,
        offset_m=tag.get("offset_m", _METRES, spec.offset_m),
        level_db=tag.get("level_db", number(-80.0, 30.0), spec.level_db),
        present_from_s=tag.get("present_from_s", _SECONDS, spec.present_from_s),
        present_until_s=tag.get("present_until_s", _SECONDS, spec.present_until_s),
    )
    tag.close()
    if len(spec.epc) % 4 or set(spec.epc) - set("0123456789ABCDEF"):
        raise problems.refuse(node, "tag: epc must be upper-case hex of whole 16-bit words")
    return spec


def _read_stray(problems: Problems, node: yaml.Node) -> StrayTag:
    stray = Section(problems, node, "stray")
    x_m = stray.need("x_m", _METRES)
    tag = stray.need("tag", _read_tag)
    stray.close()
    return StrayTag(dataclasses.replace(tag, offset_m=0.0), x_m)


def _read_act(problems: Problems, node: yaml.Node) -> Act:
    act = Section(problems, node, "act")
    x_m = act.need("stop_at_m", _METRES)
    seconds = act.get("seconds", _SECONDS, 0.0)
    back_m = act.get("reverse_m", number(0.1, 100.0), 0.0)
    act.close()
    if (seconds > 0.0) == (back_m > 0.0):
        raise problems.refuse(node, "act: give either seconds or reverse_m")
    return StopAct(x_m, seconds) if seconds > 0.0 else ReverseAct(x_m, back_m)


def _read_rule(problems: Problems, node: yaml.Node) -> ReleaseRule:
    rule = Section(problems, node, "release")
    default = ReleaseRule()
    read = ReleaseRule(
        verdict=rule.get("verdict", one_of(Verdict), default.verdict),
        delay_s=rule.get("delay_s", _SECONDS, default.delay_s),
        ttl_s=rule.get("ttl_s", _SECONDS, default.ttl_s),
        reason=rule.get("reason", word(*REASONS), default.reason),
        revisions=rule.items("revisions", _read_revision),
        silent=rule.get("silent", flag_of, False),
    )
    rule.close()
    return read


def _read_revision(problems: Problems, node: yaml.Node) -> Revision:
    revision = Section(problems, node, "revision")
    after_s = revision.need("after_s", _SECONDS)
    verdict = revision.need("verdict", one_of(Verdict))
    read = Revision(
        after_s, verdict, revision.get("reason", word(*REASONS), "unspecified"), revision.get("ttl_s", _SECONDS, 120.0)
    )
    revision.close()
    return read


def _read_happening(problems: Problems, node: yaml.Node) -> Happening:
    part = Section(problems, node, "happening")
    trigger = _read_trigger(part)
    verb = part.need("do", one_of(Verb))
    args: dict[str, str | float | bool] = {name: part.need(name, read) for name, read in _ARGS.get(verb, {}).items()}
    if verb in OFFICER_VERBS and part.has("officer"):
        args["officer"] = part.need("officer", text_of)
    part.close()
    return Happening(trigger, verb, args)


def _read_trigger(part: Section) -> Trigger:
    """Either `at: seconds` or `when: {...}` of this section."""
    at_s = part.get("at", _SECONDS, -1.0)
    event = part.get("when", _read_event, Trigger())
    if (at_s >= 0.0) == (event.kind is not None):
        raise part.problems.refuse(part.node, "give either at or a valid when")
    return Trigger(at_s=at_s) if at_s >= 0.0 else event


def _read_event(problems: Problems, node: yaml.Node) -> Trigger:
    event = Section(problems, node, "when")
    plus_s = event.get("plus_s", _SECONDS, 0.0)
    truck = event.get("truck", text_of, "")
    nose = event.get("nose_over", word(*POINTS), "")
    tail = event.get("tail_over", word(*POINTS), "")
    lamp = event.get("lamp", word(*(lamp.value for lamp in Lamp)), "")
    stopped = event.get("stopped", flag_of, False)
    event.close()
    given = [
        trigger
        for wanted, trigger in (
            (nose, Trigger(None, EventKind.NOSE, truck, nose, plus_s)),
            (tail, Trigger(None, EventKind.TAIL, truck, tail, plus_s)),
            (lamp, Trigger(None, EventKind.LAMP, "", lamp, plus_s)),
            (stopped, Trigger(None, EventKind.STOPPED, truck, "", plus_s)),
        )
        if wanted
    ]
    if len(given) != 1:
        raise problems.refuse(node, "when: give exactly one of nose_over, tail_over, lamp, stopped")
    return given[0]


def _read_then(problems: Problems, node: yaml.Node) -> Expectation:
    then = Section(problems, node, "then")
    never = then.get("never_wrong_green", flag_of, True)
    if not never:
        problems.note(node, "then: never_wrong_green is always asked; it cannot be false")
    read = Expectation(
        run_for_s=then.need("run_for_s", _SECONDS),
        green_for=then.items("green_for", text_of) if then.has("green_for") else None,
        sealed=then.get("sealed", whole(0, 100_000), 0) if then.has("sealed") else None,
        red_by=then.items("red_by", _read_red_by),
        trucks=then.items("trucks", _read_truck_expectation),
        refused=then.items("refused", one_of(Verb)),
        outlived=then.items("outlived", text_of),
    )
    then.close()
    return read


def _read_red_by(problems: Problems, node: yaml.Node) -> RedBy:
    part = Section(problems, node, "red_by")
    red_by = RedBy(_read_trigger(part), part.need("within_s", _SECONDS))
    part.close()
    return red_by


def _read_truck_expectation(problems: Problems, node: yaml.Node) -> TruckExpectation:
    part = Section(problems, node, "then truck")
    read = TruckExpectation(
        truck=part.need("id", text_of),
        outcome=part.need("outcome", one_of(Outcome)) if part.has("outcome") else None,
        flags=part.items("flags", word(*FLAGS)),
        without_flags=part.items("without_flags", word(*FLAGS)),
        greens=part.need("greens", whole(0, 1000)) if part.has("greens") else None,
        stopped=part.need("stopped", flag_of) if part.has("stopped") else None,
        crossed=part.need("crossed", flag_of) if part.has("crossed") else None,
    )
    part.close()
    return read
