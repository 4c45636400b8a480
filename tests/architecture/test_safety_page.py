"""The safety page against the program: no invariant is missing, each has its hazard, its code and tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "edge_agent" / "safety" / "README.md"
TEXT = PAGE.read_text()
UNPROVEN = {"INV-S24"}
"""Invariants of what this program does not command yet; the page says so in their row."""


def _rows() -> dict[str, list[str]]:
    """The cells of every invariant's row by its id."""
    rows = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| INV-")]
    assert len({row[0].strip() for row in rows}) == len(rows), "an id stands twice"
    return {row[0].strip(): [cell.strip() for cell in row] for row in rows}


def _hazards() -> list[str]:
    return [line for line in TEXT.splitlines() if line.startswith("| H-")]


def _tests() -> set[str]:
    """Every test function there is."""
    found: set[str] = set()
    for folder in ("tests", "hil/tests"):
        for path in (ROOT / folder).rglob("test_*.py"):
            found.update(re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))
    return found


def test_every_invariant_has_a_row() -> None:
    wanted = {f"INV-D{n}" for n in range(1, 9)} | {f"INV-S{n}" for n in range(1, 25)}
    assert wanted <= set(_rows())


def test_every_invariant_holds_off_a_hazard_and_every_hazard_is_held_off() -> None:
    named: set[str] = set()
    for line in _hazards():
        used = set(re.findall(r"INV-[DST]\d+", line)) | set(re.findall(r"W-\d+", line))
        assert used, line
        named |= used
    indirect = {"INV-D7", "INV-S10", "INV-S21", "INV-S24"}  # evidence and diagnosis: they end no green
    assert set(_rows()) - named <= indirect


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)(?:\[[^`]*\])?`", TEXT)) - {"test_facts"}
    assert named - _tests() == set()


def test_every_invariant_names_a_test_and_code_that_exists() -> None:
    for key, cells in _rows().items():
        assert len(cells) == 4, key
        _, promise, code, proof = cells
        assert promise, key
        shown = re.search(r"`test_\w+|\b[ETMW]\b|tests/days", proof)
        assert bool(shown) or key in UNPROVEN or "not yet proven" in proof or "INV-T" in proof, key
        for name in re.findall(r"`([\w./]+\.py)`", code):
            assert any((folder / name).is_file() for folder in (PAGE.parent, ROOT)), f"{key}: {name}"


def test_what_is_not_proven_is_said() -> None:
    for key in UNPROVEN:
        assert re.search(r"not yet", _rows()[key][3]), key
