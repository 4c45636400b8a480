"""H.264 over RTP as values: packets to access units and access units to packets. Pure.

Sources: RFC 3550 (RTP, RTCP sender reports), RFC 6184 (H.264 payload), Rec. ITU-T H.264 (NAL units, slice headers).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drivers.api import DeviceRefused, ProtocolViolation

ACCESS_UNIT_BYTES_MAX: Final = 4 << 20
ACCESS_UNIT_NALS_MAX: Final = 512
PAYLOAD_BYTES_MAX: Final = 1_200  # leaves room for SRTP, TURN and tunnels inside a 1,400 byte path

NAL_SLICE: Final = 1
NAL_IDR: Final = 5
NAL_SEI: Final = 6
NAL_SPS: Final = 7
NAL_PPS: Final = 8
NAL_DELIMITER: Final = 9
NAL_FILLER: Final = 12
NAL_STAP_A: Final = 24
NAL_FU_A: Final = 28

_NTP_EPOCH_S = 2_208_988_800  # 1900-01-01 to 1970-01-01
_B_SLICES = (1, 6)


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet without CSRC list, extension and padding."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(packet: bytes, device: str) -> RtpPacket:
    """Read an RTP packet (RFC 3550, 5.1). Raises ProtocolViolation."""
    if len(packet) < 12 or packet[0] >> 6 != 2:
        raise _violation(device, "not an RTP version 2 packet")
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
    start = 12 + 4 * (first & 0x0F)
    if first & 0x10:
        if len(packet) < start + 4:
            raise _violation(device, "RTP header extension is cut short")
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    end = len(packet) - (packet[-1] if first & 0x20 else 0)
    if start > end:
        raise _violation(device, "RTP packet shorter than its own header")
    return RtpPacket(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, packet[start:end])


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The camera's own clock at one RTP timestamp (RFC 3550, 6.4.1); `utc_ns` is what the camera believes."""

    utc_ns: int
    timestamp: int


def parse_sender_report(packet: bytes) -> SenderReport | None:
    """The sender report at the head of a compound RTCP packet, None when it is another kind or cut short."""
    if len(packet) < 20 or packet[0] >> 6 != 2 or packet[1] != 200:
        return None
    seconds, fraction, timestamp = struct.unpack_from("!III", packet, 8)
    if seconds == 0:  # no wall clock in this camera
        return None
    return SenderReport((seconds - _NTP_EPOCH_S) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32), timestamp)


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture: NAL units without start codes, delimiters and filler. A key unit begins with SPS and PPS."""

    nals: tuple[bytes, ...]
    timestamp: int
    is_key: bool


@dataclass(slots=True)
class Losses:
    """What did not arrive whole: packets missing by sequence number, access units dropped for it."""

    packets: int = 0
    access_units: int = 0


class Depacketiser:
    """RTP packets of one H.264 track in, whole access units out.

    Begins at a key picture; after a loss it waits for the next one, because pictures in between refer to what is
    missing. SPS and PPS, from the stream or told ahead in the session description, stand in front of every key picture.
    """

    def __init__(self, device: str, parameter_sets: Sequence[bytes] = (), losses: Losses | None = None) -> None:
        self.losses = losses if losses is not None else Losses()
        self._device = device
        self._sps = _first_of(parameter_sets, NAL_SPS)
        self._pps = _all_of(parameter_sets, NAL_PPS)
        self._sequence: int | None = None
        self._timestamp = 0
        self._nals: list[bytes] = []
        self._fragments: list[bytes] = []
        self._held_bytes = 0
        self._broken = False
        self._awaiting_key = True

    def push(self, packet: RtpPacket) -> list[AccessUnit]:
        """The access units `packet` completes: none, one, or two when an earlier one had lost its marker.

        Raises ProtocolViolation for malformed payloads and oversize pictures, DeviceRefused CAMERA_UNSUPPORTED for B
        pictures.
        """
        units: list[AccessUnit] = []
        gap = self._count_losses(packet.sequence)
        if packet.timestamp != self._timestamp and (self._nals or self._fragments):
            self._broken |= gap
            units += self._finish()
        self._broken |= gap  # the loss may reach into the picture that begins here
        self._timestamp = packet.timestamp
        if packet.payload:
            self._take(packet.payload)
        if packet.marker:
            units += self._finish()
        return units

    def _count_losses(self, sequence: int) -> bool:
        expected = sequence if self._sequence is None else (self._sequence + 1) & 0xFFFF
        missing = (sequence - expected) & 0xFFFF
        # A step backwards reads as a huge gap: a restarted or reordered stream, one event either way.
        self.losses.packets += missing if missing < 0x8000 else 1
        self._sequence = sequence
        return missing != 0

    def _take(self, payload: bytes) -> None:
        self._held_bytes += len(payload)
        if self._held_bytes > ACCESS_UNIT_BYTES_MAX or len(self._nals) >= ACCESS_UNIT_NALS_MAX:
            raise _violation(self._device, "picture larger than any camera's")
        kind = payload[0] & 0x1F
        if kind == NAL_FU_A:
            self._take_fragment(payload)
        elif kind == NAL_STAP_A:
            self._take_aggregate(payload)
        elif 1 <= kind <= 23:
            self._nals.append(payload)
        else:
            raise _violation(self._device, f"payload kind {kind} is not of packetization mode 0 or 1")

    def _take_aggregate(self, payload: bytes) -> None:
        at = 1
        while at < len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            nal = payload[at + 2 : at + 2 + size]
            if len(payload) < at + 3 or len(nal) != size or not size:
                raise _violation(self._device, "aggregate cut short")
            self._nals.append(nal)
            at += 2 + size

    def _take_fragment(self, payload: bytes) -> None:
        if len(payload) < 3:
            raise _violation(self._device, "fragment without content")
        if payload[1] & 0x80:
            self._broken |= bool(self._fragments)
            self._fragments = [bytes([payload[0] & 0xE0 | payload[1] & 0x1F])]
        if not self._fragments:  # its beginning was lost
            self._broken = True
            return
        self._fragments.append(payload[2:])
        if payload[1] & 0x40:
            self._nals.append(b"".join(self._fragments))
            self._fragments = []

    def _finish(self) -> list[AccessUnit]:
        nals, broken = self._nals, self._broken or bool(self._fragments)
        self._nals, self._fragments, self._held_bytes, self._broken = [], [], 0, False
        self._keep_parameter_sets(nals)
        kinds = {nal[0] & 0x1F for nal in nals}
        if not kinds & {NAL_SLICE, NAL_IDR} and not broken:
            return []
        if broken or (NAL_SLICE in kinds and self._awaiting_key) or not self._sps or not self._pps:
            self._awaiting_key = True
            self.losses.access_units += 1
            return []
        _refuse_b_pictures(nals, self._device)
        self._awaiting_key = False
        is_key = NAL_IDR in kinds
        kept = tuple(nal for nal in nals if nal[0] & 0x1F not in {NAL_DELIMITER, NAL_FILLER, NAL_SPS, NAL_PPS})
        if is_key:
            kept = (self._sps, *self._pps, *kept)
        return [AccessUnit(kept, self._timestamp, is_key)]

    def _keep_parameter_sets(self, nals: Sequence[bytes]) -> None:
        self._sps = _first_of(nals, NAL_SPS) or self._sps
        self._pps = _all_of(nals, NAL_PPS) or self._pps


def _first_of(nals: Sequence[bytes], kind: int) -> bytes:
    return next((nal for nal in nals if nal and nal[0] & 0x1F == kind), b"")


def _all_of(nals: Sequence[bytes], kind: int) -> tuple[bytes, ...]:
    return tuple(nal for nal in nals if nal and nal[0] & 0x1F == kind)


def _refuse_b_pictures(nals: Sequence[bytes], device: str) -> None:
    slice_nal = next(nal for nal in nals if nal[0] & 0x1F in {NAL_SLICE, NAL_IDR})
    if slice_type(slice_nal) in _B_SLICES:
        hint = "set B frames to 0 (or the profile to Baseline) in the camera"
        raise DeviceRefused(
            "CAMERA_UNSUPPORTED", f"{device}: the stream has B pictures, viewers cannot show them", hint
        )


def slice_type(nal: bytes) -> int | None:
    """`slice_type` of a slice NAL unit (H.264, 7.3.3): 0/5 P, 1/6 B, 2/7 I; None when the header is cut short."""
    head = nal[1:17].replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention
    bits = "".join(f"{byte:08b}" for byte in head)
    at = 0
    value = None
    for _ in range(2):  # first_mb_in_slice, slice_type: both ue(v)
        zeros = bits.find("1", at) - at
        end = at + 2 * zeros + 1
        if zeros < 0 or end > len(bits):
            return None
        value = int(bits[at + zeros : end], 2) - 1
        at = end
    return value


def packetise(nals: Sequence[bytes], limit: int = PAYLOAD_BYTES_MAX) -> tuple[bytes, ...]:
    """RTP payloads of one access unit, each at most `limit` bytes: small NAL units aggregated (STAP-A), large ones
    fragmented (FU-A). `limit` at least 64."""
    payloads: list[bytes] = []
    waiting: list[bytes] = []
    size = 1
    for nal in nals:
        if waiting and size + 2 + len(nal) > limit:
            payloads.append(_aggregate(waiting))
            waiting, size = [], 1
        if len(nal) > limit:
            payloads += _fragments_of(nal, limit)
        else:
            waiting.append(nal)
            size += 2 + len(nal)
    if waiting:
        payloads.append(_aggregate(waiting))
    return tuple(payloads)


def _aggregate(nals: Sequence[bytes]) -> bytes:
    if len(nals) == 1:
        return nals[0]
    importance = max(nal[0] & 0x60 for nal in nals)
    return bytes([NAL_STAP_A | importance]) + b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def _fragments_of(nal: bytes, limit: int) -> list[bytes]:
    count = -(-(len(nal) - 1) // (limit - 2))
    step = -(-(len(nal) - 1) // count)  # even sizes: no tiny last packet
    indicator, kind = nal[0] & 0xE0 | NAL_FU_A, nal[0] & 0x1F
    pieces = [nal[at : at + step] for at in range(1, len(nal), step)]
    edges = [0x80] + [0] * (len(pieces) - 2) + [0x40]
    return [bytes([indicator, kind | edge]) + piece for edge, piece in zip(edges, pieces, strict=True)]


def _violation(device: str, message: str) -> ProtocolViolation:
    return ProtocolViolation("CAMERA_PROTOCOL", f"{device}: {message}", "reported by the camera's stream, not by us")
