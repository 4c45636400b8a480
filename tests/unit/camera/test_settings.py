"""What a camera's configuration may hold."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.camera.settings import RtspCameraSettings


def test_the_least_that_is_needed() -> None:
    settings = RtspCameraSettings(view="overview", url="rtsp://10.0.0.5/s")
    assert (settings.kind, settings.silent_ms, settings.user) == ("rtsp", 3_000, None)


def test_login() -> None:
    settings = RtspCameraSettings(view="a", url="rtsp://c/s", user="lane", password_file=Path("/etc/lane/camera"))
    assert settings.password_file == Path("/etc/lane/camera")


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://c/s"},
        {"url": "rtsp://lane:secret@c/s"},
        {"url": "rtsp:///s"},
        {"view": "Over view"},
        {"view": ""},
        {"user": "lane"},
        {"password_file": "/etc/lane/camera"},
        {"silent_ms": 100},
        {"timeout": 5},
    ],
)
def test_what_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RtspCameraSettings.model_validate({"view": "overview", "url": "rtsp://c/s", **change})
