"""A pytest plugin for runs of mutmut: who has killed a mutant of this function before goes first, nothing is endless.

mutmut begins with the fastest test. Of hundreds that touch a function a few tell right from wrong in it, and they do so
for most of its mutants.
"""

import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KILLERS = "MUTATION_KILLERS"
"""Environment: the file that knows who has killed what, shared by all runs of one tree."""
CPU_S = "MUTATION_CPU_S"
"""Environment: seconds of processor time that one test may take."""
MEMORY_BYTES = 3 << 30


def _function() -> str:
    """The function under mutation; empty in runs without a mutant."""
    name, mark, _ = os.environ.get("MUTANT_UNDER_TEST", "").partition("__mutmut_")
    return name if mark else ""


def pytest_configure() -> None:
    """A mutant that grows without end is stopped by memory before it is by time."""
    if _function():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those who killed most of this function's mutants first, then those who killed others; else as mutmut has it."""
    function = _function()
    path = Path(os.environ[KILLERS])
    if not function or not path.exists():
        return
    here: Counter[str] = Counter()
    module: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        of, _, test = line.partition("\t")
        here[test] += of == function
        module[test] += of.rpartition(".")[0] == function.rpartition(".")[0]
    items.sort(key=lambda item: (-here[item.nodeid], -module[item.nodeid]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Processor time and not the clock on the wall: a busy machine kills no mutant."""
    if not _function():
        return (yield)

    def too_long(*_: Any) -> None:
        pytest.fail("takes longer than any test may")

    before = signal.signal(signal.SIGVTALRM, too_long)
    limit_s = float(os.environ[CPU_S])
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s, limit_s)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note who killed it."""
    function = _function()
    if function and report.failed:
        with Path(os.environ[KILLERS]).open("a") as notes:
            notes.write(f"{function}\t{report.nodeid}\n")
