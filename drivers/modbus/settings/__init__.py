"""How a site describes one Modbus I/O module of its lane, and the factory that makes a session of it.

The driver is imported when a session is made, so that reading a configuration stays quick.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from drivers.api import Clock
from drivers.link.tape import DIRECT, Splice
from drivers.modbus.settings.line import SerialLine, TcpLine

if TYPE_CHECKING:
    from drivers.modbus.lane_io import LaneIo
    from drivers.modbus.shared_line import SharedLines

KIND = "modbus_lane_io"

InputRole = Literal[
    "zone_a",
    "zone_d",
    "zone_s",
    "zone_x",
    "stop_line_beam",
    "stop_line_loop",
    "stop_line_curtain_1",
    "stop_line_curtain_2",
    "red_feedback",
    "amber_feedback",
    "green_feedback",
    "barrier_up",
    "barrier_down",
    "barrier_presence",
]
HeadRole = Literal["green", "amber"]
ActuatorRole = Literal[
    "barrier_raise",
    "barrier_lower",
    "sign_proceed",
    "sign_secondary",
    "sign_closed",
    "beacon",
    "tone",
]
HEAD_ROLES: frozenset[str] = frozenset(get_args(HeadRole))
ACTUATOR_ROLES: frozenset[str] = frozenset(get_args(ActuatorRole))
BARRIER_ROLES = frozenset({"barrier_raise", "barrier_lower", "barrier_up", "barrier_down", "barrier_presence"})
OUTPUT_ROLES = HEAD_ROLES | ACTUATOR_ROLES


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SerialSettings(_Settings):
    """A Modbus RTU line. Modbus' own default is 19200 8E1."""

    path: Annotated[str, Field(min_length=1)]
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 19200
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1


class PointSettings(_Settings):
    """Which point of the module a role is wired to, counted from 0, and which level means active."""

    point: Annotated[int, Field(ge=0, le=511)]
    active: Literal["high", "low"] = "high"


class InputsModuleSettings(_Settings):
    """Another unit on the same line or behind the same gateway, whose inputs serve instead of the module's own."""

    unit_id: Annotated[int, Field(ge=1, le=247)]
    profile: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class LaneIoSettings(_Settings):
    """One module.

    `host` and `port`, or `serial`. `unit_id`: Modbus unit. `profile`: a file name of `firmware_configs/modbus` without
    its ending. `poll_ms`: period of the input poll. `stale_ms`: a gap between two polls above this breaks continuity
    (a new session of the snapshots). `misses_allowed`: failed polls in a row before the session ends counts this + 1.
    `watchdog_ms`: host-lost time set in the module. `pulse_ms`: green time of a timed pulse, started again long before
    it ends. `feedback_grade`: what the feedback inputs feel. `inputs_module`: for a module without inputs of its own;
    it must answer, or the session ends. `barrier`: a file name of `firmware_configs/barriers` without its ending, when
    the barrier roles are wired. `roles`: lane role -> point.
    """

    host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    serial: SerialSettings | None = None
    unit_id: Annotated[int, Field(ge=0, le=255)] = 1
    profile: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    poll_ms: Annotated[int, Field(ge=5, le=1000)] = 25
    stale_ms: Annotated[int, Field(ge=50, le=5000)] = 300
    misses_allowed: Annotated[int, Field(ge=0, le=10)] = 1
    watchdog_ms: Annotated[int, Field(ge=100, le=2000)] = 1000
    pulse_ms: Annotated[int, Field(ge=1000, le=1500)] = 1500
    feedback_grade: Literal["contact", "lamp"] = "contact"
    inputs_module: InputsModuleSettings | None = None
    barrier: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] | None = None
    roles: Annotated[dict[InputRole | HeadRole | ActuatorRole, PointSettings], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.host is None) == (self.serial is None):
            raise ValueError("give host or serial, one of them")
        if self.serial is not None and not 1 <= self.unit_id <= 247:
            raise ValueError("unit_id on a serial line is 1-247 (0 is broadcast and never answers)")
        if self.inputs_module is not None and self.inputs_module.unit_id == self.unit_id:
            raise ValueError("inputs_module.unit_id is the module's own: leave inputs_module out")
        if self.stale_ms <= self.poll_ms:
            raise ValueError("stale_ms must be over poll_ms")
        self._check_points()
        return self

    def _check_points(self) -> None:
        for names in (self.inputs, self.outputs):
            seen: dict[int, str] = {}
            for role, wiring in names.items():
                if wiring.point in seen:
                    raise ValueError(f"roles.{role} and roles.{seen[wiring.point]} share point {wiring.point}")
                seen[wiring.point] = role
        for role, wiring in self.outputs.items():
            if wiring.active == "low":
                raise ValueError(f"roles.{role}: active low would need a coil on for red; wire energise to proceed")
        self._check_actuators()
        self._check_barrier()
        if "amber" in self.roles and "green" not in self.roles:
            raise ValueError("roles.amber without roles.green")
        felt = {"red_feedback", "green_feedback"} & self.roles.keys()
        if "amber" in self.roles and felt and "amber_feedback" not in self.roles:
            raise ValueError("roles.amber_feedback is missing: a lit amber could not be told from a dark head")

    def _check_actuators(self) -> None:
        """The head is written as one block with everything between its points; its writes must not move anything."""
        head = [self.roles[role].point for role in ("green", "amber") if role in self.roles]
        for role, point in self.actuators.items():
            if not head:
                raise ValueError(f"roles.{role}: needs the module of the head, whose writes keep its watchdog fed")
            if min(head) <= point <= max(head):
                raise ValueError(f"roles.{role}: point {point} lies within the head's {min(head)}-{max(head)}")

    def _check_barrier(self) -> None:
        """An arm has all of its contacts or none: without limit switches and presence nobody may move it."""
        wired = BARRIER_ROLES & self.roles.keys()
        if not wired and self.barrier is None:
            return
        missing = sorted(BARRIER_ROLES - wired)
        if missing:
            raise ValueError(f"a barrier needs roles {', '.join(missing)} too")
        if self.barrier is None:
            raise ValueError("barrier is missing: which profile of firmware_configs/barriers is the operator's")

    @property
    def line(self) -> TcpLine | SerialLine:
        """Where it is reached."""
        if self.serial is not None:
            serial = self.serial
            return SerialLine(serial.path, serial.baud, serial.parity, serial.stop_bits)
        assert self.host is not None, "validated: host or serial"
        return TcpLine(self.host, self.port)

    @property
    def actuators(self) -> dict[str, int]:
        """Points of the outputs beside the head."""
        return {role: wiring.point for role, wiring in self.roles.items() if role in ACTUATOR_ROLES}

    @property
    def inputs(self) -> dict[str, PointSettings]:
        """Roles wired to inputs."""
        return {role: wiring for role, wiring in self.roles.items() if role not in OUTPUT_ROLES}

    @property
    def outputs(self) -> dict[str, PointSettings]:
        """Roles wired to outputs."""
        return {role: wiring for role, wiring in self.roles.items() if role in OUTPUT_ROLES}


def default_profile_dir() -> Path:
    """Where the profiles are: beside the installed package, or in the source tree."""
    packaged = Path(__file__).parents[2] / "_profiles" / "modbus"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "firmware_configs" / "modbus"


def default_barrier_dir() -> Path:
    """Where the barrier profiles are: beside those of the modules."""
    return default_profile_dir().with_name("barriers")


def make_lane_io(
    device_id: str,
    settings: LaneIoSettings,
    clock: Clock,
    profile_dir: Path | None = None,
    lines: "SharedLines | None" = None,
    splice: Splice = DIRECT,
) -> "LaneIo":
    """One session of one module. `lines`: the serial lines it may share with sessions of other modules; None: alone.

    EdgeError PROFILE_INVALID, ROLE_INVALID or SETTINGS_INVALID, DeviceRefused PROFILE_UNSAFE.
    """
    from drivers.modbus.assembly import assemble
    from drivers.modbus.shared_line import SharedLines

    return assemble(device_id, settings, clock, profile_dir or default_profile_dir(), lines or SharedLines(), splice)
