"""Style rules that no linter has: sizes, names, what every package must say about itself, and clean lock files."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
BANNED_WORDS = re.compile(r"(?:^|_)(?:utils?|helpers?|managers?|base)(?:_|$)")
WORDS_OF_OTHERS = {"ServiceManager"}  # what systemd calls itself
BANNED_NAMES = re.compile(r"(?:Util|Utils|Helper|Helpers|Manager|Base)(?=[A-Z]|$)|^(?:Util|Helper|Manager|Base)")


def _sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "__pycache__" not in path.parts]


SOURCES = [*_sources("edge_agent", "drivers", "hil", "tests"), ROOT / "dev"]
PRODUCT = _sources("edge_agent", "drivers", "hil")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_short() -> None:
    long = {_name(path): count for path in SOURCES if (count := len(path.read_text().splitlines())) > FILE_LINES_MAX}
    assert not long


def test_functions_are_short() -> None:
    long = {
        f"{_name(path)}:{node.lineno} {node.name}": lines
        for path in SOURCES
        for node in _functions(path)
        # Decorators are tables of cases in tests; the body is what has to fit on a screen.
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert not long


def test_no_name_that_says_nothing() -> None:
    modules = [_name(path) for path in PRODUCT if BANNED_WORDS.search(path.stem)]
    classes = [
        f"{_name(path)}: {node.name}"
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and BANNED_NAMES.search(node.name) and node.name not in WORDS_OF_OTHERS
    ]
    assert not modules + classes


@pytest.mark.parametrize("folder", ["edge_agent", "drivers", "hil"])
def test_every_package_says_what_it_is(folder: str) -> None:
    homeless = {path.parent for path in _sources(folder) if not (path.parent / "__init__.py").exists()}
    assert not homeless, "a folder with modules and no __init__.py"
    for path in _sources(folder):
        if path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text()))
            assert text, f"{_name(path)} has no docstring"
            assert len(text.splitlines()) <= 15, f"{_name(path)}: more than 15 lines"


def test_public_things_have_a_docstring() -> None:
    missing = []
    for path in _sources("edge_agent", "drivers"):
        tree = ast.parse(path.read_text())
        if ast.get_docstring(tree) is None:
            missing.append(_name(path))
        for node in tree.body:
            kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            if isinstance(node, kinds) and not node.name.startswith("_") and ast.get_docstring(node) is None:
                missing.append(f"{_name(path)}:{node.lineno} {node.name}")
    # Overloads share the docstring of their implementation.
    assert [entry for entry in missing if not entry.endswith(" keep_running")] == []


def test_lock_files_name_no_place() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert not re.search(r"^\s*--(?!hash)", text, re.MULTILINE), "an option that names an index or folder"


def test_lock_files_hold_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [re.split(r"[^A-Za-z0-9-]", name)[0].lower() for name in project["project"]["dependencies"]]
    tools = [name for name in project["dependency-groups"]["dev"] if isinstance(name, str)]
    also = [re.split(r"[^A-Za-z0-9-]", name)[0].lower() for name in tools]
    for lock, names in (("requirements.txt", wanted), ("requirements-dev.txt", wanted + also)):
        locked = re.findall(r"^([A-Za-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
        assert set(names) <= set(locked)


def test_nothing_names_a_place_of_the_developer() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    home = re.compile(r"(?<![\w/.])/(?:home|Users|root)/\w+")
    named = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".proto", ".sh", ".js", ".html", ".css"}:
            named += [f"{name}: {hit.group()}" for hit in home.finditer(path.read_text(errors="replace"))]
    assert not named
