"""The virtual camera is a camera: FFmpeg, which knows nothing of it, plays it."""

import asyncio
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from hil.devices.scene_picture import read_barcode
from tests.conformance.camera.peers import until_idle, virtual_camera

_TRUCK = {"id": "T1", "nose_m": -10.0, "tail_m": -28.0, "speed_kmh": 15.0, "plate": "AB 123 CD"}

Pictures = list[npt.NDArray[np.uint8]]


def _watch(url: str, count: int) -> Pictures:
    options = {"rtsp_transport": "tcp", "analyzeduration": "100000", "probesize": "32768"}
    with av.open(url, options=options, timeout=(10, 10)) as container:
        pictures: Pictures = []
        for frame in container.decode(video=0):
            pictures.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            if len(pictures) == count:
                break
        return pictures


@pytest.mark.real_time
async def test_ffmpeg_decodes_what_the_scene_says(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path, "--name", "overview", "--barcode") as (url, panel):
        await panel.do("scene", trucks=[_TRUCK], lamp="green", lane_m=[-70, 45], marks={"A": -60, "S": 0})
        pictures = await asyncio.to_thread(_watch, url, 20)
        numbers = [read_barcode(picture) for picture in pictures]
        first = numbers[0]
        assert first is not None
        assert numbers == list(range(first, first + 20))
        assert pictures[0].shape == (360, 640, 3)
        _assert_shows(pictures[-1], lamp="green", truck_at_m=-19.0)
        await until_idle(panel)
        state = await panel.do("get")
        assert state["lamp"] == "green"
        assert state["trucks"] == ["T1"]


def _assert_shows(picture: npt.NDArray[np.uint8], *, lamp: str, truck_at_m: float) -> None:
    greenest = int((picture[50:126, 400:424, 1].astype(int) - picture[50:126, 400:424, 2]).max())
    assert (lamp == "green") == (greenest > 80)
    x = round((truck_at_m + 70) / 115 * 640)
    road = picture[230:240, 20:40].mean(axis=(0, 1))
    body = picture[230:240, x - 10 : x + 10].mean(axis=(0, 1))
    assert float(np.abs(body - road).max()) > 30, "the truck stands out from the empty road"


@pytest.mark.real_time
async def test_the_panel_refuses_nonsense_and_keeps_the_scene(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path) as (_, panel):
        await panel.do("scene", trucks=[_TRUCK], lamp="red")
        for nonsense in ({"lamp": "blue"}, {"trucks": [{"id": "x"}]}, {"lane_m": [5, 5]}):
            with pytest.raises(RuntimeError, match="refused"):
                await panel.do("scene", **nonsense)
        state = await panel.do("get")
        assert (state["lamp"], state["trucks"]) == ("red", ["T1"])
