"""Virtual devices, each a process of its own with a control channel. They import neither `drivers` nor `edge_agent`:
their encoders are written from the published protocols, so both ends of a test are never the same code.

Read first: `control.py` (the channel every device shares).
"""
