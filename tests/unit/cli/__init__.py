"""The commands, run as a person or a script runs them."""
