"""A site's `lane.yaml`, checked as a whole before anything starts.

In: one YAML file. Out: `LaneConfig`, frozen, and from it the core's records (geometry, kinematics, policy, limits).
Invariants: every error is told at once as file:line:column; an unknown or doubled key is an error; nothing is guessed;
identity keys and tokens are only named as files.
Read first: `schema.py`; `deploy/lane.yaml.example` shows every section.
"""
