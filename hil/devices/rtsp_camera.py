"""A virtual lane camera: a real RTSP server (RFC 2326, TCP interleaved) with real H.264, drawing the world's trucks.

    python -m hil.devices.rtsp_camera --control PATH [--port 0] --name overview [--user U --password-file F]

Prints `{"ready": true, "url": ...}`. Pictures are drawn and encoded once for all clients, and only while one plays.
Verbs: `scene` (see `scene_picture.Scene`), `freeze {"on"}` (send nothing, keep connections), `drop` (cut connections),
`refuse {"on"}` (close the port, cut connections), `sps_in_sdp_only {"on"}`, `get`. Events: `playing`, `stopped`, and
`frame {number}` when started with --barcode.
"""

import argparse
import asyncio
import contextlib
import datetime
import hashlib
import random
import secrets
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
from hil.devices.rtsp_stream import FPS, RTP_CLOCK_HZ, AccessUnit, Encoder, Packetiser, sdp_of
from hil.devices.scene_picture import Painter, Scene

_SESSION_TIMEOUT_S = 30
_REPORT_EVERY_S = 5.0
_BACKLOG_BYTES = 1 << 20
_REALM = "virtual camera"


@dataclass(frozen=True, slots=True)
class Options:
    """How this camera is set up. `algorithm` is what the Digest challenge names: MD5 or SHA-256."""

    name: str
    gop: int = 24
    b_frames: int = 0
    barcode: bool = False
    user: str = ""
    password: str = ""
    algorithm: str = "MD5"


class VirtualCamera:
    """Scene, encoder and the clients that play."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.scene = Scene()
        self.frozen = False
        self.sps_in_sdp_only = False
        self.clients: set[Client] = set()
        self.port = 0
        self.began_utc_s = 0.0
        self.control: ControlChannel | None = None
        self._painter = Painter(options.name, barcode=options.barcode)
        self._encoder = Encoder(gop=options.gop, b_frames=options.b_frames)
        self._server: asyncio.Server | None = None
        self._number = 0
        self._wanted = asyncio.Event()

    @property
    def url(self) -> str:
        """Where clients find the stream."""
        return f"rtsp://127.0.0.1:{self.port}/{self.options.name}"

    @property
    def description(self) -> str:
        """The SDP of the stream."""
        return sdp_of(self._encoder.parameter_sets, self.options.name)

    async def open(self, port: int) -> None:
        """Listen on loopback; 0 takes a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()

    def drop(self) -> None:
        """Cut every connection, as a camera that restarts does."""
        for client in tuple(self.clients):
            client.writer.transport.abort()

    def players_changed(self) -> None:
        """Start or stop drawing, as clients begin to play or leave."""
        playing = sum(client.packetiser is not None for client in self.clients)
        if playing:
            self._wanted.set()
        else:
            self._wanted.clear()
        if self.control is not None:
            self.control.publish("playing" if playing else "stopped", clients=playing)

    async def film(self) -> None:
        """Draw, encode and send at 12 pictures a second for as long as somebody plays."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._encoder = Encoder(gop=self.options.gop, b_frames=self.options.b_frames)
            due = started = loop.time()
            self.began_utc_s = time.time()
            while self._wanted.is_set():
                if not self.frozen:
                    self._film_one(round((loop.time() - started) * RTP_CLOCK_HZ))
                due = max(due + 1 / FPS, loop.time())
                await asyncio.sleep(due - loop.time())

    def _film_one(self, timestamp: int) -> None:
        self._number += 1
        if self.control is not None and self.options.barcode:
            self.control.publish("frame", number=self._number)
        now = datetime.datetime.now(datetime.UTC)
        text = f"{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 100_000} UTC"
        picture = self._painter.paint(self.scene, text, self._number)
        for unit in self._encoder.encode(picture, timestamp):
            sets = self._encoder.parameter_sets if unit.is_key and not self.sps_in_sdp_only else ()
            for client in tuple(self.clients):
                client.send(unit, sets)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(self, reader, writer)
        self.clients.add(client)
        try:
            await client.converse()
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self.clients.discard(client)
            self.players_changed()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Client:
    """One RTSP connection."""

    def __init__(self, camera: VirtualCamera, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.camera = camera
        self.reader = reader
        self.writer = writer
        self.packetiser: Packetiser | None = None
        self._session = f"{random.getrandbits(32):08x}"
        self._nonce = secrets.token_hex(16)
        self._channel = 0
        self._set_up = False
        self._reported_s = 0.0

    def send(self, unit: AccessUnit, parameter_sets: tuple[bytes, ...]) -> None:
        """Send one access unit, from wherever the stream is; a client that does not read is cut off."""
        if self.packetiser is None:
            return
        if self.writer.transport.get_write_buffer_size() > _BACKLOG_BYTES:
            self.writer.transport.abort()
            return
        frames = [self._framed(0, packet) for packet in self.packetiser.packets_of(unit, parameter_sets)]
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = now_s
            frames.append(
                self._framed(
                    1,
                    self.packetiser.sender_report(
                        self.camera.began_utc_s + unit.timestamp / RTP_CLOCK_HZ, unit.timestamp
                    ),
                )
            )
        self.writer.write(b"".join(frames))

    def _framed(self, offset: int, packet: bytes) -> bytes:
        return struct.pack("!cBH", b"$", self._channel + offset, len(packet)) + packet

    async def converse(self) -> None:
        """Answer requests until the client leaves or tears down."""
        while True:
            first = await self.reader.readexactly(1)
            if first == b"$":  # receiver reports come this way; nothing here needs them
                header = await self.reader.readexactly(3)
                await self.reader.readexactly(struct.unpack("!H", header[1:])[0])
                continue
            lines = (first + await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, uri, _ = lines[0].split(" ")
            headers = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
            await self.reader.readexactly(int(headers.get("content-length", "0")))
            self._answer(method, uri, headers)
            await self.writer.drain()
            if method == "TEARDOWN":
                return

    def _answer(self, method: str, uri: str, headers: Mapping[str, str]) -> None:
        if method != "OPTIONS" and not self._is_authorised(method, uri, headers.get("authorization", "")):
            challenge = f'Digest realm="{_REALM}", nonce="{self._nonce}", algorithm={self.camera.options.algorithm}'
            self._reply(headers, "401 Unauthorized", {"WWW-Authenticate": challenge})
        elif method == "OPTIONS":
            verbs = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
            self._reply(headers, "200 OK", {"Public": verbs})
        elif method == "DESCRIBE":
            fields = {"Content-Type": "application/sdp", "Content-Base": f"{self.camera.url}/"}
            self._reply(headers, "200 OK", fields, self.camera.description.encode())
        elif method == "SETUP":
            self._answer_setup(headers)
        elif headers.get("session", "").split(";")[0] != self._session:
            self._reply(headers, "454 Session Not Found", {})
        elif method == "PLAY" and self._set_up:
            self._reply(headers, "200 OK", {"Session": self._session, "Range": "npt=now-"})
            self.packetiser = Packetiser(random.getrandbits(32), random.getrandbits(16), random.getrandbits(32))
            self.camera.players_changed()
        elif method in {"GET_PARAMETER", "TEARDOWN"}:
            self._reply(headers, "200 OK", {"Session": self._session})
        else:
            self._reply(headers, "455 Method Not Valid in This State", {})

    def _answer_setup(self, headers: Mapping[str, str]) -> None:
        options = dict(part.partition("=")[::2] for part in headers.get("transport", "").split(";"))
        if "RTP/AVP/TCP" not in options:
            self._reply(headers, "461 Unsupported Transport", {})
            return
        self._channel = int(options.get("interleaved", "0-1").split("-")[0])
        self._set_up = True
        transport = f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"
        fields = {"Transport": transport, "Session": f"{self._session};timeout={_SESSION_TIMEOUT_S}"}
        self._reply(headers, "200 OK", fields)

    def _reply(self, headers: Mapping[str, str], status: str, fields: Mapping[str, str], body: bytes = b"") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", "Server: virtual-camera"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def _is_authorised(self, method: str, uri: str, credentials: str) -> bool:
        options = self.camera.options
        if not options.user:
            return True
        scheme, _, rest = credentials.partition(" ")
        if scheme.lower() != "digest":
            return False
        given = {
            name.strip(): value.strip().strip('"') for name, _, value in (x.partition("=") for x in rest.split(","))
        }
        kind = "sha256" if options.algorithm == "SHA-256" else "md5"

        def digest(text: str) -> str:
            return hashlib.new(kind, text.encode()).hexdigest()

        first = digest(f"{options.user}:{_REALM}:{options.password}")
        expected = digest(f"{first}:{self._nonce}:{digest(f'{method}:{uri}')}")
        return given.get("username") == options.user and secrets.compare_digest(given.get("response", ""), expected)


class Panel:
    """The verbs of the control channel."""

    def __init__(self, camera: VirtualCamera) -> None:
        self._camera = camera
        self._refuse = False
        self.changed = asyncio.Event()

    def scene(self, request: Mapping[str, Any]) -> None:
        """Show another scene from the next picture on."""
        self._camera.scene = Scene.parse(request, self._camera.scene)

    def freeze(self, request: Mapping[str, Any]) -> None:
        """Send nothing while on; connections stay open."""
        self._camera.frozen = bool(request.get("on", True))

    def drop(self, request: Mapping[str, Any]) -> None:
        """Cut every connection."""
        self._camera.drop()

    def refuse(self, request: Mapping[str, Any]) -> None:
        """Close the port while on, and open the same port again after."""
        self._refuse = bool(request.get("on", True))
        if self._refuse:
            self._camera.close()
        self.changed.set()

    def sps_in_sdp_only(self, request: Mapping[str, Any]) -> None:
        """Leave the parameter sets out of the stream while on."""
        self._camera.sps_in_sdp_only = bool(request.get("on", True))

    def get(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the camera does now."""
        playing = sum(client.packetiser is not None for client in self._camera.clients)
        scene = self._camera.scene
        return {
            "url": self._camera.url,
            "clients": len(self._camera.clients),
            "playing": playing,
            "frozen": self._camera.frozen,
            "refusing": self._refuse,
            "lamp": scene.lamp,
            "trucks": [truck.id for truck in scene.trucks],
        }

    async def reopen(self) -> None:
        """Carry out what `refuse` off asks for."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            if not self._refuse:
                await self._camera.open(self._camera.port)


async def serve(options: Options, control: Path, port: int) -> None:
    """Run the camera until told to end."""
    cv2.setNumThreads(1)
    camera = VirtualCamera(options)
    panel = Panel(camera)
    verbs = {
        "scene": panel.scene,
        "freeze": panel.freeze,
        "drop": panel.drop,
        "refuse": panel.refuse,
        "sps_in_sdp_only": panel.sps_in_sdp_only,
        "get": panel.get,
    }
    channel = ControlChannel(control, verbs)
    camera.control = channel
    await channel.open()
    await camera.open(port)
    announce_ready(url=camera.url)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(camera.film(), name="film"), group.create_task(panel.reopen(), name="reopen")]
        await until_told_to_end()
        camera.close()
        for task in tasks:
            task.cancel()
    await channel.close()


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description="Virtual RTSP lane camera")
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="overview")
    parser.add_argument("--user", default="")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--algorithm", choices=("MD5", "SHA-256"), default="MD5")
    parser.add_argument("--gop", type=int, default=24, help="pictures from key picture to key picture (12 a second)")
    parser.add_argument("--b-frames", type=int, default=0)
    parser.add_argument("--barcode", action="store_true", help="paint and publish the number of every picture")
    given = parser.parse_args()
    password = given.password_file.read_text().strip() if given.password_file else ""
    options = Options(given.name, given.gop, given.b_frames, given.barcode, given.user, password, given.algorithm)
    asyncio.run(serve(options, given.control, given.port))


if __name__ == "__main__":
    main()
