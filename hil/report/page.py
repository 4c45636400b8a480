"""The page of a run: where it took place, every clause with its verdict, and a picture for each conveyance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hil.report.svg import svg
from hil.report.timeline import Timeline
from hil.rig.story_judge import Finding

_STYLE = (
    "body{font-family:sans-serif;margin:24px;max-width:1240px}img{max-width:100%;border:1px solid #ddd}"
    "table{border-collapse:collapse;margin:12px 0}td,th{border:1px solid #ccc;padding:4px 10px;text-align:left}"
    ".no{color:#c62828;font-weight:bold}"
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows. `facts`: name and value, e.g. the target, versions and digests."""

    title: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    pictures: tuple[Timeline, ...]


def write_page(folder: Path, page: Page) -> list[Path]:
    """The page and its pictures; the same bytes for the same run."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9][0-9]_*.svg"):
        old.unlink()
    names = [f"{number:02}_{shown.title.partition(':')[0]}.svg" for number, shown in enumerate(page.pictures, start=1)]
    for name, shown in zip(names, page.pictures, strict=True):
        (folder / name).write_text(svg(shown), encoding="utf-8")
    (folder / "index.html").write_text("\n".join(_html(page, names)) + "\n", encoding="utf-8")
    return [folder / "index.html", *(folder / name for name in names)]


def _html(page: Page, names: Sequence[str]) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><meta charset="utf-8">'
    yield f"<title>{escape(page.title)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield f"<h1>{escape(page.title)}</h1>"
    failed = sum(not finding.holds for finding in page.findings)
    yield f"<p>{f'{failed} of {len(page.findings)} clauses do not hold.' if failed else 'Every clause holds.'}</p>"
    yield "<table>" + "".join(f"<tr><th>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in page.facts) + "</table>"
    yield "<table><tr><th>clause</th><th>holds</th><th>found</th></tr>"
    for finding in page.findings:
        verdict = "yes" if finding.holds else '<span class="no">NO</span>'
        yield f"<tr><td>{escape(finding.clause)}</td><td>{verdict}</td><td>{escape(finding.found)}</td></tr>"
    yield "</table>"
    for name, shown in zip(names, page.pictures, strict=True):
        yield f'<h2>{escape(shown.title)}</h2>\n<img src="{name}" alt="{escape(shown.title)}">'
    if not names:
        yield "<p>No passage was sealed.</p>"
    yield "</html>"
