"""Settings of a camera, as they stand in the configuration file."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from drivers.camera.rtsp_codec import is_rtsp_url


def _rtsp_url(value: str) -> str:
    if not is_rtsp_url(value):
        raise ValueError("must be rtsp://host[:port]/path, without user or password (use user and password_file)")
    return value


class RtspCameraSettings(BaseModel):
    """One RTSP camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["rtsp"] = "rtsp"
    view: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="Name of the view, unique on the lane")]
    url: Annotated[str, AfterValidator(_rtsp_url), Field(description="rtsp://host[:port]/path of the H.264 stream")]
    user: Annotated[str | None, Field(description="User name, with password_file")] = None
    password_file: Annotated[Path | None, Field(description="File holding the password and nothing else")] = None
    silent_ms: Annotated[int, Field(ge=500, le=10_000, description="No packet for so long: session given up")] = 3_000
    connect_timeout_ms: Annotated[int, Field(ge=200, le=30_000, description="Bound of connecting and each answer")] = (
        4_000
    )

    @model_validator(mode="after")
    def _credentials_come_together(self) -> "RtspCameraSettings":
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together")
        return self
