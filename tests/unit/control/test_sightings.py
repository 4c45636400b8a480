"""Reads become sightings: classed, tokenised, sealed once, smoothed, bounded."""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Secret, Stamp, TagRead, token_of
from edge_agent.control.sightings import MAX_TRACKED, SightingTracker, TagClass
from edge_agent.model.identity import IdentityKind

CARD = bytes.fromhex("0fa5000000000000000000a1")
TRANSPONDER = bytes.fromhex("0d70000000000000000000b2")
KEY = b"k" * 32
MS = 1_000_000


def tracker(seals: list[str] | None = None) -> SightingTracker:
    count = iter(range(10**6))

    def seal(_secret: Secret, token: str) -> bytes:
        if seals is not None:
            seals.append(token)
        return b"sealed"

    return SightingTracker(
        classes=(
            TagClass(IdentityKind.DRIVER_CARD, bytes.fromhex("0fa5")),
            TagClass(IdentityKind.TRANSPONDER, bytes.fromhex("0d7f"), mask=bytes.fromhex("fff0")),
        ),
        site_key=KEY,
        seal=seal,
        sealed_key_id="c1",
        new_id=lambda _stamp: f"s{next(count)}",
        lost_s=2.0,
        early_reads=3,
    )


def read(epc: bytes, at_ms: int, rssi: int = -6000, antenna: int = 1) -> TagRead:
    return TagRead(Stamp(at_ms * MS, at_ms * MS), "reader-1", antenna, Secret(epc), 0x3000, rssi, 1)


def test_first_read_and_the_read_that_allows_an_early_decision_are_told_at_once() -> None:
    tracked = tracker()
    told = [tracked.read(read(CARD, t)) for t in (0, 10, 20, 30)]
    assert [change.sighting.reads if change else None for change in told] == [1, None, 3, None]


def test_classes_come_from_prefix_and_mask_and_everything_else_is_kept_as_data() -> None:
    tracked = tracker()
    kinds = []
    for epc in (CARD, TRANSPONDER, b"\x30\x00", b"\x0f"):
        change = tracked.read(read(epc, 0))
        assert change is not None
        kinds.append(change.sighting.claim.kind)
    assert kinds == [
        IdentityKind.DRIVER_CARD,
        IdentityKind.TRANSPONDER,
        IdentityKind.OTHER_TAG,
        IdentityKind.OTHER_TAG,
    ]


def test_a_transponder_says_its_scheme_and_filter_and_its_meaning_only_to_the_officer() -> None:
    tracked = tracker()
    pallet = bytes.fromhex("3074257BF7194E4000001A85")  # the standard's own SGTIN-96 example
    change = tracked.read(read(pallet, 0))
    assert change is not None
    claim = change.sighting.claim
    assert (claim.scheme, claim.filter_value) == ("sgtin-96", 3)
    clear = tracked.clear_value(claim.token)
    assert clear is not None
    assert clear.uri is not None
    assert clear.uri.reveal() == b"urn:epc:id:sgtin:0614141.812345.6789"
    assert "0614141" not in repr((change, clear))


def test_a_number_that_decodes_by_no_scheme_is_raw_and_no_read_is_lost() -> None:
    tracked = tracker()
    for at, epc in enumerate((b"", b"\x30", b"\x30\xff" * 6, b"\xe2\x80\x11\x60", bytes(62))):
        change = tracked.read(read(epc, at))
        assert change is not None
        assert (change.sighting.claim.scheme, change.sighting.claim.filter_value) == ("raw", None)


def test_a_card_is_opaque_even_when_its_number_reads_like_a_scheme() -> None:
    tracked = SightingTracker(
        classes=(TagClass(IdentityKind.DRIVER_CARD, bytes.fromhex("3074")),),
        site_key=KEY,
        seal=lambda _secret, _token: b"",
        sealed_key_id="c1",
        new_id=lambda _stamp: "s",
        lost_s=2.0,
        early_reads=3,
    )
    change = tracked.read(read(bytes.fromhex("3074257BF7194E4000001A85"), 0))
    assert change is not None
    assert (change.sighting.claim.scheme, change.sighting.claim.filter_value) == ("opaque", None)
    clear = tracked.clear_value(change.sighting.claim.token)
    assert clear is not None
    assert clear.uri is None


def test_tags_of_another_air_protocol_are_not_decoded() -> None:
    change = tracker().read(replace(read(b"0123456789", 0), protocol="ata"))
    assert change is not None
    assert change.sighting.claim.scheme == "ata"


def test_the_peak_is_where_the_smoothed_signal_was_strongest_not_a_single_spike() -> None:
    tracked = tracker()
    levels = [-7000, -6900, -4000, -6800, -6600, -6000, -5600, -5500, -5600, -6000, -6500, -7000]
    for i, level in enumerate(levels):
        tracked.read(read(CARD, i * 50, level))
    (closed,) = tracked.sweep(Stamp(10_000 * MS, 0))
    assert closed.sighting.closed
    assert 300 * MS <= closed.sighting.peak.mono_ns <= 500 * MS
    assert closed.sighting.rssi_peak_cdbm < -5000


def test_a_spike_in_the_first_reads_does_not_stay_the_peak() -> None:
    tracked = tracker()
    for i, level in enumerate([-4000, -6800, -6700, -6600, -6500]):
        tracked.read(read(CARD, i * 50, level))
    (closed,) = tracked.sweep(Stamp(10_000 * MS, 0))
    assert closed.sighting.rssi_peak_cdbm == -6600
    assert closed.sighting.rssi_mean_cdbm == -6120


def test_the_chip_number_is_told_as_a_token_and_another_one_at_once() -> None:
    tracked = tracker()
    chips = [None, Secret(b"chip-1"), Secret(b"chip-1"), None, Secret(b"chip-2")]
    told = [tracked.read(replace(read(CARD, i * 10), tid=tid)) for i, tid in enumerate(chips)]
    tokens = [change.sighting.claim.tid_token if change else None for change in told]
    assert tokens[0] == ""
    assert tokens[1] == token_of(Secret(b"chip-1"), KEY)
    assert tokens[4] == token_of(Secret(b"chip-2"), KEY)
    assert b"chip" not in repr(told).encode()


def test_a_higher_peak_that_was_held_back_is_told_within_a_quarter_second() -> None:
    tracked = tracker()
    for t in (0, 10, 20, 30, 40):
        tracked.read(read(CARD, t, -6000 + 100 * t))
    assert list(tracked.sweep(Stamp(200 * MS, 0))) == []
    (change,) = tracked.sweep(Stamp(290 * MS, 0))
    assert change.sighting.reads == 5
    assert not change.sighting.closed


def test_more_reads_at_the_same_peak_are_told_within_a_second() -> None:
    tracked = tracker()
    for t in (0, 10, 20, 30, 40, 50):
        tracked.read(read(CARD, t, -6000 - 100 * t))
    assert list(tracked.sweep(Stamp(980 * MS, 0))) == []
    (change,) = tracked.sweep(Stamp(1030 * MS, 0))
    assert change.sighting.reads == 6
    assert not change.sighting.closed


def test_a_value_is_sealed_once_and_its_clear_text_forgotten_with_the_passage() -> None:
    seals: list[str] = []
    tracked = tracker(seals)
    first = tracked.read(read(CARD, 0))
    assert first is not None
    token = first.sighting.claim.token
    tracked.read(read(CARD, 5, antenna=2))
    assert seals == [token]
    clear = tracked.clear_value(token)
    assert clear is not None
    assert clear.value.reveal() == CARD
    tracked.forget([token])
    assert tracked.clear_value(token) is None
    assert CARD.hex() not in repr(first)


def test_a_pallet_of_tags_is_bounded_and_counted() -> None:
    tracked = tracker()
    for i in range(MAX_TRACKED + 10):
        tracked.read(read(i.to_bytes(12, "big"), 0))
    assert tracked.dropped == 10


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000), st.integers(-9000, -3000)), max_size=60))
def test_every_read_ends_in_exactly_one_closed_sighting(reads: Iterable[tuple[int, int, int]]) -> None:
    tracked = tracker()
    now, total, closed = 0, 0, 0
    for tag, pause, level in reads:
        now += pause
        for change in tracked.sweep(Stamp(now * MS, 0)):
            closed += change.sighting.reads if change.sighting.closed else 0
        tracked.read(read(bytes([0x0F, 0xA5, tag]), now, level))
        total += 1
    for change in tracked.sweep(Stamp((now + 5000) * MS, 0)):
        closed += change.sighting.reads if change.sighting.closed else 0
    assert closed == total
