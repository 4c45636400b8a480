"""Byte streams under the drivers: serial ports and, for tests, memory.

In: bytes of one device. Out: the same bytes, or LinkLost. Invariants: one owner task; a fault ends the link for good.
Read first: `link.py`.
"""
