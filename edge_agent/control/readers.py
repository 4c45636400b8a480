"""Health of the lane's RFID readers, from what they tell and from the vehicles that passed. It decides nothing."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.api import RSSI_UNKNOWN_CDBM, DeviceUp, Observation, ReaderEvent, ReaderEventCode, Stamp, TagRead
from edge_agent.model.conveyance import Conveyance, Outcome
from edge_agent.model.effects import Severity
from edge_agent.model.readers import RSSI_BOUNDS_DBM, AntennaHealth, ReaderHealth, ReadingGap
from edge_agent.runtime.health import Condition, HealthBoard

VEHICLES_KEPT = 50
VEHICLES_MIN = 10
"""Fewer say nothing about an antenna."""
MISS_RECOVERED = 0.8
"""An antenna is well again below this part of its limit, so that one vehicle does not raise and clear in turns."""
FAULT_FORGOTTEN_S = 60.0
"""A fault that has no end of its own (return loss) is over when it has not been told again for so long."""
LOSSES_WINDOW_S = 60.0
LOSSES_MAX = 20
"""Records lost within the window: more is a line that needs a person."""
GAPS_KEPT = 20
_RATE_WINDOW_S = 10
_PORTS_MAX = 16
_S = 1_000_000_000
_BOUNDS_CDBM = tuple(bound * 100 for bound in RSSI_BOUNDS_DBM)
# A vehicle that ended so need not have passed the antennas.
_NOT_COUNTED = frozenset((Outcome.REVERSED, Outcome.ABANDONED, Outcome.UNRESOLVED))
# Levels, where a driver's other numbers are counts that go on over its sessions.
_LEVELS = ("_percent",)

_ANTENNA_HINTS = {
    ReaderEventCode.ANTENNA_NOT_CONNECTED: "check the antenna cable and connector of that port",
    ReaderEventCode.HIGH_RETURN_LOSS: "check antenna, cable and connectors for damage or water",
}


@dataclass(slots=True)
class _Antenna:
    miss_limit_percent: int
    reads: int = 0
    rssi: list[int] = field(default_factory=lambda: [0] * (len(RSSI_BOUNDS_DBM) + 1))
    rssi_unknown: int = 0
    air_crc_errors: int = 0
    passed: deque[tuple[bool, bool]] = field(default_factory=lambda: deque(maxlen=VEHICLES_KEPT))
    missing: bool = False

    def health(self, number: int, faults: tuple[str, ...]) -> AntennaHealth:
        return AntennaHealth(
            antenna=number,
            reads=self.reads,
            rssi=tuple(self.rssi),
            rssi_unknown=self.rssi_unknown,
            air_crc_errors=self.air_crc_errors,
            vehicles=len(self.passed),
            vehicles_read=sum(read for read, _ in self.passed),
            vehicles_only_here=sum(alone for _, alone in self.passed),
            miss_limit_percent=self.miss_limit_percent,
            faults=faults,
        )


@dataclass(slots=True)
class _Reader:
    kind: str
    antennas: dict[int, _Antenna]
    up_since: Stamp | None = None
    last: Stamp | None = None
    temperature_c: float | None = None
    hot: bool = False
    # Fault and port (None: the reader does not say which) -> when it was told last.
    faults: dict[tuple[ReaderEventCode, int | None], Stamp] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    gaps: deque[ReadingGap] = field(default_factory=lambda: deque(maxlen=GAPS_KEPT))
    rate: deque[list[int]] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW_S + 1))
    losses: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=256))


class ReaderWatch:
    """Follows every reader; raises and clears its conditions on the board.

    READER_OVER_TEMPERATURE from OVER_TEMPERATURE to COOLED; READER_ANTENNA while a port is missing or trouble with it
    was told within the last minute; READER_ANTENNA_MISSES while an antenna misses more of the vehicles that passed than
    its limit; READER_LOSSES while records are lost faster than now and then. A new session begins with none of them.
    """

    def __init__(self, board: HealthBoard) -> None:
        self._board = board
        self._readers: dict[str, _Reader] = {}

    def add(self, device: str, kind: str, miss_limits: Mapping[int, int]) -> None:
        """A configured reader; `miss_limits` by antenna, percent of the vehicles (100: never told)."""
        self._readers[device] = _Reader(kind, {port: _Antenna(limit) for port, limit in sorted(miss_limits.items())})

    def observe(self, observation: Observation) -> None:
        """Count what a reader tells; observations of other devices are passed over."""
        reader = self._readers.get(observation.device)
        if reader is None:
            return
        reader.last = observation.stamp
        if isinstance(observation, TagRead):
            _count_read(reader, observation)
        elif isinstance(observation, ReaderEvent):
            self._event(reader, observation)
        elif isinstance(observation, DeviceUp):
            self._came_up(reader, observation.stamp)

    def session_ended(self, device: str, counters: Mapping[str, float]) -> None:
        """The driver's numbers of a session that is over: counts go on with the next one."""
        reader = self._readers.get(device)
        if reader is not None:
            reader.ended.update({name: int(value) for name, value in counters.items() if not name.endswith(_LEVELS)})

    def failed(self, device: str, code: str, now: Stamp) -> None:
        """A session ended by a fault: reading has a gap since the last sign of life."""
        reader = self._readers.get(device)
        if reader is None:
            return
        if reader.up_since is not None:
            reader.gaps.append(ReadingGap(reader.last or now, None, code))
        reader.up_since = None
        self._forget_faults(reader)

    def passed(self, conveyance: Conveyance) -> None:
        """A vehicle has passed the lane and is sealed: which antennas read it, and which did not."""
        if conveyance.times.a_nose is None or conveyance.outcome in _NOT_COUNTED:
            return
        read_by = {(given.sighting.device, given.sighting.antenna) for given in conveyance.assignments}
        for device, reader in self._readers.items():
            # A reader that was down for part of the passage says nothing about its antennas.
            if reader.up_since is None or reader.up_since.mono_ns > conveyance.detected.mono_ns:
                continue
            for number, antenna in reader.antennas.items():
                here = (device, number) in read_by
                antenna.passed.append((here, here and len(read_by) == 1))
            self._judge_misses(device, reader, conveyance.ended or conveyance.detected)

    def tick(self, now: Stamp) -> None:
        """Let faults and losses that were not told again come to their end; about once a second."""
        for device, reader in self._readers.items():
            old = [
                key
                for key, told in reader.faults.items()
                if now.mono_ns - told.mono_ns > FAULT_FORGOTTEN_S * _S and not _has_end(key)
            ]
            for key in old:
                del reader.faults[key]
            if old:
                self._show_antennas(device, reader, now)
            self._judge_losses(device, reader, now)

    def health(self, device: str, counters: Mapping[str, float], now: Stamp) -> ReaderHealth | None:
        """One reader now; `counters` of its driver's session. None when it is no reader."""
        reader = self._readers.get(device)
        if reader is None:
            return None
        return ReaderHealth(
            device=device,
            kind=reader.kind,
            up=reader.up_since is not None,
            reads=sum(antenna.reads for antenna in reader.antennas.values()),
            reads_per_s=_reads_per_s(reader, now),
            temperature_c=reader.temperature_c,
            over_temperature=reader.hot,
            antennas=tuple(
                antenna.health(number, _faults_of(reader, number)) for number, antenna in reader.antennas.items()
            ),
            counters=self._counters(reader, counters),
            gaps=tuple(reader.gaps),
        )

    @staticmethod
    def _counters(reader: _Reader, session: Mapping[str, float]) -> Mapping[str, float]:
        total = {name: reader.ended[name] + value for name, value in session.items()}
        gone = {name: float(value) for name, value in reader.ended.items() if name not in session}
        return {name: float(value) for name, value in sorted({**reader.told, **gone, **total}.items())}

    def _came_up(self, reader: _Reader, now: Stamp) -> None:
        reader.up_since = now
        if reader.gaps and reader.gaps[-1].until is None:
            last = reader.gaps[-1]
            reader.gaps[-1] = ReadingGap(last.since, now, last.code)
        self._forget_faults(reader)

    @staticmethod
    def _forget_faults(reader: _Reader) -> None:
        """The device table takes their conditions off the board when a session begins or ends."""
        reader.faults.clear()
        reader.losses.clear()
        reader.hot = False

    def _event(self, reader: _Reader, event: ReaderEvent) -> None:
        reader.told[event.code.value] += 1
        if event.code is ReaderEventCode.TEMPERATURE:
            reader.temperature_c = event.value
        elif event.code is ReaderEventCode.OVER_TEMPERATURE:
            reader.hot = True
            title = f"{event.device} is too hot and has reduced its duty cycle"
            hint = "check ventilation and sun shield; reads are fewer until it cools"
            self._raise("READER_OVER_TEMPERATURE", title, hint, event.device, event.stamp)
        elif event.code is ReaderEventCode.COOLED:
            reader.hot = False
            self._board.clear("READER_OVER_TEMPERATURE", event.device)
        elif event.code in _ANTENNA_HINTS:
            reader.faults[event.code, event.antenna] = event.stamp
            self._show_antennas(event.device, reader, event.stamp)
        elif event.code is ReaderEventCode.ANTENNA_CONNECTED:
            reader.faults.pop((ReaderEventCode.ANTENNA_NOT_CONNECTED, event.antenna), None)
            self._show_antennas(event.device, reader, event.stamp)
        elif event.code is ReaderEventCode.DROPPED_RECORD:
            reader.losses.append((event.stamp.mono_ns, event.value or 1.0))
            self._judge_losses(event.device, reader, event.stamp)

    def _show_antennas(self, device: str, reader: _Reader, now: Stamp) -> None:
        if not reader.faults:
            self._board.clear("READER_ANTENNA", device)
            return
        words = [f"{_port(port)}: {code.value.replace('_', ' ')}" for code, port in reader.faults]
        hints = dict.fromkeys(_ANTENNA_HINTS[code] for code, _ in reader.faults)
        self._raise("READER_ANTENNA", f"{device} {', '.join(words)}", "; ".join(hints), device, now)

    def _judge_misses(self, device: str, reader: _Reader, now: Stamp) -> None:
        healths = [antenna.health(number, ()) for number, antenna in reader.antennas.items()]
        judged = [one for one in healths if one.vehicles >= VEHICLES_MIN]
        bad = [one for one in judged if one.missed_percent > one.miss_limit_percent]
        code = "READER_ANTENNA_MISSES"
        if bad:
            told = ", ".join(
                f"antenna {one.antenna} missed {one.vehicles - one.vehicles_read} of the last {one.vehicles} vehicles"
                for one in bad
            )
            hint = "check its aim and cable, and lanectl reader for its levels and what the other antennas read"
            self._raise(code, f"{device} {told}", hint, device, now)
        elif all(one.missed_percent <= MISS_RECOVERED * one.miss_limit_percent for one in judged):
            self._board.clear(code, device)

    def _judge_losses(self, device: str, reader: _Reader, now: Stamp) -> None:
        while reader.losses and now.mono_ns - reader.losses[0][0] > LOSSES_WINDOW_S * _S:
            reader.losses.popleft()
        lost = sum(count for _, count in reader.losses)
        if lost > LOSSES_MAX:
            title = f"{device} lost {lost:.0f} records within a minute"
            hint = "check the cable's screen and ground, the bit rate and the network; lanectl reader counts the losses"
            self._raise("READER_LOSSES", title, hint, device, now)
        elif not lost:
            self._board.clear("READER_LOSSES", device)

    def _raise(self, code: str, title: str, hint: str, device: str, now: Stamp) -> None:
        self._board.raise_condition(Condition(code, Severity.WARNING, title, hint, now, device=device))


def _count_read(reader: _Reader, read: TagRead) -> None:
    count = max(1, read.reads)
    antenna = reader.antennas.get(read.antenna)
    if antenna is None:
        # A port outside the geometry: counted, and never judged. What names more ports than a reader has counts as one.
        number = read.antenna if len(reader.antennas) <= _PORTS_MAX else 0
        antenna = reader.antennas.setdefault(number, _Antenna(miss_limit_percent=100))
    antenna.reads += count
    if read.rssi_cdbm == RSSI_UNKNOWN_CDBM:
        antenna.rssi_unknown += count
    else:
        antenna.rssi[bisect_left(_BOUNDS_CDBM, read.rssi_cdbm)] += count
    if read.tag_crc_ok is False:
        antenna.air_crc_errors += 1
    second = read.stamp.mono_ns // _S
    if reader.rate and reader.rate[-1][0] == second:
        reader.rate[-1][1] += count
    else:
        reader.rate.append([second, count])


def _reads_per_s(reader: _Reader, now: Stamp) -> float:
    # Whole seconds only: the one that is running would make the rate look lower than it is.
    second = now.mono_ns // _S
    return sum(count for at, count in reader.rate if 0 < second - at <= _RATE_WINDOW_S) / _RATE_WINDOW_S


def _has_end(key: tuple[ReaderEventCode, int | None]) -> bool:
    """A named port that is missing stays so until the reader says that it is back."""
    code, port = key
    return code is ReaderEventCode.ANTENNA_NOT_CONNECTED and port is not None


def _faults_of(reader: _Reader, number: int) -> tuple[str, ...]:
    return tuple(code.value.replace("_", " ") for code, port in reader.faults if port in (None, number))


def _port(port: int | None) -> str:
    return "an antenna" if port is None else f"antenna {port}"
