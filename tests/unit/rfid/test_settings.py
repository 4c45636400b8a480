"""Reader settings and profiles: bad ones are named, none is guessed."""

from pathlib import Path
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
    assert refused.value.message.startswith("x.yaml:")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tid_words: 6", "tid_words: 6\ntid_words: 4", "tid_words is given twice"),
        ("tid_words: 6", "tid_word: 6", "tid_word: Extra inputs are not permitted"),
        ("silent_cycles: 2.5", "silent_cycles: 25", "silent_cycles: Input should be less than or equal to 3"),
        ("tid_words: 6", 'tid_words: 6\ndigest: "00"', "digest is not given in a file"),
    ],
)
def test_what_is_wrong_in_a_reader_profile_is_told_with_its_place(old: str, new: str, told: str) -> None:
    text = (Path(__file__).parents[3] / "firmware_configs" / "rfid" / "mercury_m6e.yaml").read_text()
    assert text.count(old) == 1
    with pytest.raises(DeviceRefused) as refused:
        parse_profile("mercury_m6e", text.replace(old, new).encode(), MercuryProfile)
    line = text[: text.index(old)].count("\n") + 1 + new.count("\n")
    assert f"mercury_m6e.yaml:{line}:" in refused.value.message
    assert told in refused.value.message
    assert refused.value.hint
