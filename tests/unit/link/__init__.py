"""Tests of links and captures."""
