"""The lane's side of `securecorridor.release.v1`: a fast stream for decisions, a paced stream per class of records.

In: requests, heartbeats' contents, the store's records. Out: decisions, link up or down, acknowledged watermarks.
Sessions are single-use and run under `runtime.supervise.keep_running(..., faults=CentralError)`.
Invariants: decisions and records never share a connection; a silent service is noticed within 5 s; a record leaves the
store's backlog only by the service's own watermark.
Read first: `decide.py`.
"""
