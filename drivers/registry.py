"""Every kind of device: its settings, and how one session of it is made. To add a reader family, add it to `READERS`.

Settings are plain models and are imported here; the driver itself is imported when one is made, so that a process loads
only the drivers it runs. Makers raise EdgeError or DeviceRefused when the settings name a profile that cannot be used.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from drivers.api import Clock, DeviceRefused, Source
from drivers.camera.settings import RtspCameraSettings
from drivers.link.tape import DIRECT, Splice
from drivers.modbus.settings import LaneIoSettings, default_profile_dir
from drivers.modbus.settings.profile import load_profile
from drivers.rfid.settings.encompass import EncompassSettings, load_encompass_profile
from drivers.rfid.settings.family import ReaderSettings
from drivers.rfid.settings.llrp import LlrpSettings, load_llrp_profile
from drivers.rfid.settings.mercury import MercurySettings, load_mercury_profile
from drivers.rfid.settings.profiles import ReaderProfile

if TYPE_CHECKING:
    from drivers.camera.rtsp_camera import RtspCamera
    from drivers.modbus.lane_io import LaneIo
    from drivers.modbus.shared_line import SharedLines

R = TypeVar("R", bound=ReaderSettings)
R_contra = TypeVar("R_contra", bound=ReaderSettings, contravariant=True)


class MakeReader(Protocol[R_contra]):
    """One session of one reader; its link goes through `splice`."""

    def __call__(self, device: str, settings: R_contra, clock: Clock, splice: Splice = DIRECT) -> Source:
        """Make it. DeviceRefused PROFILE_MISSING or PROFILE_INVALID."""
        ...


@dataclass(frozen=True, slots=True)
class Family(Generic[R]):
    """A family of readers. The section of a lane's configuration is built from `settings`, whose `kind` is the name the
    family has here; `load_profile` finds a profile by its name."""

    settings: type[R]
    load_profile: Callable[[str], ReaderProfile]
    make: MakeReader[R]


def make_mercury(device: str, settings: MercurySettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """One session of a Mercury reader."""
    from drivers.rfid.mercury_reader import make_mercury_reader

    return make_mercury_reader(device, settings, clock, splice)


def make_llrp(device: str, settings: LlrpSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """One session of an LLRP reader."""
    from drivers.rfid.llrp_reader import make_llrp_reader

    return make_llrp_reader(device, settings, clock, splice)


def make_encompass(device: str, settings: EncompassSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """One session of a TransCore Encompass reader."""
    from drivers.rfid.encompass_reader import make_encompass_reader

    return make_encompass_reader(device, settings, clock, splice)


READERS: dict[str, Family[Any]] = {
    "mercury": Family(MercurySettings, load_mercury_profile, make_mercury),
    "llrp": Family(LlrpSettings, load_llrp_profile, make_llrp),
    "encompass": Family(EncompassSettings, load_encompass_profile, make_encompass),
}
"""Reader families by the `kind` of their settings."""

LANE_IO, RTSP = "modbus_lane_io", "rtsp"


def make_reader(device: str, settings: ReaderSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """One session of an RFID reader of any family."""
    return READERS[settings.kind].make(device, settings, clock, splice)


def make_lane_io(
    device: str,
    settings: LaneIoSettings,
    clock: Clock,
    splice: Splice = DIRECT,
    lines: "SharedLines | None" = None,
) -> "LaneIo":
    """One session of a Modbus I/O module: a Source that is also the lane's SignalHead when its outputs are wired.
    `lines`: the process's serial lines, when modules share one."""
    from drivers.modbus import settings as modbus

    return modbus.make_lane_io(device, settings, clock, lines=lines, splice=splice)


def make_rtsp(device: str, settings: RtspCameraSettings, clock: Clock) -> "RtspCamera":
    """One session of an RTSP camera; its pictures go to the media process only."""
    from drivers.camera.rtsp_camera import RtspCamera

    return RtspCamera(device, settings, clock)


def settings_of(kind: str) -> type[BaseModel]:
    """The model of a kind's settings. KeyError for a kind that is not driven."""
    others: dict[str, type[BaseModel]] = {LANE_IO: LaneIoSettings, RTSP: RtspCameraSettings}
    return READERS[kind].settings if kind in READERS else others[kind]


def describe(kind: str, device: str, settings: BaseModel, expected_identity: str = "") -> bytes:
    """What a session is made from, for its capture: JSON of kind, device, settings, the profile file's digest, and the
    identity that a module must have."""
    body = settings.model_dump(mode="json", include=set(settings_of(kind).model_fields))
    digest = profile_digest(settings)
    told = {"kind": kind, "device": device, "settings": body, "profile_digest": digest, "identity": expected_identity}
    return json.dumps(told).encode()


def remake(made_from: bytes, clock: Clock, splice: Splice) -> Source:
    """The session that `describe` described. DeviceRefused PROFILE_DIFFERS when the profile file is not the same here,
    SESSION_UNKNOWN when this version knows no such kind or settings, and what the driver's maker raises."""
    try:
        told = json.loads(made_from)
        settings = settings_of(told["kind"]).model_validate(told["settings"])
        device, digest, identity = str(told["device"]), told["profile_digest"], told["identity"]
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceRefused("SESSION_UNKNOWN", "this version cannot make the captured session") from error
    here = profile_digest(settings)
    if digest != here:
        what = f"the session was captured with profile sha256:{digest[:12]}, here it is sha256:{here[:12]}"
        raise DeviceRefused("PROFILE_DIFFERS", what, "use the version of the agent that the capture names")
    if isinstance(settings, ReaderSettings):
        return make_reader(device, settings, clock, splice)
    if isinstance(settings, LaneIoSettings):
        module = make_lane_io(device, settings, clock, splice)
        module.expected_identity = identity
        return module
    raise DeviceRefused("SESSION_UNKNOWN", f"sessions of kind {told['kind']} are not captured")


def profile_digest(settings: BaseModel) -> str:
    """SHA-256 of the profile file (or files) that these settings name, "" for a kind without profiles. EdgeError or
    DeviceRefused when there is no such profile."""
    if isinstance(settings, ReaderSettings):
        return READERS[settings.kind].load_profile(settings.profile).digest
    if isinstance(settings, LaneIoSettings):
        other = settings.inputs_module
        names = [settings.profile, *([other.profile] if other is not None else [])]
        return "+".join(load_profile(default_profile_dir() / f"{name}.yaml").digest for name in names)
    return ""
