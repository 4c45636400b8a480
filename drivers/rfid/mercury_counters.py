"""What a technician can read off a Mercury session: plain numbers, no identity value among them."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise

from drivers.rfid.mercury_codec import FrameSplitter
from drivers.rfid.mercury_stream_codec import TagRecord

# dBm. A read counts in the bucket it falls in; a bound belongs to the bucket above it.
RSSI_BOUNDS_DBM = (-75, -70, -65, -60, -55, -50, -45, -40)
RSSI_BUCKETS = (
    f"below_{RSSI_BOUNDS_DBM[0]}",
    *(f"{low}_to_{high}" for low, high in pairwise(RSSI_BOUNDS_DBM)),
    f"from_{RSSI_BOUNDS_DBM[-1]}",
)


class ReaderCounters:
    """Counts of one session. At most 16 antennas, so the memory is bounded.

    `malformed` records whose content broke their layout; `air_crc_errors` tags whose own CRC did not fit; `tid_reads`
    longest time without a frame, seconds; `temperature_c` the last reported.
    """

    def __init__(self) -> None:
        self.malformed = 0
        self.air_crc_errors = 0
        self.tid_reads = 0
        self.tid_failures = 0
        self.gaps = 0
        self.restarts = 0
        self.heat_complaints = 0
        self.temperature_c: int | None = None
        self.duty_share = 0.0
        self._rssi: dict[int, list[int]] = {}

    def count_read(self, record: TagRecord, *, with_tid: bool) -> None:
        """One tag read; `with_tid`: the chip's number was asked for."""
        port = record.antenna_port
        buckets = self._rssi.get(port)
        if buckets is None:
            buckets = self._rssi[port] = [0] * len(RSSI_BUCKETS)
        buckets[bisect_right(RSSI_BOUNDS_DBM, record.rssi_dbm)] += 1
        if record.tag_crc_ok is False:
            self.air_crc_errors += 1
        if with_tid:
            if record.data:
                self.tid_reads += 1
            else:
                self.tid_failures += 1

    def values(self, splitter: FrameSplitter | None) -> Mapping[str, float]:
        """All counts by name; `splitter` gives those of the line."""
        counts: dict[str, float] = {
            "reads": sum(map(sum, self._rssi.values())),
            "dropped_records": self.malformed,
            "air_crc_errors": self.air_crc_errors,
            "tid_reads": self.tid_reads,
            "tid_failures": self.tid_failures,
            "gaps": self.gaps,
            "restarts": self.restarts,
            "heat_complaints": self.heat_complaints,
            "duty_percent": round(100 * self.duty_share, 1),
        }
        if splitter is not None:
            counts |= {
                "frames": splitter.frames,
                "crc_errors": splitter.crc_errors,
                "resyncs": splitter.resyncs,
                "dropped_bytes": splitter.dropped_bytes,
            }
        if self.temperature_c is not None:
            counts["temperature_c"] = self.temperature_c
        for port, buckets in sorted(self._rssi.items()):
            counts[f"antenna_{port}_reads"] = sum(buckets)
            counts |= {f"antenna_{port}_rssi_{name}": count for name, count in zip(RSSI_BUCKETS, buckets, strict=True)}
        return {name: float(count) for name, count in counts.items()}
