"""The reference release service: central's side of `securecorridor.release.v1`, to test and demo against.

    python -m hil.release_service keys --out DIR
    python -m hil.release_service serve --config rules.yaml --store DIR --keys DIR --control PATH [--listen 127.0.0.1:0]
    python -m hil.release_service dump --store DIR

In: the contract's streams, a YAML file of expected conveyances (rules_file.py), switches on the control channel
(`__main__.py` lists them). Out: decisions, durable records, events with CLOCK_MONOTONIC stamps.
Invariants: nothing is acknowledged before it is fsynced; a record is held once whatever was sent twice; imports nothing
of the agent or its drivers, so that contract mistakes show. Read first: `service.py`.
"""
