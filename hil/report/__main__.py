"""Run a scenario file on the virtual clock and write a page with a timeline of every conveyance.

./dev hil report SCENARIO [-o FOLDER]
"""

import argparse
import sys
from pathlib import Path

from hil.report.page import Page, write_page
from hil.report.pictures import timelines
from hil.rig.stories import load_story, story_names
from hil.rig.story_judge import findings
from hil.rig.virtual_record import play, record_of
from hil.world.scenario import ScenarioError


def main(arguments: list[str]) -> int:
    """The exit code: 0 when written, 2 when the file is not a scenario."""
    parser = argparse.ArgumentParser(prog="./dev hil report", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenario", help="a file, or the name of one in hil/scenarios")
    parser.add_argument("-o", "--out", type=Path, help="where to write (default: .dev/report/NAME)")
    given = parser.parse_args(arguments)
    try:
        story = load_story(given.scenario)
    except OSError as error:
        known = ", ".join(story_names())
        print(f"./dev hil report: {error.strerror}: {given.scenario}; there are: {known}", file=sys.stderr)
        return 2
    except ScenarioError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    run = record_of(play(story))
    facts = (("scenario", Path(story.name).stem), ("target", "virtual clock"))
    page = Page(story.title, facts, findings(story, run), timelines(run))
    for written in write_page(given.out or Path(".dev/report") / Path(story.name).stem, page):
        print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
