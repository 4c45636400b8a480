"""The console process: the officer's page and its JSON over `securecorridor.lane.v1`, for one or many lanes.

In: the agents' gRPC doors, one watch per lane. Out: a page, server-sent events, acts put to the agents.
Invariants: the console has no say of its own: an act is the agent's, bound to what the officer saw; a state is sent on
when it comes from the agent and never again as if it were new; without contact the page says so and shows nothing as
current.
Read first: `app.py`, `lane_link.py`, `server.py`; the page is in `static/`, first `console.js`.
"""
