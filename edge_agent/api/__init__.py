"""The agent's gRPC doors: one unix socket per role, loopback for viewers. No logic beyond authorisation and shape.

In: requests of officers, technicians, central and media. Out: what the composition root's `LaneBackend` answers.
Invariants: the role comes from the door; deny by default; a slow reader gets the latest state, never a growing queue.
Read first: `backend.py`, `server.py`.
"""
