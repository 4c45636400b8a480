"""The example client, run as its reader would."""

import asyncio
import sys
from pathlib import Path

import pytest

from edge_agent.model.decision import ActKind, Role
from tests.unit.api.fake_lane import CONVEYANCE, FakeLane, open_doors
from tests.unit.api.live_lane import live_lane

ROOT = Path(__file__).resolve().parents[3]


async def _client(target: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hil.example_client", f"unix:{target}", *arguments, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.real_time
async def test_it_watches_holds_and_clears(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane) as server:
        officer = server.socket_of(Role.OFFICER)
        code, out, _ = await _client(officer, "--hold", "look at the trailer")
        assert (code, out) == (0, "held; may be cleared by officer\n")
        code, out, _ = await _client(officer, "--count", "1")
        assert code == 0
        assert "confirmed=RED HELD by bso-7 controlled by bso-4711 because the lane is held" in out
        assert f"1 {CONVEYANCE} REQUESTED decision=none" in out
        assert (await _client(officer, "--clear-hold", "looked"))[0] == 0
        assert [act.kind for act in lane.acts] == [ActKind.HOLD_LANE, ActKind.TAKE_CONTROL, ActKind.CLEAR_HOLD]
        code, _, err = await _client(server.socket_of(Role.VIEWER), "--clear-hold", "looked")
        assert (code, err.split(":")[0]) == (1, "PERMISSION_DENIED")


@pytest.mark.real_time
async def test_it_takes_control_of_a_real_lane_and_leaves_it_to_who_has_it(tmp_path: Path) -> None:
    async with live_lane(tmp_path) as lane:
        door = tmp_path / "officer.sock"
        assert (await _client(door, "--hold", "look"))[0] == 0
        assert (await _client(door, "--clear-hold", "looked"))[0] == 0
        assert (lane.loop.state.hold, lane.loop.state.control.officer) == (None, "example-client")
        code, _, err = await _client(door, "--clear-hold", "again", "--officer", "bso-9")
        assert (code, err.strip()) == (1, "FAILED_PRECONDITION: example-client controls the lane by now: look again")


def test_it_uses_the_generated_stubs_and_nothing_of_the_agent() -> None:
    source = (ROOT / "hil" / "example_client.py").read_text()
    assert len(source.splitlines()) <= 100
    assert "edge_agent" not in source
    assert "drivers" not in source
