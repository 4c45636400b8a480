"""Which line a mutant changes, and into what."""

import ast
import contextlib
import difflib
from pathlib import Path
from typing import Any

import libcst


def changes(tree: Path, file: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """For each mutant of this file: function, line, what stood there and what stands there now."""
    from mutmut.mutation.diff_apply import read_functions_from_index

    starts = _starts((tree / file).read_text())
    found = {}
    with contextlib.chdir(tree):  # mutmut finds its folder from here
        for name in names:
            pair = read_functions_from_index(name, file)
            if pair is None:
                raise LookupError(f"mutmut does not know what {name} changes")
            was, now = (libcst.Module([function]).code.strip().split("\n") for function in pair)
            found[name] = _change(name, starts, was, now)
    return found


def _starts(source: str) -> dict[str, int]:
    """The first line of every function and method."""
    starts = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            starts[node.name] = node.lineno
        elif isinstance(node, ast.ClassDef):
            starts |= {
                f"{node.name}.{inner.name}": inner.lineno for inner in node.body if isinstance(inner, ast.FunctionDef)
            }
    return starts


def _change(name: str, starts: dict[str, int], was: list[str], now: list[str]) -> dict[str, Any]:
    mangled = name.rpartition(".")[2].partition("__mutmut_")[0]
    function = mangled.removeprefix("x_") if mangled.startswith("x_") else ".".join(mangled.split("ǁ")[1:])
    head = next(index for index, line in enumerate(was) if line.startswith(("def ", "async def ", "@")))
    blocks = [
        block for block in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes() if block[0] != "equal"
    ]
    _, first, _, _, _ = blocks[0]
    _, _, last, _, _ = blocks[-1]
    _, _, _, begin, _ = blocks[0]
    _, _, _, _, end = blocks[-1]
    return {
        "function": function,
        "line": starts[function] + first - head,
        "was": " ".join(line.strip() for line in was[first:last]),
        "now": " ".join(line.strip() for line in now[begin:end]),
    }
