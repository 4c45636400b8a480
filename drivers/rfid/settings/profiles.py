"""What the settings of all reader families share: antenna ports, and where profiles are."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

AntennaPort = Annotated[int, Field(ge=1, le=16)]

# A wheel carries the profiles inside the package; a source tree has them beside it.
PROFILE_FOLDERS = (
    Path(__file__).parents[2] / "_profiles" / "rfid",
    Path(__file__).parents[3] / "firmware_configs" / "rfid",
)
