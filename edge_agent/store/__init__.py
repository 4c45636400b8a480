"""The lane's durable memory: journal, outbox by class and the hash chain of bundles, in one SQLite file.

In: journal rows, bundle and record drafts. Out: sealed bundles, records to forward, status. Layers: `database.py` opens
and checks the file, `ledger.py` is what one transaction may do, `store.py` groups transactions into one writer thread.
Invariants: what returned is fsynced; sequences per class have no gaps; every row is checked against its own SHA-256
when read; one process owns a store; a damaged file is set aside and never stops the lane.
Read first: `records.py`, then `store.py`.
"""
