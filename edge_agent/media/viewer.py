"""One WebRTC viewer of one camera: H.264 passed through to an aiortc peer connection (RFC 8829, RFC 6184)."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aioice.ice
import aiortc.rtcrtpsender
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import RTCP_PSFB_FIR, RTCP_PSFB_PLI, RTCP_RTPFB_NACK, AnyRtcpPacket, RtcpPsfbPacket, RtcpRtpfbPacket
from aiortc.sdp import candidate_from_sdp

from drivers.camera.fanout import Fanout, ViewerQueue

_RETRANSMIT_PACKETS: Final = 1_024
_BURST_PACKETS: Final = 40
_BURST_PAUSE_S: Final = 0.002
_ACCEPT_TIMEOUT_S: Final = 5.0
_PICTURE_REQUEST_EVERY_S: Final = 1.0
_ICE_LINE = re.compile(r"^a=(?:candidate:.*|end-of-candidates)$")
_LOCAL_NAME = re.compile(r"^a=candidate:(?:\S+ ){4}\S+\.local ")


class OfferRefused(Exception):
    """The viewer's offer cannot be served; the text says why."""


@dataclass(slots=True)
class ViewerCounters:
    """What went to all viewers of one camera."""

    packets: int = 0
    octets: int = 0
    nacks: int = 0
    picture_requests: int = 0


class Viewer:
    """One peer connection. Made by `accept`; ends by `close`, or by itself when the peer goes (`ended`)."""

    def __init__(self, fanout: Fanout, counters: ViewerCounters, on_change: Callable[[], None]) -> None:
        self.connected = False
        self.ended = False
        self.answer = ""
        self._on_change = on_change
        # No STUN server: lane networks are closed, and the library's default is a public one.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._sender = _ForwardingSender(fanout, counters, on_change)

    async def accept(self, offer: str) -> None:
        """Answer the viewer's SDP offer; `answer` has all our candidates after. Raises OfferRefused."""
        loop = asyncio.get_running_loop()
        self._peer.on("connectionstatechange", self._state_changed)
        try:
            async with asyncio.timeout(_ACCEPT_TIMEOUT_S):
                transceiver = self._peer.addTransceiver(_SilentTrack(), direction="sendonly")
                transceiver.setCodecPreferences(_h264_codecs())
                self._sender.take_over(transceiver.sender, loop)
                await self._peer.setRemoteDescription(RTCSessionDescription(_without_local_names(offer), "offer"))
                if transceiver.mid is None:
                    raise OfferRefused("the offer has no video section")  # noqa: TRY301 - one way out for all refusals
                await self._peer.setLocalDescription(await self._peer.createAnswer())
        except OfferRefused:
            await self.close()
            raise
        except Exception as error:  # the library names bad SDP with assertions, index and key errors alike
            await self.close()
            raise OfferRefused(_reason_of(error)) from error
        except asyncio.CancelledError:
            await self.close()
            raise
        self.answer = self._peer.localDescription.sdp

    async def add_candidates(self, fragment: str) -> None:
        """Take trickled candidates (RFC 8840 fragment). Raises OfferRefused when one cannot be read."""
        mid = re.search(r"^a=mid:(\S+)", fragment, re.MULTILINE)
        for line in fragment.splitlines():
            if not line.startswith("a=candidate:") or _LOCAL_NAME.match(line):
                continue
            try:
                candidate = candidate_from_sdp(line.removeprefix("a=candidate:"))
                candidate.sdpMid = mid[1] if mid else None
                candidate.sdpMLineIndex = None if mid else 0
                await self._peer.addIceCandidate(candidate)
            except (AssertionError, ValueError, IndexError, KeyError) as error:
                raise OfferRefused("a candidate line cannot be read") from error

    @property
    def first_sent_s(self) -> float | None:
        """Loop time of the first picture sent, None before."""
        return self._sender.first_s

    async def close(self) -> None:
        """Free everything; may be called again."""
        self.ended = True
        self._sender.stop()
        # The library's close must run to its end even when our caller is cancelled: broken off half-way it leaves the
        # connection open, and every later close waiting for ever.
        closing = asyncio.get_running_loop().create_task(self._peer.close(), name="viewer-close")
        try:
            await asyncio.wait({closing})
        except asyncio.CancelledError:
            await asyncio.wait({closing})
            raise
        closing.result()

    def _state_changed(self) -> None:
        state = self._peer.connectionState
        if state == "connected":
            self.connected = True
        elif state in {"failed", "closed"}:
            self.ended = True
        self._on_change()


class _SilentTrack(MediaStreamTrack):
    """Stands for the camera in the negotiation; pictures do not pass through it."""

    kind = "video"

    async def recv(self) -> Any:  # noqa: ANN401 - the library's signature
        raise MediaStreamError


class _ForwardingSender:
    """Feeds payloads made once per camera into the library's sender, and answers requests for a picture.

    The library would pack every picture again for every viewer, and cannot answer a request for a key picture in a
    pass-through stream; both need its one inner hook, replaced here and nowhere else.
    """

    def __init__(self, fanout: Fanout, counters: ViewerCounters, on_first: Callable[[], None]) -> None:
        self.first_s: float | None = None
        self._fanout = fanout
        self._queue: ViewerQueue | None = None
        self._counters = counters
        self._on_first = on_first
        self._sent_in_burst = 0
        self._requested_s = float("-inf")
        self._stopped = False

    def take_over(self, sender: RTCRtpSender, loop: asyncio.AbstractEventLoop) -> None:
        handle_rtcp = sender._handle_rtcp_packet  # noqa: SLF001

        async def next_frame(codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
            return await self._next_frame(loop)

        async def on_rtcp(packet: AnyRtcpPacket) -> None:
            self._count(packet, loop)
            await handle_rtcp(packet)

        sender._next_encoded_frame = next_frame  # type: ignore[method-assign] # noqa: SLF001
        sender._handle_rtcp_packet = on_rtcp  # type: ignore[method-assign] # noqa: SLF001

    def stop(self) -> None:
        self._stopped = True
        if self._queue is not None:
            self._fanout.unsubscribe(self._queue)

    async def _next_frame(self, loop: asyncio.AbstractEventLoop) -> RTCEncodedFrame:
        if self._stopped:
            raise MediaStreamError
        if self._queue is None:  # only now, connected: the group of pictures of this moment
            self._queue = self._fanout.subscribe()
        if self._queue.in_burst and self._sent_in_burst >= _BURST_PACKETS:
            self._sent_in_burst = 0
            await asyncio.sleep(_BURST_PAUSE_S)
        frame = await self._queue.get()
        if frame is None:
            raise MediaStreamError
        if self.first_s is None:
            self.first_s = loop.time()
            self._on_first()
        self._sent_in_burst += len(frame.payloads)
        self._counters.packets += len(frame.payloads)
        self._counters.octets += frame.size_bytes
        return RTCEncodedFrame(list(frame.payloads), frame.timestamp, None)  # type: ignore[arg-type]

    def _count(self, packet: AnyRtcpPacket, loop: asyncio.AbstractEventLoop) -> None:
        if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            self._counters.nacks += 1
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in {RTCP_PSFB_PLI, RTCP_PSFB_FIR}:
            self._counters.picture_requests += 1
            if loop.time() - self._requested_s >= _PICTURE_REQUEST_EVERY_S:
                self._requested_s = loop.time()
                if self._queue is not None:
                    self._queue.wants_group = True


def prepare_library() -> None:
    """Set what the WebRTC library has no setting for; once per process, before the first viewer.

    Retransmission history: a group of pictures sent to a new viewer is far more than the 128 packets it keeps.
    Addresses: on a computer with no other, loopback is offered, which the library never does.
    """
    aiortc.rtcrtpsender.RTP_HISTORY_SIZE = _RETRANSMIT_PACKETS  # type: ignore[attr-defined]
    listed = aioice.ice.get_host_addresses
    if getattr(listed, "offers_loopback", False):
        return

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return listed(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or (["127.0.0.1"] if use_ipv4 else [])

    addresses.offers_loopback = True  # type: ignore[attr-defined]
    aioice.ice.get_host_addresses = addresses


def _h264_codecs() -> list[Any]:
    codecs = RTCRtpSender.getCapabilities("video").codecs
    return [codec for codec in codecs if codec.mimeType in {"video/H264", "video/rtx"}]


def _without_local_names(offer: str) -> str:
    """The offer without candidates we would have to resolve by multicast, and without the end-of-candidates mark: the
    viewer's own checks reach our addresses first and tell us its own."""
    lines = [line for line in offer.splitlines() if not _ICE_LINE.match(line) or _is_usable(line)]
    return "\r\n".join(lines) + "\r\n"


def _is_usable(line: str) -> bool:
    return line.startswith("a=candidate:") and not _LOCAL_NAME.match(line)


def _reason_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer could be made in time"
    if "Failed to set remote" in str(error):
        return "the offer has no H.264 video (packetization-mode 1)"
    return "the offer is not a session description we can read"
