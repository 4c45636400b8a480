"""What was observed of driver, conveyance and cargo: claims, sightings and how they were given to a vehicle."""

from dataclasses import dataclass
from enum import StrEnum

from drivers.api import Secret, Stamp


class Leg(StrEnum):
    """The three identity legs."""

    DRIVER = "driver"
    CONVEYANCE = "conveyance"
    CARGO = "cargo"


class IdentityKind(StrEnum):
    """What a claim is read from. OTHER_TAG: a transponder of no configured class, kept as data."""

    DRIVER_CARD = "driver_card"
    TRANSPONDER = "transponder"
    OTHER_TAG = "other_tag"
    PLATE_FRONT = "plate_front"
    PLATE_REAR = "plate_rear"
    CRN = "crn"
    CCN = "ccn"
    CONTAINER = "container"


LEG_OF: dict[IdentityKind, Leg] = {
    IdentityKind.DRIVER_CARD: Leg.DRIVER,
    IdentityKind.TRANSPONDER: Leg.CONVEYANCE,
    IdentityKind.OTHER_TAG: Leg.CARGO,
    IdentityKind.PLATE_FRONT: Leg.CONVEYANCE,
    IdentityKind.PLATE_REAR: Leg.CONVEYANCE,
    IdentityKind.CRN: Leg.CARGO,
    IdentityKind.CCN: Leg.CARGO,
    IdentityKind.CONTAINER: Leg.CARGO,
}

BINDING: frozenset[IdentityKind] = frozenset(
    {IdentityKind.DRIVER_CARD, IdentityKind.TRANSPONDER, IdentityKind.PLATE_FRONT}
)
"""Kinds the identity digest covers: a change in one of them voids the decision. The rest is supplementary."""


@dataclass(frozen=True, slots=True)
class IdentityClaim:
    """One identity value without its clear text: `token` for equality (keyed HMAC), `sealed` for central only (HPKE).

    `source` is `device/antenna` or `central`; `confidence` 0..1. `scheme` is the coding of a transponder's number
    ("sgtin-96", "raw"; the air protocol where it has none; "opaque" for cards, whose number is not looked into; "" for
    everything else) and `filter_value` its filter where the coding has one (GS1 EPC Tag Data Standard). `tid_token`:
    the chip's number in the same way as `token`, "" where it was not read.
    """

    kind: IdentityKind
    token: str
    sealed: bytes
    sealed_key_id: str
    source: str
    confidence: float = 1.0
    scheme: str = ""
    filter_value: int | None = None
    tid_token: str = ""

    @property
    def leg(self) -> Leg:
        """The identity leg this claim supports."""
        return LEG_OF[self.kind]

    @property
    def binding(self) -> bool:
        """Whether the identity digest covers this claim."""
        return self.kind in BINDING


@dataclass(frozen=True, slots=True)
class ClearIdentity:
    """What stands behind a token while its passage is live: the value, and what it says by its own coding (a GS1 pure
    identity URI, ASCII), if anything."""

    value: Secret
    uri: Secret | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """All reads of one transponder by one antenna without a pause longer than the policy's `sighting_lost_s`.

    `peak` is the time of the strongest smoothed RSSI; `rssi_peak_cdbm` in centi-dBm, `rssi_mean_cdbm` over all reads (0
    where it is not known); `closed` when the pause was seen.
    """

    sighting_id: str
    claim: IdentityClaim
    device: str
    antenna: int
    reads: int
    rssi_peak_cdbm: int
    first: Stamp
    peak: Stamp
    last: Stamp
    closed: bool = False
    rssi_mean_cdbm: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """A sighting given to a conveyance, with the score that decided and the rivals it beat (conveyance id, score)."""

    sighting: Sighting
    score: float
    rivals: tuple[tuple[str, float], ...]
    early: bool
    at: Stamp
