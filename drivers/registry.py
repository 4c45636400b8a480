"""Every kind of device: its settings, and how one session of it is made. To add a driver, add a line here.

Settings are plain models and are imported here; the driver itself is imported when one is made, so that a process loads
only the drivers it runs. Makers raise EdgeError or DeviceRefused when the settings name a profile that cannot be used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from drivers.api import Clock, Source
from drivers.camera.settings import RtspCameraSettings
from drivers.modbus.settings import LaneIoSettings
from drivers.rfid.settings import EncompassSettings, LlrpSettings, MercurySettings

if TYPE_CHECKING:
    from drivers.camera.rtsp_camera import RtspCamera
    from drivers.modbus.lane_io import LaneIo

S = TypeVar("S", bound=BaseModel)
D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[S, D_co]):
    """One kind: the model of its settings, and `make(device id, settings, clock)` for one session."""

    settings: type[S]
    make: Callable[[str, S, Clock], D_co]


def make_mercury(device: str, settings: MercurySettings, clock: Clock) -> Source:
    """One session of a Mercury reader."""
    from drivers.rfid.mercury_reader import make_mercury_reader

    return make_mercury_reader(device, settings, clock)


def make_llrp(device: str, settings: LlrpSettings, clock: Clock) -> Source:
    """One session of an LLRP reader."""
    from drivers.rfid.llrp_reader import make_llrp_reader

    return make_llrp_reader(device, settings, clock)


def make_encompass(device: str, settings: EncompassSettings, clock: Clock) -> Source:
    """One session of a TransCore Encompass reader."""
    from drivers.rfid.encompass_reader import make_encompass_reader

    return make_encompass_reader(device, settings, clock)


def make_lane_io(device: str, settings: LaneIoSettings, clock: Clock) -> "LaneIo":
    """One session of a Modbus I/O module: a Source that is also the lane's SignalHead when its outputs are wired."""
    from drivers.modbus import settings as modbus

    return modbus.make_lane_io(device, settings, clock)


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
