"""Reader settings and profiles: bad ones are named, none is guessed."""

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.api import DeviceRefused
from drivers.rfid.settings.mercury import MercuryProfile, MercurySettings, load_mercury_profile
from drivers.rfid.settings.profiles import parse_profile

GOOD: dict[str, Any] = {"port": "/dev/reader", "region": "na", "antennas": [1, 2]}


def test_good_settings_have_sane_defaults() -> None:
    made = MercurySettings(**GOOD)
    assert (made.baud, made.cycle_ms, made.profile, made.antennas) == (115200, 1000, "mercury_m6e", (1, 2))
    assert (made.off_ms, made.read_tid) == (0, False)


@pytest.mark.parametrize(
    "change",
    [
        {"bauds": 9600},
        {"baud": 12345},
        {"region": "mars"},
        {"antennas": []},
        {"antennas": [0]},
        {"antennas": [17]},
        {"antennas": [1, 1]},
        {"power_cdbm": 27_000},
        {"power_dbm": 27},
        {"cycle_ms": 5},
        {"off_ms": -1},
        {"off_ms": 70_000},
        {"read_tid": "twice"},
        {"profile": "../../etc/passwd"},
        {"port": ""},
    ],
    ids=str,
)
def test_bad_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MercurySettings(**{**GOOD, **change})


def test_shipped_profile_is_valid_and_says_its_evidence() -> None:
    profile = load_mercury_profile("mercury_m6e")
    assert profile.evidence in {"manual", "bench", "site"}
    assert profile.metadata_flags & 0x57 == 0x57
    assert len(profile.digest) == 64
    keys = {option.key: option.value for option in profile.options}
    assert (keys[0x09], keys[0x0C], keys[0x04], keys[0x05]) == (1, 0, 1, 1)


def test_missing_profile_names_the_known_ones() -> None:
    with pytest.raises(DeviceRefused, match="mercury_m6e") as refused:
        load_mercury_profile("mercury_m9")
    assert refused.value.code == "PROFILE_MISSING"


@pytest.mark.parametrize(
    "text", [b"profile: [", b"3", b"profile: x\n", b"{}", b"profile: other\nevidence: rumour\n"], ids=str
)
def test_broken_profile_is_refused(text: bytes) -> None:
    with pytest.raises(DeviceRefused) as refused:
        parse_profile("x", text, MercuryProfile)
    assert refused.value.code == "PROFILE_INVALID"
