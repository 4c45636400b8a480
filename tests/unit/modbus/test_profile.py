"""Profiles: what is shipped is safe, what is wrong is told with its place, and red never needs energy."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.api import Clock, DeviceRefused, EdgeError, Stamp
from drivers.modbus.settings import KIND, LaneIoSettings, default_profile_dir, make_lane_io
from drivers.modbus.settings.profile import Profile, load_profile

SHIPPED = sorted(default_profile_dir().glob("*.yaml"))
WAGO = default_profile_dir() / "wago_750_352.yaml"


class Still(Clock):
    """A clock that stands."""

    def stamp(self) -> Stamp:
        return Stamp(0, 0)


def changed(tmp_path: Path, change: dict[str, Any], drop: tuple[str, ...] = ()) -> Path:
    """The WAGO profile with keys changed ("outputs.count") or dropped."""
    data = yaml.safe_load(WAGO.read_text())
    for key, value in change.items():
        *parents, last = key.split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    for key in drop:
        del data[key]
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


NO_GREEN = {
    "adam_6050": "cannot be read back",
    "icpdas_et7060": "5000 ms",
    "moxa_e1214": "cannot be read back",
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_profiles_are_safe_and_identified(path: Path) -> None:
    profile = load_profile(path)
    assert profile.unsafe_for_red is None
    assert (profile.green_refusal == "") is (path.stem not in NO_GREEN)
    assert NO_GREEN.get(path.stem, "") in profile.green_refusal
    assert profile.confirms
    assert profile.cannot_confirm
    assert profile.name == path.stem
    assert profile.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_key_is_documented() -> None:
    text = (default_profile_dir() / "README.md").read_text()
    for model in (Profile, *(field.annotation for field in Profile.model_fields.values())):
        for name in getattr(model, "model_fields", {}):
            assert f"`{name}`" in text, name


RED_NEEDS_ENERGY = {
    "energise_to": ["stop"],
    "outputs.at_power_on": ["energised", "last_state"],
    "watchdog.outputs_when_tripped": ["energised"],
}
HARMLESS: dict[str, list[Any]] = {
    "outputs.count": [4, 8, 64],
    "outputs.write_base": [0, 512],
    "outputs.readback_base": [0, 512, 4096],
    "watchdog.max_ms": [1000, 2000],
    "timeouts.reply_ms": [150, 300],
    "evidence": ["manual", "bench", "site"],
    "version": [1, 2, 9],
}


@given(
    st.lists(
        st.sampled_from(sorted(RED_NEEDS_ENERGY)).flatmap(
            lambda key: st.tuples(st.just(key), st.sampled_from(RED_NEEDS_ENERGY[key]))
        ),
        min_size=1,
        max_size=3,
    ),
    st.lists(
        st.sampled_from(sorted(HARMLESS)).flatmap(lambda key: st.tuples(st.just(key), st.sampled_from(HARMLESS[key])))
    ),
)
def test_no_mutation_that_makes_red_need_energy_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, bad: list[tuple[str, str]], harmless: list[tuple[str, Any]]
) -> None:
    path = changed(tmp_path_factory.getbasetemp(), {**dict(harmless), **dict(bad)})
    with pytest.raises(DeviceRefused) as refused:
        load_profile(path)
    assert refused.value.code == "PROFILE_UNSAFE"
    assert f"{path.name}:" in refused.value.message


@given(
    st.lists(st.sampled_from(sorted(HARMLESS)).flatmap(lambda k: st.tuples(st.just(k), st.sampled_from(HARMLESS[k]))))
)
def test_harmless_changes_stay_loadable(
    tmp_path_factory: pytest.TempPathFactory, harmless: list[tuple[str, Any]]
) -> None:
    assert load_profile(changed(tmp_path_factory.getbasetemp(), dict(harmless))).green_refusal == ""


@pytest.mark.parametrize(
    ("change", "drop", "reason"),
    [
        ({}, ("watchdog",), "neither a watchdog nor a timed pulse"),
        ({"watchdog.fed_by": "any_request"}, (), "foreign poller"),
        ({"watchdog.outputs_when_tripped": "unchanged"}, (), "does not release"),
        ({"watchdog.min_ms": 5000, "watchdog.max_ms": 60000}, (), "5000 ms"),
        ({}, ("outputs", "watchdog"), "no outputs"),
        ({"no_green": "the maker says so"}, (), "the maker says so"),
    ],
)
def test_green_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], drop: tuple[str, ...], reason: str
) -> None:
    assert reason in load_profile(changed(tmp_path, change, drop)).green_refusal


def test_a_timed_pulse_is_as_good_as_a_watchdog(tmp_path: Path) -> None:
    pulse = {"base": 0x2000, "unit_ms": 100, "max_ms": 5000}
    assert load_profile(changed(tmp_path, {"pulse": pulse}, ("watchdog",))).green_refusal == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"outputs.cuont": 8}, "outputs.cuont: Extra inputs are not permitted"),
        ({"outputs.count": "eight"}, "outputs.count: Input should be a valid integer"),
        ({"outputs.write_base": 70000}, "outputs.write_base"),
        ({"watchdog.state_register": 0x1000}, "registers overlap"),
        ({"watchdog.state_tripped": 1}, "same value"),
        ({"watchdog.min_ms": 2000, "watchdog.max_ms": 1000}, "min_ms is over"),
        ({"pulse": {"base": 3, "unit_ms": 100, "max_ms": 1000}}, "pulse.base 3 and outputs.write_base 0 overlap"),
        ({"inputs.function": 1, "inputs.base": 515}, "overlap"),
        ({"inputs.function": 1, "inputs.base": 500}, "inputs.base 500 and outputs.readback_base 512 overlap"),
        ({"watchdog.unit_ms": 250}, "min_ms is under watchdog.unit_ms"),
        ({"outputs.write_base": 65530}, "outputs.write_base 65530: 8 of them do not end within"),
        ({"inputs.base": 65530}, "inputs.base 65530: 16"),
        ({"identity": [{"name": "mac", "register": 65535, "words": 3, "format": "hex"}]}, "mac 65535: 3"),
        ({"energise_to": "red"}, "energise_to"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(EdgeError) as invalid:
        load_profile(changed(tmp_path, change))
    assert invalid.value.code == "PROFILE_INVALID"
    assert told in invalid.value.message
    assert "changed.yaml:" in invalid.value.message


def test_the_place_is_line_and_column_and_all_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(WAGO.read_text().replace("count: 8", "count: many", 1).replace("  base: 0\n", "  bass: 0\n", 1))
    with pytest.raises(EdgeError) as invalid:
        load_profile(path)
    lines = path.read_text().splitlines()
    row = next(index for index, line in enumerate(lines, 1) if "many" in line)
    assert f"two.yaml:{row}:3: outputs.count:" in invalid.value.message
    assert "inputs.base: Field required" in invalid.value.message
    assert "inputs.bass: Extra inputs" in invalid.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: a\nmodel: b\n", "dup.yaml:2:1: model is given twice"),
        ("model: [\n", "dup.yaml:2:1"),
        ("", "dup.yaml:1:1"),
        ("- a\n", "dup.yaml:1:1"),
        ("? [a]\n: b\n", "dup.yaml:1:3"),
    ],
)
def test_broken_files_are_told_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "dup.yaml"
    path.write_text(text)
    with pytest.raises(EdgeError) as invalid:
        load_profile(path)
    assert invalid.value.code == "PROFILE_INVALID"
    assert told in invalid.value.message


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(EdgeError) as invalid:
        load_profile(default_profile_dir() / "wago.yaml")
    assert "wago_750_352" in invalid.value.hint


GOOD: dict[str, Any] = {
    "host": "127.0.0.1",
    "profile": "wago_750_352",
    "roles": {
        "green": {"point": 0},
        "zone_a": {"point": 0},
        "red_feedback": {"point": 8},
        "green_feedback": {"point": 10},
    },
}


def with_roles(**roles: dict[str, Any]) -> dict[str, Any]:
    return {**GOOD, "roles": {**GOOD["roles"], **roles}}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({**GOOD, "serial": {"path": "/dev/ttyUSB0"}}, "host or serial"),
        ({**GOOD, "host": None}, "host or serial"),
        ({**GOOD, "host": ""}, "host"),
        ({**GOOD, "roles": {}}, "roles"),
        ({**GOOD, "pol_ms": 25}, "pol_ms"),
        ({**GOOD, "host": None, "unit_id": 0, "serial": {"path": "/dev/ttyUSB0"}}, "broadcast"),
        ({**GOOD, "stale_ms": 50, "poll_ms": 50}, "stale_ms must be over poll_ms"),
        ({**GOOD, "profile": "../../etc/passwd"}, "profile"),
        ({**GOOD, "watchdog_ms": 5000}, "watchdog_ms"),
        (with_roles(zone_d={"point": 0}), "share point 0"),
        (with_roles(green={"point": 0, "active": "low"}), "energise to proceed"),
        (with_roles(amber={"point": 1}), "amber_feedback is missing"),
        (with_roles(zone_q={"point": 1}), "zone_q"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LaneIoSettings.model_validate(settings)


def test_points_that_the_module_has_not_are_told() -> None:
    for role in ({"zone_x": {"point": 16}}, {"green": {"point": 8}}):
        with pytest.raises(EdgeError) as invalid:
            make_lane_io("io-1", LaneIoSettings.model_validate(with_roles(**role)), Still())
        assert invalid.value.code == "ROLE_INVALID"


def test_an_amber_that_would_outlive_this_computer_is_refused() -> None:
    settings: dict[str, Any] = {
        "serial": {"path": "/dev/null", "baud": 9600, "parity": "N"},
        "profile": "waveshare_relay_8ch",
        "inputs_module": {"unit_id": 2, "profile": "generic_coils"},
        "roles": {**GOOD["roles"], "amber": {"point": 1}, "amber_feedback": {"point": 9}},
    }
    with pytest.raises(EdgeError, match=r"roles\.amber: only pulses end by themselves") as refused:
        make_lane_io("io-1", LaneIoSettings.model_validate(settings), Still())
    assert refused.value.code == "ROLE_INVALID"
    del settings["roles"]["amber"]
    make_lane_io("io-1", LaneIoSettings.model_validate(settings), Still())


def test_an_unsafe_profile_makes_no_session(tmp_path: Path) -> None:
    path = changed(tmp_path, {"energise_to": "stop"})
    settings = LaneIoSettings.model_validate({**GOOD, "profile": path.stem})
    with pytest.raises(DeviceRefused):
        make_lane_io("io-1", settings, Still(), tmp_path)


def test_the_kind_is_registered_by_this_name() -> None:
    assert KIND == "modbus_lane_io"
