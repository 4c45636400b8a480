"""python -m hil.radio run | sweep | day | chart: the figures of the radio simulation, as Markdown.

run    the default world, many vehicles: `--vehicles 100000 --per-seed 2000`
sweep  every parameter over its values: `--vehicles 1000` for each
day    24 hours of traffic in one process, and what is alive after each: whether anything grows
chart  the tables published in drivers/README.md as a picture beside them, drivers/radio-sweep.svg
"""

import argparse
import gc
import resource
import sys
import time
from pathlib import Path

from hil.radio.chart import chart, points
from hil.radio.lane import Figures, RadioLane, RadioWorld
from hil.radio.sweep import HEAD, PARAMETERS, holds, measured, row, runs

PAGE = Path(__file__).parents[2] / "drivers" / "README.md"
PICTURE = PAGE.with_name("radio-sweep.svg")


def _say(text: str) -> None:
    print(text, flush=True)


def _run(options: argparse.Namespace) -> bool:
    began = time.monotonic()
    seeds = range(options.seed, options.seed + -(-options.vehicles // options.per_seed))
    total = Figures()
    for seed, figures in runs(RadioWorld(), seeds, options.per_seed, options.processes):
        total.add(figures)
        if options.verbose:
            _say(f"seed {seed}: {figures.misassigned} misassigned, {figures.ambiguous} ambiguous, "
                 f"{figures.complete} complete of {figures.vehicles}")  # fmt: skip
    _say(HEAD)
    _say(row("default world", total))
    _say(f"\nseeds {seeds.start} to {seeds.stop - 1}, {total.reads} reads, {time.monotonic() - began:.0f} s elapsed")
    for example in total.examples[: options.examples]:
        _say(f"  {example}")
    return holds(total)


def _sweep(options: argparse.Namespace) -> bool:
    _say(HEAD)
    default_holds = True
    seeds = range(options.seed, options.seed + options.processes)
    for parameter in PARAMETERS:
        if options.only not in parameter.name:
            continue
        for value in parameter.values:
            figures = measured(parameter.at(value), seeds, options.vehicles // len(seeds), options.processes)
            name = f"{parameter.name} {value:g} {parameter.unit}".rstrip()
            is_default = value == parameter.default
            _say(row(f"{name} (default)" if is_default else name, figures))
            default_holds = default_holds and (holds(figures) or not is_default)
    return default_holds


def _day(options: argparse.Namespace) -> bool:
    lane = RadioLane(options.seed, RadioWorld())
    _say(
        "| hour | vehicles | containers alive | identities remembered | largest resident size |\n|---|---|---|---|---|"
    )
    for hour in range(1, options.hours + 1):
        figures = lane.run(sys.maxsize, until_s=3600.0 * hour)
        gc.collect()
        resident_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        alive, known = len(gc.get_objects()), len(lane.state.tokens)
        _say(f"| {hour} | {figures.vehicles} | {alive} | {known} | {resident_mb:.1f} MB |")
    return holds(lane.figures)


def _chart(_options: argparse.Namespace) -> bool:
    PICTURE.write_text(chart(points(PAGE.read_text())))
    _say(f"wrote {PICTURE}")
    return True


def main(arguments: list[str]) -> int:
    """The exit code: 0 when the default world holds."""
    parser = argparse.ArgumentParser(prog="python -m hil.radio", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, vehicles in (("run", 10_000), ("sweep", 1_000), ("day", 0), ("chart", 0)):
        added = verbs.add_parser(verb)
        added.add_argument("--vehicles", type=int, default=vehicles)
        added.add_argument("--seed", type=int, default=1, help="the first; under 5000")
        added.add_argument("--processes", type=int, default=2)
        added.add_argument("--per-seed", type=int, default=2000)
        added.add_argument("--examples", type=int, default=10)
        added.add_argument("--only", default="", help="parameters whose name has this in it")
        added.add_argument("--verbose", action="store_true")
        added.add_argument("--hours", type=int, default=24)
    options = parser.parse_args(arguments)
    work = {"run": _run, "sweep": _sweep, "day": _day, "chart": _chart}[options.verb]
    return 0 if work(options) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
