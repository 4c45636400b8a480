"""The viewer sessions of the media process: counted, capped, and freed when their peer is gone."""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edge_agent.media.feed import CameraFeed
from edge_agent.media.viewer import Viewer, ViewerCounters

CONNECT_LIMIT_S: Final = 20.0
_SWEEP_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Session:
    """One viewer's session: `id` is unguessable, `etag` names its ICE session (strong, quoted)."""

    id: str
    etag: str
    view: str
    viewer: Viewer
    opened_s: float


@dataclass(slots=True)
class SessionCounts:
    """Session counts of all cameras. `results` counts by (view, result)."""

    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: defaultdict[str, ViewerCounters] = field(default_factory=lambda: defaultdict(ViewerCounters))


class Sessions:
    """Opens and closes viewer sessions. `on_first_picture` is told (view, seconds from request to first picture)."""

    def __init__(self, max_viewers: int, on_first_picture: Callable[[str, float], None]) -> None:
        self.counts = SessionCounts()
        self._max = max_viewers
        self._on_first_picture = on_first_picture
        self._sessions: dict[str, Session] = {}
        self._untimed: set[str] = set()
        self._opening = 0
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether one more viewer would be too many."""
        return len(self._sessions) + self._opening >= self._max

    def of_view(self, view: str) -> int:
        """How many viewers a camera has."""
        return sum(session.view == view for session in self._sessions.values())

    def find(self, view: str, session_id: str) -> Session | None:
        """The live session of that id on that camera."""
        session = self._sessions.get(session_id)
        return session if session is not None and session.view == view and not session.viewer.ended else None

    async def open(self, feed: CameraFeed, offer: str) -> Session:
        """Answer an offer with a new session. Raises OfferRefused."""
        self._opening += 1
        try:
            opened_s = asyncio.get_running_loop().time()
            viewer = Viewer(feed.fanout, self.counts.sent[feed.view], self._changed.set)
            await viewer.accept(offer)
        finally:
            self._opening -= 1
        session = Session(secrets.token_urlsafe(16), f'"{secrets.token_hex(8)}"', feed.view, viewer, opened_s)
        self._sessions[session.id] = session
        self._untimed.add(session.id)
        return session

    async def close(self, session: Session, result: str) -> None:
        """End a session and free it at once."""
        if self._sessions.pop(session.id, None) is not None:
            self._note_first_picture(session)
            self._untimed.discard(session.id)
            self.counts.results[session.view, result] += 1
            await session.viewer.close()

    async def run(self) -> None:
        """Free sessions whose peer left or never came; when cancelled, end all."""
        try:
            while True:
                await self._sweep()
                try:
                    async with asyncio.timeout(_SWEEP_EVERY_S):
                        await self._changed.wait()
                except TimeoutError:
                    continue
                finally:
                    self._changed.clear()
        finally:
            for session in tuple(self._sessions.values()):
                await self.close(session, "shutdown")

    async def _sweep(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for session in tuple(self._sessions.values()):
            self._note_first_picture(session)
            if session.viewer.ended:
                await self.close(session, "left" if session.viewer.connected else "not_connected")
            elif not session.viewer.connected and now_s - session.opened_s > CONNECT_LIMIT_S:
                await self.close(session, "not_connected")

    def _note_first_picture(self, session: Session) -> None:
        if session.id in self._untimed and session.viewer.first_sent_s is not None:
            self._untimed.discard(session.id)
            self._on_first_picture(session.view, session.viewer.first_sent_s - session.opened_s)
