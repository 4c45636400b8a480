"""Tests of edge_agent.observe."""
