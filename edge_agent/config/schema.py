"""What may stand in `lane.yaml`: every section, key, unit and range. Values are checked one by one here and against
each other in `checks.py`. Distances in metres from the stop line, downstream positive; times by the ending of the key.
"""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal, Self, cast

from pydantic import Field, PrivateAttr, ValidationInfo, create_model, model_validator

from drivers import registry
from drivers.camera.settings import RtspCameraSettings
from drivers.modbus.settings import LaneIoSettings
from drivers.rfid.settings.family import FilePath, ReaderSettings
from drivers.sign.settings import SignSettings
from edge_agent.model.decision import Role
from edge_agent.model.identity import IdentityKind
from edge_agent.model.lane import Geometry, Kinematics, LaneMode, LanePolicy, Zone
from edge_agent.model.presence import cannot_see
from edge_agent.safety.barrier import ArmLimits
from edge_agent.safety.timing import Limits

from .places import GeometrySection, PresenceSection
from .section import Id, Section

_MS = 1_000_000
_S = 1_000_000_000


Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:\[\]-]+$")]
Origin = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9_.:\[\]-]+$")]


class LaneSection(Section):
    """Which lane this is; the names go into every record."""

    id: str = Field(pattern=r"^ports/[0-9]{3,4}/lanes/[A-Za-z0-9-]{1,16}$", description="ports/{office}/lanes/{lane}")
    office: str = Field(pattern=r"^[0-9]{3,4}$", description="Customs office code (quote it: a leading zero counts)")
    unlocode: str = Field(pattern=r"^[A-Z]{2}[A-Z2-9]{3}$", description="UN/LOCODE of the port of entry")
    direction: Literal["inbound", "outbound"] = Field(
        default="inbound", description="Direction of travel seen from here"
    )
    mode_at_start: Literal["closed", "attended", "remote", "degraded", "all_hold"] = Field(
        default="closed", description="Lane mode of a new store; a restart keeps the mode that was set"
    )


class KinematicsSection(Section):
    """One parameter set: commit distance, minimum amber and minimum follower gap follow from it."""

    v_max_kmh: float = Field(ge=5, le=40, description="Speed limit of the lane")
    v_min_kmh: float = Field(
        default=3.0, gt=0, le=10, description="Slowest rolling speed; below it dead reckoning gives up"
    )
    reaction_s: float = Field(default=1.5, ge=0.5, le=5, description="Driver's reaction time")
    decel_ms2: float = Field(default=2.0, ge=0.5, le=6, description="Braking of a loaded truck, m/s2")
    stop_kmh: float = Field(default=2.0, gt=0, le=5, description="Below this a vehicle stands")


class PolicySection(Section):
    """What the lane asks for before green, and its times."""

    required_driver: bool = Field(default=True, description="A driver card must be read")
    required_conveyance: bool = Field(default=True, description="A transponder or front plate must be read")
    required_cargo: bool = Field(default=True, description="Central must name the cargo")
    early_reads: int = Field(default=3, ge=1, le=100, description="Reads before a sighting may be assigned early")
    early_margin_cdb: int = Field(default=600, ge=0, le=3000, description="Lead over the rival for it, centi-dB")
    settle_s: float = Field(default=0.3, ge=0, le=5, description="Quiet time before a complete identity is asked about")
    debounce_s: float = Field(default=0.3, ge=0, le=5, description="Least time between two requests for one conveyance")
    commit_margin_s: float = Field(default=0.3, ge=0, le=5, description="Added before the commit distance")
    lease_ttl_s: float = Field(default=30.0, ge=1, le=120, description="Life of a lease given on a decision")
    officer_lease_s: float = Field(default=20.0, ge=1, le=120, description="Life of an officer's lease")
    request_ttl_s: float = Field(default=5.0, ge=0.5, le=60, description="After it a request counts as unanswered")
    green_max_s: float = Field(default=45.0, ge=5, le=300, description="Longest green")
    stall_after_green_s: float = Field(default=12.0, ge=2, le=120, description="Standing on the stop loop under green")
    abandon_s: float = Field(default=900.0, ge=30, le=86_400, description="No movement for so long: abandoned")
    stopped_factor: float = Field(default=2.0, ge=1.1, le=10, description="Times the expected travel time: stopped")
    centre_grace_s: float = Field(default=0.0, ge=0, le=30, description="A live green outlives the centre link by this")
    officer_presence_required: bool = Field(
        default=False, description="Without a watching console and an officer in control the lane is DEGRADED"
    )
    control_s: float = Field(
        default=4.0, ge=2, le=30, description="An officer's control of the lane ends without a sign of life for so long"
    )
    sighting_lost_s: float = Field(default=2.0, ge=0.2, le=30, description="Pause that closes a sighting")
    stray_after_s: float = Field(default=60.0, ge=1, le=3600, description="Unassigned sightings are stray after this")
    maintenance_max_s: float = Field(default=7200.0, ge=60, le=43_200, description="Longest maintenance")
    static_after_s: float = Field(default=120.0, ge=10, le=3600, description="A stray heard so long is a static tag")
    static_rise_cdb: int = Field(default=600, ge=0, le=3000, description="Louder by this, a static tag has moved")
    static_forget_s: float = Field(default=300.0, ge=10, le=86_400, description="Silence that ends its exclusion")
    stray_alarm: int = Field(default=20, ge=2, le=1000, description="Strays of one antenna that make the aim alarm")
    stray_window_s: float = Field(default=3600.0, ge=60, le=86_400, description="Within so long")
    passback_s: float = Field(default=600.0, ge=0, le=86_400, description="A card back sooner is flagged; 0: never")

    def to_policy(self) -> LanePolicy:
        """The core's record; it has the same names."""
        return LanePolicy(**self.model_dump())


Hex = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}){1,62}$")]


class TagClassSection(Section):
    """Which transponders are what, by the leading bytes of the EPC."""

    kind: Literal[IdentityKind.DRIVER_CARD, IdentityKind.TRANSPONDER, IdentityKind.OTHER_TAG] = Field(
        description="What a tag with this prefix identifies"
    )
    prefix_hex: Hex = Field(description="Leading bytes in hex (quote it)")
    mask_hex: Hex | None = Field(default=None, description="Which of those bits count; all when absent")

    @property
    def prefix(self) -> bytes:
        """The leading bytes."""
        return bytes.fromhex(self.prefix_hex)

    @property
    def mask(self) -> bytes:
        """Which of their bits count; empty for all."""
        return bytes.fromhex(self.mask_hex or "")


class ReaderDevice(ReaderSettings):
    """A reader of this lane: what its family declares, and this."""

    id: Id = Field(description="Name of the device in records, conditions and metrics")
    required: bool = Field(default=True, description="Green is withheld while it is down")


def reader_section(settings: type[ReaderSettings]) -> type[ReaderDevice]:
    """The section for readers of the family with these settings."""
    name = settings.__name__.removesuffix("Settings") + "Device"
    # The family's part comes first: it may narrow what all readers have. That it is no section makes the type a fib.
    bases = (cast("type[ReaderDevice]", settings), ReaderDevice)
    return create_model(name, __base__=bases, __doc__=settings.__doc__, __module__=__name__)


class LaneIoDevice(LaneIoSettings):
    """A Modbus I/O module of this lane."""

    kind: Literal["modbus_lane_io"]
    id: Id = Field(description="Name of the device in records, conditions and metrics")
    required: Literal[True] = Field(default=True, description="Always: a lane without its inputs or its signal is red")


READER_SECTIONS = {kind: reader_section(family.settings) for kind, family in registry.READERS.items()}
"""What may stand in the file of a reader of each family."""

if TYPE_CHECKING:
    Device = ReaderDevice | LaneIoDevice
else:
    Device = Annotated[reduce(or_, READER_SECTIONS.values(), LaneIoDevice), Field(discriminator="kind")]


class SignalSection(Section):
    """The signal head and its T values."""

    device: Id = Field(description="I/O module whose outputs drive the head")
    cycle_ms: int = Field(default=100, ge=20, le=200, description="Period of the signal loop")
    t_rb_ms: int = Field(
        default=300,
        ge=100,
        le=2000,
        description="Command and readback may differ so long (and up to 100 more)",
    )
    red_min_ms: int = Field(default=500, ge=200, le=10_000, description="Shortest red after green")
    amber_ms: int = Field(default=0, ge=0, le=10_000, description="Length of amber; 0 on a head without amber")
    stale_ms: int = Field(default=300, ge=100, le=1000, description="Older inputs and readbacks are worthless")
    lamp_fault_ms: int = Field(default=700, ge=700, le=1000, description="No lamp lit for so long: fault (NEMA TS 2)")
    conflict_ms: int = Field(
        default=200, ge=200, le=350, description="Red and green together for so long: fault (NEMA TS 2)"
    )
    chatter_per_min: int = Field(default=40, ge=6, le=200, description="More changes of aspect in a minute: fault")
    hardware: Literal["real", "virtual"] = Field(
        default="real", description="virtual: a simulated module on this computer, which needs no kill test for REMOTE"
    )


class BarrierSection(Section):
    """The barrier arm's T values; its contacts are roles of the head's I/O module."""

    travel_s: float = Field(default=10.0, ge=1, le=60, description="A movement that takes longer is a fault")
    clear_s: float = Field(default=2.0, ge=1, le=60, description="Nobody near for so long before it is asked down")
    settle_ms: int = Field(default=500, ge=200, le=5000, description="Limit switches may contradict so long")


class NoticesSection(Section):
    """Beacon and tone, where they are wired to the head's I/O module; a message sign there needs no times."""

    beacon_s: float = Field(default=60.0, ge=1, le=3600, description="A violation keeps the beacon on for so long")
    tone_s: float = Field(default=5.0, ge=0.5, le=60, description="A violation sounds the tone for so long")


class SignSection(SignSettings):
    """A message sign with a controller of its own (NTCIP 1203)."""

    community_file: FilePath = Field(description="SNMP community that may write, without line break at its end")


class StoreSection(Section):
    """The journal and outbox on disk."""

    path: FilePath = Field(description="Folder, one agent's alone; made when missing")
    reserve_mb: int = Field(default=64, ge=8, le=10_000, description="Kept free for passages already in the corridor")
    max_mb: int = Field(default=2048, ge=64, le=1_000_000, description="Largest size of journal, outbox and evidence")


class CaptureSection(Section):
    """Captures of device links, made in maintenance: encrypted, limited, for one purpose."""

    public_key_file: FilePath | None = Field(
        default=None, description="X25519 public key captures are sealed to; central's when absent"
    )
    max_s: float = Field(default=600.0, ge=1, le=7200, description="Longest capture")
    max_mb: int = Field(default=64, ge=1, le=4096, description="Largest capture")


class TlsSection(Section):
    """Mutual TLS."""

    ca_file: FilePath = Field(description="Certificates the other side must be signed by (PEM)")
    cert_file: FilePath = Field(description="Own certificate chain (PEM)")
    key_file: FilePath = Field(description="Own private key (PEM)")


class CentralSection(Section):
    """The release service."""

    target: str = Field(
        pattern=r"^(unix:/[^\s]+|[A-Za-z0-9_.\[\]:-]+:[0-9]{1,5})$", description="host:port or unix:/path"
    )
    tls: TlsSection | None = Field(default=None, description="Needed for any target but loopback and unix")
    lane_key_file: FilePath = Field(description="Site key of the equality tokens, 16 bytes or more")
    central_public_key_file: FilePath = Field(description="Central's HPKE public key identities are sealed to")
    drain_per_s: int = Field(default=200, ge=1, le=10_000, description="Pace at which a backlog is sent")


class ApiSection(Section):
    """The agent's own gRPC doors: one unix socket per role, and loopback for viewers."""

    socket_dir: FilePath = Field(description="Folder of the sockets")
    groups: dict[Role, Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]] = Field(
        default_factory=dict, description="Unix group that may open the role's socket; the agent's own when absent"
    )
    loopback_port: int = Field(default=0, ge=0, le=65535, description="Loopback port in the viewer role; 0: none")


class MetricsSection(Section):
    """Prometheus metrics of the control process."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=9464, ge=0, le=65535, description="TCP port; 0 takes a free one")


class CameraSection(RtspCameraSettings):
    """A camera of this lane; its view is its device id."""

    password_file: FilePath | None = Field(default=None, description="File holding the password and nothing else")
    required: bool = Field(default=False, description="Green is withheld while it is down")


class MediaSection(Section):
    """The media process: cameras and their viewers."""

    listen_host: Host = Field(default="127.0.0.1", description="Address to listen on")
    listen_port: int = Field(default=8554, ge=0, le=65535, description="HTTP port of WHEP; 0 takes a free one")
    token_file: FilePath | None = Field(default=None, description="Viewers' bearer token; needed for any but loopback")
    allowed_origins: tuple[Origin, ...] = Field(default=(), description="Pages that may play, scheme://host:port")
    max_viewers: int = Field(default=16, ge=1, le=64, description="Viewers at one time")
    cameras: tuple[CameraSection, ...] = Field(description="The lane's cameras")


class ConsoleLaneSection(Section):
    """One lane on the officer's page."""

    name: str = Field(min_length=1, max_length=40, description="What the officer calls the lane")
    target: str = Field(
        pattern=r"^(unix:/[^\s]+|[A-Za-z0-9_.\[\]:-]+:[0-9]{1,5})$",
        description="The agent's door: unix:/path/officer.sock or host:port",
    )
    tls: TlsSection | None = Field(default=None, description="Needed for any target but loopback and unix")
    media_url: Origin | None = Field(default=None, description="Where the browser finds the lane's media process")


class ConsoleSection(Section):
    """The console process: the officer's page for one or many lanes."""

    listen_host: Host = Field(default="127.0.0.1", description="Address to listen on")
    listen_port: int = Field(default=8080, ge=0, le=65535, description="HTTP port; 0 takes a free one")
    token_file: FilePath = Field(description="The token that opens the page")
    allowed_origins: tuple[Origin, ...] = Field(default=(), description="Further origins of the page (a proxy's)")
    lanes: tuple[ConsoleLaneSection, ...] = Field(min_length=1, max_length=64, description="The lanes shown")


class LaneConfig(Section):
    """A whole `lane.yaml`."""

    lane: LaneSection = Field(description="Which lane this is")
    presence: PresenceSection = Field(default_factory=PresenceSection, description="What tells where vehicles are")
    geometry: GeometrySection = Field(description="Where things are")
    kinematics: KinematicsSection = Field(description="Speeds and braking")
    policy: PolicySection = Field(default_factory=PolicySection, description="What is asked for before green")
    classes: tuple[TagClassSection, ...] = Field(min_length=1, description="Which transponders are what")
    devices: tuple[Device, ...] = Field(min_length=1, description="Readers and I/O modules")
    signal: SignalSection = Field(description="The head and its times")
    barrier: BarrierSection | None = Field(default=None, description="The barrier arm, when this lane has one")
    notices: NoticesSection = Field(default_factory=NoticesSection, description="Beacon and tone")
    sign: SignSection | None = Field(default=None, description="The message sign, when it has its own controller")
    store: StoreSection = Field(description="Journal and outbox")
    central: CentralSection = Field(description="The release service")
    api: ApiSection = Field(description="The agent's own doors")
    metrics: MetricsSection = Field(default_factory=MetricsSection, description="Prometheus")
    capture: CaptureSection = Field(default_factory=CaptureSection, description="Captures of device links")
    media: MediaSection | None = Field(default=None, description="The media process, when this lane has one")
    console: ConsoleSection | None = Field(default=None, description="The console process, when it runs here")
    _digest: str = PrivateAttr("")

    @model_validator(mode="after")
    def _take_digest(self, info: ValidationInfo) -> Self:
        self._digest = (info.context or {}).get("digest", "")
        return self

    @property
    def config_digest(self) -> str:
        """SHA-256 of the file's bytes, in hex; "" for a configuration that came from no file."""
        return self._digest

    @property
    def mode_at_start(self) -> LaneMode:
        """The lane mode after every start."""
        return LaneMode(self.lane.mode_at_start)

    def to_geometry(self) -> Geometry:
        """Positions for the passage core."""
        g = self.geometry
        line, end = g.line, g.end
        assert line is not None, "checks.py refuses a lane without a sensor at the line"
        assert end is not None, "and one that ends nowhere"
        return Geometry(
            a=g.zone_a.to_span(),
            d=g.zone_d.to_span(),
            s=g.zone_s.to_span(),
            beam_m=line.start_m,
            x=end,
            antennas=tuple((antenna.device, antenna.antenna, antenna.to_span()) for antenna in g.antennas),
            length_max_m=g.length_max_m,
            floors=tuple(
                (antenna.device, antenna.antenna, round(antenna.floor_dbm * 100))
                for antenna in g.antennas
                if antenna.floor_dbm is not None
            ),
            layout=self.presence.layout,
            line_length_m=line.end_m - line.start_m,
            exit_sensed=g.zone_x is not None,
        )

    def cannot_see(self) -> tuple[str, ...]:
        """What this lane's sensors cannot see, one sentence each."""
        return cannot_see(self.presence.layout, exit_sensed=self.geometry.zone_x is not None)

    def miss_limits(self, device: str) -> dict[int, int]:
        """Percent of the vehicles each antenna of a reader may miss."""
        return {
            antenna.antenna: antenna.miss_limit_percent
            for antenna in self.geometry.antennas
            if antenna.device == device
        }

    def to_kinematics(self) -> Kinematics:
        """The lane's one kinematic parameter set; the names are the same."""
        return Kinematics(**self.kinematics.model_dump())

    def to_policy(self) -> LanePolicy:
        """What is asked for before green."""
        return self.policy.to_policy()

    def to_limits(self) -> Limits:
        """The T values of the interlock, in ns."""
        return Limits(
            stale_ns=self.signal.stale_ms * _MS,
            settle_ns=self.signal.t_rb_ms * _MS,
            dark_ns=self.signal.lamp_fault_ms * _MS,
            conflict_ns=self.signal.conflict_ms * _MS,
            red_min_ns=self.signal.red_min_ms * _MS,
            amber_ns=self.signal.amber_ms * _MS,
            green_max_ns=round(self.policy.green_max_s * _S),
            stall_ns=round(self.policy.stall_after_green_s * _S),
            source_grace_ns=round(self.policy.centre_grace_s * _S),
            chatter_max=self.signal.chatter_per_min,
            barrier=self.barrier is not None,
            zones=tuple(zone for zone in Zone if zone is not Zone.X or self.geometry.zone_x is not None),
        )

    def to_arm_limits(self, barrier: BarrierSection) -> ArmLimits:
        """The T values of the barrier arm, in ns."""
        return ArmLimits(
            stale_ns=self.signal.stale_ms * _MS,
            travel_ns=round(barrier.travel_s * _S),
            free_ns=round(barrier.clear_s * _S),
            settle_ns=barrier.settle_ms * _MS,
        )


class ConsoleConfig(Section):
    """A file for a console away from any lane: only `console`. Its metrics are on the console's own port."""

    console: ConsoleSection = Field(description="The console process")
