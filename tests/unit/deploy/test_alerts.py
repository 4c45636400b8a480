"""Alerts fire when they should, and ask only for metrics that the processes show."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from edge_agent.console.metrics import ConsoleCollector
from edge_agent.media.metrics import FirstPictureTimes, MediaCollector
from edge_agent.media.sessions import Sessions
from edge_agent.observe.metrics import ControlMetrics
from edge_agent.safety.facts import Reason
from edge_agent.store.records import RecordClass

DEPLOY = Path(__file__).parents[3] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def families() -> Iterator[Metric]:
    """Every metric family of the three processes."""
    yield from ControlMetrics().registry.collect()
    registry = CollectorRegistry()
    sessions = Sessions(1, FirstPictureTimes(registry).observe)
    yield from registry.collect()
    yield from MediaCollector({}, sessions).collect()
    yield from ConsoleCollector([]).collect()


def shown() -> set[str]:
    """The names as a scrape sees them, and the name that Prometheus adds by itself."""
    names = {f"{f.name}{suffix}" for f in families() for suffix in SUFFIXES.get(f.type, ("",))}
    return names | {"up"}


def test_metrics_of_the_alerts_exist() -> None:
    known = shown()
    for rule in rules():
        asked = set(re.findall(r"\blane_(?:agent|media|console)_\w+|\bup\b", rule["expr"]))
        assert asked, rule["alert"]
        assert asked - known == set(), rule["alert"]


def test_words_in_the_alerts_are_words_of_the_code() -> None:
    text = ALERTS.read_text()
    reasons = {word for group in re.findall(r'reason=~?"([^"]+)"', text) for word in group.split("|")}
    classes = {word for group in re.findall(r'class=~?"([^"]+)"', text) for word in group.split("|")}
    jobs = set(re.findall(r'job="([^"]+)"', text))
    assert reasons <= {reason.value for reason in Reason}
    assert classes <= {record_class.value for record_class in RecordClass}
    assert jobs == set(re.findall(r"job_name: (\S+)", (DEPLOY / "README.md").read_text()))


def test_every_alert_leads_to_a_heading_and_is_tested() -> None:
    headings = set(re.findall(r"^#{2,4} (.+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE))
    tested = set(re.findall(r"alertname: (\w+)", (DEPLOY / "prometheus" / "alerts_test.yaml").read_text()))
    assert {rule["annotations"]["runbook"] for rule in rules()} <= headings
    assert {rule["alert"] for rule in rules()} == tested
    assert {rule["labels"]["severity"] for rule in rules()} <= {"critical", "warning"}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("command", [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]])
def test_promtool_agrees(command: list[str]) -> None:
    told = subprocess.run(
        ["promtool", *command], cwd=ALERTS.parent, capture_output=True, text=True, check=False, timeout=30
    )
    assert told.returncode == 0, told.stdout + told.stderr
