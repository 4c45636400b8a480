"""One session with an RTSP camera: connect, describe, set up over TCP, play, emit whole pictures.

Faults: LinkLost CAMERA_UNREACHABLE, DeviceTimeout CAMERA_SILENT, ProtocolViolation CAMERA_PROTOCOL, and DeviceRefused
CAMERA_AUTH and CAMERA_UNSUPPORTED, which no quick retry mends (cameras lock accounts that keep trying).
Source: RFC 2326; measured against FFmpeg as a second client of the same servers.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from drivers.api import (
    Clock,
    DeviceInfo,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    LinkLost,
    ProtocolViolation,
    Stamp,
)
from drivers.camera.h264_codec import (
    AccessUnit,
    Depacketiser,
    Losses,
    SenderReport,
    parse_rtp,
    parse_sender_report,
)
from drivers.camera.rtsp_codec import (
    Challenge,
    Credentials,
    Interleaved,
    Item,
    Response,
    SessionTerms,
    StreamParser,
    VideoTrack,
    authorization,
    challenges_of,
    encode_request,
    terms_of,
    video_track,
)
from drivers.camera.settings import RtspCameraSettings

KIND: Final = "rtsp"

_DEFAULT_PORT = 554
_RTP_TICKS_PER_S = 90_000
_READ_BYTES = 65_536
_WRITE_BACKLOG_BYTES = 65_536
_CLOSE_TIMEOUT_S = 0.5
_PICTURE_TIMEOUT_S = 15.0
_DEVICE_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One picture as coded by the camera.

    `stamp` is its arrival at this computer, `timestamp` the camera's own 90 kHz count (wraps at 2^32), `camera_utc_ns`
    the capture time by the camera's clock where it reports one. `nals` have no start codes; a key picture begins with
    SPS and PPS.
    """

    stamp: Stamp
    view: str
    nals: tuple[bytes, ...]
    timestamp: int
    is_key: bool
    camera_utc_ns: int | None = None


CameraEvent = DeviceUp | CameraFrame


@dataclass(slots=True)
class CameraCounters:
    """Counts over all sessions of one camera."""

    received_bytes: int = 0
    losses: Losses = field(default_factory=Losses)


class RtspCamera:
    """One RTSP session; make a new one for the next."""

    def __init__(
        self, device: str, settings: RtspCameraSettings, clock: Clock, counters: CameraCounters | None = None
    ) -> None:
        self._device = device
        self._settings = settings
        self._clock = clock
        self._counters = counters if counters is not None else CameraCounters()
        self._report: SenderReport | None = None

    async def run(self, emit: Callable[[CameraEvent], None]) -> None:
        """Open, describe, play and emit `DeviceUp`, then pictures, until cancelled. Raises DeviceError."""
        target = urlsplit(self._settings.url)
        connection = _Connection(self._device, self._settings, self._credentials())
        try:
            try:
                await connection.open(target.hostname or "", target.port or _DEFAULT_PORT)
                track, terms = await self._prepare(connection)
                emit(DeviceUp(self._clock.stamp(), self._device, _info(connection.server, track)))
                await self._receive(connection, track, terms, emit)
            finally:
                await connection.close()
        except (OSError, UnicodeError) as error:  # a host name that is none raises the latter
            raise _unreachable(self._device, error) from error

    def _credentials(self) -> Credentials | None:
        settings = self._settings
        if settings.user is None or settings.password_file is None:
            return None
        try:
            password = settings.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            hint = f"make {settings.password_file} readable for the agent's user"
            raise DeviceRefused("CAMERA_AUTH", f"{self._device}: password file cannot be read", hint) from error
        return Credentials(settings.user, password)

    async def _prepare(self, connection: "_Connection") -> tuple[VideoTrack, SessionTerms]:
        url = self._settings.url
        await connection.request("OPTIONS", url)
        described = await connection.request("DESCRIBE", url, ("Accept", "application/sdp"))
        base = described.header("content-base") or described.header("content-location") or url
        track = video_track(described.body, base, self._device)
        wanted = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
        terms = terms_of(await connection.request("SETUP", track.control_url, wanted), self._device)
        connection.session = (terms.session, track.aggregate_url)
        await connection.request("PLAY", track.aggregate_url, ("Range", "npt=0.000-"))
        return track, terms

    async def _receive(
        self, connection: "_Connection", track: VideoTrack, terms: SessionTerms, emit: Callable[[CameraEvent], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        depacketiser = Depacketiser(self._device, track.parameter_sets, self._counters.losses)
        silent_s = self._settings.silent_ms / 1000
        keep_alive_at = loop.time() + terms.timeout_s / 2
        # A camera may be far from its next key picture, so packets count as life, but not for ever.
        picture_by = loop.time() + _PICTURE_TIMEOUT_S
        try:
            async with asyncio.timeout(silent_s) as silence:
                while True:
                    for frame in await connection.frames():
                        for unit in self._units_of(frame, track, terms, depacketiser):
                            picture_by = loop.time() + _PICTURE_TIMEOUT_S
                            emit(self._frame_of(unit))
                        if frame.channel == terms.channel:
                            silence.reschedule(min(loop.time() + silent_s, picture_by))
                    if loop.time() >= keep_alive_at:
                        keep_alive_at = loop.time() + terms.timeout_s / 2
                        connection.keep_alive()
        except TimeoutError as error:
            message = f"{self._device}: no packet for {silent_s:g} s"
            if loop.time() >= picture_by:
                message = f"{self._device}: packets, but no picture that can be shown for {_PICTURE_TIMEOUT_S:g} s"
            raise DeviceTimeout("CAMERA_SILENT", message, "look at the camera's own page and its cabling") from error

    def _units_of(
        self, frame: Interleaved, track: VideoTrack, terms: SessionTerms, depacketiser: Depacketiser
    ) -> list[AccessUnit]:
        self._counters.received_bytes += len(frame.payload)
        if frame.channel == terms.channel + 1:
            self._report = parse_sender_report(frame.payload) or self._report
            return []
        if frame.channel != terms.channel:
            return []
        packet = parse_rtp(frame.payload, self._device)
        if packet.payload_type != track.payload_type:
            return []
        return depacketiser.push(packet)

    def _frame_of(self, unit: AccessUnit) -> CameraFrame:
        camera_utc_ns = None
        if self._report is not None:
            ticks = (unit.timestamp - self._report.timestamp + (1 << 31)) % (1 << 32) - (1 << 31)
            camera_utc_ns = self._report.utc_ns + ticks * 1_000_000_000 // _RTP_TICKS_PER_S
        view = self._settings.view
        return CameraFrame(self._clock.stamp(), view, unit.nals, unit.timestamp, unit.is_key, camera_utc_ns)


class _Connection:
    """The RTSP connection: requests with their answers, and the interleaved frames between them."""

    def __init__(self, device: str, settings: RtspCameraSettings, credentials: Credentials | None) -> None:
        self.server = _DEVICE_UNKNOWN
        self.session: tuple[str, str] | None = None
        self._device = device
        self._timeout_s = settings.connect_timeout_ms / 1000
        self._credentials = credentials
        self._challenge: Challenge | None = None
        self._nonce_count = 0
        self._sequence = 0
        self._methods = ""
        self._parser = StreamParser(device)
        self._early_frames: list[Interleaved] = []
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, host: str, port: int) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                self._reader, self._writer = await asyncio.open_connection(host, port)
        except TimeoutError as error:
            raise _unreachable(self._device, "no connection in time") from error

    async def close(self) -> None:
        """Tear the session down as well as may be and free the socket, within half a second."""
        if self._writer is None:
            return
        with contextlib.suppress(OSError, LinkLost):
            if self.session is not None:
                self._send("TEARDOWN", self.session[1])
            self._writer.close()
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    async def request(self, method: str, uri: str, *headers: tuple[str, str]) -> Response:
        """Ask and wait for the answer; answers a 401 once. Raises DeviceError."""
        response = await self._exchange(method, uri, headers)
        if response.status == 401 and self._credentials is not None:
            offered = challenges_of(response)
            if not offered:
                raise self._refused_login("the camera offers no login method we speak (Basic, Digest MD5, SHA-256)")
            self._challenge, self._nonce_count = offered[0], 0
            response = await self._exchange(method, uri, headers)
        if response.status in {401, 403}:
            raise self._refused_login("login refused" if self._credentials else "the camera wants a login")
        if response.status in {415, 461}:
            hint = "allow RTP over RTSP (TCP) in the camera"
            raise DeviceRefused("CAMERA_UNSUPPORTED", f"{self._device}: {method} answered {response.status}", hint)
        if response.status != 200:
            message = f"{self._device}: {method} answered {response.status}"
            raise ProtocolViolation("CAMERA_PROTOCOL", message, "check the path of the camera's url")
        self.server = response.header("server") or self.server
        self._methods = response.header("public") or self._methods
        return response

    async def frames(self) -> list[Interleaved]:
        """Interleaved frames, as they come."""
        if self._early_frames:
            frames, self._early_frames = self._early_frames, []
            return frames
        frames = []
        for item in await self._receive():
            if isinstance(item, Interleaved):
                frames.append(item)
            elif isinstance(item, Response) and item.status == 401:  # the nonce went stale: keep alive with the new one
                self._challenge, self._nonce_count = next(iter(challenges_of(item)), self._challenge), 0
        return frames

    def keep_alive(self) -> None:
        """Show the camera that we are here; its answer is passed over like any other."""
        if self.session is not None:
            self._send("GET_PARAMETER" if "GET_PARAMETER" in self._methods else "OPTIONS", self.session[1])

    async def _exchange(self, method: str, uri: str, headers: tuple[tuple[str, str], ...]) -> Response:
        sequence = self._send(method, uri, *headers)
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    answer: Response | None = None
                    for item in await self._receive():
                        if isinstance(item, Interleaved):
                            self._early_frames.append(item)
                        elif isinstance(item, Response) and item.header("cseq") == str(sequence):
                            answer = item
                    if answer is not None:
                        return answer
        except TimeoutError as error:
            message = f"{self._device}: {method} not answered in {self._timeout_s:g} s"
            raise DeviceTimeout("CAMERA_SILENT", message, "check that the port speaks RTSP") from error

    def _send(self, method: str, uri: str, *headers: tuple[str, str]) -> int:
        assert self._writer is not None
        if self._writer.transport.get_write_buffer_size() > _WRITE_BACKLOG_BYTES:
            raise _unreachable(self._device, "the camera does not read")
        self._sequence += 1
        fields = list(headers)
        if self.session is not None:
            fields.append(("Session", self.session[0]))
        if self._challenge is not None and self._credentials is not None:
            self._nonce_count += 1
            nonce = secrets.token_hex(8)
            proof = authorization(self._challenge, self._credentials, method, uri, self._nonce_count, nonce)
            fields.append(("Authorization", proof))
        self._writer.write(encode_request(method, uri, self._sequence, fields))
        return self._sequence

    async def _receive(self) -> list[Item]:
        assert self._reader is not None
        received = await self._reader.read(_READ_BYTES)
        if not received:
            raise _unreachable(self._device, "connection closed by the camera")
        return self._parser.feed(received)

    def _refused_login(self, message: str) -> DeviceRefused:
        return DeviceRefused("CAMERA_AUTH", f"{self._device}: {message}", "check user and password_file")


def _info(server: str, track: VideoTrack) -> DeviceInfo:
    return DeviceInfo(kind=KIND, model=server, details={"profile_level_id": track.profile_level})


def _unreachable(device: str, reason: object) -> LinkLost:
    hint = "check address, power and network of the camera"
    return LinkLost("CAMERA_UNREACHABLE", f"{device}: {reason}", hint)
