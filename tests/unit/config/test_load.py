"""lane.yaml: what is right becomes the core's records; what is wrong is told all at once, with its place."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from drivers import registry
from drivers.registry import READERS, settings_of
from drivers.rfid.settings.llrp import LlrpSettings
from edge_agent.config import places, schema
from edge_agent.config.load import load_config, load_console_config, parse
from edge_agent.config.schema import ConsoleConfig, LaneConfig
from edge_agent.model.errors import ConfigError
from edge_agent.model.lane import LaneMode, LanePolicy, ZoneSpan
from edge_agent.runtime.clock import SystemClock

EXAMPLE = Path(__file__).parents[3] / "deploy" / "lane.yaml.example"
TEXT = EXAMPLE.read_text()
NAME = Path("lane.yaml")


def errors_of(text: str) -> list[str]:
    """Every error line of a text that must be refused."""
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), NAME, LaneConfig)
    assert caught.value.code == "CONFIG_INVALID"
    return caught.value.message.splitlines()


def changed(old: str, new: str) -> str:
    """The example with one piece replaced."""
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


def place_of(text: str, piece: str) -> str:
    """line:column of a piece that occurs once."""
    assert text.count(piece) == 1, piece
    before = text[: text.index(piece)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def test_the_example_is_valid_and_gives_the_records_of_the_core() -> None:
    config = load_config(EXAMPLE)
    assert config.config_digest == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()
    geometry = config.to_geometry()
    assert geometry.a == ZoneSpan(-60.0, -58.0)
    assert geometry.antennas[1] == ("rfid-1", 2, ZoneSpan(-36.0, -28.0))
    assert geometry.floors == (("rfid-1", 1, -6000), ("rfid-1", 2, -6000))
    assert config.to_kinematics().v_max_kmh == 20
    assert config.to_policy() == LanePolicy()
    assert config.mode_at_start is LaneMode.CLOSED
    limits = config.to_limits()
    assert (limits.dark_ns, limits.green_max_ns) == (700_000_000, 45_000_000_000)
    assert config.classes[0].prefix == bytes.fromhex("3035")
    assert config.central.lane_key_file == EXAMPLE.parent / "keys" / "site.key"


def test_defaults_of_the_policy_are_those_of_the_core() -> None:
    assert schema.PolicySection().to_policy() == LanePolicy()


def test_every_driver_kind_can_be_configured() -> None:
    assert {kind: get_args(s.model_fields["kind"].annotation) for kind, s in schema.READER_SECTIONS.items()} == {
        kind: (kind,) for kind in READERS
    }
    for kind, section in schema.READER_SECTIONS.items():
        assert issubclass(section, READERS[kind].settings)
    assert issubclass(schema.LaneIoDevice, settings_of("modbus_lane_io"))
    assert issubclass(schema.CameraSection, settings_of("rtsp"))


def test_every_reader_family_has_an_example_that_a_lane_can_have() -> None:
    readme = (EXAMPLE.parents[1] / "firmware_configs" / "rfid" / "README.md").read_text()
    entries = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)]
    assert [entry[0]["kind"] for entry in entries] == list(READERS)
    for entry in entries:
        lane = yaml.safe_load(TEXT)
        lane["devices"][0] = entry[0]
        reader = parse(yaml.safe_dump(lane).encode(), NAME, LaneConfig).devices[0]
        assert not isinstance(reader, schema.LaneIoDevice)
        registry.make_reader(reader.id, reader, SystemClock())


def test_every_configured_device_can_be_made() -> None:
    config = load_config(EXAMPLE)
    assert config.media is not None
    made = [
        registry.make_lane_io(d.id, d, SystemClock())
        if isinstance(d, schema.LaneIoDevice)
        else registry.make_reader(d.id, d, SystemClock())
        for d in config.devices
    ]
    assert len(made) == len(config.devices) > 1
    assert [type(registry.make_rtsp(camera.view, camera, SystemClock())) for camera in config.media.cameras]


MERCURY_LINES = TEXT[TEXT.index("    kind: mercury") : TEXT.index("    power_cdbm: 2700")]
LLRP_LINES = "    kind: llrp\n    host: 192.0.2.30\n    antennas: [1, 2]\n"


def test_a_lane_with_an_llrp_reader() -> None:
    config = parse(TEXT.replace(MERCURY_LINES, LLRP_LINES).encode(), NAME, LaneConfig)
    reader = config.devices[0]
    assert isinstance(reader, LlrpSettings)
    assert isinstance(reader, schema.ReaderDevice)
    assert (reader.host, reader.port, reader.keepalive_ms, reader.profile) == ("192.0.2.30", 5084, 5000, "llrp_generic")
    assert type(registry.make_reader(reader.id, reader, SystemClock())).__name__ == "LlrpReader"


def test_an_llrp_reader_is_held_to_what_holds_for_readers() -> None:
    text = TEXT.replace(MERCURY_LINES, LLRP_LINES.replace("[1, 2]", "[1, 3]"))
    told = " ".join(errors_of(text))
    assert "2 is no antenna of rfid-1" in told
    assert "antenna 3 has no place in geometry.antennas" in told


def _sections() -> list[type[BaseModel]]:
    found = [item for item in vars(schema).values() if isinstance(item, type) and issubclass(item, BaseModel)]
    found += [item for item in vars(places).values() if isinstance(item, type) and issubclass(item, BaseModel)]
    return [section for section in dict.fromkeys(found) if section.__module__.startswith("edge_agent.config.")]


def _groups_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A section and the groups of settings in it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _groups_of(part)


_READER_GROUPS = [group for section in schema.READER_SECTIONS.values() for group in _groups_of(section)]


@pytest.mark.parametrize("section", [*_sections(), *_READER_GROUPS])
def test_every_key_has_a_description_and_its_unit(section: type[BaseModel]) -> None:
    units = re.compile(r"_(m|s|ms|ms2|kmh|mb|cdb|hex|file|dir|per_s)$")
    names = section.model_fields if section in _READER_GROUPS else section.__annotations__
    for name in names:
        if name.startswith("_") or name == "kind":
            continue
        field = section.model_fields[name]
        assert field.description, name
        if field.annotation is float and name != "stopped_factor":
            assert units.search(name), name


ARM = """    barrier: pulse_pair
    roles:
      barrier_raise: { point: 1 }
      barrier_lower: { point: 2 }
      barrier_up: { point: 7 }
      barrier_down: { point: 8 }
      barrier_presence: { point: 9 }
"""


def test_an_arm_is_wired_and_configured_or_neither() -> None:
    wired = changed("    roles:\n", ARM)
    section = "barrier: { travel_s: 8, clear_s: 3 }\n\nstore:"
    config = parse(wired.replace("\nstore:", "\n" + section).encode(), NAME, LaneConfig)
    assert config.barrier is not None
    limits = config.to_arm_limits(config.barrier)
    assert (limits.travel_ns, limits.free_ns, limits.stale_ns) == (8_000_000_000, 3_000_000_000, 300_000_000)
    assert config.to_limits().barrier
    assert "the section barrier is missing" in errors_of(wired)[0]
    assert "no I/O module has the barrier's roles" in errors_of(TEXT.replace("\nstore:", "\n" + section))[0]
    assert not load_config(EXAMPLE).to_limits().barrier
    half = wired.replace("      barrier_up: { point: 7 }\n", "")
    assert "a barrier needs roles barrier_up" in errors_of(half)[0]


def test_a_missing_key_points_at_its_section() -> None:
    text = changed("    region: na\n", "")
    assert errors_of(text) == [f"lane.yaml:{place_of(text, 'id: rfid-1')}: devices.0.region: Field required"]


def test_all_errors_are_told_at_once_in_the_order_of_the_file() -> None:
    text = changed("v_max_kmh: 20", "v_max_kmh: fast")
    text = text.replace("    point: 502\n", "").replace("unlocode: CAFOE", "unlocode: cafoe")
    text = text.replace("  port: 9464", "  port: 99999")
    lines = errors_of(text)
    assert [line.split(": ")[1] for line in lines] == ["lane.unlocode", "kinematics.v_max_kmh", "metrics.port"]


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("  reaction_s: 1.5", "  reaction_ms: 1500", "kinematics.reaction_ms", "did you mean reaction_s?"),
        ("    baud: 115200", "    bauds: 115200", "devices.0.bauds", "did you mean baud?"),
        ("kinematics:", "kinematic:", "kinematic", "did you mean kinematics?"),
        ("      green: { point: 0 }", "      grean: { point: 0 }", "devices.1.roles.grean", "did you mean green?"),
        (
            "      red_feedback: { point: 5 }",
            "      red_feedback: { pont: 5 }",
            "devices.1.roles.red_feedback.pont",
            "point?",
        ),
        ("  loopback_port: 0", "  colour: red", "api.colour", "unknown key; known: groups, loopback_port, socket_dir"),
        ("    host: 192.0.2.10", "    host: no", "devices.1.host", "quote it"),
        ("    host: 192.0.2.10", "    host: off", "devices.1.host", "quote it"),
        ('  office: "0453" #', "  office: 453 #", "lane.office", "quote it"),
        ("    port: 502", '    port: "502"', "devices.1.port", "valid integer"),
        ("    port: 502", "    port: 0o766", "devices.1.port", "valid integer"),
        ("    port: 502", "    port: true", "devices.1.port", "valid integer"),
        ("    kind: mercury", "    kind: gemini", "devices.0", "gemini"),
        ("  decel_ms2: 2.0", "  decel_ms2: .nan", "kinematics.decel_ms2", "valid number"),
        ("  decel_ms2: 2.0", "  decel_ms2: 1e999", "kinematics.decel_ms2", "out of any range"),
        ("  target: release.example:443", "  target: release.example", "central.target", "pattern"),
        ("  target: release.example:443", "  target: release.example:65536", "central.target", "65536 is no port"),
        ("  reserve_mb: 64", "  reserve_mb: 4096", "store.reserve_mb", "below max_mb"),
        ('  office: "0453" #', '  office: "0454" #', "lane.office", "not the office of lane.id"),
        (
            "start_m: -30.0, end_m: -28.0 } # d",
            "start_m: -70.0, end_m: -68.0 } # d",
            "geometry.zone_d.start_m",
            "zone_a",
        ),
        ("start_m: -3.0, end_m: -0.5", "start_m: -3.0, end_m: -5", "geometry.zone_s.end_m", "downstream"),
        (
            "  stop_line_beam_m: 0.0",
            "  stop_line_beam_m: 40.0",
            "geometry.stop_line_beam_m",
            "green would outlive the crossing",
        ),
        ("device: rfid-1, antenna: 1", "device: rfid-2, antenna: 1", "geometry.antennas.0.device", "no reader"),
        ("device: rfid-1, antenna: 1", "device: rfid-1, antenna: 3", "geometry.antennas.0.antenna", "no antenna"),
        ("    antennas: [1, 2]", "    antennas: [1, 2, 4]", "devices.0.antennas", "antenna 4 has no place"),
        ("      stop_line_beam: { point: 4, active: low }", "", "devices", "stop_line_beam"),
        ("      green_feedback: { point: 6 }", "", "devices", "roles green_feedback"),
        ("  device: io-1", "  device: io-2", "signal.device", "no I/O module"),
        ("  red_min_ms: 500", "  amber_ms: 3000", "signal.amber_ms", "must be 0"),
        (
            "  v_max_kmh: 20\n  reaction_s: 1.5",
            "  v_max_kmh: 40\n  reaction_s: 3",
            "kinematics.v_max_kmh",
            "upstream of zone_a",
        ),
        ('prefix_hex: "3034"', 'prefix_hex: "3035"', "classes.1.prefix_hex", "classes.0 already"),
        ('prefix_hex: "3034"', 'prefix_hex: "3034", mask_hex: "FF"', "classes.1.mask_hex", "as long as"),
        (
            "      target: unix:/run/lane-edge-agent/officer.sock",
            "      target: 192.0.2.1:443",
            "console.lanes.0.target",
            "tls",
        ),
        ("  listen_port: 8554", "  listen_port: 8554\n  listen_host: 0.0.0.0", "media.listen_host", "given twice"),
        ("  socket_dir: /run/", f"  socket_dir: /{'long/' * 20}", "api.socket_dir", "longer than 91 bytes"),
        ("  listen_port: 8080", "  listen_port: 8554", "console.listen_port", "8554 is media.listen_port already"),
        ("  loopback_port: 0", "  loopback_port: 9464", "metrics.port", "9464 is api.loopback_port already"),
        ("    poll_ms: 25", "    poll_ms: 25\n    stale_ms: 1000", "devices.1.stale_ms", "can pass in 900 ms"),
        ("    - view: overview", "    - view: io-1", "media.cameras.0.view", "devices.1 already"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, path: str, message: str) -> None:
    lines = errors_of(changed(old, new))
    hits = [line for line in lines if re.fullmatch(rf"lane\.yaml:\d+:\d+: {re.escape(path)}: .*", line)]
    assert len(hits) == 1, lines
    assert message in hits[0]


def test_a_key_given_twice_is_told_with_both_places() -> None:
    text = changed("  decel_ms2: 2.0", "  decel_ms2: 2.0\n  reaction_s: 2.0")
    first, second = place_of(text, "reaction_s: 1.5"), place_of(text, "reaction_s: 2.0")
    assert errors_of(text) == [f"lane.yaml:{second}: kinematics.reaction_s: given twice, first at {first}"]


def test_two_devices_on_one_port_are_refused() -> None:
    reader = TEXT[TEXT.index("  - id: rfid-1") : TEXT.index("  - id: io-1")]
    text = TEXT.replace("  - id: io-1", reader.replace("rfid-1\n    kind", "rfid-2\n    kind") + "  - id: io-1")
    lines = errors_of(text)
    assert any("devices.1.port: /dev/lane/rfid-1 is the port of devices.0 already" in line for line in lines)
    text = TEXT.replace("  - id: io-1", reader + "  - id: io-1")
    assert any("devices.1.id: rfid-1 is the id of devices.0" in line for line in errors_of(text))


def test_one_port_of_one_address_is_for_one_program() -> None:
    for host in ("localhost", "0.0.0.0"):
        text = changed("  host: 127.0.0.1\n  port: 9464", f"  host: {host}\n  port: 8080")
        assert ["8080 is metrics.port already" in line for line in errors_of(text)] == [True], host
    text = changed("  host: 127.0.0.1\n  port: 9464", "  host: 192.0.2.1\n  port: 8080")
    assert parse(text.encode(), NAME, LaneConfig).metrics.port == 8080


def test_an_amber_shorter_than_a_driver_needs_is_refused() -> None:
    text = changed(
        "      green: { point: 0 }",
        "      green: { point: 0 }\n      amber: { point: 1 }\n      amber_feedback: { point: 7 }",
    )
    assert "has an amber: give its length" in errors_of(text)[0]
    short = text.replace("  red_min_ms: 500", "  red_min_ms: 500\n  amber_ms: 2000")
    assert "a driver at 20 km/h needs 2889 ms or more" in errors_of(short)[0]
    parse(short.replace("amber_ms: 2000", "amber_ms: 3000").encode(), NAME, LaneConfig)


def test_a_camera_or_lane_file_that_opens_a_door_needs_a_token() -> None:
    text = TEXT.replace("media:\n  listen_host: 127.0.0.1", "media:\n  listen_host: 0.0.0.0")
    assert ["token_file is needed" in line for line in errors_of(text)] == [True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lane.yaml:1:1: the file is empty"),
        (b"lane: [", "lane.yaml:1:8: "),
        (b"lane:\n  id: \xff", "lane.yaml:2:1: not UTF-8"),
        (b"a: 1\nb: \x07", "lane.yaml:2:1: a character that YAML does not allow"),
        (b"- 1\n", "lane.yaml:1:1: Input should be an object"),
        (b"lane: &a [*a]\n", "(aliases?)"),
        (b"lane: !!python/object/apply:os.system [ls]\n", "lane.yaml:1:7: "),
        (b"lane: 1\n---\nlane: 2\n", "lane.yaml:2:1: "),
        (b"? [a]\n: 1\n", "lane.yaml:1:3: only plain words can be keys"),
        (b"lane: " + b"9" * 5000, "not a number"),
        (b"[" * 3000, "lane.yaml:1:1: not YAML"),
    ],
)
def test_what_is_no_usable_yaml_is_told(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(content, NAME, LaneConfig)


def test_a_billion_laughs_stay_small() -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"k{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)]
    assert any("too large" in line for line in errors_of("\n".join(lines)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_config(tmp_path / "none.yaml")
    assert caught.value.code == "CONFIG_UNREADABLE"


def test_a_console_away_from_any_lane_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "console.yaml"
    path.write_text(TEXT[TEXT.index("console:\n") :])
    assert load_console_config(path).console == load_console_config(EXAMPLE).console.model_copy(
        update={"token_file": tmp_path / "keys" / "console.token"}
    )
    path.write_text(TEXT[: TEXT.index("console:\n")])
    with pytest.raises(ConfigError, match="console: Field required"):
        load_console_config(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.text(max_size=200) | st.builds(yaml.safe_dump, VALUES),
    st.sampled_from([LaneConfig, ConsoleConfig]),
)
def test_no_document_makes_the_loader_raise_anything_else(text: str, model: type[Any]) -> None:
    with pytest.raises(ConfigError, match=r"lane\.yaml:\d+:\d+: "):
        parse(text.encode("utf-8", "surrogatepass"), NAME, model)


@given(st.data())
def test_no_change_of_a_valid_file_makes_it_raise_anything_else(data: st.DataObject) -> None:
    node = whole = yaml.safe_load(TEXT)
    while isinstance(node, dict | list) and node:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
            if data.draw(st.booleans()):
                node[key] = data.draw(VALUES)
            elif isinstance(node, dict):
                node[data.draw(st.text(min_size=1, max_size=8))] = node.pop(key)
            else:
                node.pop(key)
            break
        node = node[key]
    with contextlib.suppress(ConfigError):
        parse(yaml.safe_dump(whole).encode(), NAME, LaneConfig)


HEAD = "      red_feedback: { point: 5 }\n      green_feedback: { point: 6 }\n      green: { point: 0 }\n"
OTHER = (
    "  - id: io-2\n    kind: modbus_lane_io\n    unit_id: 2\n    poll_ms: 50\n    profile: generic_coils\n"
    "    roles: { green: { point: 0 }, red_feedback: { point: 0 }, green_feedback: { point: 1 } }\n"
)


def on_a_line(other: str) -> str:
    """The example with its zones on a module of a serial line, and its head on another module."""
    text = changed(
        "    host: 192.0.2.10\n    port: 502\n    profile: wago_750_352\n",
        "    serial: { path: /dev/lane/io, parity: N }\n    profile: generic_coils\n",
    )
    text = text.replace(HEAD, "").replace("  device: io-1", "  device: io-2")
    return text.replace("\nsignal:\n", "\n" + other + "signal:\n", 1)


def test_modules_share_a_serial_line_under_different_units() -> None:
    other = OTHER
    line = "    serial: { path: /dev/lane/io, parity: N }\n"
    assert len(parse(on_a_line(other + line).encode(), NAME, LaneConfig).devices) == 3
    same = errors_of(on_a_line(other.replace("unit_id: 2", "unit_id: 1") + line))
    assert any("/dev/lane/io unit 1 is the port of devices.1 already" in told for told in same)
    faster = errors_of(on_a_line(other + line.replace("parity", "baud: 9600, parity")))
    assert any("/dev/lane/io is used by devices.1 in another way" in told for told in faster)
    reader = errors_of(on_a_line(other + line.replace("/dev/lane/io", "/dev/lane/rfid-1")))
    assert any("/dev/lane/rfid-1 is used by devices.0 in another way" in told for told in reader)


@pytest.mark.parametrize(
    ("line", "share"),
    [("baud: 1200, parity: E", "1577%"), ("baud: 9600, parity: N", "179%"), ("baud: 19200, parity: N", "")],
)
def test_a_serial_line_has_time_for_what_is_asked_on_it(line: str, share: str) -> None:
    serial = f"    serial: {{ path: /dev/lane/io, {line} }}\n"
    text = on_a_line(OTHER + serial).replace("{ path: /dev/lane/io, parity: N }", f"{{ path: /dev/lane/io, {line} }}")
    if not share:
        parse(text.encode(), NAME, LaneConfig)
        return
    (told,) = errors_of(text)
    assert "devices.1.serial.baud: /dev/lane/io: polls and signal cycles ask for " + share in told
    assert "raise baud, or poll its modules less often" in told


def test_zones_are_on_one_module_and_so_is_the_head() -> None:
    other = (
        "  - id: io-2\n    kind: modbus_lane_io\n    host: 192.0.2.21\n    profile: generic_coils\n    roles:\n"
        "      {role}: {{ point: 1 }}\n"
    )
    for role, told in (
        ("zone_x", "one poll must see all of them"),
        ("red_feedback", "one session reads the head back"),
    ):
        line = next(line for line in TEXT.splitlines(keepends=True) if line.startswith(f"      {role}:"))
        text = changed(line, "").replace("\nsignal:\n", "\n" + other.format(role=role) + "signal:\n", 1)
        assert any(told in error for error in errors_of(text)), role


def test_a_sign_with_a_controller_of_its_own_is_the_lanes_only_one() -> None:
    section = "sign: { host: 10.20.7.40, profile: ntcip_1203, community_file: sign.key }\n\nstore:"
    text = TEXT.replace("\nstore:", "\n" + section)
    config = parse(text.encode(), NAME, LaneConfig)
    assert config.sign is not None
    assert (config.sign.host, config.sign.port, config.sign.community_file.name) == ("10.20.7.40", 161, "sign.key")
    assert load_config(EXAMPLE).sign is None
    both = text.replace("    roles:\n", "    roles:\n      sign_closed: { point: 3 }\n", 1)
    assert "has a sign already: roles sign_closed" in errors_of(both)[0]
    named = "".join(errors_of(text.replace("id: rfid-1\n", "id: sign\n", 1)))
    assert "sign is the name of the message sign" in named
