"""Moments and durations for people: local time and how long ago."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from edge_agent.runtime.clock import SystemClock
from securecorridor.lane.v1.types_pb2 import Moment


def since(moment: Moment, now: Moment) -> str:
    """`14:03:22 (12 s ago)`. By the lane's monotonic clock, which no clock step moves."""
    if not moment.HasField("time"):
        return "-"
    return f"{local(moment.time)} ({length((now.mono_ns - moment.mono_ns) / 1e9)} ago)"


def ago(time: Timestamp) -> str:
    """The same for a wall time alone."""
    age_s = (SystemClock().stamp().utc_ns - time.ToNanoseconds()) / 1e9
    return f"{local(time)} ({length(age_s)} ago)"


def local(time: Timestamp, millis: bool = False) -> str:
    """Local time of day, with the date unless it is today's."""
    when = datetime.fromtimestamp(time.ToNanoseconds() / 1e9, UTC).astimezone()
    today = datetime.fromtimestamp(SystemClock().stamp().utc_ns / 1e9, UTC).astimezone().date()
    text = f"{when:%H:%M:%S}" + (f".{when.microsecond // 1000:03d}" if millis else "")
    return text if when.date() == today else f"{when:%Y-%m-%d} {text}"


def length(seconds: float) -> str:
    """A duration with the two units that matter: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if abs(seconds) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, size, part, part_size in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part_size} {part}"
    return f"{whole} s"


def in_seconds(duration: Duration) -> float:
    """A Duration in seconds."""
    return duration.ToNanoseconds() / 1e9
