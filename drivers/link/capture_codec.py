"""The capture file: everything that passed one device's link, with its times, readable only with a private key. Pure.

    magic "LANECAP1" | u32 length, header (JSON, in clear) | u16 length, sealed key | chunks
    chunk:  u32 length of the ciphertext | u8 1 for the last chunk, else 0 | ciphertext
    record: u8 kind | u64 offset, ns | u32 length | payload         (whole records only in a chunk)

All numbers are big-endian. A random ChaCha20 key per capture (RFC 8439) encrypts the chunks; the nonce is the chunk's
number, and number, last-mark and the SHA-256 of the clear header are authenticated with it. The key is sealed by HPKE
(RFC 9180, X25519, HKDF-SHA256, AES-128-GCM) with the header's hash in `info`, so that whoever wrote the file cannot
read it back, and no header can be put before another's chunks. The clear header holds no identity value.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from drivers.api import EdgeError

MAGIC = b"LANECAP1"
KEY_BYTES = 32
MAX_HEADER = 4096
MAX_CHUNK = 1 << 20
_TAG = 16
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_INFO = b"securecorridor.capture.v1\0"
_HEADER_LENGTH = Struct(">I")
_SEALED_LENGTH = Struct(">H")
_CHUNK_HEAD = Struct(">IB")
_RECORD_HEAD = Struct(">BQI")


class CaptureUnreadable(EdgeError):
    """No capture, another version's, or another key's: CAPTURE_NOT_A_CAPTURE, CAPTURE_CUT_IN_HEADER,
    CAPTURE_KEY_WRONG."""


class RecordKind(IntEnum):
    """What happened. RX and LOST are the outcome of a read, or of opening; TIMEOUT is a read given up by its reader."""

    BEGUN = 1
    """A session begins; JSON: what is needed to make its driver again."""
    STAMP = 2
    """The driver looked at the clock; signed 64 bit: wall time less the capture's start, ns."""
    OPENED = 3
    RX = 4
    TX = 5
    TIMEOUT = 6
    LOST = 7
    """A link fault; JSON: code, message, hint."""
    BAUD = 8
    """The rate was changed; unsigned 32 bit, bits/s."""
    CLOSED = 9
    CANCELLED = 10
    """Somebody ended the session from outside."""
    ENDED = 11
    """The session is over; JSON: the code of its fault, "" when it was cancelled."""
    UNDONE = 12
    """The TX or BAUD before it failed; JSON: the link fault, or empty when its caller gave up."""
    CALL = 13
    """The driver was asked for something from outside; JSON: number, what, with what."""
    CALL_CANCELLED = 14
    """Whoever asked gave up; JSON: number."""
    WIRE = 15
    """Bytes on a line whose exchanges are noted as TX and RX: 1 sent or 0 received, then the bytes. Not replayed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a link, `offset_ns` after the capture's start on the monotonic clock."""

    kind: RecordKind
    offset_ns: int
    payload: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Header:
    """What anybody may know of a capture. `started_utc_ns`, `started_mono_ns`: its start on both clocks; `key_id`: the
    public key it is sealed to."""

    capture: str
    lane: str
    device: str
    kind: str
    profile: str
    profile_digest: str
    agent_version: str
    started_utc_ns: int
    started_mono_ns: int
    key_id: str


class End(StrEnum):
    """How the readable part of a capture ends: as it should, cut off (power loss, full disk), or at damage."""

    COMPLETE = "complete"
    CUT = "cut"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture that was opened: the records of all chunks before its end, and what that end is."""

    header: Header
    records: tuple[Record, ...]
    chunks: int
    end: End


def key_id_of(public_key: bytes) -> str:
    """`x25519-` and the first 16 hex digits of the raw key's SHA-256."""
    return f"x25519-{hashlib.sha256(public_key).hexdigest()[:16]}"


def encode_record(record: Record) -> bytes:
    """A record as it stands in a chunk."""
    return _RECORD_HEAD.pack(record.kind, record.offset_ns, len(record.payload)) + record.payload


def decode_records(chunk: bytes) -> tuple[Record, ...]:
    """The records of a decrypted chunk. ValueError when it does not end with one, or has a kind not known here."""
    return tuple(_records(chunk))


def _records(chunk: bytes) -> Iterator[Record]:
    at = 0
    while at < len(chunk):
        if len(chunk) - at < _RECORD_HEAD.size:
            raise ValueError("a record is cut")
        kind, offset_ns, length = _RECORD_HEAD.unpack_from(chunk, at)
        at += _RECORD_HEAD.size
        if len(chunk) - at < length:
            raise ValueError("a record is cut")
        yield Record(RecordKind(kind), offset_ns, chunk[at : at + length])
        at += length


class CaptureSealer:
    """Makes the bytes of one capture, in order: `opening`, then chunks, the last one marked. `key` is 32 random bytes,
    used for this capture only; `public_key` raw X25519. ValueError for keys of another length."""

    def __init__(self, header: Header, public_key: bytes, key: bytes) -> None:
        if len(key) != KEY_BYTES or len(public_key) != KEY_BYTES:
            raise ValueError(f"keys of a capture have {KEY_BYTES} bytes")
        text = _encode_header(header)
        self._bound = hashlib.sha256(text).digest()
        sealed = _SUITE.encrypt(key, X25519PublicKey.from_public_bytes(public_key), _INFO + self._bound)
        self._cipher = ChaCha20Poly1305(key)
        self._chunks = 0
        self.opening = (
            MAGIC + _HEADER_LENGTH.pack(len(text)) + text + _SEALED_LENGTH.pack(len(sealed)) + sealed
        )  # fmt: skip
        """The clear header and the sealed key: the file's beginning."""

    def chunk(self, records: bytes, *, last: bool = False) -> bytes:
        """Encoded whole records as the next chunk. ValueError above 1 MiB."""
        if len(records) > MAX_CHUNK:
            raise ValueError("the chunk is too long")
        nonce, bound = _binding(self._chunks, self._bound, last)
        self._chunks += 1
        sealed = self._cipher.encrypt(nonce, records, bound)
        return _CHUNK_HEAD.pack(len(sealed), last) + sealed


def read_header(data: bytes) -> Header:
    """The clear header at the beginning of a capture; nothing of it is proven before the capture is opened.
    CaptureUnreadable."""
    return _split(data)[0]


def open_capture(data: bytes, private_key: bytes) -> Capture:
    """Everything that can be read: all chunks before the first that is cut or damaged. `private_key`: raw X25519.
    CaptureUnreadable when nothing can be."""
    header, text, sealed, at = _split(data)
    bound = hashlib.sha256(text).digest()
    try:
        key = _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private_key), _INFO + bound)
        cipher = ChaCha20Poly1305(key)
    except (InvalidTag, ValueError) as error:
        hint = f"it is sealed to {header.key_id}; or its header is damaged"
        raise CaptureUnreadable("CAPTURE_KEY_WRONG", "this key does not open the capture", hint) from error
    records: list[Record] = []
    chunks = 0
    while True:
        chunk = _open_chunk(data, at, cipher, chunks, bound)
        if isinstance(chunk, End):
            return Capture(header, tuple(records), chunks, chunk)
        found, last, at = chunk
        records += found
        chunks += 1
        if last:
            return Capture(header, tuple(records), chunks, End.COMPLETE if at == len(data) else End.DAMAGED)


def _open_chunk(
    data: bytes, at: int, cipher: ChaCha20Poly1305, number: int, bound: bytes
) -> tuple[Sequence[Record], bool, int] | End:
    """The records of the chunk at `at`, whether it is the last, and where the next begins; or why there are none."""
    if len(data) - at < _CHUNK_HEAD.size:
        return End.CUT
    length, last = _CHUNK_HEAD.unpack_from(data, at)
    at += _CHUNK_HEAD.size
    if last > 1 or not _TAG <= length <= MAX_CHUNK + _TAG:
        return End.DAMAGED
    if len(data) - at < length:
        return End.CUT
    nonce, binding = _binding(number, bound, bool(last))
    try:
        return decode_records(cipher.decrypt(nonce, data[at : at + length], binding)), bool(last), at + length
    except (InvalidTag, ValueError):
        return End.DAMAGED


def _binding(number: int, bound: bytes, last: bool) -> tuple[bytes, bytes]:
    """Nonce and associated data of a chunk."""
    return number.to_bytes(12, "big"), bound + number.to_bytes(8, "big") + bytes((last,))


def _encode_header(header: Header) -> bytes:
    return json.dumps(asdict(header), sort_keys=True, separators=(",", ":")).encode()


def _split(data: bytes) -> tuple[Header, bytes, bytes, int]:
    """Header, its bytes, the sealed key, and where the chunks begin."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        hint = "another kind of file, or a newer version's"
        raise CaptureUnreadable("CAPTURE_NOT_A_CAPTURE", f"it does not begin with {MAGIC.decode()}", hint)
    text, at = _counted(data, len(MAGIC), _HEADER_LENGTH)
    sealed, at = _counted(data, at, _SEALED_LENGTH)
    try:
        fields = json.loads(text)
        header = Header(**fields)
        typed = all(type(getattr(header, name)) is kind for name, kind in Header.__annotations__.items())
    except (ValueError, TypeError, RecursionError) as error:
        raise CaptureUnreadable("CAPTURE_NOT_A_CAPTURE", "its header is damaged") from error
    if not typed:
        raise CaptureUnreadable("CAPTURE_NOT_A_CAPTURE", "its header is damaged")
    return header, text, sealed, at


def _counted(data: bytes, at: int, length: Struct) -> tuple[bytes, int]:
    cut = CaptureUnreadable("CAPTURE_CUT_IN_HEADER", "it ends inside its header: nothing had been captured yet")
    if len(data) - at < length.size:
        raise cut
    (count,) = length.unpack_from(data, at)
    at += length.size
    if count > MAX_HEADER:
        raise CaptureUnreadable("CAPTURE_NOT_A_CAPTURE", "its header is damaged")
    if len(data) - at < count:
        raise cut
    return data[at : at + count], at + count
