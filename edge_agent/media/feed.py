"""One camera kept running: its session, its fan-out, and how it does."""

import logging
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from drivers.api import Clock, DeviceError
from drivers.camera.fanout import Fanout
from drivers.camera.rtsp_camera import CameraCounters, CameraEvent, CameraFrame, RtspCamera
from drivers.camera.settings import RtspCameraSettings
from edge_agent.observe.log import log
from edge_agent.runtime.supervise import CAMERA_CAP_S, Backoff, keep_running

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.5


class CameraFeed:
    """A camera's pictures, reconnected for ever with a jittered pause of 0.5 s to 10 s."""

    def __init__(self, settings: RtspCameraSettings, clock: Clock, rng: Random) -> None:
        self.view = settings.view
        self.fanout = Fanout()
        self.counters = CameraCounters()
        self.faults: Counter[str] = Counter()
        self.frames = 0
        self.sessions = 0
        self.idr_interval_s: float | None = None
        self.fault: str | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._settings = settings
        self._clock = clock
        self._backoff = Backoff(cap_s=CAMERA_CAP_S, rng=rng, first_s=_FIRST_PAUSE_S)
        self._last_ns: int | None = None
        self._last_key_ns: int | None = None

    async def run(self) -> None:
        """Session after session, until cancelled."""
        await keep_running(self._session, self._take, self._backoff, self._lost)

    @property
    def age_s(self) -> float | None:
        """Seconds since the last picture arrived; None when there never was one."""
        return None if self._last_ns is None else (self._clock.stamp().mono_ns - self._last_ns) / 1e9

    @property
    def live(self) -> bool:
        """Whether pictures are coming: the session stands and the last one is younger than the camera's limit."""
        age_s = self.age_s
        return self.fault is None and age_s is not None and age_s * 1000 <= self._settings.silent_ms

    def _session(self) -> RtspCamera:
        self.sessions += 1
        return RtspCamera(self.view, self._settings, self._clock, self.counters)

    def _take(self, event: CameraEvent) -> None:
        if not isinstance(event, CameraFrame):
            self.fanout.camera_restarted()
            self._last_key_ns = None
            return
        came_back = self._last_ns is None or self.fault is not None
        self._last_ns = event.stamp.mono_ns
        self.frames += 1
        if event.is_key:
            if self._last_key_ns is not None:
                self.idr_interval_s = (event.stamp.mono_ns - self._last_key_ns) / 1e9
            self._last_key_ns = event.stamp.mono_ns
        self.fanout.publish(event)
        if came_back:
            self.fault = None
            log(_log, logging.INFO, "camera_live", device=self.view)
            self.on_change()

    def _lost(self, fault: DeviceError) -> None:
        if fault.code != self.fault:  # once when lost and when the reason changes, not for every vain attempt
            log(_log, logging.WARNING, "camera_lost", device=self.view, code=fault.code, detail=str(fault))
        self.fault = fault.code
        self.faults[fault.code] += 1
        self.on_change()
