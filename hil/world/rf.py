"""What a reader hears: path loss, antenna pattern and spread, as a fixed function of seed, tag and time."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

from hil.world.geometry import Antenna
from hil.world.motion import Segment
from hil.world.tags import mix64
from hil.world.truck import TagSpec

_WAVELENGTH_M = 299_792_458 / 915e6
_BUCKETS_PER_S = 20
_NORMAL_OF_SUM = math.sqrt(3.0) / 65536.0  # four 16-bit parts: a sum of variance 4/12


@dataclass(frozen=True, slots=True)
class TagInField:
    """A tag that the antenna can hear now; `rssi_dbm` at the reader."""

    epc: str
    tid: str | None
    antenna: int
    rssi_dbm: float


@dataclass(frozen=True, slots=True, order=True)
class AirRead:
    """One inventory answer at world second `t`. `phase_deg` 0-180, of the two-way path at 915 MHz."""

    t: float
    epc: str
    antenna: int
    rssi_dbm: float
    phase_deg: int
    tid: str | None


@dataclass(frozen=True, slots=True)
class Carrier:
    """Tags on something that moves: its track, oldest segment first."""

    tags: tuple[TagSpec, ...]
    track: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class StrayTag:
    """A tag on no truck, lying or standing at `x_m` (its `offset_m` counts too): litter, or the next lane."""

    tag: TagSpec
    x_m: float

    def carrier(self) -> Carrier:
        """The stray as something that stands for ever."""
        return Carrier((self.tag,), (Segment(-math.inf, math.inf, self.x_m, 0.0, 0.0),))


@dataclass(frozen=True, slots=True)
class RfModel:
    """Levels of a monostatic reader. `level_dbm` right under an antenna at 2.5 m; `exponent` of the path loss one way;
    `spread_db` standard deviation, new every 50 ms; below `sensitivity_dbm` nothing is heard. The defaults give a zone
    of about 6 m for a bare card. `reads_per_s` for each tag and antenna in reach."""

    level_dbm: float = -48.0
    exponent: float = 2.0
    spread_db: float = 2.5
    sensitivity_dbm: float = -70.0
    reads_per_s: float = 20.0
    reach_m: float = 6.0

    def mean_dbm(self, antenna: Antenna, along_m: float, level_db: float) -> float:
        """Level without spread of a tag `along_m` from under the antenna."""
        height = antenna.height_m
        # Two ways: each costs 10 n log10(d), and 12 dB x (angle / beamwidth)^2 in the pattern (3GPP TR 36.942 4.2.1).
        loss = 10.0 * self.exponent * math.log10((along_m * along_m + height * height) / 6.25)
        off_axis = math.degrees(math.atan2(along_m, height)) / antenna.beamwidth_deg
        return self.level_dbm + level_db - loss - 24.0 * off_axis * off_axis

    def in_field(
        self, antennas: tuple[Antenna, ...], carriers: tuple[Carrier, ...], t: float, seed: int
    ) -> tuple[TagInField, ...]:
        """Every (tag, antenna) above the sensitivity at `t`, strongest first."""
        bucket = math.floor(t * _BUCKETS_PER_S)
        heard: list[TagInField] = []
        for carrier in carriers:
            segment = next((s for s in reversed(carrier.track) if s.t0 <= t), carrier.track[0])
            nose = segment.at(t)[0] if segment.v or segment.a else segment.x
            for tag in carrier.tags:
                if not tag.present_from_s <= t < tag.present_until_s:
                    continue
                for antenna in antennas:
                    along = nose - tag.offset_m - antenna.x_m
                    if abs(along) <= self.reach_m:
                        rssi = self._rssi(antenna, along, tag, seed, bucket)
                        if rssi >= self.sensitivity_dbm:
                            heard.append(TagInField(tag.epc, tag.tid, antenna.port, rssi))
        return tuple(sorted(heard, key=lambda tag: (-tag.rssi_dbm, tag.epc, tag.antenna)))

    def reads(
        self, antennas: tuple[Antenna, ...], carriers: tuple[Carrier, ...], t0: float, t1: float, seed: int
    ) -> Iterator[AirRead]:
        """The discrete reads in (t0, t1], merged in order of time."""
        streams = [
            self._stream(antenna, tag, segment, (t0, t1), seed)
            for carrier in carriers
            for segment in carrier.track
            if segment.t1 > t0 and segment.t0 <= t1
            for tag in carrier.tags
            for antenna in antennas
            if self._comes_near(antenna, tag, segment, t0, t1)
        ]
        return heapq.merge(*streams)

    def _comes_near(self, antenna: Antenna, tag: TagSpec, segment: Segment, t0: float, t1: float) -> bool:
        here = antenna.x_m + tag.offset_m
        if segment.v == 0.0 and segment.a == 0.0:
            return abs(segment.x - here) <= self.reach_m
        first, last = segment.at(max(t0, segment.t0))[0], segment.at(min(t1, segment.t1))[0]
        return min(first, last) <= here + self.reach_m and max(first, last) >= here - self.reach_m

    def _stream(
        self, antenna: Antenna, tag: TagSpec, segment: Segment, window: tuple[float, float], seed: int
    ) -> Iterator[AirRead]:
        start, end = self._in_reach(antenna, tag, segment)
        start = max(start, tag.present_from_s, window[0])
        end = min(end, tag.present_until_s, window[1])
        key = mix64(int(tag.epc, 16) ^ (antenna.port << 56) ^ mix64(seed))
        period = 1.0 / self.reads_per_s
        slot = math.floor(start * self.reads_per_s) - 1
        while slot * period <= end:
            noise = mix64(key ^ (slot & 0xFFFFFFFFFFFF))
            # Slots are fixed in time and jittered within, so a read does not depend on where the window was cut.
            t = (slot + (noise & 0xFFFF) / 65536.0) * period
            slot += 1
            if not (window[0] < t <= window[1] and segment.t0 < t <= segment.t1 and start <= t <= end):
                continue
            along = (segment.at(t)[0] if segment.v or segment.a else segment.x) - tag.offset_m - antenna.x_m
            rssi = self._rssi(antenna, along, tag, seed, math.floor(t * _BUCKETS_PER_S))
            if rssi >= self.sensitivity_dbm:
                path_m = 2.0 * math.hypot(along, antenna.height_m)
                phase = int(path_m / _WAVELENGTH_M * 360.0) % 180
                yield AirRead(t, tag.epc, antenna.port, rssi, phase, tag.tid)

    def _in_reach(self, antenna: Antenna, tag: TagSpec, segment: Segment) -> tuple[float, float]:
        here = antenna.x_m + tag.offset_m
        if segment.v == 0.0 and segment.a == 0.0:
            return segment.t0, segment.t1
        forward = segment.v > 0.0 or (segment.v == 0.0 and segment.a > 0.0)
        side = self.reach_m if forward else -self.reach_m
        return segment.when_at(here - side, forward), min(segment.when_at(here + side, forward), segment.t1)

    def _rssi(self, antenna: Antenna, along_m: float, tag: TagSpec, seed: int, bucket: int) -> float:
        noise = mix64(int(tag.epc, 16) ^ mix64(seed ^ (bucket << 8) ^ antenna.port))
        total = (noise & 0xFFFF) + (noise >> 16 & 0xFFFF) + (noise >> 32 & 0xFFFF) + (noise >> 48)
        return self.mean_dbm(antenna, along_m, tag.level_db) + self.spread_db * (total - 131070) * _NORMAL_OF_SUM
