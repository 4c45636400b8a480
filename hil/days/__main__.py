"""Runs one day from its seed and prints its digest and what is wrong with it: how a failing day is looked at.

python -m hil.days SEED [VERB[:ZONE] ...]
"""

import sys

from hil.days.day import complaints, record_complaints, run_day
from hil.world.faults import Verb


def main(arguments: list[str]) -> int:
    """The exit code: 0 when nothing is wrong. Records are judged too where the faults leave the agent its eyes."""
    words = [word.partition(":") for word in arguments[1:]]
    verbs = frozenset(Verb(verb) for verb, _, _ in words)
    zones = frozenset(zone for _, _, zone in words if zone)
    day = run_day(int(arguments[0]), verbs=verbs or None, zones=zones or None)
    for trouble in day.troubles:
        print(f"{trouble.begins_s:8.3f} {trouble.verb.value} {trouble.zone} until {trouble.ends_s}")
    found = complaints(day) + record_complaints(day)
    for complaint in found:
        print(complaint)
    print(day.lane.digest())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
