"""Who may use the page: the token, the cookie it buys, and the origins requests may come from."""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from drivers.api import Clock
from edge_agent.model.errors import ConfigError

SESSION_S: Final = 12 * 3600
"""A shift; after it the officer signs in again."""

OFFICER_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_TOKEN_MIN = 16


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller who showed the token: `officer` is a pseudonym. `until_s`: when (seconds since 1970) the time of the
    cookie is over; None for a program, which shows the token itself."""

    officer: str
    until_s: int | None = None


class Doors:
    """Checks tokens, cookies and origins. The cookie is `officer.expiry` under a key made of the token: it outlives a
    restart of the console, and a new token ends every session."""

    def __init__(self, token: bytes, origins: tuple[str, ...], clock: Clock) -> None:
        self._token = token
        self._origins = frozenset(origins)
        self._clock = clock
        self._key = hmac.digest(token, b"lane console cookie v1", hashlib.sha256)
        # Browsers keep one jar for all ports of a computer: two consoles must not sign each other's officers out.
        self.cookie = f"lane_console_{hashlib.sha256(self._key).hexdigest()[:8]}"

    def token_fits(self, given: str) -> bool:
        """Whether this is the token, in time that does not depend on where they differ."""
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self._token)

    def cookie_for(self, officer: str) -> str:
        """What an officer's browser keeps."""
        payload = f"{officer}|{self._clock.stamp().utc_ns // 10**9 + SESSION_S}".encode()
        mac = hmac.digest(self._key, payload, hashlib.sha256)
        return base64.urlsafe_b64encode(mac + payload).decode().rstrip("=")

    def visitor(self, request: web.Request) -> Visitor | None:
        """Who asks; None for a stranger."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            officer = request.headers.get("X-Officer", "console")
            known = self.token_fits(given.strip()) and OFFICER_PATTERN.fullmatch(officer)
            return Visitor(officer) if known else None
        return self._of_cookie(request.cookies.get(self.cookie, ""))

    def over(self, visitor: Visitor) -> bool:
        """Whether the visitor's time is over: to be asked again of what lasts longer than a request."""
        return visitor.until_s is not None and visitor.until_s <= self._clock.stamp().utc_ns // 10**9

    def origin_fits(self, request: web.Request, *, needed: bool) -> bool:
        """Whether the request's origin is the page's own or an allowed one; without one only when not `needed`."""
        origin = request.headers.get("Origin")
        if origin is None:
            # Browsers leave it out of plain reads of their own page; what they say instead cannot be forged by a page.
            return not needed and request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        return origin == f"{request.scheme}://{request.host}" or origin in self._origins

    def secure(self, request: web.Request) -> bool:
        """Whether the browser reaches the page over TLS, here or at a proxy named in `allowed_origins`."""
        return request.secure or f"https://{request.host}" in self._origins

    def _of_cookie(self, cookie: str) -> Visitor | None:
        try:
            raw = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
        except (ValueError, binascii.Error):
            return None
        mac, payload = raw[:32], raw[32:]
        if not hmac.compare_digest(mac, hmac.digest(self._key, payload, hashlib.sha256)):
            return None
        officer, _, expires = payload.decode().partition("|")
        visitor = Visitor(officer, int(expires))
        return None if self.over(visitor) else visitor


def read_token(path: Path, what: str = "console.token_file") -> bytes:
    """A token of at least 16 characters. ConfigError CONSOLE_TOKEN."""
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        hint = "make the file readable for the console's user"
        raise ConfigError("CONSOLE_TOKEN", f"{what}: {path}: {error.strerror}", hint) from error
    if len(token) < _TOKEN_MIN:
        hint = "write at least 16 random characters into it, e.g. with: openssl rand -hex 24"
        raise ConfigError("CONSOLE_TOKEN", f"{what}: {path}: shorter than {_TOKEN_MIN} characters", hint)
    return token
