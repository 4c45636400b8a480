"""Health of RFID readers as `securecorridor.lane.v1` messages."""

from collections.abc import Iterable, Mapping

from edge_agent.model.readers import RSSI_BOUNDS_DBM, AntennaHealth, ReaderHealth, ReadingGap
from securecorridor.lane.v1 import diagnostics_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types_pb

from . import types as wire


def reader_message(
    reader: ReaderHealth, conditions: Iterable[types_pb.Condition], strays: Mapping[str, int]
) -> pb.Reader:
    """One reader; of the lane's `conditions` and `strays` (by `device/antenna`) those that are its own."""
    return pb.Reader(
        device=reader.device,
        kind=reader.kind,
        up=reader.up,
        reads=reader.reads,
        reads_per_second=reader.reads_per_s,
        temperature_c=reader.temperature_c,
        over_temperature=reader.over_temperature,
        antennas=[_antenna(a, strays.get(f"{reader.device}/{a.antenna}", 0)) for a in reader.antennas],
        counters=reader.counters,
        gaps=[_gap(gap) for gap in reader.gaps],
        conditions=[condition for condition in conditions if condition.device == reader.device],
    )


def _antenna(antenna: AntennaHealth, strays: int) -> pb.Reader.Antenna:
    return pb.Reader.Antenna(
        antenna=antenna.antenna,
        reads=antenna.reads,
        levels=[
            pb.Reader.Level(above_dbm=low, to_dbm=high, reads=reads)
            for low, high, reads in zip((None, *RSSI_BOUNDS_DBM), (*RSSI_BOUNDS_DBM, None), antenna.rssi, strict=True)
        ],
        reads_without_level=antenna.rssi_unknown,
        air_crc_errors=antenna.air_crc_errors,
        vehicles=antenna.vehicles,
        vehicles_read=antenna.vehicles_read,
        vehicles_only_here=antenna.vehicles_only_here,
        missed_percent=antenna.missed_percent,
        miss_limit_percent=antenna.miss_limit_percent,
        faults=antenna.faults,
        strays=strays,
    )


def _gap(gap: ReadingGap) -> pb.Reader.Gap:
    return pb.Reader.Gap(since=wire.moment(gap.since), until=wire.optional_moment(gap.until), code=gap.code)
