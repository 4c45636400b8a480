"""The primitives every shell uses: clock, bounded channel, the one retry loop, the health board.

In: nothing of lanes or devices. Out: `SystemClock`, `Channel`, `keep_running`, `HealthBoard`.
Invariants: nothing here is unbounded; time comes from the clock or the event loop; cancellation is never swallowed.
Read first: `supervise.py`.
"""
