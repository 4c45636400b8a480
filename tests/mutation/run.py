"""mutmut on some files of the passage core, as the last commit has them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = "edge_agent/passage"
WORK = ROOT / ".dev" / "mutation"
KILLED = {1, 3}
TYPES = 37
"""What the type checker has refused, which reads every commit as the tests do."""
ALIVE = {0: "survived", 33: "no test reaches it", 5: "no test reaches it"}
SLOW = ("test_properties.py",)
"""Unit tests that take as long as all the others together: they see only who has survived those."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Tests that judge what those before have let live; `cpu_s`: what one of them may take at most."""

    name: str
    cpu_s: float

    def tests(self, tree: Path) -> list[str]:
        """Which tests."""
        folder = tree / "tests" / "unit" / "passage"
        quick = sorted(str(path.relative_to(tree)) for path in folder.glob("test_*.py") if path.name not in SLOW)
        if self.name == "unit":
            return quick
        return [*(f"tests/unit/passage/{name}" for name in SLOW), "tests/scenarios"]


STAGES = (Stage("unit", 10.0), Stage("stories", 60.0))


def run(stems: list[str], *, stories: bool, fresh: bool, children: int) -> None:
    """Run the first stage, or both, and keep the verdicts; what was killed before stays so while its function is
    unchanged, unless `fresh`."""
    files = [f"{PACKAGE}/{stem}.py" for stem in stems]
    known = {file: {} if fresh else _load(file) for file in files}
    for stage in STAGES if stories else STAGES[:1]:
        tree = _tree(stage, files)
        for file in files:
            _seed(tree, file, known[file])
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "MUTATION_KILLERS": str(WORK / f"killers-{stage.name}"),
            "MUTATION_CPU_S": str(stage.cpu_s),
        }
        mutmut = [sys.executable, str(Path(__file__).with_name("quick.py")), str(children)]
        done = subprocess.run(mutmut, cwd=tree, env=environment, check=False)
        if done.returncode:
            raise SystemExit(f"mutmut ended with {done.returncode} in {tree}")
        for file in files:
            known[file] = _harvest(tree, file, stage, known[file])
            kept(file).write_text(json.dumps(known[file], indent=1))


def kept(file: str) -> Path:
    """Where the verdicts of one file are."""
    return WORK / f"{Path(file).stem}.json"


def _load(file: str) -> dict[str, Any]:
    path = kept(file)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _tree(stage: Stage, files: list[str]) -> Path:
    """The last commit, with mutmut told what to mutate and by which tests."""
    tree = WORK / f"tree-{stage.name}"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    project = tree / "pyproject.toml"
    text = project.read_text().replace('"ignore-without-code", ', "")  # mutmut's own lines carry such comments
    settings = {
        **tomllib.loads(text)["tool"]["mutmut"],
        "source_paths": [PACKAGE],
        "only_mutate": files,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "--timeout=0"],
        "pytest_add_cli_args_test_selection": stage.tests(tree),
        # What is endless is ended by the runner, by processor time; this is for a runner that has failed.
        "timeout_constant": 60.0,
        "type_check_command": [
            "mypy",
            "--output=json",
            "--follow-imports=silent",
            f"--cache-dir={WORK / 'mypy'}",
            *files,
            "--no-warn-unused-ignores",
        ],
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    section = "\n".join(["[tool.mutmut]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items()), ""])
    project.write_text(
        re.sub(r"^\[tool\.mutmut\]\n.*?(?=^\[)", lambda _: section + "\n", text, flags=re.MULTILINE | re.DOTALL)
    )
    return tree


def _meta(tree: Path, file: str) -> Path:
    return tree / "mutants" / f"{file}.meta"


def _seed(tree: Path, file: str, known: dict[str, Any]) -> None:
    """Tell mutmut who is dead; all others it tries."""
    mutants = known.get("mutants", {})
    meta = {
        "exit_code_by_key": {name: 1 for name, mutant in mutants.items() if mutant["killed"]},
        "hash_by_function_name": known.get("functions", {}),
        "durations_by_key": {},
        "type_check_error_by_key": {},
        "estimated_durations_by_key": {},
    }
    path = _meta(tree, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(meta))


def _harvest(tree: Path, file: str, stage: Stage, known: dict[str, Any]) -> dict[str, Any]:
    """What mutmut found, joined with what was known."""
    from .changes import changes  # mutmut's own modules may be imported in its tree only

    meta = json.loads(_meta(tree, file).read_text())
    same = {
        name for name, value in meta["hash_by_function_name"].items() if known.get("functions", {}).get(name) == value
    }
    mutants: dict[str, Any] = {}
    for name, code in meta["exit_code_by_key"].items():
        before = known.get("mutants", {}).get(name)
        function = name.rpartition(".")[2].partition("__mutmut_")[0]
        if before is not None and before["killed"] and function in same:
            mutants[name] = before
        elif code == TYPES:
            mutants[name] = {"killed": "types"}
        elif code in KILLED:
            mutants[name] = {"killed": stage.name}
        else:
            mutants[name] = {"killed": "", "code": code, "verdict": ALIVE.get(code, f"undecided ({code})")}
    for name, change in changes(tree, file, [n for n, m in mutants.items() if not m["killed"]]).items():
        mutants[name] |= change
    blob = subprocess.run(["git", "rev-parse", f"HEAD:{file}"], cwd=ROOT, check=True, capture_output=True, text=True)
    return {"blob": blob.stdout.strip(), "functions": meta["hash_by_function_name"], "mutants": mutants}
