"""tests/conftest.py itself: leftover tasks fail a test, a missing tool is a named skip here and a failure in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _run(tmp_path: Path, body: str, ci: bool) -> str:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text("import asyncio\nimport pytest\n" + body)
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "-c", str(ROOT / "pyproject.toml")]
    return subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    ).stdout


def test_a_leftover_task_fails_the_test(tmp_path: Path) -> None:
    body = "async def test_leaks():\n    asyncio.get_running_loop().create_task(asyncio.sleep(9), name='device:x')\n"
    output = _run(tmp_path, body, ci=False)
    assert "tasks left running: device:x" in output
    assert "1 failed" in output


@pytest.mark.parametrize(("ci", "ending"), [(False, "1 skipped"), (True, "1 error")])
def test_a_missing_tool_is_told_by_name(tmp_path: Path, ci: bool, ending: str) -> None:
    body = (
        "from tests import conftest\nconftest.CAPABILITIES['unobtainium'] = lambda: False\n"
        "@pytest.mark.needs('unobtainium')\ndef test_needs():\n    pass\n"
    )
    output = _run(tmp_path, body, ci)
    assert ending in output
    assert "unobtainium" in output
