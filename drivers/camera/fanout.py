"""One camera's pictures for many viewers: packetised once, the running group of pictures kept, every queue bounded.

A new viewer gets the pictures since the last key picture at once, their timestamps squeezed to 1 ms apart and ending at
the live one: its decoder runs through them and stands on live with no lasting delay. A viewer that cannot follow loses
pictures up to the next key picture, counted, and never holds up the others.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from drivers.camera.h264_codec import packetise
from drivers.camera.rtsp_camera import CameraFrame

GROUP_BYTES_MAX: Final = 8 << 20
GROUP_FRAMES_MAX: Final = 600
QUEUE_FRAMES_MAX: Final = 60

_TICKS_PER_S = 90_000
_SQUEEZED_TICKS = 90  # 1 ms
_STEP_TICKS_MAX = 10 * _TICKS_PER_S


@dataclass(frozen=True, slots=True)
class MediaFrame:
    """One picture ready to send: RTP payloads and its time on the fan-out's own 90 kHz line, which never goes back and
    runs on through camera restarts. `mono_ns` is the picture's arrival at this computer."""

    payloads: tuple[bytes, ...]
    timestamp: int
    is_key: bool
    size_bytes: int
    mono_ns: int


class ViewerQueue:
    """The pictures one viewer still has to get; at most the group of pictures it began with plus 60."""

    def __init__(self, start: tuple[MediaFrame, ...]) -> None:
        self.dropped_frames = 0
        self.dropped_to_key = 0
        self.wants_group = False  # set by a viewer that lost its picture: the next one comes with its whole group
        self._frames = deque(start)
        self._burst = len(start)
        self._awaiting_key = not start
        self._closed = False
        self._woken = asyncio.Event()
        if start:
            self._woken.set()

    @property
    def in_burst(self) -> bool:
        """Whether the next picture is still of the group the viewer began with."""
        return self._burst > 0

    def put(self, frame: MediaFrame) -> None:
        """Add a picture; drops to the next key picture when the viewer is too far behind."""
        if self._awaiting_key and not frame.is_key:
            self.dropped_frames += 1
            return
        if len(self._frames) >= QUEUE_FRAMES_MAX + self._burst:
            self.dropped_frames += len(self._frames)
            self.dropped_to_key += 1
            self._frames.clear()
            self._burst = 0
            if not frame.is_key:
                self.dropped_frames += 1
                self._awaiting_key = True
                return
        self._awaiting_key = False
        self._frames.append(frame)
        self._woken.set()

    def restart(self, start: tuple[MediaFrame, ...]) -> None:
        """Begin again with `start`, a whole group of pictures, instead of what is queued."""
        self.wants_group = False
        self._frames = deque(start)
        self._burst = len(start)
        self._awaiting_key = False
        self._woken.set()

    async def get(self) -> MediaFrame | None:
        """The next picture; None once closed."""
        while not self._frames and not self._closed:
            self._woken.clear()
            await self._woken.wait()
        if self._closed:
            return None
        self._burst = max(0, self._burst - 1)
        return self._frames.popleft()

    def close(self) -> None:
        """Let `get` end."""
        self._closed = True
        self._woken.set()


class Fanout:
    """Distributes one camera's frames. One event loop only."""

    def __init__(self) -> None:
        self.dropped_to_key = 0
        self._queues: set[ViewerQueue] = set()
        self._group: list[MediaFrame] = []
        self._group_bytes = 0
        self._timestamp = GROUP_FRAMES_MAX * _SQUEEZED_TICKS  # so that a squeezed group never begins below zero
        self._last: CameraFrame | None = None

    @property
    def viewers(self) -> int:
        """How many queues are open."""
        return len(self._queues)

    def camera_restarted(self) -> None:
        """A new camera session begins: what came before does not join what follows."""
        self._last = None if self._last is None else replace(self._last, timestamp=-1)
        self._forget_group()

    def publish(self, frame: CameraFrame) -> MediaFrame:
        """Hand a picture to every viewer."""
        payloads = packetise(frame.nals)
        step = self._step_to(frame)
        self._timestamp += step
        self._last = frame
        size = sum(map(len, payloads))
        media = MediaFrame(payloads, self._timestamp, frame.is_key, size, frame.stamp.mono_ns)
        self._keep(media)
        for queue in self._queues:
            dropped = queue.dropped_to_key
            if queue.wants_group and self._group:
                # Squeezed into the time since the picture before, so that a viewer never sees time go back.
                queue.restart(self._squeezed(max(1, min(_SQUEEZED_TICKS, step // (len(self._group) + 1)))))
                continue
            queue.put(media)
            self.dropped_to_key += queue.dropped_to_key - dropped
        return media

    def subscribe(self) -> ViewerQueue:
        """A queue that begins with the running group of pictures, if there is one."""
        queue = ViewerQueue(self._squeezed(_SQUEEZED_TICKS))
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: ViewerQueue) -> None:
        """Close `queue`; twice does no harm."""
        self._queues.discard(queue)
        queue.close()

    def _squeezed(self, ticks: int) -> tuple[MediaFrame, ...]:
        last = len(self._group) - 1
        return tuple(
            replace(frame, timestamp=self._timestamp - (last - index) * ticks)
            for index, frame in enumerate(self._group)
        )

    def _step_to(self, frame: CameraFrame) -> int:
        if self._last is None:
            return 0
        arrival = max((frame.stamp.mono_ns - self._last.stamp.mono_ns) * _TICKS_PER_S // 1_000_000_000, 1)
        step = (frame.timestamp - self._last.timestamp) % (1 << 32)
        # The camera's own count is smoother than arrival, but a restart or a clock jump in the camera must not show.
        return step if self._last.timestamp >= 0 and 0 < step <= _STEP_TICKS_MAX else arrival

    def _keep(self, media: MediaFrame) -> None:
        if media.is_key:
            self._forget_group()
        elif not self._group:
            return
        self._group.append(media)
        self._group_bytes += media.size_bytes
        if self._group_bytes > GROUP_BYTES_MAX or len(self._group) > GROUP_FRAMES_MAX:
            self._forget_group()

    def _forget_group(self) -> None:
        self._group = []
        self._group_bytes = 0
