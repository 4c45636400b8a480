"""Depacketising and packetising, with FFmpeg's muxer and decoder and aiortc's reader as the other ends."""

import contextlib
import dataclasses
import functools
import itertools
import struct

import pytest
from aiortc.codecs.h264 import h264_depayload
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import DeviceRefused, ProtocolViolation
from drivers.camera.h264_codec import (
    ACCESS_UNIT_BYTES_MAX,
    AccessUnit,
    Depacketiser,
    Losses,
    RtpPacket,
    packetise,
    parse_rtp,
    parse_sender_report,
    slice_type,
)
from tests.unit.camera.streams import annex_b, captured_rtp, decoded, rtp_only

_SPS = bytes.fromhex("6742c016da0280bfe5c04400000300040000030060")
_PPS = bytes.fromhex("68ce3c80")
_IDR = b"\x65\x88" + bytes(range(1, 200))
_P = b"\x41\x9a" + bytes(range(1, 100))


@functools.cache
def _captured(count: int = 18) -> tuple[bytes, ...]:
    return tuple(captured_rtp(count))


def _units(packets: list[RtpPacket], depacketiser: Depacketiser | None = None) -> list[AccessUnit]:
    depacketiser = depacketiser or Depacketiser("cam")
    return [unit for packet in packets for unit in depacketiser.push(packet)]


def _packet(payload: bytes, sequence: int, timestamp: int = 0, *, marker: bool = False) -> RtpPacket:
    return RtpPacket(96, marker, sequence, timestamp, 1, payload)


def test_ffmpegs_packets_become_the_pictures_it_encoded() -> None:
    packets = rtp_only(_captured())
    kinds = {packet.payload[0] & 0x1F for packet in packets}
    assert {24, 28} <= kinds, "the capture has aggregates and fragments"
    units = _units(packets)
    assert len(units) == 18
    assert [unit.is_key for unit in units] == [index % 6 == 0 for index in range(18)]
    assert all([nal[0] & 0x1F for nal in unit.nals][:2] == [7, 8] for unit in units if unit.is_key)
    brightness = decoded(annex_b(nal for unit in units for nal in unit.nals))
    assert len(brightness) == 18
    assert brightness[-1] > brightness[0] + 30


def test_pictures_of_several_slices_stay_whole() -> None:
    units = _units(rtp_only(captured_rtp(7, slices=4)))
    assert len(units) == 7
    assert all(sum(nal[0] & 0x1F in {1, 5} for nal in unit.nals) == 4 for unit in units)


def test_a_lost_packet_costs_the_pictures_up_to_the_next_key_one() -> None:
    packets = rtp_only(_captured())
    whole = _units(packets)
    victim = next(index for index, packet in enumerate(packets) if packet.timestamp == whole[8].timestamp)
    losses = Losses()
    units = _units(packets[:victim] + packets[victim + 1 :], Depacketiser("cam", losses=losses))
    assert losses.packets == 1
    assert [unit.timestamp for unit in units] == [unit.timestamp for unit in whole[:8] + whole[12:]]
    assert losses.access_units == 4


@given(st.data())
def test_what_survives_any_loss_is_whole(data: st.DataObject) -> None:
    packets = rtp_only(_captured())
    lost = data.draw(st.sets(st.integers(min_value=1, max_value=len(packets) - 1), max_size=8))
    whole = {unit.timestamp: unit for unit in _units(packets)}
    kept = [packet for index, packet in enumerate(packets) if index not in lost]
    units = _units(kept)
    for unit in units:
        assert unit == whole[unit.timestamp]
    times = [unit.timestamp for unit in units]
    order = list(whole)
    for before, after in itertools.pairwise(times):
        assert whole[after].is_key or order.index(after) == order.index(before) + 1


def test_parameter_sets_told_ahead_stand_before_every_key_picture() -> None:
    depacketiser = Depacketiser("cam", (_SPS, _PPS))
    units = _units([_packet(_IDR, 1, 10, marker=True), _packet(_P, 2, 20, marker=True)], depacketiser)
    assert units == [AccessUnit((_SPS, _PPS, _IDR), 10, True), AccessUnit((_P,), 20, False)]


def test_nothing_is_emitted_without_parameter_sets_or_before_a_key_picture() -> None:
    assert _units([_packet(_IDR, 1, 10, marker=True)]) == []
    assert _units([_packet(_P, 1, 10, marker=True)], Depacketiser("cam", (_SPS, _PPS))) == []


def test_delimiters_and_filler_are_left_out() -> None:
    payloads = [b"\x09\xf0", _SPS, _PPS, b"\x06\x05\x01\x00\x80", _IDR, b"\x0c\xff\x80"]
    packets = [_packet(nal, index, 10, marker=nal[0] == 0x0C) for index, nal in enumerate(payloads)]
    (unit,) = _units(packets)
    assert [nal[0] & 0x1F for nal in unit.nals] == [7, 8, 6, 5]


def test_a_lost_marker_does_not_hold_the_picture_back_for_ever() -> None:
    packets = rtp_only(_captured())
    unmarked = [dataclasses.replace(packet, marker=False) for packet in packets]
    assert len(_units(unmarked)) == 17  # all but the last, which nothing ends


def test_b_pictures_are_refused() -> None:
    with pytest.raises(DeviceRefused, match="CAMERA_UNSUPPORTED"):
        _units(rtp_only(captured_rtp(12, b_frames=2)))


def test_slice_types_of_x264() -> None:
    units = _units(rtp_only(_captured()))
    kinds = [slice_type(unit.nals[-1]) for unit in units[:3]]
    assert kinds == [7, 5, 5]  # I, P, P, all slices of the picture alike
    assert slice_type(b"\x41") is None


@pytest.mark.parametrize("payload", [b"\x1c\x85", b"\x1c", b"\x18\x00\x09abc", b"\x18\x00\x00", b"\x1dxx", b"\x00xx"])
def test_malformed_payloads_are_violations(payload: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        _units([_packet(payload, 1)])


def test_a_picture_without_end_is_a_violation_not_a_leak() -> None:
    depacketiser = Depacketiser("cam")
    piece = b"\x1c\x05" + bytes(60_000)
    depacketiser.push(_packet(b"\x1c\x85" + bytes(60_000), 0))
    pieces = [_packet(piece, sequence) for sequence in range(1, ACCESS_UNIT_BYTES_MAX // 60_000 + 2)]
    with pytest.raises(ProtocolViolation):
        _units(pieces, depacketiser)


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 65_535), st.integers(0, 3), st.booleans()), max_size=30)
)
def test_any_payloads_are_units_or_device_faults(steps: list[tuple[bytes, int, int, bool]]) -> None:
    depacketiser = Depacketiser("cam", (_SPS, _PPS))
    for payload, sequence, timestamp, marker in steps:
        with contextlib.suppress(ProtocolViolation, DeviceRefused):
            depacketiser.push(_packet(payload, sequence, timestamp, marker=marker))


_NALS = st.lists(
    st.builds(
        lambda kind, body: bytes([0x60 | kind]) + body,
        st.sampled_from([1, 5, 6, 7, 8]),
        st.binary(min_size=1, max_size=3_000),
    ),
    min_size=1,
    max_size=6,
)


@given(_NALS, st.integers(min_value=64, max_value=1_400))
def test_packets_are_bounded_and_an_independent_reader_gets_the_same_bytes(nals: list[bytes], limit: int) -> None:
    payloads = packetise(nals, limit)
    assert all(len(payload) <= limit for payload in payloads)
    assert b"".join(map(h264_depayload, payloads)) == annex_b(nals)


@given(_NALS)
def test_our_own_packets_come_back_whole(nals: list[bytes]) -> None:
    picture = (_SPS, _PPS, _IDR, *[nal for nal in nals if nal[0] & 0x1F == 6])
    payloads = packetise(picture, 100)
    packets = [
        _packet(payload, 65_530 + index & 0xFFFF, 7, marker=index == len(payloads) - 1)
        for index, payload in enumerate(payloads)
    ]
    assert _units(packets) == [AccessUnit(picture, 7, True)]


def test_rtp_header_with_everything_in_it() -> None:
    header = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 2, 0x80 | 96, 0xFFFF, 0xFFFFFFFF, 7)
    packet = header + bytes(8) + b"\xbe\xde\x00\x01abcd" + b"payload" + b"\x00\x00\x03"
    assert parse_rtp(packet, "cam") == RtpPacket(96, True, 0xFFFF, 0xFFFFFFFF, 7, b"payload")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x40" + bytes(20),
        struct.pack("!BBHII", 0x90, 96, 1, 1, 1),
        struct.pack("!BBHII", 0x9F, 96, 1, 1, 1) + bytes(8),
        struct.pack("!BBHII", 0xA0, 96, 1, 1, 1) + b"\xff",
    ],
)
def test_headers_that_reach_beyond_the_packet_are_violations(packet: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parse_rtp(packet, "cam")


@given(st.binary(max_size=60))
def test_any_packet_is_rtp_or_a_violation(packet: bytes) -> None:
    parse_sender_report(packet)
    with contextlib.suppress(ProtocolViolation):
        parse_rtp(packet, "cam")


def test_sender_reports_of_ffmpeg_carry_wall_clock_time() -> None:
    reports = [report for packet in _captured() if (report := parse_sender_report(packet)) is not None]
    assert reports
    assert reports[0].utc_ns > 1_700_000_000 * 1_000_000_000
    assert reports[0].timestamp == rtp_only(_captured())[0].timestamp


def test_a_camera_without_wall_clock_reports_none() -> None:
    assert parse_sender_report(struct.pack("!BBHIIIIII", 0x80, 200, 6, 1, 0, 5, 9, 0, 0)) is None
