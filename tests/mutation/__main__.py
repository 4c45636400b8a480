"""`python -m tests.mutation run FILE ...` and `python -m tests.mutation report`; see edge_agent/passage/MUTATION.md."""

import argparse
import sys
from pathlib import Path

from .report import write
from .run import PACKAGE, ROOT, run


def main() -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="mutate these files of the passage core as the last commit has them")
    runs.add_argument("files", nargs="+", help="leases, leases.py or edge_agent/passage/leases.py")
    runs.add_argument("--stories", action="store_true", help="let the stories judge the survivors too: 40 s for each")
    runs.add_argument("--fresh", action="store_true", help="try again what was killed before")
    runs.add_argument("--children", type=int, default=2, help="processes at a time")
    verbs.add_parser("report", help="write the page from what was run")
    asked = parser.parse_args()
    if asked.verb == "report":
        sys.stdout.write(write() + "\n")
        return
    stems = [Path(file).stem for file in asked.files]
    if missing := [stem for stem in stems if not (ROOT / PACKAGE / f"{stem}.py").exists()]:
        parser.error(f"not in {PACKAGE}: {', '.join(missing)}")
    run(stems, stories=asked.stories, fresh=asked.fresh, children=asked.children)


main()
