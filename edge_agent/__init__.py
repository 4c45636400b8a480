"""The lane edge agent: one agent controls one lane of a land border port of entry.

In: readers, lane inputs, decisions, officer acts. Out: a fail-safe signal, sealed bundles, state for everyone else.
Invariants: red is the resting state; only `safety.interlock` can yield green; a passage ends in exactly one bundle.
Read first: ARCHITECTURE.md, `model/`, `passage/corridor.py`, `safety/interlock.py`.
"""
