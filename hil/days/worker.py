"""A process of a run: reads seeds, runs their days, writes one line of JSON for each. See `runner`.

When it dies of a signal that can be told of, it leaves where it was on standard error."""

import faulthandler
import gc
import json
import os
import sys

from hil.days.plan import judged

COLLECT_EVERY = 20_000
"""A day makes few cycles and many records: to look for the one among the other takes time."""


def main(nice: int) -> None:
    """Until the input ends."""
    faulthandler.enable()
    os.nice(nice)
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    for line in sys.stdin:
        print(json.dumps(judged(int(line)).as_json()), flush=True)
        gc.collect()  # a lane is full of cycles, and the oldest generation is looked at too rarely for days on end


if __name__ == "__main__":
    main(int(sys.argv[1]))
