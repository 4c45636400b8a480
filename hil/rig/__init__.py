"""Opens what a target names: starts device processes, talks to their control channels, drives the world in real time.

Read first: `processes.py`, then `lane_bench.py`.
"""
