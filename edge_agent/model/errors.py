"""Faults of the agent itself; device faults are in `drivers.api`."""

from drivers.api import EdgeError


class ConfigError(EdgeError):
    """Configuration that cannot be used; the message lists every error as file:line:col."""


class CentralError(EdgeError):
    """A fault on the way to the release service."""


class CentralUnavailable(CentralError):
    """The release service cannot be reached; records stay in the outbox."""


class CentralRejected(CentralError):
    """The release service refused a record for good; it is quarantined, counted and alarmed."""


class StoreError(EdgeError):
    """The store cannot keep its promise: the lane leaves rolling operation."""
