"""Settings and profile put together: one session of one module."""

from pathlib import Path

from drivers.api import Clock
from drivers.modbus.bus import BusTiming, ModbusBus, SerialLine, TcpLine
from drivers.modbus.head_codec import HeadWiring
from drivers.modbus.input_codec import InputPoint
from drivers.modbus.lane_io import LaneIo, LaneIoPlan
from drivers.modbus.settings import LaneIoSettings
from drivers.modbus.settings.profile import load_profile


def assemble(device_id: str, settings: LaneIoSettings, clock: Clock, profile_dir: Path) -> LaneIo:
    """One session. EdgeError PROFILE_INVALID, ROLE_INVALID or SETTINGS_INVALID, DeviceRefused PROFILE_UNSAFE."""
    profile = load_profile(profile_dir / f"{settings.profile}.yaml")
    timeouts = profile.timeouts
    timing = BusTiming(timeouts.reply_ms, timeouts.quiet_ms, timeouts.gap_ms, timeouts.connect_ms)
    return LaneIo(device_id, _plan(settings), profile, clock, ModbusBus(device_id, _line(settings), timing))


def _line(settings: LaneIoSettings) -> TcpLine | SerialLine:
    if settings.serial is not None:
        serial = settings.serial
        return SerialLine(serial.path, serial.baud, serial.parity, serial.stop_bits)
    assert settings.host is not None, "validated: host or serial"
    return TcpLine(settings.host, settings.port)


def _plan(settings: LaneIoSettings) -> LaneIoPlan:
    outputs = settings.outputs
    head = None
    if outputs:
        amber = outputs.get("amber")
        head = HeadWiring(outputs["green"].point, amber.point if amber else None)
    return LaneIoPlan(
        unit=settings.unit_id,
        inputs={role: InputPoint(wired.point, wired.active == "high") for role, wired in settings.inputs.items()},
        head=head,
        lamp_feedback=settings.feedback_grade == "lamp",
        poll_s=settings.poll_ms / 1000,
        stale_s=settings.stale_ms / 1000,
        misses_allowed=settings.misses_allowed,
        watchdog_ms=settings.watchdog_ms,
        pulse_ms=settings.pulse_ms,
    )
