"""Tests of edge_agent.config."""
