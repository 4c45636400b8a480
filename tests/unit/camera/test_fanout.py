"""The fan-out: instant start, bounded queues, one unbroken time line."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Stamp
from drivers.camera.fanout import GROUP_BYTES_MAX, QUEUE_FRAMES_MAX, Fanout, MediaFrame, ViewerQueue
from drivers.camera.rtsp_camera import CameraFrame

_FRAME_TICKS = 7_500  # 12 pictures a second


class Camera:
    """Pictures as a camera would deliver them."""

    def __init__(self, timestamp: int = 1_000, gop: int = 12) -> None:
        self.timestamp = timestamp
        self.mono_ns = 0
        self.gop = gop
        self.count = 0

    def next(self, size: int = 100) -> CameraFrame:
        is_key = self.count % self.gop == 0
        frame = CameraFrame(
            Stamp(self.mono_ns, 0), "overview", (bytes([0x65 if is_key else 0x41]) * size,), self.timestamp, is_key
        )
        self.count += 1
        self.mono_ns += 83_333_333
        self.timestamp = (self.timestamp + _FRAME_TICKS) % (1 << 32)
        return frame


async def _taken(queue: ViewerQueue, count: int) -> list[MediaFrame]:
    frames = []
    for _ in range(count):
        frame = await queue.get()
        assert frame is not None
        frames.append(frame)
    return frames


async def test_a_new_viewer_gets_the_running_group_squeezed_and_then_live() -> None:
    fanout, camera = Fanout(), Camera()
    live = [fanout.publish(camera.next()) for _ in range(17)][-1]
    queue = fanout.subscribe()
    following = fanout.publish(camera.next())
    frames = await _taken(queue, 6)
    assert [frame.is_key for frame in frames] == [True, False, False, False, False, False]
    assert [b.timestamp - a.timestamp for a, b in itertools.pairwise(frames)] == [90, 90, 90, 90, _FRAME_TICKS]
    assert frames[4].timestamp == live.timestamp
    assert frames[5] == following


async def test_a_viewer_before_the_first_key_picture_waits_for_it() -> None:
    fanout, camera = Fanout(), Camera()
    camera.count = 10
    queue = fanout.subscribe()
    for _ in range(3):
        fanout.publish(camera.next())
    (first,) = await _taken(queue, 1)
    assert first.is_key
    assert queue.dropped_frames == 2


async def test_a_stuck_viewer_drops_to_a_key_picture_and_holds_up_nobody() -> None:
    fanout, camera = Fanout(), Camera()
    stuck, brisk = fanout.subscribe(), fanout.subscribe()
    for _ in range(10 * QUEUE_FRAMES_MAX):
        fanout.publish(camera.next())
        await _taken(brisk, 1)
    assert fanout.dropped_to_key == stuck.dropped_to_key > 0
    assert (brisk.dropped_to_key, brisk.dropped_frames) == (0, 0)
    left = 10 * QUEUE_FRAMES_MAX - stuck.dropped_frames
    assert left <= QUEUE_FRAMES_MAX
    frames = await _taken(stuck, left)
    assert frames[0].is_key
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(frames)} == {_FRAME_TICKS}


async def test_a_stuck_viewer_waits_for_a_key_picture_wherever_it_fell_behind() -> None:
    fanout, camera = Fanout(), Camera(gop=7)
    stuck = fanout.subscribe()
    for _ in range(QUEUE_FRAMES_MAX + 1):
        fanout.publish(camera.next())
    assert stuck.dropped_to_key == 1
    fanout.publish(camera.next())
    while camera.count % camera.gop:
        fanout.publish(camera.next())
    fanout.publish(camera.next())
    (first,) = await _taken(stuck, 1)
    assert first.is_key


async def test_a_viewer_that_lost_its_picture_gets_the_group_again_without_time_going_back() -> None:
    fanout, camera = Fanout(), Camera()
    queue = fanout.subscribe()
    for _ in range(5):
        fanout.publish(camera.next())
    before = await _taken(queue, 5)
    queue.wants_group = True
    fanout.publish(camera.next())
    again = await _taken(queue, 6)
    assert again[0].is_key
    assert all(b.timestamp > a.timestamp for a, b in itertools.pairwise([before[-1], *again]))
    assert not queue.wants_group


@given(st.lists(st.sampled_from(["frame", "wrap", "restart", "jump", "pause"]), min_size=2, max_size=40))
def test_time_never_goes_back_whatever_the_camera_does(acts: list[str]) -> None:
    fanout, camera = Fanout(), Camera()
    times: list[int] = []
    for act in acts:
        if act == "wrap":
            camera.timestamp = (1 << 32) - 10
        elif act == "restart":
            fanout.camera_restarted()
            camera = Camera(timestamp=5)
            camera.mono_ns = 10_000_000_000 * len(times)
        elif act == "jump":
            camera.timestamp = (camera.timestamp - 90_000 * 3_600) % (1 << 32)
        elif act == "pause":
            camera.mono_ns += 5_000_000_000
        times.append(fanout.publish(camera.next()).timestamp)
    assert all(b > a for a, b in itertools.pairwise(times))


async def test_after_a_restart_the_old_group_is_gone() -> None:
    fanout, camera = Fanout(), Camera()
    fanout.publish(camera.next())
    fanout.camera_restarted()
    queue = fanout.subscribe()
    fanout.publish(camera.next())
    assert queue.dropped_frames == 1


async def test_a_group_too_large_to_keep_is_not_kept() -> None:
    fanout, camera = Fanout(), Camera(gop=1_000)
    for _ in range(10):
        fanout.publish(camera.next(GROUP_BYTES_MAX // 8))
    queue = fanout.subscribe()
    fanout.publish(camera.next())
    assert queue.dropped_frames == 1


async def test_a_closed_queue_ends() -> None:
    fanout, camera = Fanout(), Camera()
    queue = fanout.subscribe()
    assert fanout.viewers == 1
    fanout.publish(camera.next())
    fanout.unsubscribe(queue)
    fanout.unsubscribe(queue)
    assert await queue.get() is None
    assert fanout.viewers == 0
