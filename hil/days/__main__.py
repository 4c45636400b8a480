"""Random days on the virtual clock: run many, have one again, shrink a failing one to a short story, or put a run on
record.

./dev hil days --passages N [--workers K] [--seed S] [-o FOLDER] [--resume] [--nice N]
./dev hil days repeat SEED
./dev hil days shrink SEED [--finding KIND] [-o FOLDER]
./dev hil days publish FOLDER FILE
"""

import argparse
import sys
import time
from pathlib import Path

from hil.days.plan import DAY_S, Finding, plan_of
from hil.days.publish import NotForTheRecord, publish
from hil.days.runner import Progress, RunError, Wanted, progress_line, repeat_line, run
from hil.days.shrink import NothingWrong, drawn, shrink, told


def main(arguments: list[str]) -> int:
    """The exit code: 0 when nothing is wrong, 1 when something is, 2 when it could not be run."""
    if arguments[:1] == ["repeat"]:
        return _repeat(arguments[1:])
    if arguments[:1] == ["shrink"]:
        return _shrink(arguments[1:])
    if arguments[:1] == ["publish"]:
        return _publish(arguments[1:])
    return _run(arguments)


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./dev hil days", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--passages", type=_positive, default=2_000, help="vehicles through the lane (default %(default)s)"
    )
    parser.add_argument("--workers", type=_positive, default=2, help="processes (default %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the first seed (default %(default)s; from 10000000 on days are wilder than what must hold, "
        "from 20000000 on lanes have other presence sensors)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, default=Path(".dev/days"), help="the record's folder (default %(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument("--nice", type=int, default=0, help="lower the workers' priority by so much")
    given = parser.parse_args(arguments)
    began_s = time.monotonic()
    last_s = 0.0

    def tell(progress: Progress) -> None:
        nonlocal last_s
        if sys.stderr.isatty():
            print(f"\r{progress_line(progress, began_s)}\x1b[K", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last_s > 30.0:
            last_s = time.monotonic()
            print(progress_line(progress, began_s), file=sys.stderr, flush=True)

    try:
        progress = run(Wanted(given.passages, given.seed, given.workers, given.out, given.resume, given.nice), tell)
    except RunError as error:
        print(f"./dev hil days: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; go on with --resume; what there is: {given.out}", file=sys.stderr)
        return 130
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for name, value in progress.record().items():
        print(f"{name.replace('_', ' '):20} {value}")
    for why in progress.replaced:
        print(f"{why}; the day was run again", file=sys.stderr)
    for day in progress.failing():
        print(f"seed {day['seed']} ({day['kind']}): {day['found'][0]}; repeat with: {repeat_line(day)}")
    return 1 if progress.failing() else 0


def _repeat(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./dev hil days repeat", description="one day again, with what is wrong with it"
    )
    parser.add_argument("seed", type=int)
    given = parser.parse_args(arguments)
    plan = plan_of(given.seed)
    print(f"seed {given.seed}: {plan.kind.name}, {plan.mix.trucks_per_h:g} trucks an hour for {DAY_S:g} s")
    day = plan.run()
    for trouble in day.troubles:
        print(trouble)
    found = plan.complaints(day)
    print(*found, day.lane.digest(), sep="\n")
    return 1 if found else 0


def _shrink(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev hil days shrink", description="a failing day as a short story")
    parser.add_argument("seed", type=int)
    parser.add_argument("--finding", type=Finding, choices=list(Finding), help="of this kind (default: the first)")
    parser.add_argument("-o", "--out", type=Path, help="where to draw it (default: .dev/days/shrunk-SEED)")
    given = parser.parse_args(arguments)
    try:
        story = shrink(plan_of(given.seed), given.finding, lambda line: print(line, flush=True))
    except NothingWrong as error:
        print(error)
        return 0
    print(*told(story.day), *story.found, sep="\n")
    print(*drawn(story, given.out or Path(f".dev/days/shrunk-{given.seed}")), sep="\n")
    return 1


def _publish(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./dev hil days publish", description="a run's figures into a record that is kept; see hil/records"
    )
    parser.add_argument("folder", type=Path, help="the run's")
    parser.add_argument("file", type=Path, help="the record's: a new one, or one that ends where the run begins")
    given = parser.parse_args(arguments)
    try:
        record = publish(given.folder, given.file)
    except NotForTheRecord as error:
        print(f"./dev hil days publish: {error}", file=sys.stderr)
        return 2
    for name, value in record["totals"].items():
        print(f"{name.replace('_', ' '):20} {value}")
    return 0


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
