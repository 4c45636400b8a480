"""Random days of a lane on the virtual clock: from a seed to its traffic and faults, the run, and what must be true."""
