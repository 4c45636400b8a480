"""The traffic world: trucks, drivers who obey the light, zone sensors and radio tags, as a pure function of time.

In: a `Geometry`, truck plans, a seed, and what the lamps show (`World.set_lamp`). Out: `WorldEvent`s, sensor levels,
tag reads and truck positions. Time is float seconds since the world's start; x is metres from the stop line, growing
downstream (A -60, D -30, S 0, X +35). No I/O, no clock, no global random state: the same seed and the same lamp history
give the same events, so virtual-clock tests and real-time virtual devices share it. Trucks never overlap. Start with
`world.py`; a story for a test is `scenario.py`, endless traffic `traffic.py`.
"""
