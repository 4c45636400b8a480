"""The published table of the sweep as a picture: one panel for each parameter, self-contained SVG, the same bytes for
the same table."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from hil.radio.sweep import MOST_AMBIGUOUS, PARAMETERS

WIDTH, PANEL, HEIGHT = 960, 320, 184
_LEFT, _BASE, _BAR, _TOP = 16, 144, 30, 84
_PER_PERCENT = 3.6
_MISASSIGNED, _INCOMPLETE, _LIMIT = "#c62828", "#9fb2c4", "#222222"
_STYLE = (
    "text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:11px;fill:#222}"
    ".title{font-size:15px;font-weight:bold}.small{fill:#555}.name{font-weight:bold}.failed{font-weight:bold}"
)
_ROW = re.compile(
    r"\| (?P<name>.+?) (?P<value>[\d.-]+)(?: (?P<unit>\w+))? \| (\d+) \| ([\d.]+) % \| ([\d.]+) % \| (.*?) ?\|"
)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one parameter, percent of the vehicles: with a tag that is not theirs, reported ambiguous, and whose
    record was not complete. `default`: measured with the default world, not swept."""

    value: float
    unit: str
    misassigned: float
    ambiguous: float
    incomplete: float
    failed: bool
    default: bool = False


def points(page: str) -> dict[str, list[Point]]:
    """What the tables of `drivers/README.md` say, by parameter, in the order of the values; the default world among
    them. ValueError when a table is missing or names a parameter that is not swept."""
    vehicles = re.search(r"\| \| misassigned of (\d+) \|", page)
    world = re.search(r"^\| ([\d,]+) \| \**(\d+)\** \| \d+ \(([\d.]+) %\) \| [\d,]+ \(([\d.]+) %\)", page, re.MULTILINE)
    if vehicles is None or world is None:
        raise ValueError("the page holds no table of the sweep")
    share = 100.0 / int(vehicles[1])
    wrong = 100.0 * int(world[2]) / int(world[1].replace(",", ""))
    found: dict[str, list[Point]] = {
        p.name: [Point(p.default, p.unit, wrong, float(world[3]), 100.0 - float(world[4]), failed=False, default=True)]
        for p in PARAMETERS
    }
    for row in _ROW.finditer(page[vehicles.end() :]):
        if row["name"] not in found:
            raise ValueError(f"the sweep knows no {row['name']}")
        misassigned, ambiguous, complete, verdict = row.groups()[3:]
        found[row["name"]].append(
            Point(
                float(row["value"]),
                row["unit"] or "",
                int(misassigned) * share,
                float(ambiguous),
                100.0 - float(complete),
                failed=bool(verdict),
            )
        )
    return {name: sorted(of, key=lambda point: point.value) for name, of in found.items()}


def chart(swept: Mapping[str, Sequence[Point]]) -> str:
    """The picture."""
    rows = -(-len(swept) // (WIDTH // PANEL))
    height = _TOP + rows * HEIGHT + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img">',
        "<title>Sweep of the radio world</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 24, "How far the assignment of tags holds: one parameter changed at a time", "title"),
        _text(
            _LEFT,
            42,
            "Percent of the vehicles; * the default world; a value in bold fails: a tag on the record of a",
            "small",
        ),
        _text(
            _LEFT,
            56,
            f"vehicle that does not bear it, or more than {100 * MOST_AMBIGUOUS:g} % reported ambiguous",
            "small",
        ),
        f'<rect x="{_LEFT}" y="64" width="12" height="10" fill="{_MISASSIGNED}"/>',
        _text(_LEFT + 18, 73, "tag misassigned"),
        f'<rect x="{_LEFT + 140}" y="64" width="12" height="10" fill="{_INCOMPLETE}" stroke="{_LIMIT}"/>',
        _text(_LEFT + 158, 73, "record not complete (the driver shows a card at the line)"),
    ]
    for number, (name, of) in enumerate(swept.items()):
        x = number % (WIDTH // PANEL) * PANEL
        y = _TOP + number // (WIDTH // PANEL) * HEIGHT
        parts += _panel(x, y, name, of)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(x: int, y: int, name: str, of: Sequence[Point]) -> Iterator[str]:
    unit = next((point.unit for point in of if point.unit), "")
    yield _text(x + _LEFT, y + 16, f"{name}, {unit}" if unit else name, "name")
    base = y + _BASE
    width = _BAR * len(of)
    yield f'<line x1="{x + _LEFT}" y1="{base}" x2="{x + _LEFT + width}" y2="{base}" stroke="{_LIMIT}"/>'
    for number, point in enumerate(of):
        at = x + _LEFT + number * _BAR
        tip = f"{name} {point.value:g}: {point.misassigned:g} % misassigned, {point.ambiguous:g} % ambiguous"
        yield f"<g><title>{escape(tip)}, {point.incomplete:.1f} % not complete</title>"
        yield _bar(at + 2, base, point.misassigned, _MISASSIGNED)
        yield _bar(at + 14, base, point.incomplete, _INCOMPLETE, _LIMIT)
        if point.misassigned:
            yield _text(at + 13, base - _PER_PERCENT * point.misassigned - 3, f"{point.misassigned:g}", "", "end")
        label = f"{point.value:g}" + ("*" if point.default else "")
        yield _text(at + _BAR / 2 - 1, base + 15, label, "failed" if point.failed else "small", "middle") + "</g>"


def _bar(x: float, base: float, percent: float, fill: str, stroke: str = "none") -> str:
    tall = _PER_PERCENT * percent
    return f'<rect x="{x}" y="{base - tall:.1f}" width="11" height="{tall:.1f}" fill="{fill}" stroke="{stroke}"/>'


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    extra = f' class="{style}"' if style else ""
    extra += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:.4g}"{extra}>{escape(words)}</text>'
