"""The house rules of tests/ hold here too: virtual clock, no task left behind, no tool passed over in CI.

And the bench: which target the tests run on, what they may ask of it, a whole lane of real processes, and at the end of
the run what was measured on it and what it covered.
"""

from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest

from hil.rig.coverage_matrix import COVERAGE, Asked, matrix_of, results
from hil.rig.fault_catalogue import load_catalogue
from hil.rig.stories import load_story, story_names
from hil.rig.story_needs import lacks
from hil.rig.target import CAPABILITIES, Limits, Target, load_target
from hil.tests.stage import FIGURES, Stage, opened
from tests.conftest import pytest_pyfunc_call
from tests.conftest import pytest_runtest_setup as skip_what_this_machine_cannot

__all__ = ["pytest_pyfunc_call"]

MEASURED = "measured"
VIRTUAL = "virtual"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which bench, and where to write what it covered."""
    parser.addoption("--target", default="", help="name in hil/targets, or a file that ends with .yaml")
    parser.addoption("--matrix", type=Path, default=None, metavar="FILE", help="write the coverage matrix as markdown")


def pytest_configure(config: pytest.Config) -> None:
    """What a test may say of itself."""
    config.addinivalue_line("markers", "capability(name, ...): what the test asks of the bench; see hil/rig/target.py")
    name = config.getoption("--target", "")
    if name:
        try:
            _target(name)
        except (OSError, ValueError) as error:
            raise pytest.UsageError(f"--target {name}: {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test module that names TARGETS runs once on each of them, or on the one that was asked for."""
    names = getattr(metafunc.module, "TARGETS", None)
    if names is not None and "target" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--target", "")
        metafunc.parametrize("target", [chosen] if chosen else names, indirect=True, scope="module")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what this bench cannot do."""
    target, wanted = target_of(item), capabilities_of(item)
    item.user_properties.append((COVERAGE, Asked(target.name, wanted).told()))
    if "stage" in getattr(item, "fixturenames", ()) and not wanted:
        pytest.fail("a test on a bench names what it asks of it: @pytest.mark.capability(...)")
    unknown = [name for name in wanted if name not in CAPABILITIES]
    if unknown:
        pytest.fail(f"unknown capability {', '.join(unknown)}; known: {', '.join(CAPABILITIES)}")
    missing = [name for name in wanted if name not in target.capabilities]
    if missing:
        pytest.skip(f"{target.name} cannot: {', '.join(missing)}")
    skip_what_this_machine_cannot(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A bench that is nothing but programs has no excuse."""
    report = yield
    if report.skipped and target_of(item).virtual and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"{why}: on a virtual bench a skip is a failure"
    return report


@cache
def _target(name: str) -> Target:
    return load_target(name)


def target_of(item: pytest.Item) -> Target:
    """The bench a test runs on."""
    callspec = getattr(item, "callspec", None)
    given = callspec.params.get("target") if callspec is not None else None
    return _target(given or item.config.getoption("--target", "") or VIRTUAL)


def capabilities_of(item: pytest.Item) -> tuple[str, ...]:
    """What a test asks of the bench, its module's wishes included."""
    return tuple(sorted({name for marker in item.iter_markers("capability") for name in marker.args}))


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest) -> Target:
    """The bench under test."""
    return _target(getattr(request, "param", "") or request.config.getoption("--target", "") or VIRTUAL)


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was measured, against its limit; and what the run covered."""
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
    able = _target(config.getoption("--target", "") or VIRTUAL).capabilities
    stories = {name: lacks(load_story(name), able) for name in story_names()}
    matrix = matrix_of(results(reports), load_catalogue(), stories)
    if matrix.tests:
        terminalreporter.section("covered: tests by capability, scenarios, faults")
        for line in matrix.lines():
            terminalreporter.write_line(line)
    path = config.getoption("--matrix", None)
    if path is not None:
        path.write_text(matrix.markdown())
