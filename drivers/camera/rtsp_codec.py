"""RTSP 1.0 as values: messages, interleaved frames, the session description and authentication. Pure.

Sources: RFC 2326 (RTSP), RFC 8866 (SDP), RFC 7616 and RFC 2069 (Digest), RFC 7617 (Basic), RFC 6184 (fmtp of H.264).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from drivers.api import DeviceRefused, ProtocolViolation

HEAD_BYTES_MAX: Final = 16_384
BODY_BYTES_MAX: Final = 65_536

Headers = tuple[tuple[str, str], ...]

_DIGESTS = {"SHA-256": "sha256", "MD5": "md5"}
_CHALLENGE_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_MESSAGE_START = re.compile(rb"[A-Z]")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the camera. Header names keep their order; look up with `header`."""

    status: int
    headers: Headers
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of that name (any case), or ''."""
        return next((value for key, value in self.headers if key == name.lower()), "")


@dataclass(frozen=True, slots=True)
class Request:
    """A request the camera sends to us (announcements, redirects)."""

    method: str
    uri: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Interleaved:
    """One binary frame on the connection (RFC 2326, 10.12): an RTP or RTCP packet of `channel`."""

    channel: int
    payload: bytes


Item = Response | Request | Interleaved


class StreamParser:
    """Cuts the byte stream of one connection into messages and interleaved frames; holds at most one message."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._held = bytearray()

    def feed(self, received: bytes) -> list[Item]:
        """The items completed by `received`. Raises ProtocolViolation; the connection is then of no more use."""
        self._held += received
        items: list[Item] = []
        at = 0
        while (step := self._next(at)) is not None:
            item, at = step
            items.append(item)
        del self._held[:at]
        return items

    def _next(self, at: int) -> tuple[Item, int] | None:
        held = self._held
        while at < len(held) and held[at] in b"\r\n":  # stray line ends after a message are harmless
            at += 1
        if at >= len(held):
            return None
        if held[at] == 0x24:
            return self._next_frame(at)
        if not _MESSAGE_START.match(held, at):
            raise _violation(self._device, f"byte 0x{held[at]:02x} begins neither a message nor a frame")
        return self._next_message(at)

    def _next_frame(self, at: int) -> tuple[Item, int] | None:
        if len(self._held) < at + 4:
            return None
        end = at + 4 + int.from_bytes(self._held[at + 2 : at + 4], "big")
        if len(self._held) < end:
            return None
        return Interleaved(self._held[at + 1], bytes(self._held[at + 4 : end])), end

    def _next_message(self, at: int) -> tuple[Item, int] | None:
        end = self._held.find(b"\r\n\r\n", at, at + HEAD_BYTES_MAX)
        if end < 0:
            if len(self._held) - at >= HEAD_BYTES_MAX:
                raise _violation(self._device, f"message head over {HEAD_BYTES_MAX} bytes")
            return None
        lines = self._held[at:end].decode("utf-8", "replace").split("\r\n")
        headers = _headers_of(lines[1:])
        length = self._body_length(headers)
        body_at = end + 4
        if len(self._held) < body_at + length:
            return None
        body = bytes(self._held[body_at : body_at + length])
        return self._message_of(lines[0], headers, body), body_at + length

    def _body_length(self, headers: Headers) -> int:
        given = next((value for name, value in headers if name == "content-length"), "0")
        if not given.isascii() or not given.isdigit() or len(given) > 6 or int(given) > BODY_BYTES_MAX:
            raise _violation(self._device, "content length not a number or too large")
        return int(given)

    def _message_of(self, first_line: str, headers: Headers, body: bytes) -> Item:
        words = first_line.split(" ", 2)
        if words[0].startswith("RTSP/"):
            if len(words) < 2 or len(words[1]) != 3 or not (words[1].isascii() and words[1].isdigit()):
                raise _violation(self._device, "status line without a status")
            return Response(int(words[1]), headers, body)
        if len(words) != 3 or not words[2].startswith("RTSP/"):
            raise _violation(self._device, "neither a status line nor a request line")
        return Request(words[0], words[1], headers)


def encode_request(method: str, uri: str, sequence: int, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """One request without a body."""
    lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {sequence}", "User-Agent: lane-edge-agent"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _headers_of(lines: Sequence[str]) -> Headers:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and headers:  # folded line
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}")
            continue
        name, separator, value = line.partition(":")
        if separator:
            headers.append((name.strip().lower(), value.strip()))
    return tuple(headers)


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What SETUP agreed: session id, the seconds after which a silent session ends, and our RTP channel."""

    session: str
    timeout_s: int
    channel: int


def terms_of(response: Response, device: str) -> SessionTerms:
    """Terms from a SETUP answer (RFC 2326, 12.37 and 12.39). Raises ProtocolViolation."""
    session, _, options = response.header("session").partition(";")
    if not session.strip():
        raise _violation(device, "SETUP answered without a session")
    timeout = re.search(r"timeout\s*=\s*(\d{1,6})", options)
    channels = re.search(r"interleaved\s*=\s*(\d{1,3})", response.header("transport"))
    channel = int(channels[1]) if channels else 0
    if channel > 254:
        raise _violation(device, "interleaved channel out of range")
    return SessionTerms(session.strip(), max(int(timeout[1]), 1) if timeout else 60, channel)


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The H.264 track of a session: where to SETUP it, its payload type and parameter sets told ahead."""

    control_url: str
    aggregate_url: str
    payload_type: int
    parameter_sets: tuple[bytes, ...]
    profile_level: str


def video_track(body: bytes, base_url: str, device: str) -> VideoTrack:
    """The first H.264 track of a session description. Raises DeviceRefused CAMERA_UNSUPPORTED when there is none."""
    session_lines, sections = _sections_of(body)
    aggregate = _resolve(_attribute(session_lines, "control"), base_url)
    for lines in sections:
        media = lines[0].split(" ")
        if media[0] != "m=video" or len(media) < 4:
            continue
        for payload_type in media[3:]:
            if re.match(r"H264/90000\b", _attribute(lines, f"rtpmap:{payload_type} ", ""), re.IGNORECASE):
                options = _attribute(lines, f"fmtp:{payload_type} ", "")
                return VideoTrack(
                    control_url=_resolve(_attribute(lines, "control"), base_url),
                    aggregate_url=aggregate,
                    payload_type=int(payload_type),
                    parameter_sets=_parameter_sets(_option(options, "sprop-parameter-sets")),
                    profile_level=_option(options, "profile-level-id").lower(),
                )
    offered = ", ".join(sorted({_codec_name(lines) for lines in sections})) or "nothing"
    hint = "set the camera's stream to H.264"
    raise DeviceRefused("CAMERA_UNSUPPORTED", f"{device}: no H.264 video, the camera offers {offered}", hint)


def _sections_of(body: bytes) -> tuple[list[str], list[list[str]]]:
    session: list[str] = []
    sections: list[list[str]] = []
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("m="):
            sections.append([line.strip()])
        else:
            (sections[-1] if sections else session).append(line.strip())
    return session, sections


def _codec_name(lines: Sequence[str]) -> str:
    named = re.search(r"rtpmap:\d+ ([A-Za-z0-9.-]{1,20})", "\n".join(lines))
    return named[1] if named else lines[0][2:].split(" ")[0][:20]


def _attribute(lines: Sequence[str], name: str, separator: str = ":") -> str:
    prefix = f"a={name}{separator}"
    return next((line[len(prefix) :].strip() for line in lines if line.startswith(prefix)), "")


def _option(options: str, name: str) -> str:
    found = re.search(rf"(?:^|;)\s*{name}\s*=\s*([^;\s]+)", options, re.IGNORECASE)
    return found[1] if found else ""


def _parameter_sets(encoded: str) -> tuple[bytes, ...]:
    sets = []
    for part in encoded.split(",") if encoded else ():
        try:
            sets.append(base64.b64decode(part, validate=True))
        except binascii.Error:  # a broken hint is no reason to refuse: most cameras repeat the sets in the stream
            return ()
    return tuple(nal for nal in sets if nal)


def _resolve(control: str, base_url: str) -> str:
    if control in {"", "*"}:
        return base_url
    if "://" in control:
        return control
    return f"{base_url.rstrip('/')}/{control.lstrip('/')}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way the camera accepts credentials. `algorithm` '' for Basic."""

    scheme: str
    realm: str
    nonce: str = ""
    algorithm: str = ""
    opaque: str = ""
    qop_auth: bool = False


def challenges_of(response: Response) -> tuple[Challenge, ...]:
    """Every challenge of a 401 we can answer, strongest first: Digest SHA-256, Digest MD5, Basic."""
    found = []
    for name, value in response.headers:
        if name != "www-authenticate":
            continue
        scheme, _, rest = value.partition(" ")
        fields = {key.lower(): quoted or bare for key, quoted, bare in _CHALLENGE_PARAMETER.findall(rest)}
        if scheme.lower() == "basic":
            found.append(Challenge("Basic", fields.get("realm", "")))
        elif scheme.lower() == "digest" and fields.get("nonce"):
            algorithm = fields.get("algorithm", "MD5").upper()
            qop = fields.get("qop")
            if algorithm in _DIGESTS and (qop is None or "auth" in re.split(r"[\s,]+", qop)):
                realm, opaque = fields.get("realm", ""), fields.get("opaque", "")
                found.append(Challenge("Digest", realm, fields["nonce"], algorithm, opaque, qop is not None))
    order = ["SHA-256", "MD5", ""]
    return tuple(sorted(found, key=lambda challenge: order.index(challenge.algorithm)))


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """User and password of a camera; never printed."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(redacted)"


def authorization(
    challenge: Challenge, credentials: Credentials, method: str, uri: str, count: int, client_nonce: str
) -> str:
    """The Authorization header's value for one request. `count` from 1, once per nonce (RFC 7616, 3.4)."""
    user, password = credentials.user, credentials.password
    if challenge.scheme == "Basic":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def digest(text: str) -> str:
        return hashlib.new(_DIGESTS[challenge.algorithm], text.encode(), usedforsecurity=False).hexdigest()

    secret = digest(f"{user}:{challenge.realm}:{password}")
    target = digest(f"{method}:{uri}")
    fields = [("username", user), ("realm", challenge.realm), ("nonce", challenge.nonce), ("uri", uri)]
    if challenge.qop_auth:
        proof = digest(f"{secret}:{challenge.nonce}:{count:08x}:{client_nonce}:auth:{target}")
    else:
        proof = digest(f"{secret}:{challenge.nonce}:{target}")
    fields.append(("response", proof))
    if challenge.opaque:
        fields.append(("opaque", challenge.opaque))
    text = ", ".join(f'{name}="{value}"' for name, value in fields)
    text += f", algorithm={challenge.algorithm}"
    if challenge.qop_auth:
        text += f', qop=auth, nc={count:08x}, cnonce="{client_nonce}"'
    return f"Digest {text}"


def is_rtsp_url(url: str) -> bool:
    """Whether `url` is rtsp:// with a host, a sane port and no user or password in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "rtsp" and bool(parts.hostname) and port != 0 and "@" not in parts.netloc


def _violation(device: str, message: str) -> ProtocolViolation:
    return ProtocolViolation("CAMERA_PROTOCOL", f"{device}: {message}", "check that the port speaks RTSP")
