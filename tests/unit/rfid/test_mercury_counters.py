"""Counters: every read is in exactly one bucket of its antenna; names are fixed and say nothing about tags."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.rfid.mercury_codec import Frame, FrameSplitter
from drivers.rfid.mercury_counters import RSSI_BUCKETS, ReaderCounters
from drivers.rfid.mercury_stream_codec import TagRecord, decode_stream
from hil.devices import mercury_wire as wire

EPC = bytes.fromhex("300833B2DDD9014000000001")


def record(rssi_dbm: int = -54, antenna: int = 1, data: bytes = b"", data_status: int = 0) -> TagRecord:
    seen = wire.Sighting(EPC, rssi_dbm, antenna, data=data, data_status=data_status)
    event = decode_stream(Frame(0x22, 0, wire.tag_frame(seen, 0x00D7, 0x1F)[5:-2]))
    assert isinstance(event, TagRecord)
    return event


def test_buckets_are_named_by_their_bounds() -> None:
    assert RSSI_BUCKETS[:3] == ("below_-75", "-75_to_-70", "-70_to_-65")
    assert RSSI_BUCKETS[-2:] == ("-45_to_-40", "from_-40")
    counters = ReaderCounters()
    for rssi_dbm in (-90, -76, -75, -71, -70, -40, -39):
        counters.count_read(record(rssi_dbm), with_tid=False)
    values = counters.values(None)
    seen = {name: values[f"antenna_1_rssi_{name}"] for name in RSSI_BUCKETS if values[f"antenna_1_rssi_{name}"]}
    assert seen == {"below_-75": 2, "-75_to_-70": 2, "-70_to_-65": 1, "from_-40": 2}


@given(st.lists(st.tuples(st.integers(-128, 127), st.integers(1, 15)), max_size=60))
def test_every_read_is_in_one_bucket_of_its_antenna(reads: list[tuple[int, int]]) -> None:
    counters = ReaderCounters()
    for rssi_dbm, antenna in reads:
        counters.count_read(record(rssi_dbm, antenna), with_tid=False)
    values = counters.values(FrameSplitter())
    assert values["reads"] == len(reads)
    for port in range(1, 16):
        expected = sum(antenna == port for _, antenna in reads)
        assert values.get(f"antenna_{port}_reads", 0) == expected
        assert sum(values.get(f"antenna_{port}_rssi_{name}", 0) for name in RSSI_BUCKETS) == expected


def test_embedded_reads_are_counted_only_when_asked_for() -> None:
    counters = ReaderCounters()
    counters.count_read(record(), with_tid=False)
    counters.count_read(record(data=bytes(12)), with_tid=True)
    counters.count_read(record(data_status=0x0423), with_tid=True)
    counters.count_read(record(), with_tid=True)
    values = counters.values(None)
    assert (values["tid_reads"], values["tid_failures"], values["reads"]) == (1, 2, 4)


def test_values_are_plain_numbers() -> None:
    counters = ReaderCounters()
    counters.count_read(record(), with_tid=True)
    counters.temperature_c = 41
    values = counters.values(FrameSplitter())
    assert all(type(value) is float for value in values.values())
    assert {"crc_errors", "resyncs", "dropped_records", "gaps", "restarts"} <= set(values)
    assert values["temperature_c"] == 41.0
    assert not any(EPC.hex()[:8] in name for name in values)
