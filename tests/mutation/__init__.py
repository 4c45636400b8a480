"""Mutants of the passage core: mutmut run file by file in two stages, and the report that the figures are kept in."""
