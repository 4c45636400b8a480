"""The checks other tools make, as tests: whoever runs only pytest sees them too. `./dev check` runs them by name."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _passes(command: list[str]) -> None:
    result = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=55
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_import_rules() -> None:
    _passes([str(Path(sys.executable).parent / "lint-imports"), "--no-cache"])


def test_generated_code_is_what_the_proto_files_say() -> None:
    _passes([sys.executable, str(ROOT / "dev"), "proto", "--check"])


@pytest.mark.needs("buf")
def test_contracts_follow_the_standard_rules() -> None:
    _passes([str(Path(sys.executable).parent / "buf"), "lint", "proto"])
