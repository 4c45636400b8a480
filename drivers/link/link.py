"""What a serial driver needs from its line; `serial.py` and `memory.py` provide it."""

from typing import Protocol


class Link(Protocol):
    """A byte stream to one device. One task reads and writes it; any fault is LinkLost and ends the link."""

    async def read(self, max_bytes: int) -> bytes:
        """At least one byte, at most `max_bytes`, as soon as there is any. LinkLost on end or error, never b""."""
        ...

    async def write(self, data: bytes) -> None:
        """Hand all bytes to the line. LinkLost on error."""
        ...

    def set_baud(self, baud: int) -> None:
        """Change the rate of both directions, bits/s, and drop what was received at the old one. LinkLost on error."""
        ...

    async def close(self) -> None:
        """Release the port. Safe to call twice; never raises, never takes longer than 1 s."""
        ...
