"""Encompass settings and profiles: bad ones are named, none is guessed; a lane can have one."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from drivers.api import DeviceRefused
from drivers.registry import make_reader
from drivers.rfid.encompass_reader import EncompassReader
from drivers.rfid.settings.encompass import EncompassProfile, EncompassSettings, load_encompass_profile
from drivers.rfid.settings.profiles import parse_profile
from edge_agent.config.load import load_config
from edge_agent.config.schema import ReaderDevice
from edge_agent.runtime.clock import SystemClock

ROOT = Path(__file__).parents[3]
GOOD: dict[str, Any] = {"port": "/dev/reader"}
PROFILE = (ROOT / "firmware_configs" / "rfid" / "encompass_e4.yaml").read_text()


def test_good_settings_have_sane_defaults() -> None:
    made = EncompassSettings(**GOOD)
    assert (made.baud, made.protocol, made.flow, made.antennas) == (9600, "ecp", "none", (1,))
    assert (made.keepalive_s, made.profile) == (10.0, "encompass_e4")


@pytest.mark.parametrize(
    "change",
    [
        {"bauds": 9600},
        {"baud": 110},
        {"protocol": "inquiry"},
        {"flow": "xon"},
        {"antennas": []},
        {"antennas": [0]},
        {"antennas": [5]},
        {"antennas": [1, 1]},
        {"keepalive_s": 0},
        {"serial": "12 34"},
        {"profile": "../encompass"},
        {"port": ""},
    ],
    ids=str,
)
def test_bad_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EncompassSettings(**{**GOOD, **change})


def test_shipped_profile_is_valid_and_says_its_evidence() -> None:
    profile = load_encompass_profile("encompass_e4")
    assert profile.evidence == "manual"
    assert profile.digest == hashlib.sha256(PROFILE.encode()).hexdigest()
    commands = {setting.command: setting.required for setting in profile.settings}
    assert commands["40"]
    assert commands["311"]
    assert {"6901", "823", "831"} <= commands.keys()


def test_missing_profile_names_the_known_ones() -> None:
    with pytest.raises(DeviceRefused, match="encompass_e4") as refused:
        load_encompass_profile("encompass_e9")
    assert refused.value.code == "PROFILE_MISSING"


@pytest.mark.parametrize(
    "command", ["6402", "64021", "63", "610", "611", "613", "6140", "01", "00", "505", "695ABC", "90"]
)
def test_a_profile_cannot_reset_download_or_send_a_test_carrier(command: str) -> None:
    data = yaml.safe_load(PROFILE)
    data["settings"][0]["command"] = command
    with pytest.raises(DeviceRefused) as refused:
        parse_profile("encompass_e4", yaml.safe_dump(data).encode(), EncompassProfile)
    assert refused.value.code == "PROFILE_INVALID"


@pytest.mark.parametrize(
    "text", [b"profile: [", b"3", b"profile: x\n", b"{}", PROFILE.replace("manual", "rumour").encode()]
)
def test_broken_profile_is_refused(text: bytes) -> None:
    with pytest.raises(DeviceRefused) as refused:
        parse_profile("encompass_e4", text, EncompassProfile)
    assert refused.value.code == "PROFILE_INVALID"


def test_a_lane_can_have_one(tmp_path: Path) -> None:
    example = yaml.safe_load((ROOT / "deploy" / "lane.yaml.example").read_text())
    at = next(index for index, device in enumerate(example["devices"]) if device["kind"] == "mercury")
    example["devices"][at] = {
        "id": example["devices"][at]["id"],
        "kind": "encompass",
        "port": "/dev/lane/rfid-1",
        "antennas": example["devices"][at]["antennas"],
        "flow": "software",
    }
    example["classes"].append({"kind": "transponder", "prefix_hex": b"FST ".hex()})
    path = tmp_path / "lane.yaml"
    path.write_text(yaml.safe_dump(example))
    device = load_config(path).devices[at]
    assert isinstance(device, EncompassSettings)
    assert isinstance(device, ReaderDevice)
    assert isinstance(make_reader(device.id, device, SystemClock()), EncompassReader)
