"""The rules: which conveyances are expected and what is answered for each, as YAML read without tolerance.

conveyances:
  - name: T1
    match: {driver_card: 0FA5..., transponder: 0D70...}   # EPCs in hex; also plate_front, plate_rear, container
    cargo: [{kind: crn, value: "7ABC0001"}]               # crn, ccn or container
    verdict: release                                       # see hil/world/rules.py for these and their defaults
    delay_s: 0.8
    ttl_s: 120
    reason: unspecified                                    # class of a referral
    silent: false
    revisions: [{after_s: 5, verdict: hold_at_line, reason: random, ttl_s: 60}]
    basis: FLE
    programmes: [FAST]
default: {verdict: hold_at_line, delay_s: 0.5}             # for whom nothing matches
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from hil.world.rules import ReleaseRule, Revision, Verdict
from hil.world.strict_yaml import (
    Problems,
    ScenarioError,
    Section,
    Unusable,
    compose,
    each,
    flag_of,
    number,
    one_of,
    text_of,
    word,
)

__all__ = ["Cargo", "Expected", "RuleBook", "ScenarioError", "load_rules", "rule_of"]

TAG_KINDS = ("driver_card", "transponder")
MATCH_KINDS = (*TAG_KINDS, "plate_front", "plate_rear", "container")
REASONS = (
    "unspecified",
    "commercial_exam",
    "immigration",
    "customs",
    "food_plant_animal",
    "other_agency",
    "documents",
    "random",
    "equipment",
)
_DELAY = number(0.0, 86_400.0)
# The wire's limit: 1 ms to 1 h.
_TTL = number(0.001, 3_600.0)


@dataclass(frozen=True, slots=True)
class Cargo:
    """A cargo number central holds for a conveyance."""

    kind: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """One expected conveyance and its answers. `match` maps a kind of identity to its value (EPC as upper-case hex)."""

    name: str
    rule: ReleaseRule
    match: Mapping[str, str] = field(default_factory=dict, repr=False)
    cargo: tuple[Cargo, ...] = ()
    basis: str = ""
    programmes: tuple[str, ...] = ()


class RuleBook:
    """The rules in force. Rules may be added or replaced by name while the service runs."""

    def __init__(self, expected: tuple[Expected, ...], default: Expected) -> None:
        self._expected = {rule.name: rule for rule in expected}
        self.default = default

    def put(self, rule: Expected) -> None:
        """Add a rule, or replace the one of the same name ("default" is the one for unknown conveyances)."""
        if rule.name == self.default.name:
            self.default = rule
        else:
            self._expected[rule.name] = rule

    def find(self, values: frozenset[tuple[str, str]]) -> Expected:
        """The rule that most of these (kind, value) identities match, the first of equals; the default for none."""
        best, hits = self.default, 0
        for rule in self._expected.values():
            count = sum((kind, value) in values for kind, value in rule.match.items())
            if count > hits:
                best, hits = rule, count
        return best


def load_rules(text: str, name: str) -> RuleBook:
    """Read a rules file; ScenarioError with every fault as name:line:column."""
    problems = Problems(name)
    expected: tuple[Expected, ...] = ()
    default = Expected("default", ReleaseRule(Verdict.HOLD_AT_LINE, delay_s=0.5))
    try:
        root = compose(text, name)
        top = Section(problems, root, "rules")
        expected = top.items("conveyances", _read_expected)
        default = top.get("default", _read_default, default)
        top.close()
        _refuse_doubles(problems, root, expected)
    except Unusable:
        pass
    problems.check()
    return RuleBook(expected, default)


def rule_of(fields: Mapping[str, Any]) -> Expected:
    """One rule from the fields of a control request: the same keys and the same strictness. ScenarioError."""
    problems = Problems("rule")
    # JSON is YAML, so one reader serves both.
    node = compose(json.dumps(dict(fields)), "rule")
    read = _read_default if fields.get("name") == "default" else _read_expected
    try:
        rule = read(problems, node)
    except Unusable:
        problems.check()
        raise AssertionError("an unusable node without a problem") from None
    problems.check()
    return rule


def _read_expected(problems: Problems, node: yaml.Node) -> Expected:
    section = Section(problems, node, "conveyance")
    name = section.need("name", text_of)
    if not name or name == "default":
        problems.note(node, "conveyance: name must be a word other than default")
    match = section.need("match", _read_match)
    return _read_answers(section, name, match)


def _read_default(problems: Problems, node: yaml.Node) -> Expected:
    section = Section(problems, node, "default")
    section.get("name", word("default"), "default")
    return _read_answers(section, "default", {}, ReleaseRule(Verdict.HOLD_AT_LINE, delay_s=0.5))


def _read_answers(section: Section, name: str, match: Mapping[str, str], usual: ReleaseRule | None = None) -> Expected:
    usual = usual or ReleaseRule()
    rule = ReleaseRule(
        verdict=section.get("verdict", one_of(Verdict), usual.verdict),
        delay_s=section.get("delay_s", _DELAY, usual.delay_s),
        ttl_s=section.get("ttl_s", _TTL, usual.ttl_s),
        reason=section.get("reason", word(*REASONS), usual.reason),
        revisions=section.items("revisions", _read_revision),
        silent=section.get("silent", flag_of, False),
    )
    expected = Expected(
        name=name,
        rule=rule,
        match=match,
        cargo=section.items("cargo", _read_cargo),
        basis=section.get("basis", text_of, ""),
        programmes=section.get("programmes", each(text_of), ()),
    )
    section.close()
    return expected


def _read_match(problems: Problems, node: yaml.Node) -> Mapping[str, str]:
    section = Section(problems, node, "match")
    match: dict[str, str] = {}
    for kind in MATCH_KINDS:
        if section.has(kind):
            match[kind] = section.need(kind, _read_epc if kind in TAG_KINDS else text_of)
    section.close()
    if not match:
        problems.note(node, f"match: give at least one of {', '.join(MATCH_KINDS)}")
    return match


def _read_epc(problems: Problems, node: yaml.Node) -> str:
    # An EPC of digits only is a number to YAML; its text is what was written all the same.
    value = str(node.value).upper() if isinstance(node, yaml.ScalarNode) else ""
    if not value or len(value) % 4 or set(value) - set("0123456789ABCDEF"):
        raise problems.refuse(node, "an EPC is hex of whole 16-bit words")
    return value


def _read_cargo(problems: Problems, node: yaml.Node) -> Cargo:
    section = Section(problems, node, "cargo")
    cargo = Cargo(section.need("kind", word("crn", "ccn", "container")), section.need("value", text_of))
    section.close()
    return cargo


def _read_revision(problems: Problems, node: yaml.Node) -> Revision:
    section = Section(problems, node, "revision")
    revision = Revision(
        section.need("after_s", _DELAY),
        section.need("verdict", one_of(Verdict)),
        section.get("reason", word(*REASONS), "unspecified"),
        section.get("ttl_s", _TTL, 120.0),
    )
    section.close()
    return revision


def _refuse_doubles(problems: Problems, root: yaml.Node, expected: tuple[Expected, ...]) -> None:
    owner: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    for rule in expected:
        if rule.name in names:
            problems.note(root, f"rules: the name {rule.name} is given twice")
        names.add(rule.name)
        for identity in rule.match.items():
            first = owner.setdefault(identity, rule.name)
            if first != rule.name:
                problems.note(root, f"rules: {first} and {rule.name} expect the same {identity[0]}")
