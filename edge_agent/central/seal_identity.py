"""Identity values sealed to central: what leaves memory can be opened by nobody at the lane (HPKE, RFC 9180)."""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from drivers.api import Secret
from edge_agent.model.errors import ConfigError

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_KEY_BYTES = 32


class IdentitySealer:
    """Seals identity values of one lane to central's public key: the raw 32 bytes of an X25519 key (RFC 7748).

    `key_id` is "x25519-" and the first 16 hex digits of the key's SHA-256. ConfigError for anything that is no key.
    """

    def __init__(self, public_key: Path | bytes, lane: str) -> None:
        raw = public_key if isinstance(public_key, bytes) else _read(public_key)
        if len(raw) != _KEY_BYTES:
            raise ConfigError(
                "CENTRAL_KEY_INVALID", f"central's public key has {len(raw)} bytes, not {_KEY_BYTES}", "get it again"
            )
        self._key = X25519PublicKey.from_public_bytes(raw)
        self._lane = lane.encode()
        self.key_id = f"x25519-{hashlib.sha256(raw).hexdigest()[:16]}"

    def seal(self, secret: Secret, token: str) -> bytes:
        """The ciphertext of SealedIdentity for a value with this equality token; different every time."""
        info = b"securecorridor.identity.v1\0" + self._lane + b"\0" + token.encode()
        return _SUITE.encrypt(secret.reveal(), self._key, info)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError("CENTRAL_KEY_UNREADABLE", f"{path}: {error.strerror}", "get central's public key") from error
