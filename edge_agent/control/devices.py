"""The device table: who is up, since when, what went wrong last. Bookkeeping for technicians; it decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.api import (
    DeviceError,
    DeviceInfo,
    DeviceUp,
    Observation,
    Stamp,
)
from edge_agent.model.effects import Severity
from edge_agent.runtime.health import Condition, HealthBoard


@dataclass(slots=True)
class DeviceRecord:
    """What is known of one device."""

    device: str
    kind: str
    required: bool
    since: Stamp
    up: bool = False
    last_seen: Stamp | None = None
    info: DeviceInfo | None = None
    fault: DeviceError | None = None
    sessions: int = 0
    faults: int = 0


VIEW_AWAITED_S = 15.0
"""Time for the media process to come up and report before a camera view counts as without picture."""
_NO_PICTURE = "CAMERA_NO_PICTURE"


class DeviceTable:
    """Records by device id; raises and clears device conditions on the board.

    `on_change(record)` is told when a device comes up or goes down, once per change.
    """

    def __init__(self, board: HealthBoard, on_change: Callable[[DeviceRecord, Stamp], None]) -> None:
        self._board = board
        self._on_change = on_change
        self._records: dict[str, DeviceRecord] = {}
        self._views: set[str] = set()

    def records(self) -> tuple[DeviceRecord, ...]:
        """All devices in the order of the configuration."""
        return tuple(self._records.values())

    def add(self, device: str, kind: str, now: Stamp, *, required: bool) -> None:
        """A configured device; down until it says otherwise."""
        self._records[device] = DeviceRecord(device, kind, required, now)

    def observe(self, observation: Observation) -> None:
        """Note a sign of life and what it tells of the device's health."""
        record = self._records[observation.device]
        record.last_seen = observation.stamp
        if isinstance(observation, DeviceUp):
            self._come_up(record, observation)

    def fail(self, device: str, error: DeviceError, now: Stamp) -> bool:
        """A session ended by a fault: down, with a condition that says what to do next. True when that is news: the
        device was up, or is down for another reason than before."""
        record = self._records[device]
        news = record.up or record.fault is None or record.fault.code != error.code
        record.fault = error
        record.faults += 1
        severity = Severity.ALARM if record.required else Severity.WARNING
        fell = record.up or record.faults == 1
        if fell:
            record.up = False
            record.since = now
        self._board.clear_device(device)
        # A blip that the next session heals within a second is not worth a person's eye. It counts from the fall: a
        # device that is tried again more often than that would never be seen to be down.
        grace_s = 1.0 if error.retryable else 0.0
        # Most drivers name the device themselves, often with its address.
        title = error.message if error.message.startswith(device) else f"{device}: {error.message}"
        self._board.raise_condition(
            Condition(error.code, severity, title, error.hint, record.since, device=device, visible_after_s=grace_s)
        )
        if fell:
            self._on_change(record, now)
        return news

    def add_view(self, view: str, kind: str, now: Stamp, *, required: bool) -> None:
        """A camera view, which the media process watches. One that is never reported is a condition too."""
        self.add(view, kind, now, required=required)
        self._views.add(view)
        self._no_picture(self._records[view], now, VIEW_AWAITED_S)

    def show_view(self, view: str, now: Stamp, *, live: bool) -> None:
        """The media process says whether a view is live. What is no view of this lane is passed over: of a reader or a
        module only its own session tells."""
        if view not in self._views:
            return
        record = self._records[view]
        news = record.up is not live or record.last_seen is None
        record.last_seen = now
        if not news:
            return
        record.up, record.since = live, now
        if live:
            record.sessions += 1
            record.fault = None
            self._board.clear_device(view)
        else:
            self._no_picture(record, now, 0.0)
        self._on_change(record, now)

    def _no_picture(self, record: DeviceRecord, now: Stamp, visible_after_s: float) -> None:
        severity = Severity.ALARM if record.required else Severity.WARNING
        hint = "look at the camera and the media process (systemctl status lane-media)"
        record.fault = DeviceError(_NO_PICTURE, f"{record.device} shows no live picture", hint)
        self._board.raise_condition(
            Condition(_NO_PICTURE, severity, record.fault.message, hint, now, device=record.device,
                      visible_after_s=visible_after_s)
        )  # fmt: skip

    def _come_up(self, record: DeviceRecord, up: DeviceUp) -> None:
        record.info = up.info
        record.fault = None
        record.sessions += 1
        self._board.clear_device(record.device)
        if not record.up:
            record.up = True
            record.since = up.stamp
            self._on_change(record, up.stamp)


def profile_text(info: DeviceInfo) -> str:
    """`wago_750_352 (evidence manual, sha256:0123456789ab)`: which profile a device is driven by, where its facts come
    from and which file exactly; "" for a device without one."""
    if not info.profile:
        return ""
    evidence = info.details.get("profile_evidence")
    facts = [f"evidence {evidence}"] if evidence else []
    if info.profile_digest:
        facts.append(f"sha256:{info.profile_digest[:12]}")
    return f"{info.profile} ({', '.join(facts)})" if facts else info.profile
