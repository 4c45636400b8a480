"""The capture file: every prefix and every flipped bit gives whole earlier chunks or one documented error."""

import contextlib
import functools

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from drivers.link.capture_codec import (
    MAX_CHUNK,
    Capture,
    CaptureSealer,
    CaptureUnreadable,
    End,
    Header,
    Record,
    RecordKind,
    decode_records,
    encode_record,
    key_id_of,
    open_capture,
    read_header,
)

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE, PUBLIC = KEY.private_bytes_raw(), KEY.public_key().public_bytes_raw()
HEADER = Header(
    "0190e1c2", "ports/0453/lanes/1", "reader-1", "mercury", "mercury_m6e", "ab" * 32, "0.1.0", 5, 7, key_id_of(PUBLIC)
)
CHUNKS = tuple(
    tuple(Record(kind, number * 1000 + kind, bytes([kind]) * number) for kind in RecordKind) for number in range(3)
)

records = st.builds(Record, st.sampled_from(RecordKind), st.integers(0, 2**63), st.binary(max_size=300))


def file_of(chunks: tuple[tuple[Record, ...], ...], *, ended: bool = True) -> bytes:
    """A capture file."""
    sealer = CaptureSealer(HEADER, PUBLIC, bytes(range(1, 33)))
    data = sealer.opening
    for chunk in chunks:
        data += sealer.chunk(b"".join(map(encode_record, chunk)))
    return data + (sealer.chunk(b"", last=True) if ended else b"")


@functools.cache
def whole() -> bytes:
    """A file of three chunks and its end."""
    return file_of(CHUNKS)


def chunks_in(capture: Capture) -> int:
    """How many of the three chunks were read: always whole ones."""
    for count in range(4):
        if capture.records == tuple(record for chunk in CHUNKS[:count] for record in chunk):
            return count
    raise AssertionError("not the beginning of what was written")


def test_what_was_written_is_read() -> None:
    capture = open_capture(whole(), PRIVATE)
    assert capture.header == HEADER == read_header(whole())
    assert chunks_in(capture) == 3
    assert capture.end is End.COMPLETE


@given(st.lists(st.lists(records, max_size=8).map(tuple), max_size=4).map(tuple))
def test_any_records_come_back(chunks: tuple[tuple[Record, ...], ...]) -> None:
    capture = open_capture(file_of(chunks), PRIVATE)
    assert capture.records == tuple(record for chunk in chunks for record in chunk)
    assert capture.end is End.COMPLETE


def test_every_prefix_is_cut_and_gives_the_whole_chunks_before_the_cut() -> None:
    data = whole()
    opening = len(file_of((), ended=False))
    for length in range(opening):
        with pytest.raises(CaptureUnreadable, match=r"CAPTURE_NOT_A_CAPTURE|CAPTURE_CUT_IN_HEADER"):
            open_capture(data[:length], PRIVATE)
    sizes: list[int] = []
    for length in range(opening, len(data)):
        capture = open_capture(data[:length], PRIVATE)
        assert capture.end is End.CUT
        sizes.append(chunks_in(capture))
    assert sizes == sorted(sizes)
    assert set(sizes) == {0, 1, 2, 3}


def test_every_flipped_bit_is_noticed() -> None:
    data = whole()
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            capture = open_capture(bytes(damaged), PRIVATE)
        except CaptureUnreadable:
            continue
        assert capture.end is not End.COMPLETE, bit
        assert chunks_in(capture) <= 3


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for candidate in (data, b"LANECAP1" + data):
        with pytest.raises(CaptureUnreadable):
            open_capture(candidate, PRIVATE)


@given(st.binary(max_size=200))
def test_any_bytes_as_records_are_records_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert b"".join(map(encode_record, decode_records(data))) == data


def test_chunks_swapped_repeated_left_out_or_of_another_capture_are_damage() -> None:
    opening = len(file_of((), ended=False))
    sizes = [len(file_of(CHUNKS[: n + 1], ended=False)) - len(file_of(CHUNKS[:n], ended=False)) for n in range(3)]
    data = whole()
    parts, at = [], opening
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    last = data[at:]
    for order in ((1, 0, 2), (0, 0, 1, 2), (0, 2)):
        mixed = data[:opening] + b"".join(parts[n] for n in order) + last
        assert open_capture(mixed, PRIVATE).end is End.DAMAGED
    assert open_capture(data[:opening] + last, PRIVATE).end is End.DAMAGED
    assert open_capture(data + b"x", PRIVATE).end is End.DAMAGED
    other = CaptureSealer(HEADER, PUBLIC, bytes(32))
    assert open_capture(other.opening + data[opening:], PRIVATE).end is End.DAMAGED


def test_another_key_opens_nothing_and_the_writer_cannot_read_back() -> None:
    with pytest.raises(CaptureUnreadable, match="CAPTURE_KEY_WRONG"):
        open_capture(whole(), bytes(32))
    with pytest.raises(CaptureUnreadable, match="CAPTURE_KEY_WRONG"):
        open_capture(whole(), PUBLIC)


def test_what_was_captured_does_not_stand_in_the_file() -> None:
    secret = b"E280-IDENTITY-0001"
    data = file_of(((Record(RecordKind.RX, 1, secret),),))
    assert secret not in data
    assert secret.decode() not in repr(open_capture(data, PRIVATE))


def test_sealing_is_never_the_same_twice_and_bounds_its_input() -> None:
    assert CaptureSealer(HEADER, PUBLIC, bytes(32)).opening != CaptureSealer(HEADER, PUBLIC, bytes(32)).opening
    with pytest.raises(ValueError, match="32 bytes"):
        CaptureSealer(HEADER, PUBLIC[:31], bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        CaptureSealer(HEADER, PUBLIC, bytes(31))
    with pytest.raises(ValueError, match="too long"):
        CaptureSealer(HEADER, PUBLIC, bytes(32)).chunk(bytes(MAX_CHUNK + 1))
