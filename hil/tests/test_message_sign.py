"""An agent as it is installed with a message sign on the network: what it says, with the agent and without."""

import asyncio
from pathlib import Path

import pytest

from hil.rig.lane_bench import BenchOptions, LaneBench
from hil.rig.lane_client import LaneClient
from hil.rig.processes import Control, start
from securecorridor.lane.v1.actuators_pb2 import SignState

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(120), pytest.mark.capability("kill_agent")]
MINUTE_S = 2.0


async def _says(control: Control, words: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while words not in (await control.do("get"))["multi"]:  # noqa: ASYNC110 - the sign is another process
            await asyncio.sleep(0.05)


async def test_the_sign_is_told_what_the_lane_allows_and_falls_back_by_itself_when_the_agent_is_killed(
    tmp_path: Path,
) -> None:
    sign = await start(
        "sign", ["-m", "hil.devices.ntcip_sign", "--control", str(tmp_path / "s.ctl"), "--minute-s", str(MINUTE_S)],
        tmp_path,
    )  # fmt: skip
    control = Control(tmp_path / "s.ctl")
    (tmp_path / "sign.key").write_text("lane")
    section = {
        "host": "127.0.0.1", "port": sign.ready["port"], "profile": "ntcip_1203",
        "community_file": str(tmp_path / "sign.key"),
    }  # fmt: skip
    overrides = {"sign": section, "lane": {"mode_at_start": "closed"}}
    options = BenchOptions(tmp_path / "lane", media=False, console=False, overrides=overrides)
    try:
        async with LaneBench(options) as bench:
            await _says(control, "LANE CLOSED[nl]VOIE FERMÉE", 10.0)
            client = LaneClient(bench.socket_dir)
            state = await client.until(lambda s: s.sign.shown == SignState.TEXT_CLOSED, "the sign confirms it")
            assert state.sign.wanted == SignState.TEXT_CLOSED
            await client.close()
            bench.children["agent"].kill()
            await _says(control, "STOP[nl]ARRÊT", 3 * MINUTE_S)
            assert (await control.do("get"))["source"] in ("communications loss", "end of duration")
    finally:
        await control.close()
        sign.kill()
        await sign.process.wait()
