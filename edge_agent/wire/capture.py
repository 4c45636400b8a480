"""Captures as `securecorridor.lane.v1` messages."""

from pathlib import Path

from drivers.api import Stamp
from drivers.link.capture_codec import Header
from edge_agent.passage.state import Capturing
from securecorridor.lane.v1 import capture_service_pb2 as pb

from . import types as wire


def capture_message(
    capture: str, path: Path, size_bytes: int, header: Header | None, running: Capturing | None, now: Stamp
) -> pb.Capture:
    """One capture file; `header` None when it cannot be read, `running` while it grows."""
    message = pb.Capture(capture=capture, path=str(path), bytes=size_bytes, running=running is not None)
    if header is not None:
        message.device = header.device
        message.kind = header.kind
        message.key_id = header.key_id
        message.started.CopyFrom(wire.moment(Stamp(header.started_mono_ns, header.started_utc_ns)))
    if running is not None:
        message.left.FromNanoseconds(max(0, running.until_ns - now.mono_ns))
    return message
