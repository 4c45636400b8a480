"""The fault catalogue and the coverage matrix say nothing that is not so."""

import re
from dataclasses import dataclass, field

import pytest
import yaml
from pydantic import ValidationError

from hil.rig.coverage_matrix import COVERAGE, NOT_RUN, Asked, matrix_of, results
from hil.rig.fault_catalogue import CATALOGUE, ROOT, Fault, load_catalogue, untrue
from hil.rig.stories import load_story, story_names
from hil.rig.story_needs import lacks
from hil.rig.target import TARGETS, load_target

ROW = load_catalogue()["lamp_and_relay"]


def codes_of_the_runbook() -> set[str]:
    """Every heading that is a code."""
    headings = re.findall(r"^### (.+)$", (ROOT / "deploy" / "RUNBOOK.md").read_text(), re.MULTILINE)
    return {code for heading in headings for code in heading.split(", ")}


def test_every_row_names_what_there_is() -> None:
    assert untrue(load_catalogue(), codes_of_the_runbook()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shown_by": ["hil/tests/test_kills.py::test_nothing_of_the_kind"]}, "no test"),
        ({"shown_by": ["hil/tests/no_such_file.py::test_it"]}, "no test"),
        ({"shown_by": ["hil/tests/test_kills.py::recover"]}, "no test"),
        ({"capabilities": ["magic"]}, "no capability magic"),
        ({"providers": ["a hammer"]}, "no provider a hammer"),
        ({"expected": {**ROW.expected.model_dump(), "codes": ["NO_SUCH_CODE"]}}, "no code NO_SUCH_CODE"),
    ],
)
def test_a_name_that_nothing_has_is_found(change: dict[str, object], told: str) -> None:
    (found,) = untrue({"row": Fault.model_validate({**ROW.model_dump(), **change})}, codes_of_the_runbook())
    assert told in found


def test_a_row_without_a_test_is_refused() -> None:
    row = yaml.safe_load(CATALOGUE.read_text())["own_echo"]
    wrong: list[dict[str, object]] = [{"shown_by": []}, {"providers": []}, {"colour": "red"}]
    for change in wrong:
        with pytest.raises(ValidationError):
            Fault.model_validate({**row, **change})


def test_the_virtual_target_can_do_all_that_the_catalogue_asks() -> None:
    wanted = {one for row in load_catalogue().values() for one in row.capabilities}
    assert wanted <= load_target("virtual").capabilities
    assert all(load_target(path.stem).virtual for path in TARGETS.glob("virtual*.yaml"))


@dataclass
class Report:
    """A phase of a test, as pytest reports it."""

    nodeid: str
    outcome: str
    user_properties: list[tuple[str, str]] = field(default_factory=list)


def asked(nodeid: str, outcome: str, *capabilities: str, target: str = "virtual") -> Report:
    return Report(nodeid, outcome, [(COVERAGE, Asked(target, capabilities).told())])


def test_the_matrix_tells_what_ran_where_and_how_it_ended() -> None:
    lamp, both = ROW.shown_by
    reports = [
        asked(f"{lamp}[virtual]", "passed", "lamp_faults"),
        asked(f"{lamp}[virtual-rtu]", "passed", "lamp_faults", target="virtual-rtu"),
        asked(f"{lamp}[virtual-rtu]", "failed", "lamp_faults", target="virtual-rtu"),  # its teardown
        asked("hil/tests/test_x.py::test_y", "skipped", "kill_agent", "set_tags", target="field"),
        Report("tests/scenarios/test_scenarios.py::test_story_comes_out_as_told[no_tag]", "passed"),
        Report("hil/tests/test_story.py::test_story[no_tag]", "failed"),
    ]
    ran = results(reports)
    matrix = matrix_of(ran, {"lamp": ROW}, {"no_tag": (), "refused": (), "late": ("delay_centre",)})
    assert matrix.tests[lamp, "virtual"] == "passed"
    assert matrix.tests[lamp, "virtual-rtu"] == "failed"
    assert matrix.tests["hil/tests/test_x.py::test_y", "field"] == "skipped"
    assert matrix.used == ["set_tags", "kill_agent", "lamp_faults"]
    assert matrix.scenarios["no_tag"] == {"virtual clock": "passed", "bench": "failed"}
    assert matrix.scenarios["refused"] == {"virtual clock": NOT_RUN, "bench": NOT_RUN}
    assert matrix.faults == {"lamp": "failed"}
    shown = matrix_of(results([reports[0], asked(both, "passed", "lamp_faults")]), {"lamp": ROW}, {})
    assert shown.faults == {"lamp": "passed"}
    half = matrix_of(results([reports[0]]), {"lamp": ROW}, {})
    assert half.faults == {"lamp": NOT_RUN}, "one of its tests did not run"
    for text in ("\n".join(matrix.lines()), matrix.markdown()):
        assert "FAILED" in text
        assert "skipped" in text
        assert "no_tag" in text
        assert "cannot: delay_centre" in text, "what a bench cannot play is told with the reason"


def test_every_scenario_file_is_in_the_matrix() -> None:
    names = story_names()
    assert len(names) > 5
    assert list(matrix_of([], {}, dict.fromkeys(names, ())).scenarios) == names


@pytest.mark.parametrize("bench", ["virtual", "virtual-rtu"])
def test_a_virtual_bench_can_play_every_scenario_file(bench: str) -> None:
    able = load_target(bench).capabilities
    assert {name: short for name in story_names() if (short := lacks(load_story(name), able))} == {}


def test_a_bench_without_an_arm_is_told_to_be_short_of_it() -> None:
    able = load_target("virtual").capabilities - {"barrier_arm"}
    assert lacks(load_story("arm_nominal"), able) == ("barrier_arm",)
    assert lacks(load_story("no_tag"), able) == ()
