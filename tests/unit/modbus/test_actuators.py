"""Outputs beside the head on a virtual module: pulses to a barrier's operator, steady outputs, who may have them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.api import Aspect, DeviceError, DeviceRefused, EdgeError, LinkLost
from drivers.modbus.settings import LaneIoSettings, default_barrier_dir
from drivers.modbus.settings.barrier import load_barrier
from tests.unit.modbus.lane_io_bench import ROLES, bench
from tests.unit.modbus.lines import serial_bench
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time

ARM: dict[str, Any] = {
    "barrier_raise": {"point": 4},
    "barrier_lower": {"point": 5},
    "barrier_up": {"point": 4},
    "barrier_down": {"point": 5},
    "barrier_presence": {"point": 6},
}
BEACON: dict[str, Any] = {"beacon": {"point": 6}}
BEACON_AT_7: dict[str, Any] = {"beacon": {"point": 7}}


@pytest.mark.parametrize("profile", ["wago_750_352", "generic_coils"])
async def test_a_pulse_goes_on_and_off_and_leaves_the_head_alone(profile: str) -> None:
    async with bench(profile) as b:
        io = b.session(roles={**ROLES, **ARM}, barrier="pulse_pair")
        async with b.running(io):
            await io.write(Aspect.GREEN)
            before = len(b.events)
            await io.actuators.pulse("barrier_raise")
            coils = [(e["point"], e["on"]) for e in b.events[before:] if e["event"] == "coil"]
            assert coils == [(4, True), (4, False)]
            found = await io.read()
            assert (found.coils, found.foreign_write) == (Aspect.GREEN, False)


async def test_a_relay_with_its_own_timer_ends_the_pulse_by_itself() -> None:
    async with serial_bench("waveshare_relay_8ch", "generic_coils") as bench:
        points = {"barrier_raise": {"point": 4}, "barrier_lower": {"point": 5}}
        inputs = {role: {"point": at} for at, role in enumerate(("barrier_up", "barrier_down", "barrier_presence"), 4)}
        roles = {
            "green": {"point": 0}, "red_feedback": {"point": 8}, "green_feedback": {"point": 10}, **points, **inputs,
        }  # fmt: skip
        other = {"unit_id": 2, "profile": "generic_coils"}
        io = bench.session(profile="waveshare_relay_8ch", roles=roles, inputs_module=other, barrier="pulse_pair")
        async with bench.running(io):
            await io.actuators.pulse("barrier_lower")
            write = bench.named(1, "write")[-1]
            assert (write["function"], write["address"], bench.modules[1].state.outputs[5]) == (5, 0x0205, True)
            await until(lambda: not bench.modules[1].state.outputs[5])


async def test_outputs_are_off_before_a_session_is_up_and_after_it() -> None:
    async with bench() as b:
        b.module.state.set_outputs({5: True, 6: True})
        io = b.session(roles={**ROLES, **ARM, **BEACON}, barrier="pulse_pair")
        async with b.running(io):
            assert not any(b.module.state.outputs)
            await io.actuators.switch("beacon", on=True)
            assert b.module.state.outputs[6]
        assert not any(b.module.state.outputs)
        with pytest.raises(LinkLost):
            await io.actuators.switch("beacon", on=True)


async def test_outputs_go_off_when_the_head_is_written_no_more_however_often_they_are() -> None:
    """Single writes feed no watchdog: an agent whose signal loop stands still must not keep green by its beacon."""
    async with bench() as b:
        io = b.session(roles={**ROLES, **BEACON}, watchdog_ms=300)
        async with b.running(io) as task:
            await io.write(Aspect.GREEN)
            while not b.named("watchdog_tripped"):
                try:
                    await io.actuators.switch("beacon", on=True)
                except DeviceError:
                    break
                await asyncio.sleep(0.02)
            await until(lambda: bool(b.named("watchdog_tripped")))
            await until(task.done)
            assert not any(b.module.state.outputs)


async def test_the_sign_falls_to_its_default_text_when_the_agent_dies() -> None:
    """Its default is what it shows with no input energised; a killed agent says no last word."""
    async with bench() as b:
        io = b.session(roles={**ROLES, "sign_proceed": {"point": 6}, "sign_closed": {"point": 7}}, watchdog_ms=300)
        async with b.running(io):
            await io.actuators.switch("sign_proceed", on=True)
            assert b.module.state.outputs[6]
            b.port.cut()
            await until(lambda: not b.module.state.outputs[6])
            assert b.named("watchdog_tripped")


@pytest.mark.parametrize("restarts", [True, False], ids=["pulses restart", "pulses do not restart"])
async def test_a_text_on_timed_relays_lasts_while_it_is_renewed_and_ends_by_itself(restarts: bool) -> None:
    """Nobody says a last word: the session is cut off from the line, as when the agent dies."""
    async with serial_bench("waveshare_relay_8ch", "generic_coils") as bench:
        roles = {"green": {"point": 0}, "red_feedback": {"point": 8}, "green_feedback": {"point": 10}}
        other = {"unit_id": 2, "profile": "generic_coils"}
        io = bench.session(
            profile="waveshare_relay_8ch", roles={**roles, "sign_proceed": {"point": 6}, **BEACON_AT_7},
            inputs_module=other, pulse_ms=1500,
        )  # fmt: skip
        relays = bench.modules[1].state
        relays.pulses_restart = restarts
        async with bench.running(io):
            assert io.actuators.lasts_ms == 1500
            loop = asyncio.get_running_loop()
            until_s = loop.time() + 2.0
            while loop.time() < until_s:
                await io.actuators.switch("sign_proceed", on=True)
                assert (await io.actuators.read())["sign_proceed"]
                await asyncio.sleep(0.3)
            dark = [event for event in bench.named(1, "coil") if event["point"] == 6 and not event["on"]]
            assert len(dark) == (0 if restarts else 1), "or it is dark for a moment, until it is switched on again"
            write = [event for event in bench.named(1, "write") if event["address"] == 0x0206]
            assert all(event["function"] == 5 for event in write)
            await io.actuators.switch("beacon", on=True)
            await io.actuators.switch("beacon", on=False)
            assert not relays.outputs[7], "off at once"
            bench.modules[1].faults.set({"fault": "mute"})
            cut_s = loop.time()
            await until(lambda: not relays.outputs[6])
            assert loop.time() - cut_s <= 1.7


@pytest.mark.parametrize("profile", ["wago_750_352", "generic_coils"])
async def test_what_the_outputs_hold_is_read_back_by_role(profile: str) -> None:
    async with bench(profile) as b:
        io = b.session(roles={**ROLES, **ARM, **BEACON}, barrier="pulse_pair")
        off = {"barrier_raise": False, "barrier_lower": False, "beacon": False}
        async with b.running(io):
            assert await io.actuators.read() == off
            await io.actuators.switch("beacon", on=True)
            assert await io.actuators.read() == {**off, "beacon": True}
            b.module.state.set_outputs({5: True, 6: False})  # another master
            assert await io.actuators.read() == {**off, "barrier_lower": True}
        with pytest.raises(LinkLost):
            await io.actuators.read()


async def test_a_cancelled_pulse_is_ended() -> None:
    async with bench() as b:
        io = b.session(roles={**ROLES, **ARM}, barrier="pulse_pair")
        async with b.running(io):
            pulse = asyncio.ensure_future(io.actuators.pulse("barrier_lower"))
            await until(lambda: b.module.state.outputs[5])
            pulse.cancel()
            await asyncio.gather(pulse, return_exceptions=True)
            assert not b.module.state.outputs[5]


async def test_a_pulse_that_cannot_be_ended_ends_the_session() -> None:
    async with bench() as b:
        io = b.session(roles={**ROLES, **ARM}, barrier="pulse_pair")
        async with b.running(io) as task:
            pulse = asyncio.ensure_future(io.actuators.pulse("barrier_lower"))
            await until(lambda: b.module.state.outputs[5])
            b.module.faults.set({"fault": "exception", "code": 4, "functions": [5]})
            with pytest.raises(DeviceError):
                await pulse
            await until(task.done)
            error = task.exception()
            assert isinstance(error, DeviceError)
            assert error.code == "MODBUS_PULSE_NOT_ENDED"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"roles": {"zone_a": {"point": 0}, **BEACON}}, "needs the module of the head"),
        ({"roles": {**ROLES, "beacon": {"point": 1}}}, "within the head's 0-3"),
        ({"roles": {**ROLES, "beacon": {"point": 6, "active": "low"}}}, "energise to proceed"),
        ({"roles": {**ROLES, **ARM}}, "barrier is missing"),
        ({"roles": ROLES, "barrier": "pulse_pair"}, "a barrier needs roles"),
        *(
            ({"roles": {**ROLES, **{r: p for r, p in ARM.items() if r != role}}, "barrier": "pulse_pair"}, role)
            for role in ARM
        ),
    ],
)
def test_wirings_that_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LaneIoSettings.model_validate({"host": "127.0.0.1", "profile": "wago_750_352", **changes})


async def test_what_stays_on_needs_a_module_that_lets_go() -> None:
    async with bench("moxa_e1214") as b:
        with pytest.raises(EdgeError, match="roles beacon") as refused:
            b.session(roles={"green": {"point": 0}, "beacon": {"point": 4}})
        assert refused.value.code == "ROLE_INVALID"
        with pytest.raises(EdgeError, match="roles sign_proceed"):
            b.session(roles={"green": {"point": 0}, "sign_proceed": {"point": 4}})
    async with bench() as b:
        with pytest.raises(EdgeError, match="outputs"):
            b.session(roles={**ROLES, "beacon": {"point": 400}})


# ---- profiles ----


def profile_with(folder: Path, change: tuple[str, str]) -> Path:
    text = (default_barrier_dir() / "pulse_pair.yaml").read_text()
    assert change[0] in text
    path = folder / "operator.yaml"
    path.write_text(text.replace(*change))
    return path


@pytest.mark.parametrize(
    "change",
    [
        ("on_release: stays", "on_release: lowers"),
        ("on_release: stays", "on_release: raises"),
        ("commands: pulses", "commands: held"),
        ("own_presence: true", "own_presence: false"),
        ("own_anti_crush: true", "own_anti_crush: false"),
    ],
)
def test_an_operator_that_loss_moves_or_that_does_not_protect_is_refused(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    with pytest.raises(DeviceRefused) as refused:
        load_barrier(profile_with(tmp_path, change))
    assert refused.value.code == "PROFILE_UNSAFE"
    assert refused.value.message.startswith("operator.yaml:")


@pytest.mark.parametrize(
    "change", [("pulse_ms: 500", "pulse_ms: 20000"), ("version: 1", "edition: 1"), ("model: ", "model: [")]
)
def test_a_profile_that_is_none_is_told_with_its_place(tmp_path: Path, change: tuple[str, str]) -> None:
    with pytest.raises(EdgeError, match=r"operator\.yaml") as refused:
        load_barrier(profile_with(tmp_path, change))
    assert refused.value.code == "PROFILE_INVALID"


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(EdgeError) as refused:
        load_barrier(default_barrier_dir() / "nothing.yaml")
    assert "pulse_pair" in refused.value.hint
