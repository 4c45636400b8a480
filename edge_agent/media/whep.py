"""WHEP over HTTP (draft-ietf-wish-whep-03): a viewer posts its SDP offer and gets the answer. Also `/cameras`,
`/healthz` and `/metrics`.

Refusals are RFC 9457 problem documents with a stable `code`. Without a token only loopback Host names are served, so
that no foreign page can reach a lane camera through a rebound name.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from edge_agent.config.checks import is_loopback
from edge_agent.media.feed import CameraFeed
from edge_agent.media.sessions import Session, Sessions
from edge_agent.media.viewer import OfferRefused

OFFER_BYTES_MAX: Final = 65_536

_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"
_OPEN_PATHS = ("/healthz", "/metrics")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in: the bearer token (None: loopback names only) and the origins of pages."""

    token: bytes | None
    origins: frozenset[str]


class WhepServer:
    """The HTTP side of the media process."""

    def __init__(
        self, feeds: Mapping[str, CameraFeed], sessions: Sessions, doors: Doors, registry: CollectorRegistry
    ) -> None:
        self._feeds = feeds
        self._sessions = sessions
        self._doors = doors
        self._registry = registry

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=OFFER_BYTES_MAX)
        endpoint, session = "/whep/{camera}", "/whep/{camera}/{session}"
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/cameras", self._cameras)
        app.router.add_route("HEAD", endpoint, self._discover)
        app.router.add_post(endpoint, self._start)
        app.router.add_patch(session, self._trickle)
        app.router.add_delete(session, self._stop)
        app.router.add_route("OPTIONS", "/{path:.*}", self._preflight)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        own = f"{request.scheme}://{request.host}"
        if origin is not None and origin != own and origin not in self._doors.origins:
            return _problem(403, "ORIGIN_REFUSED", "this page may not use the lane's cameras")
        response = self._refuse_stranger(request)
        if response is None:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = _problem(error.status, "HTTP_REFUSED", error.reason, _kept_headers(error))
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Accept-Patch, Retry-After"
        response.headers["Vary"] = "Origin"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _refuse_stranger(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "OPTIONS":
            return None
        if self._doors.token is None:
            host = request.host if request.host.endswith("]") else request.host.rpartition(":")[0] or request.host
            return None if is_loopback(host) else _problem(403, "HOST_REFUSED", "served on loopback names only")
        if request.path in _OPEN_PATHS:
            return None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _fits(given.strip(), self._doors.token):
            return None
        return _problem(401, "TOKEN_REFUSED", "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
                "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
                "Access-Control-Max-Age": "600",
                "Accept-Post": _SDP,
            },
        )

    async def _discover(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["camera"] not in self._feeds:
            return _no_camera()
        return web.Response(status=200, content_type=_SDP)

    async def _start(self, request: web.Request) -> web.StreamResponse:
        view = request.match_info["camera"]
        feed = self._feeds.get(view)
        if feed is None:
            return _no_camera()
        result, response = await self._answer(request, feed)
        self._sessions.counts.results[view, result] += 1
        return response

    async def _answer(self, request: web.Request, feed: CameraFeed) -> tuple[str, web.StreamResponse]:
        if request.content_type != _SDP:
            return "bad_offer", _problem(415, "OFFER_TYPE", f"send the offer as {_SDP}", {"Accept-Post": _SDP})
        offer = await request.text()
        if not feed.live:
            detail = f"camera {feed.view} is not live" + (f": {feed.fault}" if feed.fault else "")
            return "not_live", _problem(409, "CAMERA_NOT_LIVE", detail, {"Retry-After": "1"})
        if self._sessions.full:
            return "full", _problem(503, "VIEWERS_FULL", "no more viewers can be served", {"Retry-After": "5"})
        try:
            session = await self._sessions.open(feed, offer)
        except OfferRefused as refusal:
            return "bad_offer", _problem(400, "OFFER_REFUSED", str(refusal))
        headers = {
            "Location": f"/whep/{feed.view}/{session.id}",
            "ETag": session.etag,
            "Accept-Patch": _FRAGMENT,
        }
        return "opened", web.Response(status=201, text=session.viewer.answer, content_type=_SDP, headers=headers)

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        session = self._session_of(request)
        if session is None:
            return _no_session()
        if request.content_type != _FRAGMENT:
            return _problem(415, "FRAGMENT_TYPE", f"send candidates as {_FRAGMENT}", {"Accept-Patch": _FRAGMENT})
        match = request.headers.get("If-Match")
        if match == "*":
            return _problem(422, "ICE_RESTART", "ICE restart is not supported; start a new session")
        # Common players send no tag at all with their candidates; only a wrong one tells of a mix-up.
        if match is not None and match != session.etag:
            return _problem(412, "STALE_TAG", "the tag is not of this session")
        try:
            await session.viewer.add_candidates(await request.text())
        except OfferRefused as refusal:
            return _problem(400, "CANDIDATE_REFUSED", str(refusal))
        return web.Response(status=204)

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        session = self._session_of(request)
        if session is None:
            return _no_session()
        await self._sessions.close(session, "stopped")
        return web.Response(status=200)

    def _session_of(self, request: web.Request) -> Session | None:
        return self._sessions.find(request.match_info["camera"], request.match_info["session"])

    async def _cameras(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(
            [
                {
                    "view": feed.view,
                    "live": feed.live,
                    "last_frame_age_s": None if feed.age_s is None else round(feed.age_s, 3),
                    "fault": feed.fault,
                    "viewers": self._sessions.of_view(feed.view),
                    "whep": f"/whep/{feed.view}",
                }
                for feed in self._feeds.values()
            ]
        )

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        # The process is healthy when it answers; whether a camera is live is the lane's business, see /cameras.
        return web.json_response({"ok": True, "cameras_live": sum(feed.live for feed in self._feeds.values())})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _fits(given: str, token: bytes) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token)


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"status": status, "code": code, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json", headers=headers)


def _no_camera() -> web.Response:
    return _problem(404, "NO_SUCH_CAMERA", "no camera of that name; see /cameras")


def _no_session() -> web.Response:
    return _problem(404, "NO_SUCH_SESSION", "the session has ended or never was")


def _kept_headers(error: web.HTTPException) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name == "Allow"}
