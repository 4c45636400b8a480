"""Oracles: judges that read the devices' and the world's truth, never the agent's claims.

Start with `wrong_green.py`.
"""
