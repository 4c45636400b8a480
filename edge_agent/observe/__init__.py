"""What the outside sees of a process: JSON log lines on stderr, Prometheus metrics over HTTP.

In: events and plain numbers. Out: lines and samples.
Invariants: no identity value leaves here (only the fixed fields are written); label values are device ids, codes and
enum words; a repeated line is counted, not written again.
Read first: `log.py`, `metrics.py`.
"""
