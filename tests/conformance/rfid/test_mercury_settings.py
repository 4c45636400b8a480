"""What was configured is in force on the module, and what is not is said: read-back, duty, tag numbers, heat."""

from collections import Counter
from collections.abc import Callable

import pytest

from drivers.api import DeviceRefused, DeviceUp, ReaderEvent, ReaderEventCode, Secret
from drivers.rfid.settings.mercury import MercurySettings
from hil.devices import mercury_wire as wire
from hil.devices.mercury_module import Module, Tag
from tests.conformance.rfid.memory_module import SETTINGS, TAG, Bench, Heat

TID = bytes.fromhex("E2801160200074CF1D970934")
NUMBERED = Tag(TAG.epc, -54.0, 1, tid=TID)
SHORT = Tag(bytes(12), -60.0, 2, tid=TID[:8])


def bench_with(*tags: Tag, **changes: object) -> Bench:
    bench = Bench(MercurySettings.model_validate({**SETTINGS.model_dump(), **changes}))
    bench.module.tags = tags or (TAG,)
    return bench


def starts(bench: Bench) -> list[object]:
    return [fields["off_ms"] for name, fields in bench.events if name == "started"]  # type: ignore[index]


def wait(_bench: Bench) -> None:
    pass


async def test_tag_numbers_are_read_and_a_failure_loses_no_read() -> None:
    bench = bench_with(NUMBERED, SHORT, TAG, read_tid=True)
    assert await bench.session() is None
    tags = bench.tags()
    assert len(tags) == bench.module.tag_count
    assert {(tag.epc.value, tag.tid) for tag in tags} == {
        (TAG.epc, Secret(TID)),
        (TAG.epc, None),
        (SHORT.epc, None),
    }
    counters = bench.reader.counters()
    assert counters["tid_failures"] == sum(tag.tid is None for tag in tags) > 0
    assert TID.hex() not in "".join(map(repr, bench.seen)).lower()


async def test_tag_numbers_are_not_read_unless_asked_for() -> None:
    bench = bench_with(NUMBERED)
    assert await bench.session() is None
    assert bench.tags()
    assert all(tag.tid is None for tag in bench.tags())
    assert bench.reader.counters()["tid_failures"] == 0


async def test_firmware_that_cannot_read_tag_numbers_is_refused() -> None:
    bench = bench_with(read_tid=True)
    bench.module.old_firmware = True
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert error.code == "RFID_SETTING_REFUSED"
    assert "read_tid" in error.message


async def test_firmware_without_reports_reads_without_them() -> None:
    bench = bench_with()
    bench.module.old_firmware = True
    assert await bench.session(lambda b: b.module.reset(), wait) is None
    assert bench.tags()
    assert [item.value for item in bench.events_of(ReaderEventCode.DEVICE_STATUS)] == [float(0x0105)]


async def test_off_time_is_sent_and_belongs_to_the_sign_of_life() -> None:
    bench = bench_with(Tag(TAG.epc, -54.0, 1), cycle_ms=500, off_ms=3500)
    bench.module.tags = ()
    assert await bench.session(pause_s=40.5) is None
    assert starts(bench) == [3500]
    assert bench.count(ReaderEventCode.KEEPALIVE) == 10
    assert bench.count(ReaderEventCode.GAP) == 0
    assert bench.reader.counters()["duty_percent"] == 12.5


async def test_four_antennas_are_all_read() -> None:
    tags = [Tag(bytes(11) + bytes((port,)), -50.0 - port, port) for port in (1, 2, 3, 4)]
    bench = bench_with(*tags, antennas=(4, 2, 1, 3))
    assert await bench.session() is None
    assert bench.module.settings.search == (4, 2, 1, 3)
    by_antenna = Counter(tag.antenna for tag in bench.tags())
    assert set(by_antenna) == {1, 2, 3, 4}
    assert max(by_antenna.values()) - min(by_antenna.values()) <= 1


async def test_power_out_of_range_names_the_limits() -> None:
    for power_cdbm in (3300, 400):
        error = await bench_with(power_cdbm=power_cdbm).session()
        assert isinstance(error, DeviceRefused)
        assert error.code == "RFID_POWER_OUT_OF_RANGE"
        assert "500 to 3150" in error.hint


def reads_back_nothing(module: Module) -> None:
    module.deaf = frozenset((0x97, 0x93, 0x92, 0x91, 0x9A))


@pytest.mark.parametrize(
    ("op", "told"),
    [
        (0x97, "region is 00, not na"),
        (0x93, "protocol is 00 00, not 00 05"),
        (0x92, "power_cdbm is 3000, not 2700"),
        (0x91, "antennas is 1, not 1 2"),
        (0x9A, "option rssi_in_dbm is 0, not 1"),
    ],
)
async def test_a_setting_that_was_not_taken_is_refused_and_named(op: int, told: str) -> None:
    bench = bench_with()
    bench.module.deaf = frozenset((op,))
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert error.code == "RFID_SETTING_REFUSED"
    assert told in error.message
    assert error.hint
    assert bench.module.stream is None
    assert not bench.seen


async def test_everything_that_differs_is_named_at_once() -> None:
    bench = bench_with()
    reads_back_nothing(bench.module)
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert error.message.count(" is ") == 5


async def test_settings_are_verified_after_a_reset_notice_too() -> None:
    bench = bench_with()

    def forget(b: Bench) -> None:
        b.module.deaf = frozenset((0x92,))
        b.module.reset()

    error = await bench.session(forget, wait)
    assert isinstance(error, DeviceRefused)
    assert "power_cdbm is 3000, not 2700" in error.message
    assert bench.count(ReaderEventCode.RESTARTED) == 1


async def test_the_antenna_list_is_verified_when_it_changes() -> None:
    bench = bench_with()

    def pull(b: Bench) -> None:
        b.module.connected[2] = False
        b.module.deaf = frozenset((0x91,))
        b.peer.send(wire.reply(0x22, 0x0503))

    error = await bench.session(pull, wait)
    assert isinstance(error, DeviceRefused)
    assert "antennas is 1 2, not 1" in error.message


async def test_an_antenna_that_comes_back_is_told() -> None:
    bench = bench_with()

    def pull(b: Bench) -> None:
        b.module.connected[2] = False
        b.peer.send(wire.reply(0x22, 0x0503))

    def plug(b: Bench) -> None:
        b.module.connected[2] = True

    assert await bench.session(pull, plug, wait, pause_s=70.0) is None
    assert bench.module.settings.search == (1, 2)
    assert {event.antenna for event in bench.events_of(ReaderEventCode.ANTENNA_NOT_CONNECTED)} == {None, 2}
    assert [event.antenna for event in bench.events_of(ReaderEventCode.ANTENNA_CONNECTED)] == [2]


@pytest.mark.parametrize(
    ("answer", "unverified"),
    [
        (lambda op: op in (0x63, 0x6A), "protocol"),
        (lambda op: op in (0x67, 0x62), ""),
    ],
)
async def test_what_a_module_cannot_read_back_is_told(answer: Callable[[int], bool], unverified: str) -> None:
    bench = bench_with()
    command = bench.module.command

    def clone(op: int, data: bytes, now_ms: float) -> None:
        if answer(op) and data != b"\x01":
            bench.peer.send(wire.reply(op, 0x0101))
        else:
            command(op, data, now_ms)

    bench.module.command = clone  # type: ignore[method-assign]
    assert await bench.session() is None
    up = bench.seen[0]
    assert isinstance(up, DeviceUp)
    expected = "protocol, option rssi_in_dbm" if unverified else "region, power_cdbm"
    assert up.info.details["unverified"].startswith(expected)
    assert bench.tags()


async def test_temperature_reports_of_the_stream_are_passed_on_when_they_are_news() -> None:
    bench = bench_with()

    def warm(b: Bench) -> None:
        b.module.temperature_c += 1

    assert await bench.session(warm, warm, warm, pause_s=5.0) is None
    values = [item.value for item in bench.events_of(ReaderEventCode.TEMPERATURE)]
    assert values == [31.0, 32.0, 33.0, 34.0]
    still = bench_with()
    assert await still.session(pause_s=61.0) is None
    assert 6 <= still.count(ReaderEventCode.TEMPERATURE) <= 7


async def test_a_module_that_overheats_at_full_duty_keeps_reading_and_is_not_restarted_in_a_loop() -> None:
    bench = bench_with()
    bench.heat = Heat(ambient_c=60.0, rise_c=40.0)
    assert await bench.session(pause_s=3600.0) is None
    offs = starts(bench)
    assert set(offs) == {0, 750}
    # An hour of it: the duty goes up and down at most once in the longest hold time and what it takes to warm.
    assert 4 <= len(offs) <= 2 * 3600 / 120
    assert bench.count(ReaderEventCode.RESTARTED) == 0
    assert bench.count(ReaderEventCode.GAP) == 0
    assert len(bench.tags()) > 0.25 * 3600 * 20
    hot = [item for item in bench.seen if isinstance(item, ReaderEvent) and "temperature" in item.code]
    assert max(item.value or 0.0 for item in hot) <= 90.0


async def test_full_duty_comes_back_as_soon_as_the_module_is_cool() -> None:
    bench = bench_with()
    bench.heat = Heat(ambient_c=60.0, rise_c=40.0)

    def shade(b: Bench) -> None:
        assert b.heat is not None
        assert starts(b)[-1] == 750
        b.heat.ambient_c = 20.0

    # Too hot after a minute, and too hot to start again for ten seconds. In the shade the hold time decides.
    assert await bench.session(shade, wait, pause_s=73.0) is None
    assert starts(bench) == [0, 750, 0]
    lowered = bench.events_of(ReaderEventCode.OVER_TEMPERATURE)
    (cooled,) = bench.events_of(ReaderEventCode.COOLED)
    assert cooled.stamp.mono_ns > lowered[-1].stamp.mono_ns
    assert bench.reader.counters()["duty_percent"] == 100.0


async def test_a_module_that_stays_hot_stays_at_low_duty() -> None:
    bench = bench_with()
    bench.heat = Heat(ambient_c=80.0, rise_c=10.0)
    assert await bench.session(pause_s=1800.0) is None
    assert starts(bench) == [0, 750]
    # A temperature alone tells nobody that reads are as many again.
    assert bench.events_of(ReaderEventCode.TEMPERATURE)[-1].stamp.mono_ns > 1780e9
    assert not bench.events_of(ReaderEventCode.COOLED)


async def test_a_complaint_that_comes_while_reading_starts_is_not_forgotten() -> None:
    bench = bench_with()
    command = bench.module.command

    def complain_first(op: int, data: bytes, now_ms: float) -> None:
        if op == 0x2F and data[2] == 0x01 and not starts(bench):
            bench.peer.send(wire.reply(0x22, 0x0504))
        command(op, data, now_ms)

    bench.module.command = complain_first  # type: ignore[method-assign]
    assert await bench.session() is None
    assert starts(bench) == [0, 750]


async def test_counters_tell_what_went_wrong() -> None:
    bench = bench_with()

    def spoil(b: Bench) -> None:
        b.peer.send(wire.tag_frame(wire.Sighting(TAG.epc, -50, 1), 0x57, 0x1B)[:-1] + b"\x00")
        b.peer.send(bytes.fromhex("FF1C22000010001B01FF0101D9220DC65E0000001400B105000000002002 1817AB1336"))
        b.peer.send(b"\x01\x02\x03")

    assert bench.reader.counters() == {}
    assert await bench.session(spoil, lambda b: b.module.reset(), wait) is None
    counters = bench.reader.counters()
    assert all(type(value) is float for value in counters.values())
    assert counters["frames"] > len(bench.tags()) > 80
    assert counters["crc_errors"] >= 1
    assert counters["malformed_records"] == 1
    assert counters["resyncs"] == 2
    assert counters["dropped_bytes"] > 3
    assert (counters["tid_failures"], counters["duty_percent"]) == (0, 100)
