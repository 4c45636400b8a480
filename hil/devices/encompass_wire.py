"""Encompass messages as a reader makes and takes them, written from the manual and sharing nothing with the driver."""

from collections.abc import Iterator

WILDCARD = "````"


def check_of(text: str) -> str:
    """The four hexadecimal digits of the ECP check, bit by bit: polynomial 1021, preset 0, bits into the low end."""
    register = 0
    for character in text.encode("latin-1"):
        for bit in range(7, -1, -1):
            carry = register & 0x8000
            register = (register << 1 | character >> bit & 1) & 0xFFFF
            if carry:
                register ^= 0x1021
    return f"{register:04X}"


def basic(text: str) -> bytes:
    """A reader's message in basic protocol."""
    return f"#{text}\r\n".encode("latin-1")


def ecp(sequence: int, text: str) -> bytes:
    """A reader's message in the error-correcting protocol."""
    body = f"{sequence:X}{text}"
    return f"#{body}{check_of(body)}\r\n".encode("latin-1")


def read_ecp(line: str) -> tuple[int, str] | None:
    """Sequence and text of a host's message; None when its check is wrong."""
    body, check = line[:-4], line[-4:]
    if len(body) < 2 or body[0] not in "0123456789ABCDEFabcdef":
        return None
    if check not in (WILDCARD, check_of(body)):
        return None
    return int(body[0], 16), body[1:]


class LineReader:
    """Cuts host messages (`#` to CR) out of a byte stream; a second `#` begins anew."""

    def __init__(self) -> None:
        self._line: str | None = None

    def feed(self, data: bytes) -> Iterator[str]:
        """Every complete message, without `#` and CR."""
        for character in data.decode("latin-1"):
            if character == "#":
                self._line = ""
            elif character == "\r":
                if self._line is not None:
                    line, self._line = self._line, None
                    yield line
            elif self._line is not None and character != "\n":
                self._line = (self._line + character)[:80]

    def forget(self) -> None:
        """Drop half a message (the line was quiet for long)."""
        self._line = None
