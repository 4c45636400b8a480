"""mutmut with a runner for tests that need nothing but their parameters: each is called in the forked child as it is.

A session of pytest for each mutant costs ten times what the test does that kills it. Started in mutmut's tree by `run`.
"""

import os
import resource
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any

import mutmut.__main__ as engine
import pytest
from mutmut.runners.harness import PytestRunner
from mutmut.workers.isolation import ForkRunner

KILLERS = "MUTATION_KILLERS"
"""Environment: the file that knows who has killed what, shared by all runs."""
CPU_S = "MUTATION_CPU_S"
"""Environment: seconds of processor time that one test may take. The clock on the wall ends none: a busy machine kills
no mutant."""
MEMORY_BYTES = 3 << 30
LIVES, DIES = 0, 1


class Endless(BaseException):
    """A test took longer than any may."""


class QuickRunner(PytestRunner):
    """pytest collects, and runs what is no mutant; mutants meet the functions that it found."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, pytest.Function] = {}
        self._killers = Path(os.environ[KILLERS])

    def execute_pytest(self, params: list[str], **kwargs: Any) -> int:
        """As it is, with an eye on what was collected."""
        return super().execute_pytest(params, plugins=[*kwargs.pop("plugins", []), self], **kwargs)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """pytest tells every plugin what it has found."""
        self._found |= {item.nodeid: item for item in items if isinstance(item, pytest.Function)}

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """LIVES, or DIES at the first test that fails."""
        if mutant_name is None:
            return super().run_tests(mutant_name=None, tests=tests)
        function = mutant_name.partition("__mutmut_")[0]
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        signal.signal(signal.SIGVTALRM, _end)
        warnings.simplefilter("error")
        with chdir("mutants"):
            for name in self._foremost(function, list(tests)):
                if not _passes(_call(self._found[name])):
                    with self._killers.open("a") as notes:
                        notes.write(f"{function}\t{name}\n")
                    return DIES
        return LIVES

    def _foremost(self, function: str, tests: list[str]) -> list[str]:
        """Those who killed most of this function's mutants first, then who killed others of its module; else the
        quickest, as mutmut has them. Of hundreds that touch a function a few tell right from wrong in it."""
        here: Counter[str] = Counter()
        near: Counter[str] = Counter()
        for line in self._killers.read_text().splitlines() if self._killers.exists() else []:
            of, _, test = line.partition("\t")
            here[test] += of == function
            near[test] += of.rpartition(".")[0] == function.rpartition(".")[0]
        return sorted(tests, key=lambda test: (-here[test], -near[test]))


def _call(item: pytest.Function) -> Callable[[], object]:
    given = item.callspec.params if hasattr(item, "callspec") else {}
    if set(item._fixtureinfo.argnames) != set(given):
        raise LookupError(f"{item.nodeid} needs more than its parameters")
    return lambda: item.function(**given)


def _passes(test: Callable[[], object]) -> bool:
    limit_s = float(os.environ[CPU_S])
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s, limit_s)
    try:
        test()
    except BaseException:  # noqa: BLE001 # whatever a mutant does, it is over here
        return False
    else:
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _end(*_: object) -> None:
    raise Endless


if __name__ == "__main__":
    vars(engine)["get_mutant_runner"] = lambda children=1: ForkRunner(children, QuickRunner())
    engine._run((), int(sys.argv[1]))
