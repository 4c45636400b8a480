"""What is known of an RFID reader's health: plain numbers for a technician, no identity value among them."""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.api import Stamp

RSSI_BOUNDS_DBM = (-75, -70, -65, -60, -55, -50, -45, -40)
"""A level counts in the bucket it falls in; a bound belongs to the bucket below it. Weaker and stronger ones have a
bucket each."""


@dataclass(frozen=True, slots=True)
class AntennaHealth:
    """One antenna of a reader since the agent began.

    `rssi` reads by bucket, weakest first, and `rssi_unknown` those without a level; `air_crc_errors` reads whose tag's
    own check did not fit. Of the last `vehicles` counted through the lane, `vehicles_read` were read here and
    `vehicles_only_here` by no other antenna. `faults` what is wrong now ("high return loss").
    """

    antenna: int
    reads: int
    rssi: tuple[int, ...]
    rssi_unknown: int
    air_crc_errors: int
    vehicles: int
    vehicles_read: int
    vehicles_only_here: int
    miss_limit_percent: int
    faults: tuple[str, ...] = ()

    @property
    def missed_percent(self) -> float:
        """Share of the counted vehicles that were not read here; 0 while none was counted."""
        return 100.0 * (self.vehicles - self.vehicles_read) / self.vehicles if self.vehicles else 0.0


@dataclass(frozen=True, slots=True)
class ReadingGap:
    """A time without reading: from the last sign of life to the next DeviceUp (`until` None: it lasts). `code` why."""

    since: Stamp
    until: Stamp | None
    code: str


@dataclass(frozen=True, slots=True)
class ReaderHealth:
    """One reader now. `reads_per_s` over the last ten seconds; `temperature_c` the last it told; `counters` its own
    numbers by name, summed over all its sessions; `gaps` the last ones, oldest first."""

    device: str
    kind: str
    up: bool
    reads: int
    reads_per_s: float
    temperature_c: float | None
    over_temperature: bool
    antennas: tuple[AntennaHealth, ...]
    counters: Mapping[str, float]
    gaps: tuple[ReadingGap, ...]
