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


@pytest.fixture(scope="session")
def target() -> Target:
    """The bench under test."""
    return load_target("virtual")


@pytest.fixture(scope="session")
def limits(target: Target) -> Limits:
    """Its T values."""
    return target.limits


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One lane for all tests of a module, open and empty when the first begins."""
    with opened(Path(tmp_path_factory.mktemp("lane"))) as stage:
        stage.run(stage.lane.open_lane())
        yield stage


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, against its limit."""
    if FIGURES:
        terminalreporter.section("measured at the devices")
        for line in FIGURES:
            terminalreporter.write_line(line)
