"""The runbook and the code know the same stable codes; what documents name exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from click import Group

from edge_agent.__main__ import main as edge_agent
from edge_agent.api.errors import Reason as Answer
from edge_agent.cli.lanectl import VERBS
from edge_agent.passage.codes import CauseCode, ConditionCode, EventCode
from edge_agent.safety.facts import Reason
from edge_agent.safety.timing import SignalFault

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"
DOCUMENTS = [RUNBOOK, ROOT / "deploy" / "README.md", ROOT / "drivers" / "README.md"]
CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")

# Words that look like a code and are none.
NO_CODES = {
    "GET_PARAMETER": "an RTSP method",
    "GRPC_VERBOSITY": "an environment variable of grpc",
    "LANE_OFFICER": "an environment variable of lanectl",
    "LANE_SOCKET_DIR": "an environment variable of lanectl",
    "NOTIFY_SOCKET": "an environment variable of the service manager",
    "PROTECTED_B": "a security classification",
    "SUDO_UID": "an environment variable of sudo",
    "WATCHDOG_USEC": "an environment variable of the service manager",
    "FAILED_PRECONDITION": "a result of an act, told by the doors as ACT_REFUSED",
    "NOT_FOUND": "a result of an act, told by the doors with what was not found",
    "PERMISSION_DENIED": "a result of an act, told by the doors as ROLE_NOT_ALLOWED",
    "MEMORY_LINK_LOST": "of the in-memory link, which only tests make",
}
# Fragments of protobuf enumeration names (LANE_MODE_...), and prefixes codes are tested for.
FRAGMENTS = re.compile(r"[A-Z_]+_")
# Modules whose codes go out with a prefix of the release service.
CENTRAL_ALARMS = "edge_agent/central/forward.py"
# Where a code is put together at run time: the module, and what the runbook must have for it.
PUT_TOGETHER = {
    ("edge_agent/central/connection.py", "CENTRAL_"): "the service's own reason, or the gRPC status it refuses with",
    ("edge_agent/central/forward.py", "CENTRAL_"): "each of CENTRAL_ALARMS",
    ("edge_agent/control/central_link.py", "CENTRAL_"): "each of CENTRAL_ALARMS",
}
# Modules whose codes are answers to a program that asked, not faults of the lane: rows of a table are enough.
ANSWERING = {
    "edge_agent/api/errors.py",
    "edge_agent/cli/agent.py",
    "edge_agent/console/acts.py",
    "edge_agent/console/doors.py",
    "edge_agent/console/lane_link.py",
    "edge_agent/console/server.py",
    "edge_agent/media/whep.py",
}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the product by its path."""
    paths = sorted(path for folder in ("edge_agent", "drivers") for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Module, name of what is called, the call."""
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield module, name, node


@cache
def fault_classes() -> frozenset[str]:
    """EdgeError, everything that descends from it by name, and Condition: their first argument is a code."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"EdgeError"}
    while more := {name for name, over in bases.items() if over & found} - found:
        found |= more
    return frozenset(found | {"Condition"})


def named_codes() -> set[str]:
    """Codes given in full to a fault or a condition."""
    return {
        call.args[0].value
        for module, name, call in calls()
        if name in fault_classes() and module not in ANSWERING and call.args
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    } - NO_CODES.keys()


def written_codes(modules: set[str]) -> set[str]:
    """Every string of these modules that is a code by its shape, whatever it is handed to."""
    found = set()
    for module in modules:
        for node in ast.walk(trees()[module]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                alarm = module == CENTRAL_ALARMS and not node.value.startswith("CENTRAL_")
                found.add(f"CENTRAL_{node.value}" if alarm else node.value)
    return {code for code in found if code not in NO_CODES and not FRAGMENTS.fullmatch(code)}


def loud_events() -> set[str]:
    """Events that are, or may be, alarms: the second argument of `event` says so."""
    found = set()
    for _, name, call in calls():
        if name == "event" and len(call.args) >= 2 and isinstance(call.args[0], ast.Attribute):
            code, severity = call.args[0], call.args[1]
            if isinstance(code.value, ast.Name) and code.value.id == "EventCode":
                spoken = ast.unparse(severity)
                if "ALARM" in spoken or "Severity." not in spoken:
                    found.add(EventCode[code.attr].value)
    return found


def quiet_codes() -> set[str]:
    """Codes for which a row of a table will do."""
    causes = {cause.value for cause in CauseCode} | {reason.value for reason in Reason}
    answers = written_codes(ANSWERING & trees().keys()) | {answer.value for answer in Answer}
    return causes | answers | {event.value for event in EventCode}


def headed_codes() -> set[str]:
    """Codes that need a heading of their own."""
    others = written_codes(trees().keys() - ANSWERING) - quiet_codes()
    conditions = {condition.value for condition in ConditionCode}
    faults = {fault.value for fault in SignalFault}
    return others | named_codes() | conditions | faults | loud_events()


def headings() -> list[str]:
    """Every code the runbook has a heading for, as often as it has one."""
    lines = re.findall(r"^### ([A-Z].*)$", RUNBOOK.read_text(), re.MULTILINE)
    return [code for line in lines for code in line.split(", ")]


def rows() -> set[str]:
    """Every code that begins a row of one of the runbook's tables."""
    return set(re.findall(r"^\| `(\w+)`", RUNBOOK.read_text(), re.MULTILINE))


def test_every_code_has_its_heading() -> None:
    assert headed_codes() - set(headings()) == set()


def test_every_quiet_code_has_a_heading_or_a_row() -> None:
    assert quiet_codes() - set(headings()) - rows() == set()


def test_every_heading_is_a_code_that_can_come() -> None:
    refusals = {f"CENTRAL_{status}" for status in refused_statuses()}
    assert set(headings()) - headed_codes() - quiet_codes() - refusals == set()
    assert rows() - quiet_codes() == set()
    assert len(headings()) == len(set(headings()))


def refused_statuses() -> set[str]:
    """The gRPC statuses that central refuses a stream with, as `connection.py` lists them."""
    tree = trees()["edge_agent/central/connection.py"]
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "StatusCode"
    } - {"UNKNOWN"}


def test_refusals_of_central_have_their_heading() -> None:
    assert {f"CENTRAL_{status}" for status in refused_statuses()} - set(headings()) == set()


def test_codes_put_together_at_run_time_are_known() -> None:
    found = set()
    for module, name, call in calls():
        if name in fault_classes() and call.args and isinstance(call.args[0], ast.JoinedStr):
            first = call.args[0].values[0]
            found.add((module, first.value if isinstance(first, ast.Constant) else ""))
    assert found == PUT_TOGETHER.keys()


def test_exceptions_are_still_needed() -> None:
    words = {
        node.value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert NO_CODES.keys() - words == set()
    assert {*ANSWERING, CENTRAL_ALARMS} - trees().keys() == set()


def test_every_answer_says_what_to_do() -> None:
    text = RUNBOOK.read_text()
    parts = re.split(r"^(?:### ([A-Z].*)|## .*)$", text, flags=re.MULTILINE)
    short = []
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        if heading is not None:
            missing = [part for part in ("**Lane:**", "**Do:**", "**Check:**") if part not in body]
            short += [f"{heading}: {' '.join(missing)}"] if missing else []
    assert not short


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(document: Path) -> None:
    text = document.read_text()
    verbs = set(re.findall(r"\blanectl ([a-z][a-z-]*)", text))
    assert verbs - VERBS.keys() == set()
    assert isinstance(edge_agent, Group)
    programs = set(re.findall(r"\bedge-agent ([a-z][a-z-]*)", text))
    assert programs - set(edge_agent.commands) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        assert "://" in target or (document.parent / target).exists(), target
    anchors = {_anchor(line) for line in re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)}
    for anchor in re.findall(r"\]\(#([^)]+)\)", document.read_text()):
        assert anchor in anchors, anchor


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
