"""Modbus I/O modules: the lane's inputs and its signal head.

In: profiles (`firmware_configs/modbus`), a site's settings. Out: InputSnapshot, SignalReadback. Invariants: red needs
no energy; a reply counts only if it answers this very request; green only where the module releases it by itself when
this computer dies. pymodbus is used in `bus.py` and nowhere else.

Read first: `settings`, then `lane_io.py`.
"""
