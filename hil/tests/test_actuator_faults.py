"""Faults of the barrier arm and of a message sign on the network, by the devices' own clocks; one lane has both.

One truck is released and stands before its commit distance: the arm goes up for it, and again after every fault.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hil.rig.bench_arm import ARM_INPUTS, ARM_OUTPUTS
from hil.rig.lane_client import OFFICER, codes
from hil.rig.processes import Child, Control, start
from hil.rig.puppet import PuppetLane, PuppetTruck, is_green, is_red
from hil.rig.recorder import Event, Recorder
from hil.rig.target import Target
from hil.tests.stage import Stage, measured, ms, opened
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.actuators_pb2 import ArmState, SignState

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre", "barrier_arm", "arm_faults"),
]
TRAVEL_S = 0.3
LIMITS = {"travel_s": 1, "clear_s": 1, "settle_ms": 200}
MINUTE_S = 2.0
"""Of the virtual sign: it waits a minute for a word, and its texts last two."""
RAISE, LOWER = ARM_OUTPUTS["barrier_raise"], ARM_OUTPUTS["barrier_lower"]
UP, DOWN = ARM_INPUTS["barrier_up"], ARM_INPUTS["barrier_down"]


@dataclass
class Sign:
    """The virtual sign of this lane, what it tells, and what commands it."""

    process: Child
    control: Control
    told: Recorder = field(default_factory=lambda: Recorder("sign"))

    async def says(self, words: str, after_ns: int, timeout_s: float = 8.0) -> Event:
        """The first time since then that it came to say this."""
        return await self.told.wait(lambda e: e["event"] == "shown" and words in e["multi"], words,
                                    after_ns=after_ns, timeout_s=timeout_s)  # fmt: skip


@dataclass
class Site:
    """The lane with an arm and a sign, and the truck that stands in it."""

    stage: Stage
    sign: Sign
    truck: PuppetTruck | None = None

    @property
    def lane(self) -> PuppetLane:
        return self.stage.lane

    async def module(self, verb: str, **fields: Any) -> int:  # noqa: ANN401 - JSON values
        """A word to the module; when it was said."""
        since_ns = time.monotonic_ns()
        await self.lane.bench.controls["module"].do(verb, **fields)
        return since_ns

    async def act(self, method: str, kind: Any, **more: Any) -> None:  # noqa: ANN401 - a message of the contract
        """An officer's act."""
        request = kind(request_id=str(uuid.uuid4()), officer=OFFICER, reason="a test", **more)
        await getattr(self.lane.client.lane, method)(request, timeout=8)

    async def clear_fault(self) -> int:
        """Somebody has looked at the arm; when."""
        since_ns = time.monotonic_ns()
        await self.act("ClearSignalFault", pb.ClearSignalFaultRequest)
        return since_ns

    async def arm_is_up_for_a_green(self) -> None:
        """Heal the arm, and wait until the truck has its green again."""
        since_ns = await self.module("arm")
        state = await self.lane.client.get()
        if state.arm.fault:
            await self.clear_fault()
        if self.truck is None:
            self.truck, _ = await self.lane.truck_on_green()
        elif state.signal.confirmed != types.ASPECT_GREEN:
            await self.lane.module.wait(is_green, "green again", after_ns=since_ns)
        await self.lane.client.until(
            lambda s: s.signal.confirmed == types.ASPECT_GREEN and s.arm.position == ArmState.POSITION_UP,
            "arm up, green",
        )

    async def faulty(self, code: str) -> pb.LaneState:
        """The lane once it has told this fault of the arm."""
        return await self.lane.client.until(lambda s: s.arm.fault == code and "BARRIER_FAULT" in codes(s), code)

    def asked(self, point: int, after_ns: int) -> list[Event]:
        """Pulses to a contact of the arm's operator."""
        return self.lane.module.seen(lambda e: e["event"] == "coil" and e["point"] == point and e["on"], after_ns)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, target: Target) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with asyncio.Runner() as runner:
        sign = runner.run(_start_sign(folder))
        section = {
            "host": "127.0.0.1", "port": sign.process.ready["port"], "profile": "ntcip_1203", "timeout_ms": 100,
            "community_file": str(folder / "sign.key"),
        }  # fmt: skip
        overrides = {"sign": section, "barrier": LIMITS}
        options = {**target.bench_options(), "arm_travel_s": TRAVEL_S, "overrides": overrides}
        try:
            with opened(folder / "lane", **options) as stage:
                stage.run(stage.lane.open_lane())
                stage.run(sign.told.follow(sign.control))
                yield Site(stage, sign)
                stage.run(sign.told.close())
                stage.run(sign.control.close())
        finally:
            runner.run(sign.process.end())


async def _start_sign(folder: Path) -> Sign:
    (folder / "sign.key").write_text("lane")
    control = folder / "s.ctl"
    arguments = ["-m", "hil.devices.ntcip_sign", "--control", str(control), "--minute-s", str(MINUTE_S)]
    return Sign(await start("sign", arguments, folder), Control(control))


def level(bit: int, on: bool) -> Any:  # noqa: ANN401 - a match of Recorder
    """An input of the module changed to this."""
    return lambda event: event["event"] == "input" and event["bit"] == bit and bool(event["on"]) is on


# ---- the arm ----


def held_to(name: str, site: Site, cause: Event, red: Event, target: Target) -> None:
    late_ms, limit_ms = ms(red["at_ns"], cause["at_ns"]), target.limits.nose_to_red_ms
    measured(name, [late_ms], "ms", limit_ms)
    assert 0 < late_ms <= limit_ms + target.tolerances.scheduling_ms


def test_an_arm_that_comes_down_unasked_turns_the_light_red(site: Site, target: Target) -> None:
    async def falls() -> None:
        await site.arm_is_up_for_a_green()
        since_ns = await site.module("push_arm", up=False)
        left = await site.lane.module.wait(level(UP, on=False), "the arm leaves its switch", after_ns=since_ns)
        red = await site.lane.module.wait(is_red, "red", after_ns=since_ns)
        held_to("arm leaves its upper switch under green to RED on the wire", site, left, red, target)
        state = await site.faulty("BARRIER_MOVED_UNASKED")
        assert state.signal.commanded == types.ASPECT_RED
        assert not site.asked(RAISE, since_ns)
        assert not site.asked(LOWER, since_ns)

    site.stage.run(falls())


def test_both_limit_switches_made_turn_the_light_red(site: Site, target: Target) -> None:
    async def contradict() -> None:
        await site.arm_is_up_for_a_green()
        since_ns = await site.module("set_inputs", bits={str(DOWN): True})
        made = await site.lane.module.wait(level(DOWN, on=True), "both switches made", after_ns=since_ns)
        red = await site.lane.module.wait(is_red, "red", after_ns=since_ns)
        held_to("both switches of the arm made under green to RED on the wire", site, made, red, target)
        await site.faulty("BARRIER_LIMITS_CONFLICT")
        assert not site.asked(LOWER, since_ns), "where it is, is not known"
        await site.module("set_inputs", bits={str(DOWN): False})

    site.stage.run(contradict())


@pytest.mark.parametrize(
    ("fault", "position"),
    [
        ({"jammed": True}, ArmState.POSITION_DOWN),  # asked up, and down reported
        ({"dead_limits": ["up"]}, ArmState.POSITION_BETWEEN),  # it is up, and no switch says so
    ],
    ids=["does not move", "upper switch dead"],
)
def test_an_arm_that_does_not_arrive_in_its_time_gives_no_green(
    site: Site, fault: dict[str, Any], position: ArmState.Position.ValueType
) -> None:
    async def waits() -> None:
        await site.arm_is_up_for_a_green()
        since_ns = await site.module("push_arm", up=False)
        await site.lane.module.wait(level(DOWN, on=True), "the arm is down", after_ns=since_ns)
        await site.faulty("BARRIER_MOVED_UNASKED")
        await site.module("arm", **fault)
        cleared_ns = await site.clear_fault()
        first = await site.lane.module.wait(
            lambda e: e["event"] == "coil" and e["point"] == RAISE and e["on"], "asked up", after_ns=cleared_ns
        )
        state = await site.faulty("BARRIER_NOT_MOVED")
        measured("asked up, and not there, to the fault", [ms(state.at.mono_ns, first["at_ns"]) / 1000], "s", 2.0)
        assert 1.0 <= ms(state.at.mono_ns, first["at_ns"]) / 1000 <= 2.0
        assert state.arm.position == position
        assert not site.lane.module.seen(is_green, since_ns)
        assert len(site.asked(RAISE, cleared_ns)) == 1, "once, and never while the fault lasts"

    site.stage.run(waits())


# ---- the sign ----


async def closed_and_said(site: Site) -> int:
    """The lane is closed, and the sign says so; from when on."""
    since_ns = time.monotonic_ns()
    if (await site.lane.client.get()).mode != types.LANE_MODE_CLOSED:
        await site.lane.client.take_control()
        await site.act("SetLaneMode", pb.SetLaneModeRequest, mode=types.LANE_MODE_CLOSED)
    await confirmed(site, SignState.TEXT_CLOSED)
    return since_ns


async def confirmed(site: Site, text: SignState.Text.ValueType) -> pb.LaneState:
    """The sign's own controller says that it shows this."""
    return await site.lane.client.until(
        lambda s: s.sign.shown == text and s.sign.grade == types.GRADE_CONTACT, "the sign confirms it"
    )


def again(name: str, since_ns: int, event: Event, target: Target) -> None:
    measured(name, [ms(event["at_ns"], since_ns) / 1000], "s", target.limits.recovery_s)
    assert ms(event["at_ns"], since_ns) / 1000 <= target.limits.recovery_s


def test_another_masters_text_and_a_power_failure_are_put_right(site: Site, target: Target) -> None:
    async def disturb() -> None:
        began_ns = await closed_and_said(site)
        for verb, fields, wrong in (
            ("tell", {"number": 12}, "SECONDARY"),  # another master's message is read back
            ("power_cycle", {}, "STOP[nl]ARRÊT"),  # its default
        ):
            since_ns = time.monotonic_ns()
            await site.sign.control.do(verb, **fields)
            other = await site.sign.says(wrong, since_ns)
            right = await site.sign.says("LANE CLOSED", other["at_ns"])
            again(f"sign shows another text ({verb}) to the wanted one", other["at_ns"], right, target)
            await confirmed(site, SignState.TEXT_CLOSED)
        assert not site.lane.module.seen(is_green, began_ns), "the light is another matter"

    site.stage.run(disturb())


def test_a_silent_sign_falls_back_by_itself_and_is_told_again(site: Site, target: Target) -> None:
    async def silence() -> None:
        await closed_and_said(site)
        since_ns = time.monotonic_ns()
        await site.sign.control.do("fault", mute=True)
        fell = await site.sign.says("STOP[nl]ARRÊT", since_ns)
        assert fell["source"] in ("communications loss", "end of duration")
        assert ms(fell["at_ns"], since_ns) / 1000 <= MINUTE_S + 0.5
        state = await site.lane.client.until(lambda s: "SIGN_TIMEOUT" in codes(s), "it is told")
        assert (state.sign.shown, state.sign.grade) == (SignState.TEXT_UNSPECIFIED, types.GRADE_UNSPECIFIED)
        assert (state.mode, state.signal.confirmed) == (types.LANE_MODE_CLOSED, types.ASPECT_RED)
        healed_ns = time.monotonic_ns()
        await site.sign.control.do("clear")
        said = await site.sign.says("LANE CLOSED", healed_ns)
        again("sign answers again to the wanted text", healed_ns, said, target)
        await site.lane.client.until(lambda s: "SIGN_TIMEOUT" not in codes(s), "it is well again")

    site.stage.run(silence())


@pytest.mark.capability("kill_agent")
def test_the_sign_falls_back_by_itself_when_the_agent_is_killed(site: Site) -> None:
    """Last: it leaves no agent."""

    async def kill() -> None:
        await closed_and_said(site)
        killed_ns = time.monotonic_ns()
        site.lane.bench.children["agent"].kill()
        fell = await site.sign.says("STOP[nl]ARRÊT", killed_ns)
        assert fell["source"] in ("communications loss", "end of duration")
        measured("SIGKILL of the agent to STOP on a sign with minutes of 2 s", [ms(fell["at_ns"], killed_ns) / 1000],
                 "s", MINUTE_S + 0.5)  # fmt: skip
        assert ms(fell["at_ns"], killed_ns) / 1000 <= MINUTE_S + 0.5

    site.stage.run(kill())
