"""The page about mutants of the passage core against the folder: no file is left out, and its figures add up."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "edge_agent" / "passage"
PAGE = (FOLDER / "MUTATION.md").read_text()
FILES = {path.name for path in FOLDER.glob("*.py")}


def _rows() -> dict[str, list[str]]:
    """The cells behind the name, of every file."""
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| `\w+\.py` \|", line)]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}


def _survivors() -> dict[str, list[str]]:
    """What is said of each survivor, by file."""
    sections = re.split(r"^## `(\w+\.py)`$", PAGE, flags=re.MULTILINE)[1:]
    return {
        name: [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }


def test_every_file_has_its_figures_or_says_that_it_was_not_run() -> None:
    rows = _rows()
    assert set(rows) == FILES, "run `python -m tests.mutation report`"
    for name, cells in rows.items():
        assert cells[0] == "not run" or all(cell.isdigit() for cell in cells[:6]), name


def test_the_figures_add_up_and_every_survivor_is_listed() -> None:
    listed = _survivors()
    for name, cells in _rows().items():
        if cells[0] == "not run":
            continue
        mutants, types, unit, stories, alive, untried = map(int, cells[:6])
        assert mutants == types + unit + stories + alive + untried, name
        assert len(listed.get(name, [])) == alive, name
