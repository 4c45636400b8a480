"""What a reader hears: path loss, antenna pattern and spread, as a fixed function of seed, tag and time."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from hil.world.geometry import Antenna
from hil.world.motion import Segment
from hil.world.tags import mix64
from hil.world.truck import TagSpec

_WAVELENGTH_M = 299_792_458 / 915e6
_WAVE_NUMBER = 2.0 * math.pi / _WAVELENGTH_M
_BUCKETS_PER_S = 20
_NORMAL_OF_SUM = math.sqrt(3.0) / 65536.0  # four 16-bit parts: a sum of variance 4/12


@dataclass(frozen=True, slots=True)
class TagInField:
    """A tag that the antenna can hear now; `rssi_dbm` at the reader."""

    epc: str
    tid: str | None
    antenna: int
    rssi_dbm: float


class AirRead(NamedTuple):
    """One inventory answer at world second `t`. `phase_deg` 0-180, of the two-way path at 915 MHz."""

    t: float
    epc: str
    antenna: int
    rssi_dbm: float
    phase_deg: int
    tid: str | None


class Carrier(NamedTuple):
    """Tags on something that moves: its track, oldest segment first. `level_db`: what all of them gain or lose, as the
    next lane's do."""

    tags: tuple[TagSpec, ...]
    track: tuple[Segment, ...]
    level_db: float = 0.0


@dataclass(frozen=True, slots=True)
class StrayTag:
    """A tag on no truck, lying or standing at `x_m` (its `offset_m` counts too): litter, or the next lane."""

    tag: TagSpec
    x_m: float

    def carrier(self) -> Carrier:
        """The stray as something that stands for ever."""
        return Carrier((self.tag,), (Segment(-math.inf, math.inf, self.x_m, 0.0, 0.0),))


@dataclass(frozen=True)  # not slotted: what it has worked out is kept in it
class RfModel:
    """Levels of a monostatic reader. The defaults give a zone of about 6 m for a bare card.

    `level_dbm` right under an antenna at 2.5 m: a windscreen tag at 27 dBm read power (bench).
    `exponent` of the path loss one way: 2 is free space (Friis; ITU-R P.525).
    `spread_db` standard deviation of a level, new every 50 ms: orientation and fading on a short open path.
    `sensitivity_dbm`: below it nothing is heard (vendors state -65 to -84 at the module; cables and windscreens cost).
    `reads_per_s` for each tag and antenna in reach: four antennas share some 80 reads a second.
    `reach_m` along the lane: farther tags are not worked out.
    `ground`: amplitude reflected by the road at normal incidence; 0.39 is dry concrete (ITU-R P.2040, relative
    permittivity 5.24). It makes fringes along the lane. `tag_height_m` above the road.
    `neighbour_db`: by how much a tag in the next lane is weaker than one at the same place in this lane. Over 4.5 m the
    way costs 12.5 dB and this pattern 21 dB more; 22 leaves 12 dB to reflections off truck bodies (an assumption).
    """

    level_dbm: float = -48.0
    exponent: float = 2.0
    spread_db: float = 2.5
    sensitivity_dbm: float = -70.0
    reads_per_s: float = 20.0
    reach_m: float = 6.0
    ground: float = 0.39
    tag_height_m: float = 2.0
    neighbour_db: float = 22.0

    @cached_property
    def _audible(self) -> dict[tuple[float, float, float], float]:
        """What `_audible_m` has worked out."""
        return {}

    def mean_dbm(self, antenna: Antenna, along_m: float, level_db: float) -> float:
        """Level without spread of a tag `along_m` from under the antenna."""
        height = antenna.height_m
        square = along_m * along_m + height * height
        # Two ways: each costs 10 n log10(d), and 12 dB x (angle / beamwidth)^2 in the pattern (3GPP TR 36.942 4.2.1).
        loss = 10.0 * self.exponent * math.log10(square / 6.25)
        off_axis = math.degrees(math.atan2(along_m, height)) / antenna.beamwidth_deg
        return self.level_dbm + level_db - loss - 24.0 * off_axis * off_axis + self._fringe_db(square, along_m, height)

    def _fringe_db(self, square: float, along_m: float, height_m: float) -> float:
        """What the ray by way of the road adds to the direct one or takes from it, both ways (two-ray model)."""
        if not self.ground:
            return 0.0
        direct = math.sqrt(square)
        image = height_m + 2.0 * self.tag_height_m
        by_road = math.sqrt(along_m * along_m + image * image)
        share = self.ground * direct / by_road
        # The road turns the wave by half a period; power of 1 - share e^(j phase), over two ways.
        power = 1.0 + share * share - 2.0 * share * math.cos(_WAVE_NUMBER * (by_road - direct))
        return 20.0 * math.log10(power)

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
                        rssi = self._rssi(antenna, along, tag, int(tag.epc, 16), seed, bucket) + carrier.level_db
                        if rssi >= self.sensitivity_dbm:
                            heard.append(TagInField(tag.epc, tag.tid, antenna.port, rssi))
        return tuple(sorted(heard, key=lambda tag: (-tag.rssi_dbm, tag.epc, tag.antenna)))

    def reads(
        self, antennas: tuple[Antenna, ...], carriers: tuple[Carrier, ...], t0: float, t1: float, seed: int
    ) -> Iterator[AirRead]:
        """The discrete reads in (t0, t1], merged in order of time."""
        streams = []
        for carrier in carriers:
            for segment in carrier.track:
                if segment.t1 <= t0 or segment.t0 > t1:
                    continue
                low = high = segment.x
                if segment.v != 0.0 or segment.a != 0.0:
                    low, high = sorted((segment.at(max(t0, segment.t0))[0], segment.at(min(t1, segment.t1))[0]))
                for tag in carrier.tags:
                    for antenna in antennas:
                        here = antenna.x_m + tag.offset_m
                        reach_m = self._audible_m(antenna, tag.level_db + carrier.level_db)
                        if low <= here + reach_m and high >= here - reach_m:
                            streams.append(self._stream(antenna, tag, carrier.level_db, segment, (t0, t1), seed))
        return iter(streams[0] if len(streams) == 1 else heapq.merge(*streams))

    def _audible_m(self, antenna: Antenna, level_db: float) -> float:
        """`audible_m`, kept for every antenna's shape and level that was asked for."""
        asked = (antenna.height_m, antenna.beamwidth_deg, level_db)
        reach_m = self._audible.get(asked)
        if reach_m is None:
            reach_m = self._audible[asked] = audible_m(self, antenna, level_db)
        return reach_m

    def _stream(
        self,
        antenna: Antenna,
        tag: TagSpec,
        level_db: float,
        segment: Segment,
        window: tuple[float, float],
        seed: int,
    ) -> Iterator[AirRead]:
        start, end = self._in_reach(antenna, tag, level_db, segment)
        after, until = max(window[0], segment.t0), min(window[1], segment.t1)
        start = max(start, tag.present_from_s, window[0])
        end = min(end, tag.present_until_s, until)
        t0, _, x, v, a = segment
        still = v == 0.0 and a == 0.0
        along = x - tag.offset_m - antenna.x_m
        number = int(tag.epc, 16)
        key = mix64(number ^ (antenna.port << 56) ^ mix64(seed))
        period = 1.0 / self.reads_per_s
        slot = math.floor(start * self.reads_per_s)
        while slot * period <= end:
            noise = mix64(key ^ (slot & 0xFFFFFFFFFFFF))
            # Slots are fixed in time and jittered within, so a read does not depend on where the window was cut.
            t = (slot + (noise & 0xFFFF) / 65536.0) * period
            slot += 1
            if not (after < t <= end and start <= t):
                continue
            if not still:
                dt = t - t0
                along = x + (v + 0.5 * a * dt) * dt - tag.offset_m - antenna.x_m  # `Segment.at`, within its time
            rssi = self._rssi(antenna, along, tag, number, seed, math.floor(t * _BUCKETS_PER_S)) + level_db
            if rssi >= self.sensitivity_dbm:
                path_m = 2.0 * math.hypot(along, antenna.height_m)
                phase = int(path_m / _WAVELENGTH_M * 360.0) % 180
                yield AirRead(t, tag.epc, antenna.port, rssi, phase, tag.tid)

    def _in_reach(self, antenna: Antenna, tag: TagSpec, level_db: float, segment: Segment) -> tuple[float, float]:
        here = antenna.x_m + tag.offset_m
        if segment.v == 0.0 and segment.a == 0.0:
            return segment.t0, segment.t1
        forward = segment.v > 0.0 or (segment.v == 0.0 and segment.a > 0.0)
        reach_m = self._audible_m(antenna, tag.level_db + level_db)
        side = reach_m if forward else -reach_m
        return segment.when_at(here - side, forward), min(segment.when_at(here + side, forward), segment.t1)

    def _rssi(self, antenna: Antenna, along_m: float, tag: TagSpec, number: int, seed: int, bucket: int) -> float:
        """The level of a tag, whose EPC is `number`, with this bucket's luck."""
        noise = mix64(number ^ mix64(seed ^ (bucket << 8) ^ antenna.port))
        total = (noise & 0xFFFF) + (noise >> 16 & 0xFFFF) + (noise >> 32 & 0xFFFF) + (noise >> 48)
        return self.mean_dbm(antenna, along_m, tag.level_db) + self.spread_db * (total - 131070) * _NORMAL_OF_SUM


def audible_m(rf: RfModel, antenna: Antenna, level_db: float) -> float:
    """How far along the lane a tag of this level can be heard at its luckiest, at most the model's reach; negative
    when it never can. Beyond it nothing need be worked out."""
    # The best of both rays, and the sum of four uniform parts at its largest.
    luck_db = 40.0 * math.log10(1.0 + rf.ground) + math.sqrt(12.0) * rf.spread_db
    bare = replace(rf, ground=0.0)
    near, far = 0.0, rf.reach_m
    if bare.mean_dbm(antenna, far, level_db) + luck_db >= rf.sensitivity_dbm:
        return far
    if bare.mean_dbm(antenna, near, level_db) + luck_db < rf.sensitivity_dbm:
        return -1.0
    for _ in range(20):
        middle = (near + far) / 2.0
        if bare.mean_dbm(antenna, middle, level_db) + luck_db >= rf.sensitivity_dbm:
            near = middle
        else:
            far = middle
    return far
