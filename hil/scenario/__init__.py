"""A scenario file on a bench: `./dev hil scenario`. Read first: `hil/rig/bench_story.py`."""
