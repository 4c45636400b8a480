"""Run a scenario file on the virtual clock and write a page with a timeline of every conveyance.

./dev hil report SCENARIO [-o FOLDER]
"""

import argparse
import asyncio
import sys
from html import escape
from pathlib import Path

from hil.report.svg import svg
from hil.report.timeline import Timeline
from hil.report.virtual_run import timelines
from hil.rig.virtual_lane import VirtualLane
from hil.rig.virtual_loop import VirtualLoop
from hil.world.scenario import Scenario, ScenarioError, load_scenario

SCENARIOS = Path(__file__).parents[1] / "scenarios"


def run(story: Scenario) -> VirtualLane:
    """The lane after the story, on the virtual clock."""
    plans = {plan.id: plan for plan in story.trucks}
    lane = VirtualLane(story.world(), story.rules.__getitem__, plans.__getitem__, story.happenings)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(lane.run(story.then.run_for_s))
    return lane


def write(folder: Path, title: str, pictures: tuple[Timeline, ...]) -> list[Path]:
    """The page and its pictures; the same bytes for the same run."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:02}_{picture.title.partition(':')[0]}.svg" for number, picture in enumerate(pictures, start=1)]
    for name, picture in zip(names, pictures, strict=True):
        (folder / name).write_text(svg(picture), encoding="utf-8")
    shown = [
        f'<h2>{escape(picture.title)}</h2>\n<img src="{name}" alt="{escape(picture.title)}">'
        for name, picture in zip(names, pictures, strict=True)
    ]
    page = ['<!doctype html>', '<html lang="en"><meta charset="utf-8">', f"<title>{escape(title)}</title>",
            "<style>body{font-family:sans-serif;margin:24px}img{max-width:100%;border:1px solid #ddd}</style>",
            f"<h1>{escape(title)}</h1>", *(shown or ["<p>No passage was sealed.</p>"]), "</html>"]  # fmt: skip
    (folder / "index.html").write_text("\n".join(page) + "\n", encoding="utf-8")
    return [folder / "index.html", *(folder / name for name in names)]


def main(arguments: list[str]) -> int:
    """The exit code: 0 when written, 2 when the file is not a scenario."""
    parser = argparse.ArgumentParser(prog="./dev hil report", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenario", help="a file, or the name of one in hil/scenarios")
    parser.add_argument("-o", "--out", type=Path, help="where to write (default: .dev/report/NAME)")
    given = parser.parse_args(arguments)
    path = Path(given.scenario)
    if not path.exists():
        path = SCENARIOS / f"{given.scenario}.yaml"
    try:
        story = load_scenario(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in SCENARIOS.glob("*.yaml")))
        print(f"./dev hil report: {error.strerror}: {given.scenario}; there are: {known}", file=sys.stderr)
        return 2
    except ScenarioError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    lane = run(story)
    for written in write(given.out or Path(".dev/report") / path.stem, story.title, timelines(lane)):
        print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
