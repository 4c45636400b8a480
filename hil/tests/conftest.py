"""The house rules of tests/ hold here too: virtual clock, no task left behind, no tool passed over in CI.

And the bench: a whole lane of real processes, and a table of what was measured on it at the end of the run.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rig.target import Limits, Target, load_target
from hil.tests.stage import FIGURES, Stage, opened
from tests.conftest import pytest_pyfunc_call, pytest_runtest_setup

__all__ = ["pytest_pyfunc_call", "pytest_runtest_setup"]

MEASURED = "measured"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test module that names TARGETS runs once on each of them."""
    names = getattr(metafunc.module, "TARGETS", None)
    if names is not None and "target" in metafunc.fixturenames:
        metafunc.parametrize("target", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest) -> Target:
    """The bench under test."""
    return load_target(getattr(request, "param", "virtual"))


@pytest.fixture(scope="module")
def limits(target: Target) -> Limits:
    """Its T values."""
    return target.limits


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, target: Target) -> Iterator[Stage]:
    """One lane for all tests of a module, open and empty when the first begins."""
    with opened(Path(tmp_path_factory.mktemp("lane")), **target.bench_options()) as stage:
        stage.run(stage.lane.open_lane())
        yield stage


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What a test measured goes with its report: the run's table may be in another process."""
    item.user_properties.extend((MEASURED, line) for line in FIGURES)
    FIGURES.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, against its limit."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = [
        str(value)
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, value in report.user_properties
        if name == MEASURED
    ]
    if lines:
        terminalreporter.section("measured at the devices")
        for line in lines:
            terminalreporter.write_line(line)
