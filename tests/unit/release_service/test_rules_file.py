"""The rules file: every fault told with its place, and the rule that matches best."""

import pytest

from hil.release_service.rules_file import ScenarioError, load_rules, rule_of
from hil.world.rules import Verdict

GOOD = """
conveyances:
  - name: T1
    match: {driver_card: 0fa5000011112222, transponder: "0D70000011112222"}
    cargo: [{kind: crn, value: "7ABC0001"}]
    verdict: release
    delay_s: 0.1
    revisions: [{after_s: 5, verdict: hold_at_line, reason: random}]
    basis: FLE
    programmes: [FAST, PIP]
  - name: T2
    match: {transponder: 0D70000033334444}
    verdict: refuse_return
    silent: true
default: {verdict: manual_lane, delay_s: 2}
"""


def test_the_best_match_wins_and_the_default_is_for_the_rest() -> None:
    rules = load_rules(GOOD, "rules.yaml")
    both = frozenset({("driver_card", "0FA5000011112222"), ("transponder", "0D70000033334444")})
    assert rules.find(both).name == "T1"
    assert rules.find(both | {("transponder", "0D70000011112222")}).name == "T1"
    assert rules.find(frozenset({("transponder", "0D70000033334444")})).rule.silent
    nobody = rules.find(frozenset({("transponder", "0FA5000011112222")}))
    assert (nobody.name, nobody.rule.verdict, nobody.rule.delay_s) == ("default", Verdict.MANUAL_LANE, 2.0)
    first = rules.find(frozenset({("driver_card", "0FA5000011112222")}))
    assert (first.programmes, first.basis, first.cargo[0].kind) == (("FAST", "PIP"), "FLE", "crn")
    assert first.rule.revisions[0].reason == "random"


def test_without_a_default_the_unknown_wait_at_the_line() -> None:
    rule = load_rules("conveyances: []", "rules.yaml").find(frozenset())
    assert (rule.rule.verdict, rule.rule.delay_s) == (Verdict.HOLD_AT_LINE, 0.5)


def test_identity_values_do_not_show_in_a_rule() -> None:
    rule = load_rules(GOOD, "rules.yaml").find(frozenset({("driver_card", "0FA5000011112222")}))
    assert "0FA5" not in repr(rule)
    assert "7ABC" not in repr(rule)


def test_every_fault_is_told_at_once_with_its_place() -> None:
    text = """conveyances:
  - name: T1
    match: {driver_card: XYZ}
    colour: red
  - name: T2
    match: {}
    verdict: relase
    ttl_s: 9999
default: {delay_s: soon}
"""
    with pytest.raises(ScenarioError) as wrong:
        load_rules(text, "rules.yaml")
    places = [problem.split(": ")[0] for problem in wrong.value.problems]
    assert places == ["rules.yaml:3:26", "rules.yaml:6:12", "rules.yaml:7:14", "rules.yaml:8:12", "rules.yaml:9:20"]


def test_two_rules_for_one_identity_or_name_are_refused() -> None:
    text = """conveyances:
  - {name: T1, match: {transponder: 0D70000033334444}}
  - {name: T1, match: {transponder: 0D70000033335555}}
  - {name: T2, match: {transponder: 0D70000033334444}}
"""
    with pytest.raises(ScenarioError) as wrong:
        load_rules(text, "r")
    assert len(wrong.value.problems) == 2


def test_a_rule_from_the_control_channel_is_read_as_strictly() -> None:
    rule = rule_of({"name": "T9", "match": {"driver_card": "0FA5000011112222"}, "verdict": "release", "delay_s": 1})
    assert (rule.name, rule.rule.delay_s) == ("T9", 1.0)
    assert rule_of({"name": "default", "verdict": "release"}).name == "default"
    with pytest.raises(ScenarioError, match="unknown key colour"):
        rule_of({"name": "T9", "match": {"driver_card": "0FA5000011112222"}, "colour": "red"})
