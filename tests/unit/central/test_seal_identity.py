"""Sealing against a second implementation of RFC 9180, itself held to the RFC's own vector (A.1.1)."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from drivers.api import Secret, token_of
from edge_agent.central.seal_identity import IdentitySealer
from edge_agent.model.errors import ConfigError
from hil.release_service.keys import PRIVATE_KEY, PUBLIC_KEY, SITE_KEY, Keys, make_keys

LANE = "ports/0427/lanes/1"
_KEM_ID = b"KEM" + (0x20).to_bytes(2, "big")
_SUITE_ID = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x20, 1, 1))


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    mac = hmac.HMAC(salt or bytes(32), hashes.SHA256())
    mac.update(b"HPKE-v1" + suite + label + material)
    return mac.finalize()


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    whole = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(hashes.SHA256(), length, whole).derive(key)


def _open(private: X25519PrivateKey, sealed: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """RFC 9180 single-shot open, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM."""
    enc, ciphertext = sealed[:32], sealed[32:]
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    context = enc + private.public_key().public_bytes_raw()
    secret = _expand(_KEM_ID, _extract(_KEM_ID, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    schedule = bytes(1) + _extract(_SUITE_ID, b"", b"psk_id_hash", b"") + _extract(_SUITE_ID, b"", b"info_hash", info)
    inner = _extract(_SUITE_ID, secret, b"secret", b"")
    key = _expand(_SUITE_ID, inner, b"key", schedule, 16)
    nonce = _expand(_SUITE_ID, inner, b"base_nonce", schedule, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, aad)


def test_the_second_implementation_opens_the_vector_of_the_rfc() -> None:
    """RFC 9180 appendix A.1.1, sequence number 0."""
    private = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    )
    enc = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
    ciphertext = bytes.fromhex(
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )
    info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
    assert _open(private, enc + ciphertext, info, b"Count-0") == b"Beauty is truth, truth beauty"


def test_what_the_lane_seals_the_second_implementation_and_the_service_open(tmp_path: Path) -> None:
    make_keys(tmp_path)
    site = (tmp_path / SITE_KEY).read_bytes()
    secret = Secret(bytes.fromhex("0FA5000011112222"))
    token = token_of(secret, site)
    sealer = IdentitySealer(tmp_path / PUBLIC_KEY, LANE)
    sealed = sealer.seal(secret, token)
    private = X25519PrivateKey.from_private_bytes((tmp_path / PRIVATE_KEY).read_bytes())
    info = b"securecorridor.identity.v1\0ports/0427/lanes/1\0" + token.encode()
    assert _open(private, sealed, info) == secret.reveal()
    central = Keys(tmp_path)
    assert central.key_id == sealer.key_id
    assert central.token(secret.reveal()) == token
    assert central.unseal(sealed, LANE, token) == secret.reveal()
    assert sealer.seal(secret, token) != sealed


def test_a_ciphertext_moved_to_another_lane_or_token_does_not_open(tmp_path: Path) -> None:
    make_keys(tmp_path)
    central = Keys(tmp_path)
    secret = Secret(b"\x01\x02")
    token = central.token(secret.reveal())
    sealed = IdentitySealer(tmp_path / PUBLIC_KEY, LANE).seal(secret, token)
    assert central.unseal(sealed, "ports/0427/lanes/2", token) is None
    assert central.unseal(sealed, LANE, "0" * 32) is None
    assert central.unseal(sealed[:-1], LANE, token) is None
    assert central.unseal(b"short", LANE, token) is None
    # Sealed well, but the token is not that of the value: somebody mixed up two claims.
    wrong = central.token(b"other")
    assert central.unseal(IdentitySealer(tmp_path / PUBLIC_KEY, LANE).seal(secret, wrong), LANE, wrong) is None


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"-----BEGIN PUBLIC KEY-----"])
def test_what_is_no_key_is_refused_with_the_next_step(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "central_public.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        IdentitySealer(path, LANE)
    assert refused.value.code == "CENTRAL_KEY_INVALID"
    with pytest.raises(ConfigError):
        IdentitySealer(tmp_path / "absent", LANE)


def test_key_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    assert {(p.name, p.stat().st_mode & 0o777) for p in (tmp_path / "keys").iterdir()} == {
        (SITE_KEY, 0o600),
        (PUBLIC_KEY, 0o600),
        (PRIVATE_KEY, 0o600),
    }
    with pytest.raises(FileExistsError):
        make_keys(tmp_path / "keys")
