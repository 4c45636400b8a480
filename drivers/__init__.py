"""Device drivers: everything that knows a wire protocol, nothing that knows a lane.

In: bytes of one device. Out: observations (`drivers.api`), emitted synchronously, and device faults, raised.
Invariants: one object is one session; a driver never retries, it raises and is made anew; codecs do no I/O.
Read first: `drivers/api.py`, then `drivers/README.md`.
"""
