"""The control process: composition root, passage loop and signal loop.

In: observations, decisions, acts. Out: the light, journalled inputs, sealed bundles, the API's answers.
Invariants: one owner task per device; every core input is journalled before it can lead to green; red never waits.
Read first: `agent.py`, then `passage_loop.py` and `signal_loop.py`.
"""
