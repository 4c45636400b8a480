"""What a technician is told keeps the lane red: the root first, and nothing that only follows from it."""

from drivers.api import DeviceError, LinkLost, Stamp
from edge_agent.control.red import told
from edge_agent.passage.codes import CauseCode
from edge_agent.passage.views import Cause
from edge_agent.safety.facts import Reason
from edge_agent.wire.lane import HINTS

NOW = Stamp(1_000_000_000, 1_000_000_000)
MODULES = frozenset({"io-1"})
VEHICLE = (
    Cause(CauseCode.LINE_OCCUPIED, "the vehicle ahead has not cleared the stop line"),
    Cause(CauseCode.ORDER_UNKNOWN, "order of the corridor is unknown"),
    Cause(CauseCode.DECISION, "waiting for a decision"),
    Cause(CauseCode.NOT_STANDING, "must stand at the stop line first"),
)
HOLD = Cause(CauseCode.LANE_HOLD, "lane held: look", NOW, "bso-7")
LOST = Cause(CauseCode.ZONES_LOST, "zone inputs are not known", NOW)


def down(device: str) -> Cause:
    return Cause(CauseCode.DEVICE_DOWN, f"{device} is down: DEVICE_DOWN", NOW)


def since(*reasons: Reason) -> list[tuple[Reason, Stamp]]:
    return [(reason, NOW) for reason in reasons]


WITHOUT_MODULE = since(
    Reason.MODULE_NOT_READY,
    Reason.READBACK_UNKNOWN,
    Reason.CANNOT_CONFIRM,
    Reason.STOP_LINE_UNKNOWN,
    Reason.NO_LEASE,
    Reason.ORDER_UNKNOWN,
    Reason.MINIMUM_RED,
)


def test_a_lane_whose_module_is_gone_names_the_module_and_what_has_another_cause() -> None:
    faults: dict[str, DeviceError] = {
        "io-1": LinkLost("MODBUS_LINK_LOST", "io-1 at 192.0.2.10:502: refused", "look at its power"),
        "rfid-1": DeviceError("RFID_SILENT", "no answer"),
    }
    core = [HOLD, LOST, down("rfid-1"), down("io-1"), *VEHICLE]
    causes = told(core, WITHOUT_MODULE, ["rfid-1", "io-1"], MODULES, faults)
    assert [(cause.code, cause.text) for cause in causes] == [
        ("REQUIRED_DEVICE_DOWN", "io-1 is down: MODBUS_LINK_LOST"),
        ("HOLD_LANE", "lane held: look"),
        ("ZONES_LOST", "zone inputs are not known"),
        ("REQUIRED_DEVICE_DOWN", "rfid-1 is down: RFID_SILENT"),
        ("module_not_ready", "interlock: module not ready"),
    ]
    assert causes[0].hint == "look at its power"
    assert causes[3].hint == HINTS["REQUIRED_DEVICE_DOWN"]


def test_without_zones_nothing_is_told_of_vehicles() -> None:
    causes = told([LOST, *VEHICLE], WITHOUT_MODULE, [], MODULES, {})
    assert [cause.code for cause in causes] == ["ZONES_LOST", "module_not_ready"]


def test_a_device_whose_fault_is_not_known_yet_keeps_the_cores_words() -> None:
    (cause,) = told([down("rfid-1")], [], ["rfid-1"], MODULES, {})
    assert (cause.text, cause.by) == ("rfid-1 is down: DEVICE_DOWN", "")


def test_a_well_lane_keeps_every_cause_and_the_interlocks_own() -> None:
    causes = told(VEHICLE, since(Reason.READBACK_DISAGREES, Reason.NO_LEASE, Reason.MINIMUM_RED), [], MODULES, {})
    assert [cause.code for cause in causes] == [
        *(cause.code.value for cause in VEHICLE), "readback_disagrees", "minimum_red",
    ]  # fmt: skip
    causes = told([], since(Reason.NO_LEASE), [], MODULES, {})
    assert [cause.code for cause in causes] == ["no_lease"]


def test_every_cause_and_reason_that_stands_alone_has_a_next_step() -> None:
    told_by_core = {Reason.FAULT_LATCHED, Reason.HOLD, Reason.MODE, Reason.ORDER_UNKNOWN, Reason.NOT_STANDING}
    wanted = [*CauseCode, *(reason for reason in Reason if reason not in told_by_core)]
    assert [code for code in wanted if not HINTS.get(code.value)] == []
