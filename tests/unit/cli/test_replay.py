"""`lanectl replay` on a captured session: what an engineer sees, and never an identity unless asked for."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from drivers.api import TagRead
from edge_agent.cli.lanectl import main
from tests.conformance.capture.recorder import KEY
from tests.conformance.capture.test_replay_readers import Live, idle, record, tags_come


@pytest.fixture(scope="module")
def live() -> Live:
    """A recorded Mercury session."""
    return record("mercury", tags_come, idle)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The private key as a PEM file."""
    path = tmp_path / "capture.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def run(tmp_path: Path, key: Path, data: bytes, *options: str) -> tuple[int, str]:
    """Exit code and output of the verb on these bytes."""
    file = tmp_path / "capture.lanecap"
    file.write_bytes(data)
    result = CliRunner().invoke(main, ["replay", str(file), "--key", str(key), *options])
    return result.exit_code, result.output


def test_shows_observations_with_numbers_for_identities(live: Live, tmp_path: Path, key: Path) -> None:
    code, output = run(tmp_path, key, live.file)
    assert code == 0
    tag = next(seen for seen in live.seen if isinstance(seen, TagRead))
    assert output.count("TagRead") == sum(isinstance(seen, TagRead) for seen in live.seen)
    assert "epc=id-1" in output
    assert tag.epc.reveal().hex() not in output.lower()
    assert "complete" in output


def test_json_and_clear_identities_on_request(live: Live, tmp_path: Path, key: Path) -> None:
    code, output = run(tmp_path, key, live.file, "--json", "--show-identities")
    assert code == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[0]["header"]["device"] == "reader-1"
    assert lines[-1]["end"] == "complete"
    assert len([line for line in lines if "observation" in line]) == len(live.seen)
    tag = next(seen for seen in live.seen if isinstance(seen, TagRead))
    assert tag.epc.reveal().hex().upper() in output


def test_a_capture_that_was_cut_is_replayed_as_far_as_it_goes(live: Live, tmp_path: Path, key: Path) -> None:
    code, output = run(tmp_path, key, live.file[:-100])
    assert code == 1
    assert "CUT" in output


def test_a_key_that_does_not_fit_and_a_file_that_is_none_are_said(live: Live, tmp_path: Path, key: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(32))
    assert run(tmp_path, other, live.file) == (2, _said("this key does not open the capture", "CAPTURE_KEY_WRONG"))
    other.write_bytes(b"nothing")
    code, output = run(tmp_path, other, live.file)
    assert (code, "CAPTURE_KEY_INVALID" in output) == (2, True)
    code, output = run(tmp_path, key, b"lane: 1", "--json")
    assert code == 2
    assert json.loads(output)["error"]["code"] == "CAPTURE_NOT_A_CAPTURE"


def _said(message: str, code: str) -> str:
    from tests.unit.link.test_capture_codec import HEADER

    return f"lanectl: {message} [{code}]\n  it is sealed to {HEADER.key_id}; or its header is damaged\n"
