"""The console over HTTP: the page, sign-in, JSON of the lanes, acts, metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc.aio
from aiohttp import web
from google.protobuf import json_format
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from .acts import ACTS, BadAct, refusal_of, request_of
from .doors import OFFICER_PATTERN, SESSION_S, Doors, Visitor
from .events import Streams
from .lane_link import LaneLink
from .metrics import ConsoleCollector

_BODY_BYTES_MAX: Final = 65_536
_WRONG_TOKEN_S: Final = 0.5
_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_OPEN = frozenset({"/login", "/healthz", "/metrics", "/static/login.css", "/static/login.js", "/static/icon.svg"})
_VISITOR: Final = web.RequestKey("visitor", Visitor)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ConsoleServer:
    """The HTTP side of the console. `media_token` is given to signed-in pages for the lanes' pictures."""

    def __init__(self, lanes: Sequence[LaneLink], doors: Doors, media_token: str | None) -> None:
        self._lanes = lanes
        self._doors = doors
        self._media_token = media_token
        self._collector = ConsoleCollector(lanes)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        self._streams = Streams(lanes, self._collector)
        self._files = {path.name: path.read_bytes() for path in sorted(_STATIC.iterdir()) if path.suffix in _TYPES}
        self._policy = _content_policy(lane.media_url for lane in lanes if lane.media_url)

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=_BODY_BYTES_MAX)
        app.on_shutdown.append(self._end_streams)
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/login", self._login_page)
        app.router.add_post("/login", self._sign_in)
        app.router.add_post("/logout", self._logout)
        app.router.add_get("/api/lanes", self._list_lanes)
        app.router.add_get(r"/api/lanes/{index:\d{1,3}}/events", self._events)
        app.router.add_post(r"/api/lanes/{index:\d{1,3}}/acts/{act}", self._act)
        app.router.add_get(r"/api/lanes/{index:\d{1,3}}/passages", self._passages)
        app.router.add_post("/api/heartbeat", self._heartbeat)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            response = await self._refused(request) or await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = _refusal(error.status, "HTTP_REFUSED", error.reason)
        if not response.prepared:
            response.headers.update(self._headers())
        return response

    async def _refused(self, request: web.Request) -> web.StreamResponse | None:
        streaming = request.path.endswith("/events")
        if request.method != "GET" or streaming:
            by_program = "Authorization" in request.headers and "Cookie" not in request.headers
            if not self._doors.origin_fits(request, needed=not by_program and not streaming):
                return _refusal(403, "ORIGIN_REFUSED", "this page may not use the console")
        if request.path in _OPEN:
            return None
        visitor = self._doors.visitor(request)
        if visitor is not None:
            request[_VISITOR] = visitor
            return None
        if request.path == "/":
            raise web.HTTPSeeOther("/login", headers=self._headers())
        if "Authorization" in request.headers:
            await asyncio.sleep(_WRONG_TOKEN_S)
        return _refusal(401, "NOT_SIGNED_IN", "sign in first", {"WWW-Authenticate": "Bearer"})

    def _headers(self) -> Mapping[str, str]:
        return {
            "Content-Security-Policy": self._policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return self._file("index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        body = self._files.get(name)
        if body is None:
            return _refusal(404, "NO_SUCH_FILE", "no such file")
        return web.Response(body=body, content_type=_TYPES[Path(name).suffix], charset="utf-8")

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        return self._file("login.html")

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        token, officer = str(form.get("token", "")), str(form.get("officer", ""))
        if not self._doors.token_fits(token.strip()) or not OFFICER_PATTERN.fullmatch(officer):
            self._collector.sign_ins["refused"] += 1
            # Slow enough that guessing is hopeless, short enough for a slip of the finger.
            await asyncio.sleep(_WRONG_TOKEN_S)
            response = self._file("login.html")
            response.body = self._files["login.html"].replace(b'id="wrong" hidden', b'id="wrong"')
            response.set_status(401)
            return response
        self._collector.sign_ins["accepted"] += 1
        response = web.Response(status=303, headers={"Location": "/"})
        secure = self._doors.secure(request)
        response.set_cookie(
            self._doors.cookie,
            self._doors.cookie_for(officer),
            max_age=SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=secure,
        )
        return response

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(self._doors.cookie)
        return response

    async def _list_lanes(self, request: web.Request) -> web.StreamResponse:
        lanes = [
            {"index": lane.index, "name": lane.name, "media_url": lane.media_url, "media_token": self._media_token}
            for lane in self._lanes
        ]
        return web.json_response({"officer": request[_VISITOR].officer, "lanes": lanes})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        visitor, whole = request[_VISITOR], request.query.get("tiles") == "1"
        # A page left open is signed out like any other: its stream ends, and the next one is refused.
        over = partial(self._doors.over, visitor)
        return await self._streams.serve(request, self._lane(request), visitor.officer, whole, over, self._headers())

    async def _act(self, request: web.Request) -> web.StreamResponse:
        lane, name = self._lane(request), request.match_info["act"]
        act = ACTS.get(name)
        if act is None:
            return _refusal(404, "NO_SUCH_ACT", f"no such act; there are {', '.join(ACTS)}")
        if request.content_type != "application/json":
            return _refusal(415, "INVALID_ARGUMENT", "send the act as application/json")
        try:
            message = request_of(act, await request.json(), request[_VISITOR].officer)
        except (BadAct, ValueError, LookupError) as error:  # no JSON, no text, a character set that is none
            self._collector.acts[lane.name, name, "INVALID_ARGUMENT"] += 1
            return _refusal(400, "INVALID_ARGUMENT", str(error))
        answer = await lane.act(act, message)
        self._collector.acts[lane.name, name, answer.code] += 1
        return web.json_response(answer.body, status=answer.status)

    async def _heartbeat(self, request: web.Request) -> web.StreamResponse:
        """Once a second a page names the lanes that its officer controls and of which it has just had a fresh state."""
        try:
            indexes = (await request.json())["lanes"]
            lanes = [self._lanes[index] for index in indexes if type(index) is int and 0 <= index < len(self._lanes)]
        except (ValueError, LookupError, TypeError):
            return _refusal(400, "INVALID_ARGUMENT", 'send {"lanes": [index, …]}')
        await asyncio.gather(*(lane.keep_control(request[_VISITOR].officer) for lane in set(lanes)))
        return web.json_response({"ok": True})

    async def _passages(self, request: web.Request) -> web.StreamResponse:
        try:
            passages = await self._lane(request).passages()
        except grpc.aio.AioRpcError as error:
            answer = refusal_of(error)
            return web.json_response(answer.body, status=answer.status)
        return web.json_response({"passages": [_as_json(passage) for passage in passages]})

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        # Healthy when it answers: an agent that is away is the lane's trouble, and the page says so.
        return web.json_response({"ok": True, "lanes_connected": sum(lane.connected for lane in self._lanes)})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _lane(self, request: web.Request) -> LaneLink:
        index = int(request.match_info["index"])
        if index >= len(self._lanes):
            raise web.HTTPNotFound(reason="no such lane; see /api/lanes")
        return self._lanes[index]

    async def _end_streams(self, _: web.Application) -> None:
        self._streams.end()


def _as_json(message: Any) -> dict[str, Any]:  # noqa: ANN401 - any message
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"ok": False, "code": code, "message": message}, status=status, headers=headers)


def _content_policy(media: Any) -> str:  # noqa: ANN401
    sources = " ".join(sorted({"'self'", *media}))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        f"connect-src {sources}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
