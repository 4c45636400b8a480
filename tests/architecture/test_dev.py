"""The developer entry and the CI run: standard library only, honest exit codes."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = ("demo", "test", "check", "bench", "proto", "hil", "lock")


def _dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dev"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse((ROOT / "dev").read_text())
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in plain | parts} <= sys.stdlib_module_names
    assert os.access(ROOT / "dev", os.X_OK)


def test_help_names_every_verb() -> None:
    told = _dev("--help")
    assert told.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in told.stdout


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (("frobnicate",), 2, "invalid choice"),
    (("check", "nothing"), 1, "no check named nothing; there are: mypy"),
    (("proto", "--chek"), 1, "./dev proto [--check]"),
])  # fmt: skip
def test_a_wrong_word_is_told(arguments: tuple[str, ...], code: int, message: str) -> None:
    told = _dev(*arguments)
    assert told.returncode == code
    assert message in told.stderr


@pytest.mark.parametrize(("check", "tests", "code"), [(0, 0, 0), (1, 0, 1), (0, 5, 5), (1, 3, 3)])
def test_the_ci_run_keeps_the_exit_code_of_the_tests(tmp_path: Path, check: int, tests: int, code: int) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    stand_in = tmp_path / "dev"
    stand_in.write_text(f'#!/bin/sh\necho "$1 ended"\n[ "$1" = check ] && exit {check}\nexit {tests}\n')
    stand_in.chmod(0o755)
    ran = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == code
    assert ran.stdout.splitlines()[-1] == "test ended"
