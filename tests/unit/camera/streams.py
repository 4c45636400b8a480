"""H.264 made by x264 through FFmpeg's libraries, and RTP packets made by FFmpeg's own muxer."""

import contextlib
import fractions
import socket
from collections.abc import Iterable

import av
import av.video.codeccontext
import numpy as np

from drivers.camera.h264_codec import RtpPacket, parse_rtp

START = b"\x00\x00\x00\x01"


def annex_b(nals: Iterable[bytes]) -> bytes:
    """NAL units as a byte stream."""
    return b"".join(START + nal for nal in nals)


def decoded(stream: bytes) -> list[int]:
    """Mean brightness of every picture FFmpeg decodes from a byte stream."""
    codec = av.CodecContext.create("h264", "r")
    assert isinstance(codec, av.video.codeccontext.VideoCodecContext)
    frames = [frame for packet in [*codec.parse(stream), *codec.parse(b""), None] for frame in codec.decode(packet)]
    return [round(float(frame.to_ndarray(format="gray").mean())) for frame in frames]


def captured_rtp(count: int, *, b_frames: int = 0, size: tuple[int, int] = (320, 240), slices: int = 1) -> list[bytes]:
    """`count` pictures of rising brightness, packetised by FFmpeg's RTP muxer and caught on a UDP socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as catcher:
        catcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        catcher.bind(("127.0.0.1", 0))
        catcher.setblocking(False)
        port = catcher.getsockname()[1]
        caught: list[bytes] = []
        with av.open(f"rtp://127.0.0.1:{port}?pkt_size=1200&rtcpport={port}", "w", format="rtp") as output:
            stream = output.add_stream("libx264", rate=12)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.gop_size = 6
            stream.max_b_frames = b_frames
            params = f"keyint=6:min-keyint=6:scenecut=0:slices={slices}:b-adapt=0:sliced-threads=0"
            stream.options = {"preset": "ultrafast", "x264-params": params}
            stream.codec_context.time_base = fractions.Fraction(1, 12)
            for index in range(count):
                picture = np.full((size[1], size[0], 3), 40 + 4 * index, np.uint8)
                picture[::3, :: 2 + index % 3] = 200  # enough detail for pictures of several packets
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts = index
                output.mux(stream.encode(frame))
                caught += _drain(catcher)
            output.mux(stream.encode(None))
        return caught + _drain(catcher)


def rtp_only(packets: Iterable[bytes]) -> list[RtpPacket]:
    """The RTP packets among RTP and RTCP of one socket."""
    return [parse_rtp(packet, "cam") for packet in packets if not 200 <= packet[1] <= 204]


def _drain(catcher: socket.socket) -> list[bytes]:
    packets = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packets.append(catcher.recv(65_536))
    return packets
