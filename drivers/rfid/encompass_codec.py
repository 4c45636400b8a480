"""TransCore Encompass / Amtech reader protocol: basic and error-correcting (ECP) messages, and what they say. Pure.

Follows the Encompass 4 Reader System Guide and the MPRX guide: ASCII, `#` begins a message, the host ends it with CR,
the reader with CR LF. Time is passed in. Tag texts are identities: no representation shows one.
"""

import re
from binascii import crc_hqx
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from drivers.api import ProtocolViolation

START = 0x23
CR = 0x0D
LF = 0x0A
MAX_DATA = 72  # characters of data in a reader's message
MAX_LINE = MAX_DATA + 5  # with the sequence digit and the check of ECP
MAX_COMMAND = 24  # a code of 2-4 characters and up to 20 of data
HALF_MESSAGE_S = 0.3

ENTER_COMMAND_MODE = "01"
ENTER_DATA_MODE = "00"
GET_VERSION = "505"
GET_RF_STATUS = "527"
SELECT_BASIC = "610"
SELECT_ECP = "611"
SET_ECP_TIMEOUT = "612"
FLOW_COMMANDS = {"none": "6140", "software": "6141", "hardware": "6142"}

DONE = "Done"
ERROR = "Error"
ACK = "@"
NAK = "?"
FREQUENCY_NOT_SET = 6

_WILDCARD = b"````"
_XON_XOFF = b"\x11\x13"
_HEX = "0123456789ABCDEF"

_AUXILIARY = re.compile(r"%([0-9A-F]{2})-([0-9A-F])-([0-9A-F]{2})-([0-3])(?:-[0-9A-F]{1,4})?\Z")
_FAULT = re.compile(r"Error([0-9]{2})\Z")
_VERSION = re.compile(r"Model\s+(\S.*?)\s+(?:Ver\s*)?([0-9][0-9A-Za-z.]*)\s*(?:SN\s*([0-9A-Za-z]*))?(?:\s.*)?\Z")
_RF_STATUS = re.compile(r"RFST C[0-9A-F] O([01]) ")
_FREQUENCY = re.compile(r" F([0-9A-F]{1,3})(?: |\Z)")
_IO_STATUS = re.compile(r"IOST C[0-9A-F] O[0-9A-F] I([0-3])(?: |\Z)")
# Tags carry six-bit ASCII, space to underscore: a text with a small letter is the reader's own.
_TAG_TEXT = re.compile(r"[ -_]{1,72}\Z")


def crc16(message: bytes) -> int:
    """Check over the characters between `#` and the check itself: polynomial 1021, preset 0, bits into the low end."""
    if len(message) < 2:
        return int.from_bytes(message, "big")
    # crc_hqx shifts bits into the high end: the last two bytes enter by exclusive-or.
    return crc_hqx(message[:-2], 0) ^ (message[-2] << 8 | message[-1])


def encode_basic(command: str) -> bytes:
    """One host message without check. ValueError when `command` cannot be sent."""
    return b"#" + _sendable(command) + b"\r"


def encode_ecp(sequence: int, data: str, *, wildcard: bool = False) -> bytes:
    """One host message with sequence (0-15) and check; `wildcard` sends the check every reader accepts. ValueError."""
    if not 0 <= sequence <= 15:
        raise ValueError(f"sequence {sequence} is no hexadecimal digit")
    body = _HEX[sequence].encode() + _sendable(data)
    return b"#" + body + (_WILDCARD if wildcard else b"%04X" % crc16(body)) + b"\r"


def _sendable(text: str) -> bytes:
    if not 1 <= len(text) <= MAX_COMMAND or not text.isascii() or not text.isprintable() or "#" in text:
        raise ValueError("a command is 1 to 24 printable characters without #")
    return text.encode()


class MessageSplitter:
    """Cuts a reader's byte stream into messages (without `#` and line end). Holds at most one unfinished message.

    A second `#` before the line end begins anew; a message too long or older than `half_message_s` is dropped.
    Counters: `dropped_bytes` outside messages, `dropped_messages` unfinished ones, `messages`.
    """

    __slots__ = ("_at_s", "_rest", "dropped_bytes", "dropped_messages", "half_message_s", "messages")

    def __init__(self, half_message_s: float = HALF_MESSAGE_S) -> None:
        self.half_message_s = half_message_s
        self.dropped_bytes = 0
        self.dropped_messages = 0
        self.messages = 0
        self._rest: bytes | None = None
        self._at_s = 0.0

    @property
    def pending(self) -> int:
        """Bytes held of an unfinished message, its `#` included; at most 78."""
        return 0 if self._rest is None else len(self._rest) + 1

    def reset(self) -> None:
        """Forget the unfinished message; counters stay."""
        self._rest = None

    def feed(self, data: bytes, now_s: float) -> list[bytes]:
        """Messages completed by bytes that arrived at `now_s` (monotonic seconds), in order."""
        self.expire(now_s)
        found: list[bytes] = []
        # Flow control characters are the line's, not the message's: they may stand anywhere.
        for piece in re.split(rb"(?=[#\r])", data.translate(None, _XON_XOFF)):
            if piece[:1] == b"#":
                self._drop()
                self._rest = b""
                self._at_s = now_s
                self._grow(piece[1:])
            elif piece[:1] == b"\r":
                self._end(found)
                self._outside(piece[1:])
            elif self._rest is None:
                self._outside(piece)
            else:
                self._grow(piece)
        self.messages += len(found)
        return found

    def expire(self, now_s: float) -> list[bytes]:
        """Drop an unfinished message that is too old. Nothing is found behind it: a second `#` begins anew."""
        if self._rest is not None and now_s - self._at_s > self.half_message_s:
            self._drop()
        return []

    def _grow(self, piece: bytes) -> None:
        self._rest = (self._rest or b"") + piece
        if len(self._rest) > MAX_LINE:
            self._drop()

    def _end(self, found: list[bytes]) -> None:
        if self._rest is not None:
            found.append(self._rest)
            self._rest = None

    def _outside(self, piece: bytes) -> None:
        self.dropped_bytes += len(piece) - piece.count(b"\n")

    def _drop(self) -> None:
        if self._rest is not None:
            self._rest = None
            self.dropped_messages += 1


class Message(NamedTuple):
    """One message whose check was right (or, in basic protocol, has none: `sequence` None). `text` may be an identity:
    never log it."""

    sequence: int | None
    text: str

    @property
    def is_answer(self) -> bool:
        """In ECP: an answer carries the odd sequence of its command, a reader's own message an even one."""
        return self.sequence is not None and self.sequence % 2 == 1

    def __repr__(self) -> str:
        return f"Message(sequence={self.sequence}, text=<{len(self.text)} characters>)"


class BadMessage(NamedTuple):
    """A message with a wrong check or layout; `sequence` is its first digit when that is one."""

    sequence: int | None


def decode_basic(line: bytes) -> Message | BadMessage:
    """A message of the basic protocol: any printable text."""
    text = _printable(line)
    return BadMessage(None) if text is None else Message(None, text)


def decode_ecp(line: bytes) -> Message | BadMessage:
    """A message of the error-correcting protocol; four backquotes stand for any check."""
    digit = line[:1].decode("latin-1")
    sequence = _HEX.find(digit) if digit else -1
    if sequence < 0:
        return BadMessage(None)
    body, check = line[:-4], line[-4:]
    text = _printable(body[1:])
    if text is None or check not in (_WILDCARD, b"%04X" % crc16(body), b"%04x" % crc16(body)):
        return BadMessage(sequence)
    return Message(sequence, text)


def _printable(data: bytes) -> str | None:
    text = data.decode("latin-1")
    return text if 1 <= len(text) <= MAX_DATA and text.isascii() and text.isprintable() else None


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """What `#311` appends: reader id 0-255, antenna as the reader counts it (from 0), reads of the previous tag on it
    0-255, inputs as bits (1: input 0 is true, 2: input 1)."""

    reader_id: int
    antenna: int
    previous_reads: int
    inputs: int


@dataclass(frozen=True, slots=True)
class TagReport:
    """A tag's text as the reader prints it, its application page when that is appended, and the auxiliary."""

    text: bytes
    page: bytes
    auxiliary: Auxiliary | None

    def __repr__(self) -> str:
        return f"TagReport(text=<{len(self.text)} characters>, auxiliary={self.auxiliary})"


@dataclass(frozen=True, slots=True)
class PresenceWithoutTag:
    """A vehicle was felt and no tag read."""

    auxiliary: Auxiliary | None


@dataclass(frozen=True, slots=True)
class InputChange:
    """The inputs changed; `inputs` as bits, None when the message does not tell."""

    inputs: int | None


@dataclass(frozen=True, slots=True)
class RfStatus:
    """Answer to 527, also sent unasked as a sign of life: whether the radio is on, and its frequency in kHz (None: not
    set, so it never transmits)."""

    rf_on: bool
    frequency_khz: int | None


@dataclass(frozen=True, slots=True)
class SignOn:
    """The version text: answer to 505, and sent unasked after every start."""

    model: str
    firmware: str
    serial: str


@dataclass(frozen=True, slots=True)
class ReaderFault:
    """Error with a number, sent unasked: 06 frequency not set; 07, 08, 11 hardware."""

    number: int


@dataclass(frozen=True, slots=True)
class Other:
    """A message that is no report: a late answer, or a text that no list knows. `is_answer` tells which."""

    is_answer: bool


Report = TagReport | PresenceWithoutTag | InputChange | RfStatus | SignOn | ReaderFault | Other


@dataclass(frozen=True, slots=True)
class ReportWords:
    """What of a reader's texts is data: the texts of its reports, and whether it appends a page after `&`."""

    presence_without_tag: frozenset[str] = frozenset()
    input_change: frozenset[str] = frozenset()
    tag_page: bool = False


def decode_report(text: str, words: ReportWords) -> Report:
    """What an unasked message says. Never fails: what fits nothing is `Other`."""
    auxiliary = None
    if match := _AUXILIARY.search(text):
        reader, antenna, reads, inputs = match.groups()
        auxiliary = Auxiliary(int(reader, 16), int(antenna, 16), int(reads, 16), int(inputs))
        text = text[: match.start()]
    own = _own_report(text, auxiliary, words)
    if own is not None:
        return own
    page = ""
    if words.tag_page:
        text, _, page = text.partition("&")
    if not _TAG_TEXT.match(text):
        return Other(is_answer=False)
    return TagReport(text.encode(), page.encode(), auxiliary)


def _own_report(text: str, auxiliary: Auxiliary | None, words: ReportWords) -> Report | None:
    """A text of the reader itself; None when it can only be a tag's."""
    if text in words.presence_without_tag:
        return PresenceWithoutTag(auxiliary)
    if text in words.input_change:
        return InputChange(None if auxiliary is None else auxiliary.inputs)
    if match := _IO_STATUS.match(text):
        return InputChange(int(match[1]))
    if match := _FAULT.match(text):
        return ReaderFault(int(match[1]))
    if text in (DONE, ERROR, ACK, NAK):
        return Other(is_answer=True)
    if _RF_STATUS.match(text):
        return decode_rf_status(text)
    return decode_version(text) if _VERSION.match(text) else None


def decode_version(text: str) -> SignOn:
    """`Model ... Ver ... SN...`. ProtocolViolation when it is another text."""
    match = _VERSION.match(text)
    if match is None:
        raise ProtocolViolation("RFID_BAD_REPLY", "the reader's version reply breaks its layout", "update the firmware")
    return SignOn(match[1], match[2], match[3] or "")


def decode_rf_status(text: str) -> RfStatus:
    """`RFST C. O. T. F.. ...`; the frequency counts 250 kHz steps from 860 MHz. ProtocolViolation."""
    status = _RF_STATUS.match(text)
    if status is None:
        raise ProtocolViolation("RFID_BAD_REPLY", "the reader's RF status breaks its layout", "update the firmware")
    frequency = _FREQUENCY.search(text)
    khz = None if frequency is None else 860_000 + 250 * int(frequency[1], 16)
    return RfStatus(status[1] == "1", khz)


def status_fields(text: str) -> tuple[str, ...]:
    """The fields of a status answer, `IDAP T0 D0 X1` -> (T0, D0, X1)."""
    return tuple(text.split()[1:])


def report_words(presence_without_tag: Iterable[str], input_change: Iterable[str], *, tag_page: bool) -> ReportWords:
    """`ReportWords` of a profile's lists."""
    return ReportWords(frozenset(presence_without_tag), frozenset(input_change), tag_page)
