"""How every test runs: `async def` on the virtual clock, no task left behind, no missing tool passed over in CI."""

import asyncio
import ctypes
import inspect
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from hil.rig.virtual_loop import VirtualLoop

ROOT = Path(__file__).resolve().parent.parent

# Tools of the virtual environment and those `./dev` unpacks are found like installed ones.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), str(ROOT / ".dev" / "bin"), os.environ.get("PATH", os.defpath)]
)

_CALL_ENDS_S = 5.0

settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _has_program(name: str) -> bool:
    return shutil.which(name) is not None


CAPABILITIES: dict[str, Callable[[], bool]] = {
    "chromium": lambda: _has_program("chromium"),
    "libmodbus": lambda: _has_library("libmodbus.so.5"),
    "mbpoll": lambda: _has_program("mbpoll"),
    "promtool": lambda: _has_program("promtool"),
    "net-snmp": lambda: all(_has_program(name) for name in ("snmpget", "snmpset", "snmpd")),
    "buf": lambda: _has_program("buf"),
    "root": lambda: os.geteuid() == 0,
    "tun": lambda: Path("/dev/net/tun").exists() and _has_program("ip"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what this machine cannot run; in CI that is a failure."""
    for marker in item.iter_markers("needs"):
        for capability in marker.args:
            if capability not in CAPABILITIES:
                pytest.fail(f"unknown capability {capability!r}; known: {', '.join(CAPABILITIES)}")
            if CAPABILITIES[capability]():
                continue
            if os.environ.get("CI"):
                pytest.fail(f"{capability} is missing, and in CI a skip is a failure")
            pytest.skip(f"needs {capability}, which this machine has not (./dev test says how to get it)")


FILLER = "gw2"
"""The third process, where there is one: it takes random days from the beginning, with what the others leave of the
processors. They wait for real time most of theirs."""
_FILLING = "tests/days/test_days.py::test_passages["


def pytest_configure() -> None:
    """The filler gives way to whoever has a deadline."""
    if os.environ.get("PYTEST_XDIST_WORKER") == FILLER:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


_NO_DEADLINE = ("hil/tests/test_capture.py", "hil/tests/test_demo.py", "hil/tests/test_field_bench.py")
"""Whole lanes whose tests measure no time: they take turns with the tests in tests/, so that the bench ends sooner."""


def _on_the_bench(nodeid: str) -> bool:
    return nodeid.startswith("hil/") and not nodeid.startswith(_NO_DEADLINE)


class _OneLaneAtATime(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Which process takes which test: all of the bench one of them, else file by file, days one by one; and the filler
    days only.

    The bench waits most of its time, and two lanes at once would disturb each other's deadlines.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "hil" if _on_the_bench(nodeid) else nodeid if file.startswith("tests/days/") else file

    def _assign_work_unit(self, node: Any) -> None:
        if node.gateway.id == FILLER:
            first = next((scope for scope in self.workqueue if scope.startswith(_FILLING)), None)
            if first is None:
                node.shutdown()
                return
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _OneLaneAtATime:
    """For `--dist=loadscope`, as ./dev test runs it."""
    return _OneLaneAtATime(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The bench takes longest, so it begins first; days are small change for whoever is free at the end.

    Two processes must know every test by the same name: an address in it is another in each.
    """
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"give these parameters an id: {', '.join(unstable)}")
    items.sort(key=lambda item: item.nodeid.startswith("tests/days/") - _on_the_bench(item.nodeid))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test: on the virtual loop, or on the real one when marked `real_time`."""
    if not inspect.iscoroutinefunction(inspect.unwrap(pyfuncitem.obj)) and not _is_hypothesis_async(pyfuncitem.obj):
        return None
    real = pyfuncitem.get_closest_marker("real_time") is not None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    inner = getattr(pyfuncitem.obj, "hypothesis", None)
    if inner is None:
        _run(pyfuncitem.obj, arguments, real)
        return True
    original = inner.inner_test
    inner.inner_test = lambda *args, **kwargs: _run(lambda **extra: original(*args, **extra), kwargs, real)
    try:
        pyfuncitem.obj(**arguments)
    finally:
        inner.inner_test = original
    return True


def _is_hypothesis_async(test: Any) -> bool:
    inner = getattr(test, "hypothesis", None)
    return inner is not None and inspect.iscoroutinefunction(inner.inner_test)


def _run(test: Callable[..., Any], arguments: dict[str, Any], real: bool) -> None:
    with asyncio.Runner(loop_factory=None if real else VirtualLoop) as runner:
        runner.run(_checked(test, arguments))


async def _checked(test: Callable[..., Any], arguments: dict[str, Any]) -> None:
    await test(**arguments)
    calls = {task for task in asyncio.all_tasks() if "_AioCall." in getattr(task.get_coro(), "__qualname__", "")}
    if calls:  # gRPC keeps a task for each call of a client; it ends by itself once the call's end has come in
        await asyncio.wait(calls, timeout=_CALL_ENDS_S)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
    assert not left, f"tasks left running: {', '.join(sorted(task.get_name() for task in left))}"
