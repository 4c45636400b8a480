"""`lanectl`: the technician's and officer's view of one lane, over the agent's own doors.

In: the agent's answers. Out: lines for people, or JSON with the contract's own field names; a stable exit code.
Invariants: no identity value in clear is ever shown; an act shows what it will do before it does it; grpc and rich are
imported only when a verb needs them, so that the command starts at once.
Read first: `lanectl.py`, `agent.py`, then one verb.
"""
