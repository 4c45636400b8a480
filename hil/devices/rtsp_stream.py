"""The encoder and RTP packetiser of the virtual camera: pictures in, H.264 access units and RTP packets (RFC 3550,
RFC 6184) out."""

import base64
import fractions
import struct
from dataclasses import dataclass
from typing import Final

import av
import av.video.codeccontext
import cv2
import numpy as np

from hil.devices.scene_picture import HEIGHT, WIDTH, Picture

FPS: Final = 12
RTP_CLOCK_HZ: Final = 90_000
PAYLOAD_TYPE: Final = 96
_PAYLOAD_MAX = 1_400
_NAL_IDR = 5
_NAL_SPS = 7
_NAL_PPS = 8
_GLOBAL_HEADER = 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: parameter sets apart from the pictures
_NTP_EPOCH_S = 2_208_988_800  # 1900 to 1970


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture: its NAL units without start codes and its presentation time, 90 kHz."""

    nals: tuple[bytes, ...]
    timestamp: int
    is_key: bool


class Encoder:
    """x264 as a camera would be set: closed GOP, no look-ahead; B pictures only when asked for."""

    def __init__(self, *, gop: int, b_frames: int = 0) -> None:
        codec = av.CodecContext.create("libx264", "w")
        assert isinstance(codec, av.video.codeccontext.VideoCodecContext)
        codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        codec.framerate = fractions.Fraction(FPS)
        codec.time_base = fractions.Fraction(1, RTP_CLOCK_HZ)
        codec.gop_size = gop
        codec.max_b_frames = b_frames
        codec.bit_rate = 600_000
        codec.thread_count = 1
        codec.flags |= _GLOBAL_HEADER
        codec.options = {"preset": "ultrafast", "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:b-adapt=0"}
        if b_frames:
            codec.profile = "Main"
        else:
            codec.profile = "Baseline"
            codec.options = {**codec.options, "tune": "zerolatency"}
        codec.open()
        self._codec = codec
        sets = [nal for nal in split_annex_b(codec.extradata or b"") if nal[0] & 0x1F in (_NAL_SPS, _NAL_PPS)]
        self.parameter_sets: tuple[bytes, ...] = tuple(sets)

    def encode(self, picture: Picture, timestamp: int) -> list[AccessUnit]:
        """Encode one BGR picture; `timestamp` in 90 kHz units must rise."""
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = timestamp
        frame.time_base = fractions.Fraction(1, RTP_CLOCK_HZ)
        units = []
        for packet in self._codec.encode(frame):
            nals = tuple(split_annex_b(bytes(packet)))
            is_key = any(nal[0] & 0x1F == _NAL_IDR for nal in nals)
            units.append(AccessUnit(nals, packet.pts or 0, is_key))
        return units


def split_annex_b(stream: bytes) -> list[bytes]:
    """The NAL units between start codes (Rec. ITU-T H.264 annex B)."""
    nals = []
    start = stream.find(b"\x00\x00\x01")
    while start >= 0:
        start += 3
        end = stream.find(b"\x00\x00\x01", start)
        nal = stream[start:] if end < 0 else stream[start:end]
        nals.append(nal.rstrip(b"\x00"))
        start = end
    return [nal for nal in nals if nal]


def sdp_of(parameter_sets: tuple[bytes, ...], name: str) -> str:
    """The session description a DESCRIBE is answered with."""
    sets = ",".join(base64.b64encode(nal).decode() for nal in parameter_sets)
    level = parameter_sets[0][1:4].hex()
    return (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns={name}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
        "a=control:*\r\na=range:npt=now-\r\n"
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} H264/{RTP_CLOCK_HZ}\r\n"
        f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sets}\r\n"
        f"a=framerate:{FPS}\r\na=control:trackID=1\r\n"
    )


class Packetiser:
    """Cuts access units into RTP packets. One per playing client: sequence numbers are its own."""

    def __init__(self, ssrc: int, sequence: int, timestamp_offset: int) -> None:
        self.ssrc = ssrc
        self.sequence = sequence & 0xFFFF
        self.timestamp_offset = timestamp_offset
        self.packets = 0
        self.octets = 0

    def packets_of(self, unit: AccessUnit, parameter_sets: tuple[bytes, ...]) -> list[bytes]:
        """The RTP packets of one access unit; `parameter_sets` go in front, aggregated (STAP-A), when not empty."""
        payloads = []
        if parameter_sets:
            payloads.append(_stap_a(parameter_sets))
        for nal in unit.nals:
            payloads.extend([nal] if len(nal) <= _PAYLOAD_MAX else _fu_a(nal))
        return [self._packet(unit, payload, last=index == len(payloads) - 1) for index, payload in enumerate(payloads)]

    def sender_report(self, utc_s: float, timestamp: int) -> bytes:
        """An RTCP sender report (RFC 3550, 6.4.1) that ties `timestamp` to the wall clock."""
        seconds = int(utc_s)
        fraction = int((utc_s - seconds) * (1 << 32))
        rtp = (timestamp + self.timestamp_offset) & 0xFFFFFFFF
        return struct.pack(
            "!BBHIIIIII",
            *(0x80, 200, 6, self.ssrc, (seconds + _NTP_EPOCH_S) & 0xFFFFFFFF, fraction, rtp),
            *(self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF),
        )

    def _packet(self, unit: AccessUnit, payload: bytes, *, last: bool) -> bytes:
        timestamp = (unit.timestamp + self.timestamp_offset) & 0xFFFFFFFF
        kind = PAYLOAD_TYPE | (0x80 if last else 0)
        header = struct.pack("!BBHII", 0x80, kind, self.sequence, timestamp, self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        return header + payload


def _stap_a(nals: tuple[bytes, ...]) -> bytes:
    reference = max(nal[0] & 0x60 for nal in nals)
    return bytes([24 | reference]) + b"".join(struct.pack("!H", len(nal)) + nal for nal in nals)


def _fu_a(nal: bytes) -> list[bytes]:
    indicator, kind, body = nal[0] & 0xE0 | 28, nal[0] & 0x1F, nal[1:]
    step = _PAYLOAD_MAX - 2
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    last = len(pieces) - 1
    return [
        bytes([indicator, kind | (0x80 if index == 0 else 0) | (0x40 if index == last else 0)]) + piece
        for index, piece in enumerate(pieces)
    ]
