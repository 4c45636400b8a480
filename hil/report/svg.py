"""A timeline as SVG: self-contained, the same bytes for the same run, readable in black and white too."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from hil.report.timeline import Bar, Ink, Mark, Row, Timeline

WIDTH = 1180
_LEFT, _RIGHT, _TOP = 190, 24, 62
_ROW, _GROUP_GAP = 22, 10
_EVENT = 15
_CHAR = 6.0
_COLOURS: Mapping[Ink, str] = {
    Ink.SENSOR: "#5b6b7b",
    Ink.IDENTITY: "#3a6ea5",
    Ink.REQUEST: "#6a4c93",
    Ink.RELEASE: "#8fc79a",
    Ink.REFUSAL: "#e2a08f",
    Ink.GREEN: "#1f9d48",
    Ink.AMBER: "#e3a008",
    Ink.RED: "#c62828",
    Ink.DARK: "#444444",
    Ink.LIMIT: "#222222",
    Ink.ACT: "#6a4c93",
    Ink.FAULT: "#b35900",
}
_DARK_TEXT = frozenset({Ink.RELEASE, Ink.REFUSAL, Ink.AMBER})
_STYLE = (
    "text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:11px;fill:#222}"
    ".title{font-size:15px;font-weight:bold}.small{fill:#555}.group{font-weight:bold}"
)


def svg(timeline: Timeline) -> str:
    """The picture."""
    return _Drawing(timeline).text()


class _Drawing:
    def __init__(self, timeline: Timeline) -> None:
        self._line = timeline
        self._scale = (WIDTH - _LEFT - _RIGHT) / (timeline.to_s - timeline.from_s)
        self._levels = _staggered([(self._x(e.t), _label(e)) for e in timeline.events])
        self._rows_top = _TOP + _EVENT * (max(self._levels, default=-1) + 1) + 8
        self._places = list(self._row_places())
        self._bottom = self._places[-1] + _ROW + 4 if self._places else self._rows_top

    def text(self) -> str:
        """The whole file."""
        height = self._bottom + 40
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">'
        )
        parts = [head, f"<title>{escape(self._line.title)}</title>", f"<style>{_STYLE}</style>"]
        parts.append(f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>')
        parts.append(_text(16, 24, self._line.title, "title"))
        parts.append(_text(16, 42, " · ".join(self._line.facts), "small"))
        parts += [*self._axis(), *self._events()]
        group = ""
        for row, y in zip(self._line.rows, self._places, strict=True):
            if row.group != group:
                group = row.group
                parts.append(f'<line x1="16" y1="{y - 5}" x2="{WIDTH - _RIGHT}" y2="{y - 5}" stroke="#bbbbbb"/>')
            parts += self._row(row, y)
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _x(self, t: float) -> float:
        return round(_LEFT + (t - self._line.from_s) * self._scale, 2)

    def _row_places(self) -> Iterator[int]:
        y, group = self._rows_top, None
        for row in self._line.rows:
            y += _GROUP_GAP if group not in (None, row.group) else 0
            group = row.group
            yield y
            y += _ROW

    def _axis(self) -> Iterator[str]:
        step = _step(self._line.to_s - self._line.from_s)
        t = math.ceil(self._line.from_s / step) * step
        while t <= self._line.to_s:
            x = self._x(t)
            yield f'<line x1="{x}" y1="{self._rows_top - 4}" x2="{x}" y2="{self._bottom}" stroke="#e6e6e6"/>'
            yield _text(x, self._bottom + 15, f"{t:g}", "small", "middle")
            t += step
        yield _text(WIDTH - _RIGHT, self._bottom + 31, "seconds since the run began", "small", "end")

    def _events(self) -> Iterator[str]:
        for event, level in zip(self._line.events, self._levels, strict=True):
            x, y = self._x(event.t), _TOP + _EVENT * level
            colour = _COLOURS[event.ink]
            dash = "" if event.ink is Ink.LIMIT else ' stroke-dasharray="4 3"'
            yield f'<line x1="{x}" y1="{y - 8}" x2="{x}" y2="{self._bottom}" stroke="{colour}"{dash}/>'
            anchor, at = ("end", x - 4) if _turned(x, _label(event)) else ("start", x + 4)
            yield _text(at, y, _label(event), "", anchor, colour)

    def _row(self, row: Row, y: int) -> Iterator[str]:
        yield _text(_LEFT - 10, y + 13, row.name, "", "end")
        for bar in row.bars:
            yield from self._bar(bar, y, [self._x(mark.t) for mark in row.marks])
        taken = -1.0
        for mark in row.marks:
            x, colour = self._x(mark.t), _COLOURS[mark.ink]
            yield f'<path d="M{x} {y + 3}l5 6l-5 6l-5 -6z" fill="{colour}" stroke="#ffffff"/>'
            free = not any(self._x(bar.to_s) > x - 4 for bar in row.bars if bar.from_s > mark.t)
            if x + 8 > taken and free and not self._crowded(row, mark):
                yield _text(x + 8, y + 13, mark.label)
                taken = x + 8 + _width(mark.label)

    def _crowded(self, row: Row, mark: Mark) -> bool:
        """Whether the label would run into a bar or the next mark."""
        begin = self._x(mark.t)
        end = begin + 12 + _width(mark.label)
        bars = any(self._x(bar.from_s) < end and self._x(bar.to_s) > begin + 6 for bar in row.bars)
        marks = any(begin < self._x(other.t) - 6 < end for other in row.marks)
        return bars or marks or end > WIDTH - _RIGHT

    def _bar(self, bar: Bar, y: int, marks: Sequence[float]) -> Iterator[str]:
        x0, x1 = self._x(bar.from_s), self._x(bar.to_s)
        colour = _COLOURS[bar.ink]
        wide = max(1.5, x1 - x0)
        tip = f"{bar.label} {bar.from_s:.2f} s to {bar.to_s:.2f} s".strip()
        box = f'<rect x="{x0}" y="{y + 3}" width="{wide:.2f}" height="{_ROW - 8}" fill="{colour}">'
        yield f"{box}<title>{escape(tip)}</title></rect>"
        if _width(bar.label) + 8 <= wide:
            ink = "#222222" if bar.ink in _DARK_TEXT else "#ffffff"
            begin = max([x0, *(x + 5 for x in marks if x0 - 5 <= x < x0 + 4 + _width(bar.label))]) + 4
            if begin + _width(bar.label) <= x1:
                yield _text(begin, y + 14, bar.label, "", "start", ink)


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start", colour: str = "") -> str:
    extra = f' class="{style}"' if style else ""
    extra += f' text-anchor="{anchor}"' if anchor != "start" else ""
    extra += f' style="fill:{colour}"' if colour else ""
    return f'<text x="{round(x, 2):g}" y="{y:g}"{extra}>{escape(words)}</text>'


def _width(words: str) -> float:
    return _CHAR * 1.1 * len(words)


def _label(event: Mark) -> str:
    return f"{event.label}, {event.t:.1f} s"


def _turned(x: float, label: str) -> bool:
    return x + 8 + _width(label) > WIDTH - _RIGHT


def _staggered(labels: Sequence[tuple[float, str]]) -> list[int]:
    """A level for each label so that none lies on another; the lines of later ones run past earlier labels' ends."""
    spans: list[list[tuple[float, float]]] = []
    levels = []
    for x, label in labels:
        width = _width(label) + 12
        span = (x - width, x + 2) if _turned(x, label) else (x - 2, x + width)
        level = next(
            (n for n, taken in enumerate(spans) if all(span[1] < a or b < span[0] for a, b in taken)), len(spans)
        )
        if level == len(spans):
            spans.append([])
        spans[level].append(span)
        levels.append(level)
    return levels


def _step(seconds: float) -> float:
    """A round distance between two marks of the axis, for about fifteen of them."""
    rough = seconds / 15.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= rough)
