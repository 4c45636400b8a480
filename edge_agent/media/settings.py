"""What the media process is told at start."""

from dataclasses import dataclass
from pathlib import Path

from drivers.api import EdgeError
from drivers.camera.settings import RtspCameraSettings
from edge_agent.config.checks import is_loopback


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """Where to listen, who may come in, and the cameras.

    `token_file` holds the bearer token of viewers; without one only a loopback `listen_host` is accepted.
    `allowed_origins` are the pages (scheme://host:port) that may play. Raises EdgeError MEDIA_CONFIG.
    """

    listen_host: str
    listen_port: int
    token_file: Path | None
    cameras: tuple[RtspCameraSettings, ...]
    allowed_origins: tuple[str, ...] = ()
    max_viewers: int = 16

    def __post_init__(self) -> None:
        if self.token_file is None and not is_loopback(self.listen_host):
            hint = "name a token_file, or listen on 127.0.0.1"
            raise EdgeError("MEDIA_CONFIG", f"listening on {self.listen_host} needs a token", hint)
        views = [camera.view for camera in self.cameras]
        if len(set(views)) != len(views):
            raise EdgeError("MEDIA_CONFIG", "two cameras have the same view name", "give each camera its own view")
        if self.max_viewers < 1:
            raise EdgeError("MEDIA_CONFIG", "max_viewers must be at least 1")

    def read_token(self) -> bytes | None:
        """The viewers' token, None when none is asked for. Raises EdgeError MEDIA_CONFIG."""
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_bytes().strip()
        except OSError as error:
            hint = "make the file readable for the agent's user"
            raise EdgeError("MEDIA_CONFIG", f"{self.token_file}: {error.strerror}", hint) from error
        if len(token) < 16:
            hint = "write at least 16 random characters into it"
            raise EdgeError("MEDIA_CONFIG", f"{self.token_file}: token shorter than 16 characters", hint)
        return token
