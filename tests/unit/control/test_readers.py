"""Health of readers: what is counted, what becomes a condition, and what ends one."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from drivers.api import (
    RSSI_UNKNOWN_CDBM,
    DeviceInfo,
    DeviceUp,
    LinkLost,
    Observation,
    ReaderEvent,
    ReaderEventCode,
    Secret,
    Stamp,
    TagRead,
)
from edge_agent.control.devices import DeviceTable
from edge_agent.control.readers import LOSSES_MAX, VEHICLES_KEPT, VEHICLES_MIN, ReaderWatch
from edge_agent.model.conveyance import Conveyance, Outcome, ZoneTimes
from edge_agent.model.identity import Assignment, IdentityClaim, IdentityKind, Sighting
from edge_agent.model.readers import RSSI_BOUNDS_DBM, ReaderHealth
from edge_agent.runtime.health import HealthBoard

S = 1_000_000_000
EPC = Secret(bytes.fromhex("300833B2DDD9014000000001"))


def at(seconds: float) -> Stamp:
    return Stamp(round(seconds * S), round(seconds * S))


class Bench:
    """One reader with two antennas; the device table beside it clears what a session's begin and end clear."""

    def __init__(self, limit: int = 50, *, up: bool = True) -> None:
        self.board = HealthBoard()
        self.table = DeviceTable(self.board, lambda _record, _now: None)
        self.table.add("rfid-1", "mercury", at(0), required=True)
        self.watch = ReaderWatch(self.board)
        self.watch.add("rfid-1", "mercury", {1: limit, 2: limit})
        if up:
            self.up(0)

    def take(self, observation: Observation) -> None:
        self.table.observe(observation)
        self.watch.observe(observation)

    def up(self, seconds: float) -> None:
        self.take(DeviceUp(at(seconds), "rfid-1", DeviceInfo("mercury", "M6E")))

    def fail(self, seconds: float) -> None:
        self.table.fail("rfid-1", LinkLost("RFID_SILENT", "gone"), at(seconds))
        self.watch.failed("rfid-1", "RFID_SILENT", at(seconds))

    def event(
        self, code: ReaderEventCode, seconds: float, antenna: int | None = None, value: float | None = None
    ) -> None:
        self.take(ReaderEvent(at(seconds), "rfid-1", code, antenna, value))

    def read(self, seconds: float, antenna: int = 1, rssi: int = -6000, reads: int = 1) -> None:
        self.take(TagRead(at(seconds), "rfid-1", antenna, EPC, 0x3000, rssi, reads))

    def codes(self) -> set[str]:
        return {condition.code for condition in self.board.raised() if condition.code.startswith("READER_")}

    def titles(self) -> list[str]:
        return [condition.title for condition in self.board.raised()]

    def health(self, seconds: float = 0.0, **counters: float) -> ReaderHealth:
        health = self.watch.health("rfid-1", counters, at(seconds))
        assert health is not None
        return health


def vehicle(seconds: float, antennas: Iterable[int], outcome: Outcome = Outcome.RELEASED_ROLLING) -> Conveyance:
    claim = IdentityClaim(IdentityKind.TRANSPONDER, "t", b"", "k", "rfid-1/1")
    given_to = tuple(
        Assignment(
            Sighting(f"s{port}", claim, "rfid-1", port, 3, -6000, at(seconds), at(seconds), at(seconds)),
            1.0,
            (),
            early=False,
            at=at(seconds),
        )
        for port in antennas
    )
    return Conveyance(
        "c", "b", 1, at(seconds), times=ZoneTimes(a_nose=at(seconds)), assignments=given_to, outcome=outcome,
        ended=at(seconds + 20),
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(-9000, -3000), st.integers(1, 3), st.integers(0, 4)), max_size=40))
def test_every_read_is_in_one_bucket_of_its_antenna(reads: list[tuple[int, int, int]]) -> None:
    bench = Bench()
    for level, antenna, count in reads:
        bench.read(1, antenna, level, count)
    health = bench.health()
    assert health.reads == sum(max(1, count) for _, _, count in reads)
    for one in health.antennas:
        assert sum(one.rssi) == one.reads
        for number, bound in enumerate(RSSI_BOUNDS_DBM):
            weaker = sum(max(1, count) for level, port, count in reads if port == one.antenna and level <= bound * 100)
            assert sum(one.rssi[: number + 1]) == weaker


def test_a_level_that_is_not_measured_is_in_no_bucket() -> None:
    bench = Bench()
    bench.read(1, rssi=RSSI_UNKNOWN_CDBM)
    antenna = bench.health().antennas[0]
    assert (antenna.reads, antenna.rssi_unknown, sum(antenna.rssi)) == (1, 1, 0)


def test_a_hostile_reader_gets_no_more_antennas_than_a_reader_has() -> None:
    bench = Bench()
    for port in range(1, 1000):
        bench.read(1, port)
    health = bench.health()
    assert len(health.antennas) <= 18
    assert health.reads == 999


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    bench = Bench()
    for tenth in range(200):
        bench.read(tenth / 10)
    assert bench.health(20).reads_per_s == 10.0
    assert bench.health(25).reads_per_s == 5.0
    assert bench.health(60).reads_per_s == 0.0


def test_too_hot_is_ended_by_the_reader_alone_and_never_by_a_temperature() -> None:
    bench = Bench()
    bench.event(ReaderEventCode.TEMPERATURE, 1, value=71)
    bench.event(ReaderEventCode.OVER_TEMPERATURE, 2)
    assert bench.codes() == {"READER_OVER_TEMPERATURE"}
    bench.event(ReaderEventCode.TEMPERATURE, 3, value=55)
    bench.watch.tick(at(500))
    assert bench.codes() == {"READER_OVER_TEMPERATURE"}
    assert (bench.health().temperature_c, bench.health().over_temperature) == (55, True)
    bench.event(ReaderEventCode.COOLED, 501)
    assert bench.codes() == set()
    assert not bench.health().over_temperature


def test_a_missing_antenna_stays_so_until_it_is_back() -> None:
    bench = Bench()
    bench.event(ReaderEventCode.ANTENNA_NOT_CONNECTED, 1)  # the module does not say which yet
    bench.event(ReaderEventCode.ANTENNA_NOT_CONNECTED, 2, antenna=2)
    bench.watch.tick(at(90))
    assert bench.titles() == ["rfid-1 antenna 2: antenna not connected"]
    assert bench.health().antennas[1].faults == ("antenna not connected",)
    bench.event(ReaderEventCode.ANTENNA_CONNECTED, 91, antenna=2)
    assert bench.codes() == set()


def test_return_loss_is_over_a_minute_after_the_last_complaint() -> None:
    bench = Bench()
    for second in (1, 30):
        bench.event(ReaderEventCode.HIGH_RETURN_LOSS, second)
    bench.watch.tick(at(85))
    assert bench.codes() == {"READER_ANTENNA"}
    bench.watch.tick(at(91))
    assert bench.codes() == set()


def test_an_antenna_that_misses_more_than_its_limit_is_told_with_figures() -> None:
    bench = Bench(limit=40)
    for number in range(VEHICLES_MIN - 1):
        bench.watch.passed(vehicle(number, (1,)))
    assert bench.codes() == set()
    bench.watch.passed(vehicle(20, (1,)))
    assert bench.titles() == ["rfid-1 antenna 2 missed 10 of the last 10 vehicles"]
    first, second = bench.health().antennas
    assert (first.vehicles, first.vehicles_read, first.vehicles_only_here, first.missed_percent) == (10, 10, 10, 0)
    assert (second.vehicles, second.vehicles_read, second.missed_percent) == (10, 0, 100)
    # 40 % are within the limit, but only four fifths of it are good news.
    for number in range(15):
        bench.watch.passed(vehicle(30 + number, (1, 2)))
    assert bench.health().antennas[1].missed_percent == 40
    assert bench.codes() == {"READER_ANTENNA_MISSES"}
    for number in range(VEHICLES_KEPT):
        bench.watch.passed(vehicle(60 + number, (1, 2)))
    assert bench.codes() == set()
    assert bench.health().antennas[1].vehicles == VEHICLES_KEPT
    assert bench.health().antennas[0].vehicles_only_here == 0


def test_vehicles_that_say_nothing_about_an_antenna_are_not_counted() -> None:
    bench = Bench(up=False)
    bench.watch.passed(vehicle(1, ()))  # the reader has never been up
    bench.up(10)
    bench.watch.passed(vehicle(5, ()))  # it came up in the middle
    bench.watch.passed(vehicle(20, (), Outcome.REVERSED))
    bench.fail(30)
    bench.watch.passed(vehicle(20, ()))  # it went down in the middle
    assert bench.health().antennas[0].vehicles == 0


def test_losses_are_a_condition_when_they_are_many_and_until_a_minute_without() -> None:
    bench = Bench()
    bench.event(ReaderEventCode.DROPPED_RECORD, 1, value=LOSSES_MAX)
    assert bench.codes() == set()
    bench.event(ReaderEventCode.DROPPED_RECORD, 50)  # a reader that does not say how many
    assert bench.codes() == {"READER_LOSSES"}
    bench.watch.tick(at(62))
    assert bench.codes() == {"READER_LOSSES"}
    bench.watch.tick(at(111))
    assert bench.codes() == set()


def test_gaps_last_from_the_last_sign_of_life_to_the_next_session() -> None:
    bench = Bench()
    bench.read(7)
    bench.fail(10)
    bench.fail(11)
    assert [(gap.since, gap.until, gap.code) for gap in bench.health().gaps] == [(at(7), None, "RFID_SILENT")]
    assert not bench.health().up
    bench.up(12)
    assert [(gap.since, gap.until) for gap in bench.health().gaps] == [(at(7), at(12))]
    for second in range(20, 80, 2):
        bench.fail(second)
        bench.up(second + 1)
    assert len(bench.health().gaps) == 20


def test_a_drivers_counts_go_on_over_its_sessions() -> None:
    bench = Bench()
    bench.watch.session_ended("rfid-1", {"crc_errors": 3.0, "resyncs": 1.0, "duty_percent": 50.0})
    assert bench.health(crc_errors=2.0, duty_percent=100.0).counters == {
        "crc_errors": 5.0,
        "resyncs": 1.0,
        "duty_percent": 100.0,
    }


def test_a_new_session_begins_without_old_trouble() -> None:
    bench = Bench()
    bench.event(ReaderEventCode.OVER_TEMPERATURE, 1)
    bench.event(ReaderEventCode.ANTENNA_NOT_CONNECTED, 1, antenna=1)
    bench.fail(2)
    bench.up(3)
    health = bench.health()
    assert (health.over_temperature, health.antennas[0].faults, bench.codes()) == (False, (), set())


def test_other_devices_are_no_readers() -> None:
    watch = ReaderWatch(HealthBoard())
    watch.observe(DeviceUp(at(0), "io-1", DeviceInfo("modbus_lane_io", "any")))
    watch.failed("io-1", "X", at(1))
    assert watch.health("io-1", {}, at(1)) is None
