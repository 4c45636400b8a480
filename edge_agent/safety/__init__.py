"""The interlock: the one place that can yield green, and the time arithmetic of its facts. Pure and total.

In: `Facts`, raw and classified. Out: `Ruling` (aspect and every reason against green, most important first).
Invariants: green only if all conditions hold; unknown, stale or missing is red; a latched fault waits for a person.
Read first: `facts.py`, `interlock.py`, README.md (hazards, invariants and the tests that prove them).
"""
