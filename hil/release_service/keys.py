"""Central's keys: the site key of equality tokens and the key pair identities are sealed to.

`site_hmac.key` 32 random bytes; `central_public.key` and `central_private.key` the raw 32 bytes of an X25519 key
(RFC 7748). All files are mode 0600. A lane gets the first two, never the third.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

SITE_KEY = "site_hmac.key"
PUBLIC_KEY = "central_public.key"
PRIVATE_KEY = "central_private.key"

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


def make_keys(out: Path) -> None:
    """Write a new set of key files. FileExistsError when one is there already: keys are never overwritten."""
    private = X25519PrivateKey.generate()
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in (
        (SITE_KEY, secrets.token_bytes(32)),
        (PUBLIC_KEY, private.public_key().public_bytes_raw()),
        (PRIVATE_KEY, private.private_bytes_raw()),
    ):
        descriptor = os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


class Keys:
    """The keys of one directory. ValueError or OSError when a file is missing or of the wrong length."""

    def __init__(self, directory: Path) -> None:
        self._site = (directory / SITE_KEY).read_bytes()
        self._private = X25519PrivateKey.from_private_bytes((directory / PRIVATE_KEY).read_bytes())
        self._public = self._private.public_key()
        if len(self._site) != 32:
            raise ValueError(f"{SITE_KEY} must be 32 bytes")
        digest = hashlib.sha256(self._public.public_bytes_raw()).hexdigest()
        self.key_id = f"x25519-{digest[:16]}"

    def token(self, value: bytes) -> str:
        """The equality token of a raw identity value, as IdentityClaim.token defines it."""
        return hmac.digest(self._site, value, "sha256").hex()[:32]

    def seal(self, value: bytes, lane: str) -> bytes:
        """Seal a value as SealedIdentity.ciphertext defines it."""
        return _SUITE.encrypt(value, self._public, _info(lane, self.token(value)))

    def unseal(self, ciphertext: bytes, lane: str, token: str) -> bytes | None:
        """The value; None when it was not sealed to this key for this lane and token, or is not what the token says."""
        try:
            value = _SUITE.decrypt(ciphertext, self._private, _info(lane, token))
        except (InvalidTag, ValueError):
            return None
        return value if hmac.compare_digest(self.token(value), token) else None


def _info(lane: str, token: str) -> bytes:
    return b"securecorridor.identity.v1\0" + lane.encode() + b"\0" + token.encode()
