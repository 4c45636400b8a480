"""Settings and profile put together: one session of one module."""

from pathlib import Path

from drivers.api import Clock, EdgeError
from drivers.link.replay import ReplaySplice
from drivers.link.tape import DIRECT, Splice, TapedSplice
from drivers.modbus.bus import BusTiming
from drivers.modbus.head_codec import HeadWiring
from drivers.modbus.input_codec import InputPoint
from drivers.modbus.lane_io import LaneIo
from drivers.modbus.plan import LaneIoPlan
from drivers.modbus.settings import LaneIoSettings, default_barrier_dir
from drivers.modbus.settings.barrier import load_barrier
from drivers.modbus.settings.profile import Profile, Timeouts, load_profile
from drivers.modbus.shared_line import SharedLines


def assemble(
    device_id: str,
    settings: LaneIoSettings,
    clock: Clock,
    profile_dir: Path,
    lines: SharedLines,
    splice: Splice = DIRECT,
) -> LaneIo:
    """One session. EdgeError PROFILE_INVALID, ROLE_INVALID or SETTINGS_INVALID, DeviceRefused PROFILE_UNSAFE."""
    profile = load_profile(profile_dir / f"{settings.profile}.yaml")
    other = settings.inputs_module
    inputs_profile = load_profile(profile_dir / f"{other.profile}.yaml") if other is not None else profile
    for used in (profile, inputs_profile):
        _check_link(device_id, settings, used)
    timing = _timing(profile.timeouts).suiting(_timing(inputs_profile.timeouts))
    plan, line = _plan(settings), settings.line
    if isinstance(splice, ReplaySplice):
        from drivers.modbus.taped import ReplayBus, callee

        replayed = ReplayBus(device_id, line, timing, splice.player)
        session = LaneIo(device_id, plan, profile, clock, replayed, inputs_profile)
        splice.callee = callee(session)
        return session
    bus = lines.bus(device_id, line, timing)
    if isinstance(splice, TapedSplice):
        from drivers.modbus.taped import TapedBus, TapedLaneIo

        taped = TapedBus(bus, splice.tape)
        return TapedLaneIo(device_id, plan, profile, clock, taped, inputs_profile).note_calls(splice.tape)
    return LaneIo(device_id, plan, profile, clock, bus, inputs_profile)


def _check_link(device_id: str, settings: LaneIoSettings, profile: Profile) -> None:
    link = "rtu" if settings.serial is not None else "tcp"
    if link not in profile.links:
        key = "serial" if link == "rtu" else "host"
        what = f"{device_id}: {key}, but {profile.model} is reached over {' or '.join(profile.links)} only"
        raise EdgeError("SETTINGS_INVALID", what, "see links in the module's profile")


def _timing(timeouts: Timeouts) -> BusTiming:
    return BusTiming(timeouts.reply_ms, timeouts.quiet_ms, timeouts.gap_ms, timeouts.connect_ms)


def _plan(settings: LaneIoSettings) -> LaneIoPlan:
    outputs = settings.outputs
    head = None
    if "green" in outputs:
        amber = outputs.get("amber")
        head = HeadWiring(outputs["green"].point, amber.point if amber else None)
    return LaneIoPlan(
        unit=settings.unit_id,
        inputs={role: InputPoint(wired.point, wired.active == "high") for role, wired in settings.inputs.items()},
        head=head,
        inputs_unit=settings.inputs_module.unit_id if settings.inputs_module is not None else None,
        lamp_feedback=settings.feedback_grade == "lamp",
        poll_s=settings.poll_ms / 1000,
        stale_s=settings.stale_ms / 1000,
        misses_allowed=settings.misses_allowed,
        watchdog_ms=settings.watchdog_ms,
        pulse_ms=settings.pulse_ms,
        actuators=settings.actuators,
        arm_pulse_ms=load_barrier(default_barrier_dir() / f"{settings.barrier}.yaml").pulse_ms
        if settings.barrier
        else 0,
    )
