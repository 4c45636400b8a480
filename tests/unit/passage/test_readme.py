"""The page that says which story shows which state and exception is complete, and names only what exists."""

import re
from pathlib import Path

from edge_agent.model.conveyance import Flag, Phase
from edge_agent.model.lane import LaneMode
from edge_agent.model.presence import LAYOUTS, NO_EXIT, PresenceLayout

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "edge_agent" / "passage" / "README.md").read_text()
NAMED = set(re.findall(r"`([^`\s]+)`", PAGE))
STORIES = {path.stem for path in (ROOT / "hil" / "scenarios").glob("*.yaml")}


def test_every_side_state_every_state_and_every_mode_is_on_the_page() -> None:
    assert {flag.value for flag in Flag} <= NAMED
    assert all(phase.name in PAGE for phase in Phase)
    assert all(re.search(rf"^\| {mode.name} \|", PAGE, re.MULTILINE) for mode in LaneMode)


def test_every_test_and_file_it_names_exists() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = {name for name in NAMED if name.startswith("test_") and not name.endswith(".py")}
    assert {name for name in named if f"def {name}(" not in tests} == set()
    modules = {name for name in NAMED if re.fullmatch(r"\w+\.py", name)}
    places = ("edge_agent/passage", "tests/unit/passage")
    assert {name for name in modules if not any((ROOT / place / name).exists() for place in places)} == set()


def test_the_stories_it_names_are_those_there_are() -> None:
    shown = {cell for row in PAGE.splitlines() if row.startswith("|") for cell in re.findall(r"`(\w+)`", row)}
    known = {flag.value for flag in Flag} | STORIES
    words = {cell for cell in shown if "_" in cell and cell.islower() and not cell.startswith("test_")}
    policy = {"abandon_s", "stopped_factor", "exit_unseen", "no_exit_sensing", "stop_line_beam", "lane_end_m", "zone_x"}
    policy |= {layout.value for layout in PresenceLayout}
    assert words - known - policy == set()
    assert STORIES <= NAMED


def test_every_layout_says_on_the_page_what_it_cannot_see() -> None:
    for layout, traits in LAYOUTS.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{layout.value}` |")]
        assert row.split(" | ")[-1].removesuffix(" |") == "; ".join(traits.cannot_see)
        assert ("no: an officer" in row) == bool(traits.standing_only)
    assert NO_EXIT in PAGE
