"""What central holds: once, by watermark, with the chain followed and bad records told."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.release_service.book import NO_HEAD, Book, Line, SequenceGap, dump
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import record_pb2
from securecorridor.release.v1 import release_service_pb2 as pb

LINE = Line("ports/0427/lanes/1", "e1", "bundle")
TYPE = "application/x-protobuf; message=securecorridor.release.v1.Bundle"


def chained(count: int) -> list[pb.ForwardRecord]:
    """Bundles 1 to `count` as a lane would send them."""
    records, head = [], NO_HEAD
    for seq in range(1, count + 1):
        message = record_pb2.Bundle(bundle_id=f"b{seq}", chain_prev=head, outcome=lane_pb.OUTCOME_REFERRED)
        payload = message.SerializeToString()
        head = hashlib.sha256(head + len(payload).to_bytes(8, "big") + payload).digest()
        envelope = record_pb2.Envelope(payload_type=TYPE, payload=payload)
        digest = hashlib.sha256(payload).digest()
        records.append(
            pb.ForwardRecord(seq=seq, record_id=f"b{seq}", envelope=envelope, payload_sha256=digest, chain_head=head)
        )
    return records


def test_batches_repeats_and_a_restart(tmp_path: Path) -> None:
    records = chained(6)
    book = Book(tmp_path)
    assert book.take(LINE, records[:3]).watermark == 3
    again = book.take(LINE, records[1:5])
    assert (again.watermark, again.duplicates, [a.seq for a in again.accepted]) == (5, 2, [4, 5])
    book.close()
    book = Book(tmp_path)
    assert book.watermark(LINE) == 5
    assert book.take(LINE, records).watermark == 6
    assert book.figures.outcomes == {"referred": 6}
    assert book.figures.chain_mismatches == 0
    book.close()
    assert list(dump(tmp_path)) == [f"HAVE b{n} {LINE.lane} e1 {n}" for n in range(1, 7)]


def test_a_gap_takes_nothing(tmp_path: Path) -> None:
    records = chained(4)
    book = Book(tmp_path)
    with pytest.raises(SequenceGap):
        book.take(LINE, [records[0], records[2]])
    assert book.watermark(LINE) == 0
    assert book.take(LINE, records).watermark == 4
    book.close()


def test_bad_records_are_rejected_counted_as_seen_and_the_chain_goes_on(tmp_path: Path) -> None:
    records = chained(5)
    records[0].envelope.payload += b"x"
    records[1].envelope.payload_type = "text/plain"
    records[2].record_id = "other"
    book = Book(tmp_path)
    taken = book.take(LINE, records)
    assert taken.watermark == 5
    assert [(r.seq, r.reason) for r in taken.rejected] == [
        (1, "PAYLOAD_HASH_MISMATCH"),
        (2, "PAYLOAD_TYPE_UNKNOWN"),
        (3, "RECORD_ID_MISMATCH"),
    ]
    assert [a.seq for a in taken.accepted] == [4, 5]
    # Only the record whose bytes changed breaks the chain.
    assert book.figures.chain_mismatches == 1
    book.close()


def test_a_swapped_bundle_shows_in_the_chain(tmp_path: Path) -> None:
    records = chained(3)
    other = record_pb2.Bundle(bundle_id="b2", chain_prev=NO_HEAD).SerializeToString()
    records[1].envelope.payload = other
    records[1].payload_sha256 = hashlib.sha256(other).digest()
    book = Book(tmp_path)
    taken = book.take(LINE, records)
    assert not taken.rejected
    assert book.figures.chain_mismatches == 1
    book.close()


def test_a_new_epoch_begins_at_one_and_a_bundle_known_by_id_is_held_once(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.take(LINE, chained(2))
    second = Line(LINE.lane, "e2", "bundle")
    taken = book.take(second, chained(3))
    assert (taken.watermark, taken.duplicates, [a.record_id for a in taken.accepted]) == (3, 2, ["b3"])
    book.close()
    assert [line.split()[1] for line in dump(tmp_path)] == ["b1", "b2", "b3"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=12))
def test_any_resending_is_held_once_in_order(cuts: list[tuple[int, int]]) -> None:
    import tempfile

    records = chained(12)
    with tempfile.TemporaryDirectory() as directory:
        book = Book(Path(directory))
        for start, count in cuts:
            begin = min(start, book.watermark(LINE))
            book.take(LINE, records[begin : begin + count])
        held = [line.split()[1] for line in dump(Path(directory))]
        assert held == [f"b{n}" for n in range(1, book.watermark(LINE) + 1)]
        assert book.figures.chain_mismatches == 0
        book.close()
