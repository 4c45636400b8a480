"""Import rules that import-linter's patterns cannot say, and what a process really loads."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
IMPURE = {
    "asyncio",
    "google",
    "grpc",
    "logging",
    "os",
    "pydantic",
    "pymodbus",
    "securecorridor",
    "serial",
    "socket",
    "subprocess",
    "threading",
    "time",
}
HEAVY = ("av", "aiortc", "cv2", "numpy", "aiohttp", "drivers.camera.rtsp_camera")


def test_codecs_are_pure() -> None:
    graph = grimp.build_graph("drivers", include_external_packages=True)
    codecs = sorted(module for module in graph.modules if module.endswith("_codec"))
    assert codecs
    for codec in codecs:
        reached = {module.partition(".")[0] for module in graph.find_upstream_modules(codec)}
        assert not reached & IMPURE, codec


@pytest.mark.parametrize("module", ["edge_agent.control", "edge_agent.config.load", "drivers.registry"])
def test_the_control_process_loads_no_pictures(module: str) -> None:
    program = (
        f"import importlib, pkgutil, sys\nroot = importlib.import_module({module!r})\n"
        "for found in pkgutil.walk_packages(getattr(root, '__path__', []), root.__name__ + '.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
