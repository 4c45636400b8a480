"""Captured sessions and their replay."""
