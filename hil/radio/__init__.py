"""The lane's radio, simulated by the hundred thousand vehicles: how often a tag ends on the wrong record, and when."""
