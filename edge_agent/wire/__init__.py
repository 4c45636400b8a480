"""Protobuf on one side, model records on the other: the only hand-written code that sees both. And the journal's codec.

In: records. Out: messages or bytes, and back. Invariants: enum names map one to one (checked at import); bytes once
made are never made again; unknown enum values from a newer peer become the unspecified member, never an error.
Read first: `types.py`.
"""
