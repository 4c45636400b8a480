"""Stands in for a worker of a run: answers at once, seed 7 with a wrong green, and none after seed 1,000.

With a file named by QUICK_WORKER_DIES, it dies over seed 3 when the file is not there yet, of QUICK_WORKER_SIGNAL."""

import json
import os
import signal
import sys
from pathlib import Path

for line in sys.stdin:
    seed = int(line)
    grave = os.environ.get("QUICK_WORKER_DIES")
    if seed == 3 and grave and not Path(grave).exists():
        Path(grave).touch()
        name = os.environ.get("QUICK_WORKER_SIGNAL")
        if name:
            os.kill(os.getpid(), signal.Signals[f"SIG{name}"])
        sys.exit(9)
    if seed > 1_000:
        sys.exit(1)
    found = ["wrong green at 12.000: no_live_decision: green for T3"] if seed == 7 else []
    day = {
        "seed": seed, "kind": "calm", "passages": 10 + seed % 3, "virtual_s": 1800.0, "cpu_s": 0.5, "greens": 9,
        "bundles": 10, "digest": "", "found": found, "still_open": [], "doubted": 1,
        "counts": {"wrong_green": len(found)} if found else {},
    }  # fmt: skip
    print(json.dumps(day), flush=True)  # noqa: T201
