"""I/O modules in real time: polls, readbacks and commands of a session, recorded and replayed byte for byte."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from drivers import registry
from drivers.api import Aspect, DeviceError, InputSnapshot, Observation, SignalReadback
from drivers.link.capture_codec import Capture, RecordKind, open_capture
from drivers.modbus.settings import LaneIoSettings
from tests.unit.modbus.lane_io_bench import ROLES, Bench, RealClock, bench
from tests.unit.modbus.lines import ROLES as LINE_ROLES
from tests.unit.modbus.lines import serial_bench
from tests.unit.modbus.scripted import until
from tests.unit.modbus.test_actuators import ARM, BEACON

from .recorder import KEY, Recorder, as_bytes, assert_same, replayed

Story = Callable[[Bench, Any, list[Observation]], Awaitable[None]]


async def record(story: Story, profile: str, **changes: Any) -> tuple[Capture, list[Observation], str]:
    """A session with this module while the story happens: its capture, what it told and how it ended."""
    async with bench(profile) as b:
        raw = {"host": "127.0.0.1", "port": b.port.address[1], "profile": profile, "roles": ROLES, **changes}
        settings = LaneIoSettings.model_validate({"poll_ms": 10, "watchdog_ms": 2000, **raw})
        recorder = Recorder(RealClock(), "modbus_lane_io", settings)
        made: list[Any] = []

        def make(clock: Any, splice: Any) -> Any:
            made.append(registry.make_lane_io("reader-1", settings, clock, splice))
            return made[0]

        source = recorder.session(make)
        seen: list[Observation] = []
        session = asyncio.get_running_loop().create_task(source.run(seen.append))
        await until(lambda: len(seen) > 2 or session.done())
        await story(b, made[0], seen)
        session.cancel()
        await asyncio.wait([session])
        error = None if session.cancelled() else session.exception()
    assert error is None or isinstance(error, DeviceError)
    return open_capture(recorder.finished(), KEY.private_bytes_raw()), seen, error.code if error is not None else ""


async def signal_loop(io: Any, seen: list[Observation], cycles: int, aspect: Aspect = Aspect.RED) -> None:
    """What the signal loop does: read back, command, ten times as fast."""
    for _ in range(cycles):
        with suppress(DeviceError):
            seen.append(await io.read())
        with suppress(DeviceError):
            await io.write(aspect)
        await asyncio.sleep(0.007)


async def a_green(b: Bench, io: Any, seen: list[Observation]) -> None:
    """Loops come and go, green is shown and taken back."""
    await signal_loop(io, seen, 10)
    b.module.state.set_inputs({0: True})
    await signal_loop(io, seen, 10, Aspect.GREEN)
    b.module.state.set_inputs({0: False, 1: True})
    await asyncio.gather(signal_loop(io, seen, 5, Aspect.GREEN), io.write(Aspect.RED), return_exceptions=True)
    await signal_loop(io, seen, 60)


async def callers_that_give_up(b: Bench, io: Any, seen: list[Observation]) -> None:
    """Calls that are cancelled at any moment."""
    chance = random.Random(7)
    for _ in range(60):
        call = asyncio.get_running_loop().create_task(io.write(Aspect.RED))
        await asyncio.wait([call], timeout=chance.uniform(0.0, 0.002))
        call.cancel()
        await asyncio.wait([call])
    await signal_loop(io, seen, 5)


async def a_trip(b: Bench, io: Any, seen: list[Observation]) -> None:
    """Nobody writes: the module's watchdog trips, and the session ends."""
    before = len(seen)
    await asyncio.sleep(1.0)
    assert len(seen) > before


async def other_outputs(b: Bench, io: Any, seen: list[Observation]) -> None:
    """Beacon and barrier besides the head."""
    await io.actuators.switch("beacon", on=True)
    assert (await io.actuators.read())["beacon"]
    await asyncio.gather(io.actuators.pulse("barrier_raise"), signal_loop(io, seen, 60))
    await io.actuators.switch("beacon", on=False)
    assert not any((await io.actuators.read()).values())
    await signal_loop(io, seen, 3)


async def a_cut(b: Bench, io: Any, seen: list[Observation]) -> None:
    """The connection breaks."""
    await signal_loop(io, seen, 5)
    await b.module.close()
    await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    ("story", "profile", "changes"),
    [
        (a_green, "wago_750_352", {}),
        (a_green, "generic_coils", {}),
        (callers_that_give_up, "wago_750_352", {}),
        (other_outputs, "wago_750_352", {"roles": {**ROLES, **ARM, **BEACON}, "barrier": "pulse_pair"}),
        (a_trip, "wago_750_352", {"watchdog_ms": 300}),
        (a_cut, "wago_750_352", {}),
    ],
)
def test_a_session_is_replayed_byte_for_byte(story: Story, profile: str, changes: dict[str, Any]) -> None:
    capture, seen, ended = asyncio.run(record(story, profile, **changes))
    assert any(isinstance(item, InputSnapshot) for item in seen)
    assert_same(capture, seen, ended)


def test_readbacks_are_among_what_is_replayed_and_the_lines_bytes_in_the_capture() -> None:
    capture, seen, _ = asyncio.run(record(a_green, "wago_750_352"))
    (session,) = replayed(capture)
    greens = [item for item in session.observations if isinstance(item, SignalReadback) and item.lamps is Aspect.GREEN]
    assert greens
    assert as_bytes(greens)[0] in as_bytes(seen)
    wire = [item.payload for item in capture.records if item.kind is RecordKind.WIRE]
    sent = [item for item in capture.records if item.kind is RecordKind.TX]
    # MBAP: transaction, protocol 0, length, unit; then the request as noted
    assert [frame[8:] for frame in wire if frame[0] == 1][: len(sent)] == [item.payload[2:] for item in sent]


def test_a_request_that_differs_is_named() -> None:
    capture, _seen, _ = asyncio.run(record(a_green, "wago_750_352"))
    records = list(capture.records)
    at = [n for n, item in enumerate(records) if item.kind is RecordKind.TX][20]
    records[at] = replace(records[at], payload=records[at].payload[:3] + b"\x7f" + records[at].payload[4:])
    (session,) = replayed(replace(capture, records=tuple(records)))
    assert session.divergence is not None
    assert abs(session.divergence.record - at) <= 1
    assert "asking unit" in session.divergence.replayed


def test_a_module_that_shares_a_serial_line_is_replayed_without_its_neighbour() -> None:
    async def run() -> tuple[bytes, list[Observation]]:
        async with serial_bench("generic_coils", "generic_coils") as b:
            raw = {"serial": {"path": str(b.link), "baud": 19200, "parity": "N"}, "profile": "generic_coils"}
            settings = LaneIoSettings.model_validate({**raw, "roles": LINE_ROLES, "poll_ms": 40})
            recorder = Recorder(RealClock(), "modbus_lane_io", settings)
            made: list[Any] = []

            def make(clock: Any, splice: Any) -> Any:
                made.append(registry.make_lane_io("reader-1", settings, clock, splice, b.lines))
                return made[0]

            source = recorder.session(make)
            neighbour = b.session("io-2", unit_id=2, roles={"zone_d": {"point": 1}})
            seen: list[Observation] = []
            async with b.running(neighbour, "io-2"):
                session = asyncio.get_running_loop().create_task(source.run(seen.append))
                await until(lambda: len(seen) > 2)
                await signal_loop(made[0], seen, 8)
                b.modules[1].state.set_inputs({3: True})
                b.modules[1].faults.set({"fault": "bad_crc", "times": 1})
                await signal_loop(made[0], seen, 8)
                session.cancel()
                await asyncio.wait([session])
            return recorder.finished(), seen

    file, seen = asyncio.run(run())
    capture = open_capture(file, KEY.private_bytes_raw())
    assert_same(capture, seen)
    asked = [item.payload for item in capture.records if item.kind is RecordKind.TX]
    heard = b"".join(item.payload[1:] for item in capture.records if item.kind is RecordKind.WIRE)
    assert {payload[1] for payload in asked} == {1}
    assert b"\x02\x02" in heard, "the line's bytes are those of every module on it"
