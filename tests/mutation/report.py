"""edge_agent/passage/MUTATION.md: the figures of every file, and of every survivor why it lives."""

import json
import re
import subprocess
from collections import Counter
from typing import Any

from .run import PACKAGE, ROOT, STAGES, kept

PAGE = ROOT / PACKAGE / "MUTATION.md"
OPEN = "not looked at yet"
HEAD = """# Mutants of the passage core

What [mutmut](https://mutmut.readthedocs.io) made of each file, which of it the tests told from the original, and why
the rest lives. Written by `.venv/bin/python -m tests.mutation report`; the last column of the survivors is written by
hand and kept. The figures of a file are of the commit named in its row: the last one that had changed the file. To take
them again (a file takes a minute or a few; `--children 1` on a machine that has other work):

```
.venv/bin/python -m tests.mutation run leases decisions
.venv/bin/python -m tests.mutation report
```

Who judges: **types** is `mypy --strict`, which reads every commit; **unit** is `tests/unit/passage`; **stories** is
`test_properties.py` of the same folder and `tests/scenarios`, which take 40 s for each survivor and are asked with
`--stories` only. Other tests use the core too (`tests/days`, `tests/unit/control`, `hil/tests`) and were not asked. A
test that takes longer than any may is a kill, by processor time. What was killed once counts as killed while its
function is unchanged (`--fresh` tries all of it again). mutmut changes what stands in functions and methods; constants
of a module, defaults of a dataclass and what has a decorator (properties) it leaves alone. **not tried** are those that
a run was stopped before: nothing is known of them.
"""
KINDS = ("mutants", "types", *(stage.name for stage in STAGES), "alive", "untried")
TABLE = """| file | mutants | refused by types | killed by unit | killed by stories | survive | not tried | of commit |
|---|---:|---:|---:|---:|---:|---:|---|
"""
SURVIVORS = """| line | in | was → became | why it lives |
|---:|---|---|---|
"""


def write() -> str:
    """Write the page; what it says in one line."""
    told = _told(PAGE.read_text()) if PAGE.exists() else {}
    rows, sections = [], []
    sums: Counter[str] = Counter()
    for path in sorted((ROOT / PACKAGE).glob("*.py")):
        file = f"{PACKAGE}/{path.name}"
        if not kept(file).exists():
            rows.append(f"| `{path.name}` | not run | | | | | | |")
            sums["not run"] += 1
            continue
        known = json.loads(kept(file).read_text())
        figures = _figures(known)
        sums += figures
        cells = " | ".join(str(figures[name]) for name in KINDS)
        rows.append(f"| `{path.name}` | {cells} | {_commit(file, known['blob'])} |")
        if figures["alive"]:
            sections.append(f"## `{path.name}`\n{SURVIVORS}" + "\n".join(_survivors(path.name, known, told)) + "\n")
    cells = " | ".join(str(sums[name]) for name in KINDS)
    rows.append(f"| all | {cells} | |")
    text = "\n".join(sections)
    PAGE.write_text(f"{HEAD}\n{TABLE}" + "\n".join(rows) + "\n\n" + text)
    return f"{dict(sums)}, not explained: {text.count(OPEN)}"


def _figures(known: dict[str, Any]) -> Counter[str]:
    found = Counter(
        mutant["killed"] or ("alive" if _tried(mutant) else "untried") for mutant in known["mutants"].values()
    )
    found["mutants"] = len(known["mutants"])
    return found


def _tried(mutant: dict[str, Any]) -> bool:
    """A run that was stopped leaves some."""
    return bool(mutant["killed"]) or mutant["code"] is not None


def _commit(file: str, blob: str) -> str:
    """The commit that gave the file what was tried."""
    log = _git("log", "--format=%h", "-n", "30", "--", file).split()
    for commit in log:
        if _git("rev-parse", f"{commit}:{file}").strip() == blob:
            return f"`{commit}`" + ("" if commit == log[0] else ", changed since")
    return f"blob `{blob[:8]}`"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _survivors(name: str, known: dict[str, Any], told: dict[tuple[str, str, str], str]) -> list[str]:
    alive = sorted(
        (m for m in known["mutants"].values() if not m["killed"] and _tried(m)),
        key=lambda m: (m["line"], m["was"], m["now"]),
    )
    rows = []
    for mutant in alive:
        change = f"{_code(mutant['was'])} → {_code(mutant['now'])}"
        why = told.get((name, mutant["function"], change), OPEN)
        if mutant["verdict"] != "survived" and not why.startswith(mutant["verdict"]):
            why = f"{mutant['verdict']}; {why}"
        rows.append(f"| {mutant['line']} | `{mutant['function']}` | {change} | {why} |")
    return rows


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else "nothing"


def _told(text: str) -> dict[tuple[str, str, str], str]:
    """What the page says of each survivor."""
    told = {}
    name = ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"## `(\w+\.py)`", line):
            name = heading[1]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)][1:-1]
        if name and len(cells) == 4 and cells[0].isdigit():
            told[name, cells[1].strip("`"), cells[2]] = cells[3]
    return told
