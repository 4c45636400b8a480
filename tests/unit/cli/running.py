"""Runs `lanectl` against the doors of an in-memory lane."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from edge_agent.cli.lanectl import main
from tests.unit.api.fake_lane import FakeLane, open_doors


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Ctl:
    """The command, pointed at one folder of sockets."""

    folder: Path
    lane: FakeLane

    async def __call__(self, *arguments: str, **environment: str) -> Ran:
        """Run it to its end, in a thread: it blocks, and the lane it asks lives on this loop."""
        return await asyncio.to_thread(run, self.folder, *arguments, **environment)


def run(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Run it once."""
    settings = {"LANE_SOCKET_DIR": str(folder), "LANE_OFFICER": "bso-4711", "TZ": "UTC", **environment}
    result = CliRunner().invoke(main, arguments, env=settings, prog_name="lanectl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@asynccontextmanager
async def lanectl(folder: Path) -> AsyncIterator[Ctl]:
    """A lane with its doors open, and the command."""
    lane = FakeLane()
    async with open_doors(folder, lane):
        yield Ctl(folder, lane)
