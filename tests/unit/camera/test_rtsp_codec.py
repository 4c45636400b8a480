"""RTSP messages, session descriptions and login, against the RFCs' own examples."""

import base64
import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import DeviceRefused, ProtocolViolation
from drivers.camera.rtsp_codec import (
    HEAD_BYTES_MAX,
    Challenge,
    Credentials,
    Interleaved,
    Item,
    Request,
    Response,
    StreamParser,
    authorization,
    challenges_of,
    encode_request,
    is_rtsp_url,
    terms_of,
    video_track,
)

# RFC 2326, 10.12: embedded binary data, and 10.4: SETUP; with a described body in front.
_SETUP_ANSWER = (
    b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nDate: 05 Jun 1997 18:57:18 GMT\r\n"
    b"Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 12345678\r\n\r\n"
)
_DESCRIBE_ANSWER = (
    b"RTSP/1.0 200 OK\r\nCSeq: 312\r\nDate: 23 Jan 1997 15:35:06 GMT\r\nContent-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n\r\nv=0\r\n"
)
_STREAM = (
    _SETUP_ANSWER
    + b"$\x00\x00\x04\x80\x60\x00\x01"
    + b"$\x01\x00\x00"
    + _DESCRIBE_ANSWER
    + b"\r\nOPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n"
    + b"$\x02\x00\x02$$"
)

# What FFmpeg 8.1 writes for H.264 (av_sdp_create), parameter sets shortened to what is read here.
_FFMPEG_SDP = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat 62.12.100\r\n"
    b"m=video 5004 RTP/AVP 96\r\nb=AS:200\r\na=rtpmap:96 H264/90000\r\n"
    b"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAFtoCgL/lwEQAAAMABAAAAwBgPFi6gA==,aM48gA==; "
    b"profile-level-id=42C016\r\n"
)


def _parsed(stream: bytes) -> list[Item]:
    return StreamParser("cam").feed(stream)


def test_messages_and_frames_are_told_apart() -> None:
    setup, rtp, empty, described, request, last = _parsed(_STREAM)
    assert isinstance(setup, Response)
    assert (setup.status, setup.header("Session"), setup.header("cseq")) == (200, "12345678", "3")
    assert rtp == Interleaved(0, b"\x80\x60\x00\x01")
    assert empty == Interleaved(1, b"")
    assert isinstance(described, Response)
    assert described.body == b"v=0\r\n"
    assert request == Request("OPTIONS", "*", (("cseq", "7"),))
    assert last == Interleaved(2, b"$$")


def test_one_byte_at_a_time_gives_the_same_items() -> None:
    parser = StreamParser("cam")
    single = [item for index in range(len(_STREAM)) for item in parser.feed(_STREAM[index : index + 1])]
    assert single == _parsed(_STREAM)


@given(st.lists(st.integers(min_value=0, max_value=len(_STREAM)), max_size=12))
def test_any_cutting_gives_the_same_items(cuts: list[int]) -> None:
    parser = StreamParser("cam")
    edges = [0, *sorted(cuts), len(_STREAM)]
    items = [item for low, high in itertools.pairwise(edges) for item in parser.feed(_STREAM[low:high])]
    assert items == _parsed(_STREAM)


@given(st.binary(max_size=400), st.integers(min_value=0, max_value=len(_STREAM)))
def test_any_bytes_are_items_or_a_violation(noise: bytes, at: int) -> None:
    parser = StreamParser("cam")
    with contextlib.suppress(ProtocolViolation):
        parser.feed(_STREAM[:at] + noise + _STREAM[at:])


@pytest.mark.parametrize(
    "stream",
    [
        b"\x00\x01\x02",
        b"RTSP/1.0 two hundred\r\n\r\n",
        b"RTSP/1.0\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 70000\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"X" * HEAD_BYTES_MAX,
    ],
)
def test_what_is_not_rtsp_is_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        _parsed(stream)


def test_folded_header_lines_join() -> None:
    (item,) = _parsed(b"RTSP/1.0 200 OK\r\nPublic: OPTIONS,\r\n  DESCRIBE\r\n\r\n")
    assert isinstance(item, Response)
    assert item.header("public") == "OPTIONS, DESCRIBE"


def test_requests_read_back_as_written() -> None:
    (item,) = _parsed(encode_request("PLAY", "rtsp://10.0.0.5/s", 9, [("Session", "ab")]))
    assert item == Request(
        "PLAY", "rtsp://10.0.0.5/s", (("cseq", "9"), ("user-agent", "lane-edge-agent"), ("session", "ab"))
    )


def test_track_of_ffmpegs_description() -> None:
    track = video_track(_FFMPEG_SDP, "rtsp://cam/live/", "cam")
    assert track.control_url == track.aggregate_url == "rtsp://cam/live/"
    assert track.payload_type == 96
    assert [nal[0] & 0x1F for nal in track.parameter_sets] == [7, 8]
    assert track.profile_level == "42c016"


@pytest.mark.parametrize(
    ("control", "url"),
    [
        (b"trackID=1", "rtsp://cam/live/trackID=1"),
        (b"rtsp://cam:8554/x/1", "rtsp://cam:8554/x/1"),
        (b"*", "rtsp://cam/live/"),
    ],
)
def test_where_the_track_is_set_up(control: bytes, url: str) -> None:
    body = b"v=0\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\n" + _FFMPEG_SDP[5:] + b"a=control:" + control + b"\r\n"
    assert video_track(body, "rtsp://cam/live/", "cam").control_url == url


def test_the_first_h264_track_is_taken_among_others() -> None:
    body = b"v=0\r\nm=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\nm=video 0 RTP/AVP 98 99\r\n"
    body += b"a=rtpmap:98 H265/90000\r\na=rtpmap:99 h264/90000\r\na=control:two\r\n"
    track = video_track(body, "rtsp://cam/s", "cam")
    assert (track.payload_type, track.control_url, track.parameter_sets) == (99, "rtsp://cam/s/two", ())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"v=0\r\nm=video 0 RTP/AVP 98\r\na=rtpmap:98 H265/90000\r\n", "H265"),
        (b"v=0\r\nm=video 0 RTP/AVP 26\r\n", "video"),
        (b"", "nothing"),
    ],
)
def test_no_h264_is_refused_by_name(body: bytes, named: str) -> None:
    with pytest.raises(DeviceRefused, match=f"CAMERA_UNSUPPORTED.*{named}"):
        video_track(body, "rtsp://cam/s", "cam")


@given(st.binary(max_size=300))
def test_any_description_is_a_track_or_refused(body: bytes) -> None:
    with contextlib.suppress(DeviceRefused):
        video_track(b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 " + body, "rtsp://cam/s", "cam")


def test_broken_parameter_sets_are_passed_over() -> None:
    body = _FFMPEG_SDP.replace(b"aM48gA==", b"aM4!gA==")
    assert video_track(body, "rtsp://cam/s", "cam").parameter_sets == ()


def test_session_terms() -> None:
    (answer,) = _parsed(_SETUP_ANSWER.replace(b"12345678", b"47112344;timeout=30").replace(b"0-1", b"4-5"))
    assert isinstance(answer, Response)
    terms = terms_of(answer, "cam")
    assert (terms.session, terms.timeout_s, terms.channel) == ("47112344", 30, 4)
    (plain,) = _parsed(_SETUP_ANSWER)
    assert isinstance(plain, Response)
    assert terms_of(plain, "cam").timeout_s == 60  # the default of RFC 2326, 12.37
    with pytest.raises(ProtocolViolation):
        terms_of(Response(200, ()), "cam")
    with pytest.raises(ProtocolViolation):
        terms_of(Response(200, (("session", "1"), ("transport", "RTP/AVP/TCP;interleaved=255-256"))), "cam")


# RFC 7616, 3.9.1.
_MUFASA = Credentials("Mufasa", "Circle of Life")
_RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
_CLIENT_NONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "proof"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_of_rfc_7616(algorithm: str, proof: str) -> None:
    (challenge,) = challenges_of(Response(401, (("www-authenticate", _RFC_7616.format(algorithm)),)))
    header = authorization(challenge, _MUFASA, "GET", "/dir/index.html", 1, _CLIENT_NONCE)
    assert f'response="{proof}"' in header
    assert "qop=auth, nc=00000001" in header
    assert f"algorithm={algorithm}" in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


def test_basic_of_rfc_7617() -> None:
    challenge = Challenge("Basic", "WallyWorld")
    header = authorization(challenge, Credentials("Aladdin", "open sesame"), "DESCRIBE", "rtsp://cam/s", 1, "")
    assert header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_the_strongest_challenge_comes_first() -> None:
    headers = (
        ("www-authenticate", 'Basic realm="cam"'),
        ("www-authenticate", _RFC_7616.format("MD5")),
        ("www-authenticate", _RFC_7616.format("SHA-256")),
        ("www-authenticate", _RFC_7616.format("SHA-512-256")),
        ("www-authenticate", "Negotiate"),
    )
    found = challenges_of(Response(401, headers))
    assert [(challenge.scheme, challenge.algorithm) for challenge in found] == [
        ("Digest", "SHA-256"),
        ("Digest", "MD5"),
        ("Basic", ""),
    ]


def test_credentials_are_never_printed() -> None:
    assert "Circle" not in f"{_MUFASA!r} {_MUFASA}"


@given(st.text(max_size=60))
def test_urls_with_credentials_or_other_schemes_are_not_taken(text: str) -> None:
    assert not is_rtsp_url(f"http://{text}")
    assert not is_rtsp_url(f"rtsp://user:{base64.b16encode(text.encode()).decode()}@cam/s")


def test_what_a_camera_url_may_look_like() -> None:
    assert is_rtsp_url("rtsp://10.1.2.3/stream?profile=1")
    assert is_rtsp_url("rtsp://[fd00::2]:8554/a")
    assert not is_rtsp_url("rtsp:///a")
    assert not is_rtsp_url("rtsp://cam:0/a")
    assert not is_rtsp_url("rtsp://cam:99999/a")
