"""What the device table tells people about a device that is down."""

from drivers.api import DeviceInfo, DeviceUp, LinkLost, Stamp
from edge_agent.control.devices import VIEW_AWAITED_S, DeviceTable, profile_text
from edge_agent.runtime.health import HealthBoard

S = 1_000_000_000


def at(seconds: float) -> Stamp:
    return Stamp(round(seconds * S), round(seconds * S))


def test_a_device_that_fails_again_and_again_is_shown_after_a_second() -> None:
    board = HealthBoard()
    table = DeviceTable(board, lambda _record, _now: None)
    table.add("io-1", "modbus_lane_io", at(0), required=True)
    for tenth in range(0, 30, 7):
        table.fail("io-1", LinkLost("LINK_REFUSED", "nobody listens", "look at its power"), at(tenth / 10))
    shown = board.visible(at(2.9).mono_ns)
    assert [(condition.code, condition.device, condition.since) for condition in shown] == [
        ("LINK_REFUSED", "io-1", at(0))
    ]


def test_a_blip_that_heals_within_a_second_is_not_shown() -> None:
    board = HealthBoard()
    table = DeviceTable(board, lambda _record, _now: None)
    table.add("io-1", "modbus_lane_io", at(0), required=True)
    info = DeviceInfo(kind="modbus_lane_io", model="", firmware="")
    table.observe(DeviceUp(at(1), "io-1", info))
    table.fail("io-1", LinkLost("LINK_REFUSED", "nobody listens", "look at its power"), at(60))
    assert board.visible(at(60.9).mono_ns) == ()
    table.observe(DeviceUp(at(60.9), "io-1", info))
    assert board.visible(at(70).mono_ns) == ()


def test_a_condition_names_its_device_once() -> None:
    board = HealthBoard()
    table = DeviceTable(board, lambda _record, _now: None)
    for device, message in (("io-1", "io-1 at 192.0.2.10:502: refused"), ("rfid-1", "no answer")):
        table.add(device, "any", at(0), required=True)
        table.fail(device, LinkLost("LINK_LOST", message), at(0))
    titles = {condition.title for condition in board.raised()}
    assert titles == {"io-1 at 192.0.2.10:502: refused", "rfid-1: no answer"}


def test_a_devices_profile_is_told_with_its_evidence_and_digest() -> None:
    info = DeviceInfo(
        "mercury", "M6E", profile="m6e", profile_digest="0123456789abcdef", details={"profile_evidence": "manual"}
    )
    assert profile_text(info) == "m6e (evidence manual, sha256:0123456789ab)"
    assert profile_text(DeviceInfo("rtsp", "any")) == ""
    assert profile_text(DeviceInfo("rtsp", "any", profile="plain")) == "plain"


def test_a_camera_without_a_picture_has_its_fault_until_it_shows_one() -> None:
    table = DeviceTable(HealthBoard(), lambda _record, _now: None)
    table.add_view("overview", "rtsp", at(0), required=False)
    table.show_view("overview", at(1), live=False)
    faults = [(record.fault.code, record.fault.hint) for record in table.records() if record.fault is not None]
    assert [code for code, _ in faults] == ["CAMERA_NO_PICTURE"]
    assert "lane-media" in faults[0][1]
    table.show_view("overview", at(2), live=True)
    assert [(record.up, record.fault) for record in table.records()] == [(True, None)]


def test_a_view_that_nobody_ever_reports_becomes_a_condition() -> None:
    board = HealthBoard()
    table = DeviceTable(board, lambda _record, _now: None)
    table.add_view("overview", "rtsp", at(0), required=True)
    assert board.visible(at(VIEW_AWAITED_S - 1).mono_ns) == (), "the media process may still be starting"
    shown = board.visible(at(VIEW_AWAITED_S).mono_ns)
    assert [(condition.code, condition.device) for condition in shown] == [("CAMERA_NO_PICTURE", "overview")]
    table.show_view("overview", at(20), live=True)
    assert board.visible(at(60).mono_ns) == ()


def test_nobody_but_its_own_session_says_that_a_module_is_up() -> None:
    board = HealthBoard()
    told: list[str] = []
    table = DeviceTable(board, lambda record, _now: told.append(record.device))
    table.add("io-1", "modbus_lane_io", at(0), required=True)
    table.fail("io-1", LinkLost("LINK_REFUSED", "nobody listens", "look at its power"), at(0))
    told.clear()
    for name in ("io-1", "no-such-device"):
        table.show_view(name, at(1), live=True)
    assert not told, "the core must not hear that a required module is back"
    assert [(record.up, record.fault is not None) for record in table.records()] == [(False, True)]
    assert [condition.code for condition in board.visible(at(3).mono_ns)] == ["LINK_REFUSED"]
