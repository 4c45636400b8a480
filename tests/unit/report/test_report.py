"""The report of a run: every story has its pictures, nothing lies on anything else, and the same run gives the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hil.report.__main__ import main
from hil.report.svg import WIDTH, svg
from hil.report.timeline import Bar, Ink, Mark, Row, Timeline
from hil.rig.stories import SCENARIOS, story_names

STORIES = story_names()
SVG = "{http://www.w3.org/2000/svg}"
LATE = Path(__file__).parents[3] / "deploy" / "late-revocation.svg"


def _labels(picture: str) -> Iterator[tuple[float, float, float, str]]:
    """(left, right, baseline, words) of every text, as wide as the drawing reckons it at least."""
    for text in ET.fromstring(picture).iter(f"{SVG}text"):
        x, words = float(text.get("x", "")), text.text or ""
        width = 6.0 * len(words) * (1.3 if text.get("class") == "title" else 1.0)
        left = {"end": x - width, "middle": x - width / 2}.get(text.get("text-anchor", ""), x)
        yield left, left + width, float(text.get("y", "")), words


def _on_each_other(picture: str) -> list[str]:
    labels = list(_labels(picture))
    return [
        f"{a[3]} / {b[3]}"
        for number, a in enumerate(labels)
        for b in labels[number + 1 :]
        if abs(a[2] - b[2]) < 9 and a[0] < b[1] and b[0] < a[1]
    ]


@pytest.mark.parametrize("story", STORIES)
def test_every_story_has_readable_pictures(story: str, tmp_path: Path) -> None:
    assert main([story, "-o", str(tmp_path)]) == 0
    pictures = sorted(tmp_path.glob("*.svg"))
    page = (tmp_path / "index.html").read_text()
    assert pictures
    for path in pictures:
        text = path.read_text()
        assert path.name in page
        assert _on_each_other(text) == []
        assert all(left >= -1 and right <= WIDTH + 1 for left, right, _, _ in _labels(text))
        assert "seconds since the run began" in text


def test_same_run_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        main(["platoon_of_three", "-o", str(tmp_path / name)])
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert len(files) == 4
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}


def test_the_published_picture_tells_what_a_run_tells(tmp_path: Path) -> None:
    """Made by `./dev hil report late_revocation`; its figures may be of an earlier version, its words may not."""
    main(["late_revocation", "-o", str(tmp_path)])
    (made,) = tmp_path.glob("*.svg")
    words = [[re.sub(r"[\d.]+", "N", label[3]) for label in _labels(path.read_text())] for path in (made, LATE)]
    assert words[0] == words[1]
    assert {
        "release",
        "refer secondary",
        "inside the commit distance, N s",
        "release revoked: refer secondary, N s",
    } <= {*words[0]}


def test_light_and_decision_are_drawn_when_they_were() -> None:
    rows = (
        Row("release service", "decision", (Bar(2.0, 8.0, Ink.RELEASE, "release"),)),
        Row("light", "commanded", (Bar(3.0, 7.0, Ink.GREEN, "green"), Bar(7.0, 10.0, Ink.RED, "red"))),
    )
    picture = ET.fromstring(svg(Timeline("T1: released", ("20 km/h",), 0.0, 10.0, rows)))
    tips = [rect.findtext(f"{SVG}title") for rect in picture.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert tips == ["release 2.00 s to 8.00 s", "green 3.00 s to 7.00 s", "red 7.00 s to 10.00 s"]
    starts = [float(r.get("x", "")) for r in picture.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert starts[1] - starts[0] == pytest.approx((starts[2] - starts[0]) / 5, abs=0.1)


def test_words_of_others_stay_words() -> None:
    picture = svg(Timeline('<script>"&', (), 0.0, 1.0, (), (Mark(0.5, Ink.ACT, "a < b"),)))
    assert "<script>" not in picture
    assert re.search("a &lt; b", picture)


def test_what_is_no_scenario_is_refused_with_place_and_known_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((SCENARIOS / "late_revocation.yaml").read_text().replace("delay_s", "dealy_s"))
    assert main([str(wrong)]) == 2
    told = capsys.readouterr().err
    assert f"{wrong}:14:9: release: unknown key dealy_s; known: delay_s" in told
    assert main(["no_such_story"]) == 2
    assert "platoon_of_three" in capsys.readouterr().err
