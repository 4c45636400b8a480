"""Every kind of device: its settings, and how one session of it is made. To add a driver, add a line here.

Settings are plain models and are imported here; the driver itself is imported when one is made, so that a process loads
only the drivers it runs. Makers raise EdgeError or DeviceRefused when the settings name a profile that cannot be used.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from pydantic import BaseModel

from drivers.api import Clock, DeviceRefused, Source
from drivers.camera.settings import RtspCameraSettings
from drivers.link.tape import DIRECT, Splice
from drivers.modbus.settings import LaneIoSettings, default_profile_dir
from drivers.modbus.settings.profile import load_profile
from drivers.rfid.settings import EncompassSettings, LlrpSettings, MercurySettings, load_mercury_profile
from drivers.rfid.settings.encompass import load_encompass_profile
from drivers.rfid.settings.llrp import load_llrp_profile

if TYPE_CHECKING:
    from drivers.camera.rtsp_camera import RtspCamera
    from drivers.modbus.lane_io import LaneIo
    from drivers.modbus.shared_line import SharedLines

ReaderSettings = MercurySettings | LlrpSettings | EncompassSettings
"""Settings of an RFID reader of any family."""

S = TypeVar("S", bound=BaseModel)
D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[S, D_co]):
    """One kind: the model of its settings, and `make(device id, settings, clock)` for one session."""

    settings: type[S]
    make: Callable[[str, S, Clock], D_co]


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


MERCURY = Kind(MercurySettings, make_mercury)
LLRP = Kind(LlrpSettings, make_llrp)
ENCOMPASS = Kind(EncompassSettings, make_encompass)
MODBUS_LANE_IO = Kind(LaneIoSettings, make_lane_io)
RTSP = Kind(RtspCameraSettings, make_rtsp)

KINDS: dict[
    str,
    Kind[MercurySettings, Source]
    | Kind[LlrpSettings, Source]
    | Kind[EncompassSettings, Source]
    | Kind[LaneIoSettings, "LaneIo"]
    | Kind[RtspCameraSettings, "RtspCamera"],
]
KINDS = {"mercury": MERCURY, "llrp": LLRP, "encompass": ENCOMPASS, "modbus_lane_io": MODBUS_LANE_IO, "rtsp": RTSP}


def describe(kind: str, device: str, settings: BaseModel, expected_identity: str = "") -> bytes:
    """What a session is made from, for its capture: JSON of kind, device, settings, the profile file's digest, and the
    identity that a module must have."""
    model = KINDS[kind].settings
    body = settings.model_dump(mode="json", include=set(model.model_fields))
    digest = profile_digest(settings)
    told = {"kind": kind, "device": device, "settings": body, "profile_digest": digest, "identity": expected_identity}
    return json.dumps(told).encode()


def remake(made_from: bytes, clock: Clock, splice: Splice) -> Source:
    """The session that `describe` described. DeviceRefused PROFILE_DIFFERS when the profile file is not the same here,
    SESSION_UNKNOWN when this version knows no such kind or settings, and what the driver's maker raises."""
    try:
        told = json.loads(made_from)
        make = CAPTURED[told["kind"]]
        settings = KINDS[told["kind"]].settings.model_validate(told["settings"])
        device, digest = str(told["device"]), told["profile_digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceRefused("SESSION_UNKNOWN", "this version cannot make the captured session") from error
    here = profile_digest(settings)
    if digest != here:
        what = f"the session was captured with profile sha256:{digest[:12]}, here it is sha256:{here[:12]}"
        raise DeviceRefused("PROFILE_DIFFERS", what, "use the version of the agent that the capture names")
    session: Source = make(device, settings, clock, splice)
    if told["kind"] == "modbus_lane_io":
        cast("LaneIo", session).expected_identity = told["identity"]
    return session


def profile_digest(settings: BaseModel) -> str:
    """SHA-256 of the profile file (or files) that these settings name, "" for a kind without profiles. EdgeError or
    DeviceRefused when there is no such profile."""
    if isinstance(settings, MercurySettings):
        return load_mercury_profile(settings.profile).digest
    if isinstance(settings, LlrpSettings):
        return load_llrp_profile(settings.profile).digest
    if isinstance(settings, EncompassSettings):
        return load_encompass_profile(settings.profile).digest
    if isinstance(settings, LaneIoSettings):
        other = settings.inputs_module
        names = [settings.profile, *([other.profile] if other is not None else [])]
        return "+".join(load_profile(default_profile_dir() / f"{name}.yaml").digest for name in names)
    return ""


def make_reader(device: str, settings: ReaderSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """One session of an RFID reader of any family."""
    return CAPTURED[settings.kind](device, settings, clock, splice)


CAPTURED: dict[str, Callable[..., Source]] = {
    "mercury": make_mercury,
    "llrp": make_llrp,
    "encompass": make_encompass,
    "modbus_lane_io": make_lane_io,
}
"""Kinds whose link can be captured."""
