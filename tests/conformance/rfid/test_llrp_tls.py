"""LLRP over TLS: the reader is who its certificate says, or there is no session."""

import asyncio
import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from drivers.api import DeviceError, DeviceRefused, DeviceUp, LinkLost, TagRead
from drivers.rfid.settings.llrp import LlrpSettings
from tests.conformance.rfid.llrp_process import TAG, virtual_llrp
from tests.conformance.rfid.pty_reader import Session

pytestmark = pytest.mark.real_time


def certificate(folder: Path, name: str, *addresses: str) -> tuple[Path, Path]:
    """A certificate that signs itself, as a reader makes one, and its key: PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, key_pem


def serving(pem: Path, key: Path) -> tuple[str, ...]:
    return ("--tls-cert", str(pem), "--tls-key", str(key))


async def test_tags_come_through_tls_and_the_reader_is_left_in_order(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "reader", "127.0.0.1")
    async with virtual_llrp(tmp_path, *serving(pem, key)) as reader:
        await reader.do("field", tags=[TAG])
        session = Session(reader.source(tls={"ca_file": pem}))
        assert isinstance(await session.until(lambda item: isinstance(item, DeviceUp)), DeviceUp)
        await session.until(lambda item: isinstance(item, TagRead))
        await session.end()
        await reader.until_state(connected=False, rospecs={})


async def test_a_reader_that_wants_our_certificate_gets_it(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "reader")
    ours, our_key = certificate(tmp_path, "lane")
    async with virtual_llrp(tmp_path, *serving(pem, key), "--tls-client-ca", str(ours)) as reader:
        tls = {"ca_file": pem, "server_name": "reader"}
        session = Session(reader.source(tls={**tls, "cert_file": ours, "key_file": our_key}))
        await session.until(lambda item: isinstance(item, DeviceUp))
        await session.end()
        # Without it the reader hangs up: at the handshake, or with the first byte after it.
        error = await Session(reader.source(tls=tls)).error()
        assert isinstance(error, LinkLost)
        assert error.code in ("TLS_FAILED", "TCP_LINK_LOST")


@pytest.mark.parametrize("server_name", [None, "reader"])
async def test_another_reader_at_the_address_is_refused(tmp_path: Path, server_name: str | None) -> None:
    pem, key = certificate(tmp_path, "impostor", "127.0.0.1")
    (tmp_path / "known").mkdir()
    known, _ = certificate(tmp_path / "known", "reader", "127.0.0.1")
    async with virtual_llrp(tmp_path, *serving(pem, key)) as reader:
        error = await Session(reader.source(tls={"ca_file": known, "server_name": server_name})).error()
        assert isinstance(error, DeviceRefused)
        assert error.code == "TLS_UNTRUSTED"


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "reader")
    async with virtual_llrp(tmp_path, *serving(pem, key)) as reader:
        error = await Session(reader.source(tls={"ca_file": pem})).error()
        assert isinstance(error, DeviceRefused)
        assert error.code == "TLS_UNTRUSTED"


async def test_a_reader_without_tls_and_a_lane_without_tls_end_in_words(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "reader", "127.0.0.1")
    async with virtual_llrp(tmp_path) as plain:
        error = await Session(plain.source(tls={"ca_file": pem})).error()
        assert isinstance(error, LinkLost)
        assert error.code == "TLS_FAILED"
    async with virtual_llrp(tmp_path, *serving(pem, key)) as secure:
        error = await Session(secure.source()).error()
        assert isinstance(error, DeviceError)
        assert error.code in ("TCP_LINK_LOST", "WRONG_DEVICE", "RFID_NO_ANSWER")


async def test_files_that_cannot_be_used_park_the_reader(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    await asyncio.to_thread(empty.write_bytes, b"")
    for path in (tmp_path / "missing.pem", empty):
        async with virtual_llrp(tmp_path) as reader:
            error = await Session(reader.source(tls={"ca_file": path})).error()
            assert isinstance(error, DeviceRefused)
            assert error.code == "TLS_FILES_UNUSABLE"


def test_the_port_follows_the_protocol(tmp_path: Path) -> None:
    def port_of(**more: object) -> int:
        return LlrpSettings.model_validate({"host": "192.0.2.30", "antennas": (1,), **more}).port

    tls = {"ca_file": tmp_path / "reader.pem"}
    assert (port_of(), port_of(tls=tls), port_of(tls=tls, port=6000)) == (5084, 5085, 6000)
    with pytest.raises(ValidationError, match="go together"):
        port_of(tls={**tls, "cert_file": tmp_path / "lane.pem"})
