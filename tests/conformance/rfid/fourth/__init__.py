"""A fourth reader family, for the tests alone: what the hour of `drivers/README.md` makes, in the fewest lines."""
