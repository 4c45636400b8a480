"""Sessions of a lane I/O module against the virtual module: start, inputs, head, faults, end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drivers.api import (
    Aspect,
    DeviceError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    Grade,
    InputSnapshot,
    LinkLost,
    ProtocolViolation,
)
from drivers.modbus.bus import ModbusBus
from hil.devices.modbus_maps import Wago750352
from tests.unit.modbus.lane_io_bench import bench, shown
from tests.unit.modbus.scripted import scripted_server, until

pytestmark = pytest.mark.real_time


def open_files() -> int:
    """How many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("profile", ["wago_750_352", "generic_coils"])
async def test_a_session_identifies_arms_and_verifies_red_before_it_is_up(profile: str) -> None:
    async with bench(profile) as b:
        io = b.session()
        async with b.running(io):
            up = b.seen[0]
            assert isinstance(up, DeviceUp)
            assert up.info.profile == profile
            assert len(up.info.profile_digest) == 64
            assert up.info.details["watchdog_ms"] == "2000"
            assert b.module.state.watchdog.state == 1
            assert not any(b.module.state.outputs)
            assert b.named("write")[0]["function"] == 15, "red is written before anything else"
            await until(lambda: len(b.seen) > 3)
            snapshot = b.seen[-1]
            assert isinstance(snapshot, InputSnapshot)
            assert snapshot.levels["red_feedback"]
            assert snapshot.levels["stop_line_beam"], "active low: nothing on the input means active"
        if profile == "wago_750_352":
            assert up.info.details["item"] == "352"
            assert b.module.state.watchdog.functions == {15}


@pytest.mark.parametrize("profile", ["wago_750_352", "generic_coils"])
async def test_aspects_are_written_as_one_and_confirmed_by_lamps(profile: str) -> None:
    async with bench(profile) as b:
        io = b.session(feedback_grade="lamp")
        async with b.running(io):
            for aspect in (Aspect.GREEN, Aspect.AMBER, Aspect.GREEN, Aspect.RED):
                await io.write(aspect)
                found = await shown(io, aspect)
                assert (found.coils, found.grade) == (aspect, Grade.LAMP)
                assert (found.conflict, found.tripped, found.foreign_write) == (False, False, False)
            assert {event["function"] for event in b.named("write") if event["address"] < 8} <= {15}
            assert [event["aspect"] for event in b.named("lamp")] == ["red", "green", "amber", "green", "red"]


async def test_edges_are_counted_and_a_gap_begins_a_new_session() -> None:
    async with bench() as b:
        io = b.session(stale_ms=100, misses_allowed=10)
        async with b.running(io):
            await until(lambda: len(b.seen) > 1)
            b.module.state.set_inputs({0: True})
            await until(lambda: isinstance(b.seen[-1], InputSnapshot) and b.seen[-1].edges["zone_a"] == 1)
            first = b.seen[-1]
            assert isinstance(first, InputSnapshot)
            assert first.levels["zone_a"]
            b.module.faults.set({"fault": "mute", "times": 2})
            await until(lambda: isinstance(b.seen[-1], InputSnapshot) and b.seen[-1].session != first.session)
            last = b.seen[-1]
            assert isinstance(last, InputSnapshot)
            assert last.edges["zone_a"] == 0


async def test_wrong_identity_locks_the_outputs_and_tells_what_was_found() -> None:
    async with bench() as b:
        b.module._map = Wago750352(item=881)
        error = await b.fails(b.session())
        assert (type(error), error.code) == (DeviceRefused, "WRONG_DEVICE")
        assert "item is 881, not 352" in error.message
        assert not b.named("write"), "nothing is written to a wrong device"


async def test_another_map_on_the_port_is_a_wrong_device() -> None:
    async with bench("generic_coils") as b:
        b.profile = "wago_750_352"
        error = await b.fails(b.session())
        assert (type(error), error.code) == (DeviceRefused, "WRONG_DEVICE")


async def test_a_web_server_on_the_port_is_a_wrong_device() -> None:
    async with (
        bench() as b,
        scripted_server(lambda script, _seen: script.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as script,
    ):
        error = await b.fails(b.session(port=script.port))
        assert (type(error), error.code) == (DeviceRefused, "WRONG_DEVICE")
        assert "HTTP" in error.message


async def test_a_silent_port_is_told_as_such() -> None:
    async with bench() as b, scripted_server(lambda _script, _seen: None) as script:
        error = await b.fails(b.session(port=script.port))
        assert (type(error), error.retryable) == (DeviceTimeout, True)
        assert "no Modbus device" in error.hint


@pytest.mark.parametrize("profile", ["wago_750_352", "generic_coils"])
async def test_without_writes_the_module_goes_red_and_a_new_session_starts_over(profile: str) -> None:
    async with bench(profile) as b:
        io = b.session(watchdog_ms=400)
        async with b.running(io) as session:
            await io.write(Aspect.GREEN)
            with pytest.raises(DeviceError) as ended:
                await session
            assert ended.value.code == "WATCHDOG_TRIPPED"
            assert b.module.state.watchdog.trips == 1
        with pytest.raises(LinkLost):
            await io.write(Aspect.GREEN)
        b.seen.clear()
        io = b.session()
        async with b.running(io):
            up = b.seen[0]
            assert isinstance(up, DeviceUp)
            assert up.info.details["watchdog_was_tripped"] == "true"
            assert (await shown(io, Aspect.RED)).coils is Aspect.RED, "an old green is never replayed"
            await io.write(Aspect.GREEN)


async def test_reads_of_anybody_do_not_feed_the_watchdog() -> None:
    async with bench() as b:
        io = b.session(watchdog_ms=400)
        async with b.running(io) as session:
            await io.write(Aspect.GREEN)
            foreign = b.session(roles={"zone_a": {"point": 0}})
            async with b.running(foreign):
                with pytest.raises(DeviceError, match="released its outputs"):
                    await session
            assert not any(b.module.state.outputs)


async def test_a_tripped_module_is_told_by_the_readback() -> None:
    async with bench() as b:
        io = b.session(poll_ms=1000, stale_ms=2000, watchdog_ms=400)
        async with b.running(io):
            await io.write(Aspect.GREEN)
            await until(lambda: b.module.state.watchdog.trips == 1)
            found = await io.read()
            assert (found.tripped, found.coils, found.foreign_write) == (True, None, False)


async def test_a_second_master_is_seen() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io):
            await io.write(Aspect.GREEN)
            b.module._foreign_write({"point": 0, "on": False})
            assert (await io.read()).foreign_write
            b.module._foreign_write({"point": 3, "on": True})
            b.module._foreign_write({"point": 0, "on": True})
            both = await io.read()
            assert (both.coils, both.conflict, both.foreign_write) == (None, True, True)
            await io.write(Aspect.RED)
            assert not (await io.read()).foreign_write


async def test_a_watchdog_switched_off_by_somebody_ends_the_session() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            b.module.state.watchdog.stop()
            with pytest.raises(DeviceError) as ended:
                await session
            assert ended.value.code == "WATCHDOG_CHANGED"


async def test_a_mute_module_ends_the_session_after_the_allowed_misses() -> None:
    async with bench() as b:
        io = b.session(misses_allowed=1)
        async with b.running(io) as session:
            before = io.bus.statistics.timeouts
            b.module.faults.set({"fault": "mute"})
            with pytest.raises(DeviceTimeout):
                await session
            # two missed polls, and at most one more exchange: the attempt to leave red
            assert 2 <= io.bus.statistics.timeouts - before <= 3


async def test_polls_that_work_do_not_excuse_a_watchdog_that_cannot_be_checked() -> None:
    async with bench() as b:
        io = b.session(misses_allowed=1)
        async with b.running(io) as session:
            b.module.faults.set({"fault": "mute", "functions": [3]})
            async with asyncio.timeout(5):
                with pytest.raises(DeviceTimeout):
                    await session


async def test_one_miss_is_forgiven() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            b.module.faults.set({"fault": "mute", "times": 1})
            await until(lambda: io.bus.statistics.timeouts == 1)
            count = len(b.seen)
            await until(lambda: len(b.seen) > count)
            assert not session.done()


@pytest.mark.parametrize("fault", ["wrong_echo", "wrong_function", "wrong_unit", "zero_transaction", "wrong_protocol"])
async def test_a_wrong_answer_to_a_write_is_told_and_ends_the_session(fault: str) -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            b.module.faults.set({"fault": fault, "times": 1, "writes_only": True})
            with pytest.raises(ProtocolViolation):
                await io.write(Aspect.GREEN)
            with pytest.raises(DeviceError):
                await session
            await until(lambda: b.module.state.lamps.aspect == "red" or fault == "wrong_protocol")


async def test_a_late_echo_is_no_acknowledgement() -> None:
    async with bench() as b:
        io = b.session(misses_allowed=10)
        async with b.running(io):
            b.module.faults.set({"fault": "delay", "ms": 400, "times": 1, "writes_only": True})
            with pytest.raises(DeviceTimeout):
                await io.write(Aspect.GREEN)
            await io.write(Aspect.RED)
            await until(lambda: io.bus.statistics.late_replies == 1)
            assert (await io.read()).coils is Aspect.RED


async def test_a_busy_module_is_asked_again_and_a_wrong_map_is_not() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            b.module.faults.set({"fault": "exception", "code": 6, "times": 2, "writes_only": True})
            await io.write(Aspect.GREEN)
            b.module.faults.set({"fault": "exception", "code": 2, "times": 1, "writes_only": True})
            with pytest.raises(DeviceRefused):
                await io.write(Aspect.GREEN)
            with pytest.raises(DeviceRefused):
                await session


async def test_a_reset_connection_ends_the_session() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            b.port.cut()
            with pytest.raises(LinkLost):
                await session


async def test_a_power_cycle_is_started_over() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io) as session:
            await io.write(Aspect.GREEN)
            b.module._power_cycle({"off_ms": 20})
            with pytest.raises(LinkLost):
                await session
        await until(lambda: b.port.listening)
        b.seen.clear()
        async with b.running(b.session()):
            assert b.module.state.watchdog.state == 1


async def test_a_green_that_waits_is_voided_by_red() -> None:
    async with bench() as b:
        io = b.session(misses_allowed=10)
        async with b.running(io):
            waits, no_reply = asyncio.Event(), asyncio.Event()

            async def held_line(*_: Any) -> tuple[int, ...]:
                """Whoever has the line keeps it until the test says that no reply has come."""
                waits.set()
                await no_reply.wait()
                raise DeviceTimeout("MODBUS_TIMEOUT", "no answer")

            bus = io.bus
            assert isinstance(bus, ModbusBus)
            exchange, bus._exchange = bus._exchange, held_line  # type: ignore[method-assign,assignment]
            await waits.wait()
            green = asyncio.ensure_future(io.write(Aspect.GREEN))
            await asyncio.sleep(0)
            red = asyncio.ensure_future(io.write(Aspect.RED))
            await asyncio.sleep(0)
            bus._exchange = exchange  # type: ignore[method-assign]
            no_reply.set()
            results = await asyncio.gather(green, red, return_exceptions=True)
            assert isinstance(results[0], DeviceError)
            assert results[0].code == "SUPERSEDED"
            assert results[1] is None
            assert "green" not in [event["aspect"] for event in b.named("lamp")]


async def test_green_needs_feedback_and_a_head() -> None:
    async with bench() as b:
        io = b.session(roles={"green": {"point": 0}, "zone_a": {"point": 0}})
        async with b.running(io):
            with pytest.raises(DeviceRefused, match="no feedback"):
                await io.write(Aspect.GREEN)
            with pytest.raises(DeviceRefused, match="no amber"):
                await io.write(Aspect.AMBER)
            await io.write(Aspect.RED)
            assert (await io.read()).grade is Grade.COIL
        b.seen.clear()
        io = b.session(roles={"zone_a": {"point": 0}})
        async with b.running(io):
            with pytest.raises(DeviceRefused, match="no head"):
                await io.write(Aspect.RED)


async def test_the_end_of_a_session_leaves_red() -> None:
    async with bench() as b:
        io = b.session()
        async with b.running(io):
            await io.write(Aspect.GREEN)
            assert any(b.module.state.report()["outputs"])
        assert not any(b.module.state.outputs)
        assert b.module.state.watchdog.trips == 0, "by a write, not by the watchdog"


async def test_lamp_faults_show_in_the_readback() -> None:
    async with bench() as b:
        io = b.session(feedback_grade="lamp")
        async with b.running(io):
            b.module._lamp_fault("red", None)
            assert (await shown(io, Aspect.DARK)).coils is Aspect.RED
            b.module._clear()
            b.module._lamp_fault(None, "green")
            assert (await shown(io, Aspect.GREEN)).coils is Aspect.RED
            b.module._bypass_red()
            found = await io.read()
            assert (found.conflict, found.lamps) == (True, None)


async def test_a_hundred_sessions_leave_nothing_open() -> None:
    async with bench() as b:
        before = open_files()
        for _ in range(100):
            b.seen.clear()
            async with b.running(b.session()):
                pass
        await until(lambda: not b.port.connections)
        assert open_files() <= before


@pytest.mark.parametrize("step", range(12))
async def test_a_session_ends_at_once_wherever_it_is_cancelled(step: int) -> None:
    async with bench() as b:
        count = 0

        def stop_answering(frame: Any) -> bytes | None:
            nonlocal count
            count += 1
            return answer(frame) if count <= step else None

        answer = b.module.answer
        b.module.answer = stop_answering  # type: ignore[method-assign]
        task = asyncio.ensure_future(b.session().run(b.seen.append))
        await until(lambda: count > step)
        task.cancel()
        async with asyncio.timeout(1.0):
            with pytest.raises(asyncio.CancelledError):
                await task
