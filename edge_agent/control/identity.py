"""Who this lane is and the keys it holds: names and digests for every record, tokens and seals for identities."""

import os
import uuid
from functools import partial
from importlib.metadata import version
from pathlib import Path

from drivers import registry
from drivers.api import Clock, EdgeError, Stamp
from drivers.modbus.settings import default_profile_dir
from drivers.modbus.settings.profile import load_profile
from edge_agent.central.seal_identity import IdentitySealer
from edge_agent.config.schema import LaneConfig, LaneIoDevice
from edge_agent.model.errors import ConfigError
from edge_agent.model.lane import LaneIdentity
from edge_agent.passage.uuid7 import uuid7
from edge_agent.store.records import StoreLimits
from edge_agent.store.store import Store

from .capture_desk import CaptureDesk, CaptureLimits, CapturePorts, CaptureSubject
from .sightings import SightingTracker, TagClass
from .signal_loop import interlock_digest

_MB = 1 << 20
_KEY_BYTES_MIN = 16


def new_uuid7(at: Stamp) -> str:
    """A UUIDv7 for this moment, from fresh randomness."""
    return uuid7(at.utc_ns, os.urandom(16), 0)


def new_boot_id() -> str:
    """Names one life of this process."""
    return str(uuid.uuid4())


def _profile_digest(config: LaneConfig) -> str:
    """Of the signal module's profile; "" when it cannot be used (the device is parked then, and the lane red)."""
    module = next(d for d in config.devices if isinstance(d, LaneIoDevice) and d.id == config.signal.device)
    try:
        return f"sha256:{load_profile(default_profile_dir() / f'{module.profile}.yaml').digest}"
    except EdgeError:
        return ""


def lane_identity(config: LaneConfig) -> LaneIdentity:
    """Names and digests that go into every record."""
    return LaneIdentity(
        lane=config.lane.id,
        office=config.lane.office,
        unlocode=config.lane.unlocode,
        direction=config.lane.direction,
        agent_version=version("lane-edge-agent"),
        config_digest=f"sha256:{config.config_digest}",
        profile_digest=_profile_digest(config),
        interlock_digest=f"sha256:{interlock_digest()}",
    )


async def open_store(config: LaneConfig, clock: Clock) -> Store:
    """The lane's store. StoreError when another agent has it or it cannot be durable."""
    limits = StoreLimits(
        capacity_bytes=config.store.max_mb * _MB,
        reserve_bytes=config.store.reserve_mb * _MB,
    )
    return await Store.open(config.store.path, config.lane.id, clock, os.urandom, limits)


def sighting_tracker(config: LaneConfig, lane: str) -> SightingTracker:
    """Turns tag reads into sealed sightings with this site's keys. ConfigError when a key cannot be read."""
    key = _site_key(config.central.lane_key_file)
    sealer = IdentitySealer(config.central.central_public_key_file, lane)
    policy = config.policy

    return SightingTracker(
        classes=tuple(TagClass(c.kind, c.prefix, c.mask) for c in config.classes),
        site_key=key,
        seal=sealer.seal,
        sealed_key_id=sealer.key_id,
        new_id=new_uuid7,
        lost_s=policy.sighting_lost_s,
        early_reads=policy.early_reads,
    )


def capture_desk(config: LaneConfig, identity: LaneIdentity, ports: CapturePorts) -> CaptureDesk:
    """The lane's captures, sealed to the capture key, or to central's."""
    subjects = {
        device.id: CaptureSubject(
            kind=device.kind,
            profile=device.profile,
            describe=partial(registry.describe, device.kind, device.id, device),
            digest=partial(registry.profile_digest, device),
        )
        for device in config.devices
    }
    section = config.capture
    limits = CaptureLimits(section.max_s, section.max_mb * _MB, config.store.reserve_mb * _MB)
    key = section.public_key_file or config.central.central_public_key_file
    return CaptureDesk(ports, identity, subjects, config.store.path / "captures", key, limits)


def _site_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            "SITE_KEY_UNREADABLE", f"{path}: {error.strerror}", "get the site key from central"
        ) from error
    if len(key) < _KEY_BYTES_MIN:
        hint = "get the site key from central again"
        raise ConfigError(
            "SITE_KEY_INVALID", f"{path} has {len(key)} bytes, at least {_KEY_BYTES_MIN} are needed", hint
        )
    return key
