"""What a truck and its driver will do: plans, written by scenarios and by the traffic generator."""

from dataclasses import dataclass
from enum import StrEnum

from hil.world import tags

# No plan may brake harder: followers keep the distance that is safe against this, and so never touch.
MAX_BRAKE_MPS2 = 2.0


class TagKind(StrEnum):
    """What a tag is for; the lane sees only its EPC."""

    DRIVER_CARD = "driver_card"
    TRANSPONDER = "transponder"
    CARGO = "cargo"


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One tag on a truck. `offset_m` behind the nose; `level_db` added to its level (a sleeve or heated glass is
    negative); present from/until world seconds (a card pulled out late, or put away)."""

    epc: str
    kind: TagKind
    tid: str | None = None
    offset_m: float = 1.5
    level_db: float = 0.0
    present_from_s: float = float("-inf")
    present_until_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class StopAct:
    """The driver stops with the nose at `x_m` for `seconds`, whatever the lamp shows."""

    x_m: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ReverseAct:
    """The driver stops with the nose at `x_m`, then backs up `distance_m` (less if the follower is too near)."""

    x_m: float
    distance_m: float


Act = StopAct | ReverseAct


class Behaviour(StrEnum):
    """Whether the driver heeds the lamp."""

    OBEYS = "obeys"
    RUNS_RED = "runs_red"


@dataclass(frozen=True, slots=True)
class TruckPlan:
    """One truck. Times in world seconds, lengths in metres. ValueError when a value cannot be driven.

    `enter_s` is when the nose wants to be at `start_m` (default: the lane's entry; later when the way is blocked) at
    `start_kmh` (default: cruise). `stop_short_m` before the line is where the driver aims to stand. `stop_reaction_s`
    applies when the lamp leaves green, `go_reaction_s` when it turns green or the leader moves off. `gap_m` is the
    distance kept to a standing leader, `headway_s` the time kept to a moving one. `cab_m` is the driver's place behind
    the nose. `drawbar` from where to where behind the nose there is nothing but a drawbar, near the road.
    """

    id: str
    enter_s: float
    cruise_kmh: float = 15.0
    length_m: float = 23.0
    tags: tuple[TagSpec, ...] = ()
    plate_front: str | None = None
    plate_rear: str | None = None
    behaviour: Behaviour = Behaviour.OBEYS
    acts: tuple[Act, ...] = ()
    start_m: float | None = None
    start_kmh: float | None = None
    brake_mps2: float = MAX_BRAKE_MPS2
    accelerate_mps2: float = 0.8
    stop_reaction_s: float = 1.5
    go_reaction_s: float = 1.0
    stop_short_m: float = 1.0
    gap_m: float = 4.0
    headway_s: float = 1.5
    cab_m: float = 1.5
    drawbar: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        checks = (
            (self.cruise_kmh > 0, "cruise_kmh must be positive"),
            (self.length_m > 0, "length_m must be positive"),
            (0 < self.brake_mps2 <= MAX_BRAKE_MPS2, f"brake_mps2 must be over 0 and at most {MAX_BRAKE_MPS2}"),
            (self.accelerate_mps2 > 0, "accelerate_mps2 must be positive"),
            (self.stop_reaction_s >= 0 and self.go_reaction_s >= 0, "a reaction time must not be negative"),
            (self.stop_short_m > 0 and self.gap_m > 0, "stop_short_m and gap_m must be positive"),
            (self.headway_s >= 0.5, "headway_s must be at least 0.5"),
            (
                self.drawbar is None or 0 < self.drawbar[0] < self.drawbar[1] < self.length_m,
                "the drawbar must begin and end within the truck",
            ),
            (self.start_kmh is None or 0 <= self.start_kmh <= self.cruise_kmh, "start_kmh must be 0 to cruise_kmh"),
        )
        for holds, message in checks:
            if not holds:
                raise ValueError(f"truck {self.id}: {message}")


def driver_card(serial: int, offset_m: float = 1.5, level_db: float = 0.0) -> TagSpec:
    """A driver's border card held in the cab. No TID: those of such cards are not unique to the tag."""
    return TagSpec(tags.driver_card_epc(serial), TagKind.DRIVER_CARD, None, offset_m, level_db)


def transponder(serial: int, offset_m: float = 1.2, level_db: float = 2.0) -> TagSpec:
    """The truck's windscreen transponder, a little stronger than a card."""
    return TagSpec(tags.transponder_epc(serial), TagKind.TRANSPONDER, tags.transponder_tid(serial), offset_m, level_db)


def cargo_tag(serial: int, offset_m: float = 10.0, level_db: float = -3.0) -> TagSpec:
    """A tag on the goods, inside the trailer."""
    return TagSpec(tags.cargo_epc(serial), TagKind.CARGO, None, offset_m, level_db)
