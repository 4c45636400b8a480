"""Where a Modbus module is reached, and what a serial line takes for its characters. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpLine:
    """A Modbus TCP server."""

    host: str
    port: int = 502

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A Modbus RTU line. `parity` N, E or O; `stop_bits` 1 or 2."""

    path: str
    baud: int = 19200
    parity: str = "E"
    stop_bits: int = 1

    def __str__(self) -> str:
        return self.path

    @property
    def character_s(self) -> float:
        """Time of one character on the wire: start bit, 8 data bits, parity, stop bits."""
        return (9 + (self.parity != "N") + self.stop_bits) / self.baud

    @property
    def silence_s(self) -> float:
        """3.5 characters; fixed 1.75 ms above 19200 baud (Modbus over Serial Line 1.02, 2.5.1.1)."""
        return 0.00175 if self.baud > 19200 else 3.5 * self.character_s

    def exchange_s(self, characters: int) -> float:
        """What request and reply of so many characters together take, with the silence before each."""
        return characters * self.character_s + 2 * self.silence_s
