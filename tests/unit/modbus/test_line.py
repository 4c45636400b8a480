"""Sessions on a paced serial line: faults on it, several modules, a dead one beside the head, and timed pulses."""

import asyncio
import itertools
import statistics
import time
from contextlib import suppress
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
    SignalReadback,
)
from drivers.modbus.bus import Priority
from drivers.modbus.lane_io import LaneIo
from drivers.modbus.pdu_codec import write_bits
from tests.unit.modbus.lines import QUIET_MS, REPLY_MS, ROLES, LineBench, serial_bench
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time

RELAY: dict[str, Any] = {
    "profile": "waveshare_relay_8ch",
    "unit_id": 1,
    "inputs_module": {"unit_id": 2, "profile": "generic_coils"},
}


async def shown(io: LaneIo, wanted: Aspect) -> SignalReadback:
    async with asyncio.timeout(10):
        while (found := await io.read()).lamps is not wanted:  # noqa: ASYNC110 - the lamps are another device
            await asyncio.sleep(0.01)
    return found


def crossings(b: LineBench) -> int:
    last = b.seen["io-1"][-1]
    return last.edges["stop_line_beam"] if isinstance(last, InputSnapshot) else 0


async def held(io: LaneIo, aspect: Aspect, seconds: float) -> None:
    """Write an aspect at the pace of a signal loop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await io.write(aspect)
        await asyncio.sleep(0.1)


async def test_a_session_on_a_serial_line() -> None:
    async with serial_bench("generic_coils") as b:
        io = b.session()
        async with b.running(io):
            up = b.seen["io-1"][0]
            assert isinstance(up, DeviceUp)
            assert up.info.details["watchdog_ms"] == "2000"
            for aspect in (Aspect.GREEN, Aspect.RED):
                await io.write(aspect)
                assert (await shown(io, aspect)).coils is aspect
            await until(lambda: len(b.seen["io-1"]) > 1)
            b.modules[1].state.set_inputs({3: True})
            await until(lambda: crossings(b) == 1)
        assert b.line.garbage == 0
        assert b.line.collisions == 0
        assert not any(b.modules[1].state.outputs)


async def test_a_readback_uses_the_last_poll_unless_something_was_switched_since() -> None:
    async with serial_bench("generic_coils") as b:
        io = b.session(poll_ms=1000)
        async with b.running(io):
            await until(lambda: len(b.seen["io-1"]) > 1)
            polled = b.seen["io-1"][-1]
            assert (await io.read()).stamp == polled.stamp, "it is as old as its older half"
            await io.write(Aspect.GREEN)
            assert (await io.read()).stamp.mono_ns > polled.stamp.mono_ns


async def test_what_agrees_with_the_command_is_not_read_twice_in_a_moment_and_what_deviates_is() -> None:
    async with serial_bench("generic_coils") as b:
        io = b.session(poll_ms=400)
        async with b.running(io):
            await until(lambda: len(b.seen["io-1"]) > 1)
            await io.read()
            asked = b.line.frames
            known = await io.read()
            assert b.line.frames == asked, "red is commanded, read and felt: a green need not wait to hear it again"
            b.modules[1].state.lamps.faults.out.add("red")
            b.modules[1].state.lamps.refresh()
            await until(lambda: b.line.frames > asked)  # a poll, or the next readback, has felt it
            dark = await shown(io, Aspect.DARK)
            asked = b.line.frames
            assert (await io.read()).stamp.mono_ns > dark.stamp.mono_ns > known.stamp.mono_ns
            assert b.line.frames > asked, "each look at a deviation is a look at the lamps"


@pytest.mark.parametrize(
    "fault", ["noise", "bad_crc", "half", "twice", "wrong_unit", "wrong_function", "wrong_echo", "wrong_length"]
)
async def test_a_spoilt_answer_is_never_success_and_the_next_session_works(fault: str) -> None:
    async with serial_bench("generic_coils") as b:
        io = b.session(misses_allowed=3)
        async with b.running(io):
            b.modules[1].faults.set({"fault": fault, "times": 1, "writes_only": True})
            acknowledged = False
            with suppress(DeviceError):
                await io.write(Aspect.GREEN)
                acknowledged = True
            assert acknowledged is (fault == "twice"), "only the first copy is an answer"
            await until(lambda: b.modules[1].state.lamps.aspect == ("green" if acknowledged else "red") or not io._live)
        assert b.line.collisions == 0 or fault == "twice"
        b.modules[1].faults.clear()
        for _ in range(3):  # as a supervisor does: what is late may spoil the first attempt
            io = b.session()
            async with b.running(io) as session:
                if not session.done():
                    await io.write(Aspect.GREEN)
                    assert (await shown(io, Aspect.GREEN)).coils is Aspect.GREEN
                    break
        else:
            raise AssertionError("no session after the fault")


async def test_an_echoing_adapter_is_told_as_such() -> None:
    async with serial_bench("generic_coils") as b:
        b.line.pty._receive = b.line.send
        error = await fails(b.session(roles={"zone_a": {"point": 0}}))
        assert isinstance(error, DeviceTimeout)
        assert "echo" in error.hint


async def test_a_busy_line_and_a_silent_one_are_told_apart() -> None:
    async with serial_bench("generic_coils") as b:
        b.line.verbs()["stuck"]({})
        error = await fails(b.session())
        assert "power and cable" in error.hint
        b.line.verbs()["line_clear"]({})
        b.line.verbs()["babble"]({"every_ms": 5})
        error = await fails(b.session())
        assert isinstance(error, DeviceTimeout)
        assert "line busy" in error.hint


async def test_a_wrong_bit_rate_is_told_as_such() -> None:
    async with serial_bench("generic_coils") as b:
        io = b.session(serial={"path": str(b.link), "baud": 9600, "parity": "N"})
        b.modules[1].faults.set({"fault": "mute"})
        b.line.verbs()["babble"]({"every_ms": 20})
        error = await fails(io)
        assert "bit rate" in error.hint


async def fails(io: LaneIo) -> DeviceError:
    with pytest.raises(DeviceError) as ended:
        await io.run(lambda _: None)
    return ended.value


async def test_a_late_answer_meets_a_resting_line() -> None:
    """A module slower than its profile says: no collision, and its late words acknowledge nothing."""
    async with serial_bench("generic_coils") as b:
        io = b.session(misses_allowed=10)
        async with b.running(io):
            for late_ms in (REPLY_MS, REPLY_MS + 25):  # and the wire time of both frames: 12 ms
                b.modules[1].faults.set({"fault": "delay", "ms": late_ms, "times": 1, "writes_only": True})
                with pytest.raises(DeviceTimeout):
                    await io.write(Aspect.GREEN)
                await io.write(Aspect.RED)
                assert (await io.read()).coils is Aspect.RED
            assert b.line.collisions == 0


async def test_unplugged_and_back_under_another_number() -> None:
    async with serial_bench("generic_coils") as b:
        io = b.session()
        async with b.running(io) as session:
            await io.write(Aspect.GREEN)
            b.line.pty.unplug()
            with pytest.raises(LinkLost):
                await session
        error = await fails(b.session())
        assert isinstance(error, LinkLost)
        b.line.pty.plug()
        io = b.session()
        async with b.running(io):
            assert (await shown(io, Aspect.RED)).coils is Aspect.RED, "an old green is not replayed"


# ---- several modules ----


async def test_two_modules_share_a_line_and_the_port_closes_with_the_last() -> None:
    async with serial_bench("generic_coils", "generic_coils") as b:
        head = b.session(roles={"green": ROLES["green"]} | {k: v for k, v in ROLES.items() if "feedback" in k})
        zones = b.session("io-2", unit_id=2, roles={"zone_a": {"point": 0}})
        async with b.running(head):
            async with b.running(zones, "io-2"):
                await head.write(Aspect.GREEN)
                assert (await shown(head, Aspect.GREEN)).coils is Aspect.GREEN
                await until(lambda: len(b.seen["io-2"]) > 3)
                assert head.bus.statistics is zones.bus.statistics
            await head.write(Aspect.RED)
        with pytest.raises(LinkLost):
            await head.bus.transact(1, write_bits(0, (False,)), Priority.RED)
        assert b.line.collisions == 0


async def test_red_does_not_wait_for_a_dead_unit_longer_than_one_exchange_and_its_rest() -> None:
    """The profile's time-out and quiet window, and one exchange: on the module's own clock."""
    async with serial_bench("generic_coils", "generic_coils") as b:
        head = b.session()
        other = b.session("io-2", unit_id=2, roles={"zone_d": {"point": 1}}, misses_allowed=5)
        async with b.running(head), b.running(other, "io-2"):
            late = []
            for _ in range(6):
                await head.write(Aspect.GREEN)
                b.modules[2].faults.set({"fault": "mute", "times": 1})
                await until(lambda: b.modules[2].faults.report() == [])  # the other's poll is on its way
                asked_ns = time.monotonic_ns()
                await head.write(Aspect.RED)
                off = next(e for e in b.named(1, "coil") if not e["on"] and e["at_ns"] > asked_ns)
                late.append((off["at_ns"] - asked_ns) / 1e6)
            assert head.bus.statistics.timeouts >= 6
            assert statistics.median(late) > REPLY_MS / 2, "it had to wait for the time-out"
            assert statistics.median(late) <= REPLY_MS + QUIET_MS + 15 + 100, late  # and what this computer adds


async def test_a_dead_unit_is_left_alone_and_comes_back() -> None:
    async with serial_bench("generic_coils", "generic_coils") as b:
        head = b.session()
        b.modules[2].faults.set({"fault": "mute"})
        async with b.running(head):
            shining = asyncio.ensure_future(held(head, Aspect.GREEN, 60.0))
            for _ in range(3):  # what a supervisor does, without its pauses
                error = await fails(b.session("io-2", unit_id=2, roles={"zone_d": {"point": 1}}))
                assert isinstance(error, DeviceTimeout)
                assert head.bus.connected
            assert b.modules[1].state.lamps.aspect == "green"
            shining.cancel()
            assert b.modules[2]._requests == 3, "one probe each time, after a rest"
            assert len(b.seen["io-1"]) > 10
            b.modules[2].faults.clear()
            async with b.running(b.session("io-2", unit_id=2, roles={"zone_d": {"point": 1}}), "io-2"):
                await until(lambda: len(b.seen["io-2"]) > 2)


# ---- the relay module: pulses, and the inputs of another unit ----


async def test_green_of_the_relay_module_is_a_pulse_sent_again() -> None:
    async with serial_bench("waveshare_relay_8ch", "generic_coils") as b:
        b.modules[1].state.feel_through(b.modules[2].state)
        b.modules[1].state.start()
        io = b.session(**RELAY)
        async with b.running(io):
            up = b.seen["io-1"][0]
            assert isinstance(up, DeviceUp)
            assert up.info.firmware == "200"
            assert "a new pulse restarts" in up.info.details["cannot_confirm"]
            assert io.green_refusal == ""
            await held(io, Aspect.GREEN, 2.2)
            found = await io.read()
            assert (found.coils, found.lamps, found.grade) == (Aspect.GREEN, Aspect.GREEN, Grade.CONTACT)
            pulses = [e["at_ns"] for e in b.named(1, "write") if e["address"] == 0x0200]
            gaps = [(later - before) / 1e6 for before, later in itertools.pairwise(pulses)]
            assert gaps
            assert min(gaps) >= 300
            assert statistics.median(gaps) <= 500
            assert [e["on"] for e in b.named(1, "coil")] == [True], "no gap between the pulses"
            await io.write(Aspect.RED)
            assert (await shown(io, Aspect.RED)).coils is Aspect.RED


async def test_a_pulse_ends_by_itself_when_nobody_sends_another() -> None:
    async with serial_bench("waveshare_relay_8ch", "generic_coils") as b:
        b.modules[1].state.feel_through(b.modules[2].state)
        b.modules[1].state.start()
        io = b.session(**RELAY)
        async with b.running(io):
            await held(io, Aspect.GREEN, 0.6)
            last_ns = [e["at_ns"] for e in b.named(1, "write") if e["address"] == 0x0200][-1]
            await until(lambda: not b.modules[1].state.outputs[0])
            off_ns = [e["at_ns"] for e in b.named(1, "coil") if not e["on"]][-1]
            assert (off_ns - last_ns) / 1e9 <= 1.6
            assert not (await io.read()).foreign_write


async def test_a_module_that_does_not_restart_a_pulse_is_found_out() -> None:
    async with serial_bench("waveshare_relay_8ch", "generic_coils") as b:
        b.modules[1].state.feel_through(b.modules[2].state)
        b.modules[1].state.start()
        b.modules[1].state.pulses_restart = False
        io = b.session(**RELAY)
        async with b.running(io):
            await held(io, Aspect.GREEN, 0.9)
            assert not (await io.read()).foreign_write
            await until(lambda: not b.modules[1].state.outputs[0])
            found = await io.read()
            assert (found.coils, found.foreign_write) == (Aspect.RED, True)


async def test_a_dead_inputs_module_ends_the_session_of_the_head() -> None:
    async with serial_bench("waveshare_relay_8ch", "generic_coils") as b:
        b.modules[1].state.feel_through(b.modules[2].state)
        b.modules[1].state.start()
        io = b.session(**RELAY)
        async with b.running(io) as session:
            await io.write(Aspect.GREEN)
            b.modules[2].faults.set({"fault": "mute"})
            with pytest.raises(DeviceTimeout, match="unit 2"):
                await session
        assert not b.modules[1].state.outputs[0], "and leaves red"


async def test_the_relay_module_without_an_inputs_module_is_refused_for_green() -> None:
    async with serial_bench("waveshare_relay_8ch") as b:
        io = b.session(profile="waveshare_relay_8ch", roles={"green": {"point": 0}})
        async with b.running(io):
            with pytest.raises(DeviceRefused, match="no feedback"):
                await io.write(Aspect.GREEN)
            await io.write(Aspect.RED)


async def test_a_broadcast_is_carried_out_by_all_and_answered_by_nobody() -> None:
    async with serial_bench("generic_coils", "generic_coils") as b:
        io = b.session(roles={"zone_a": {"point": 0}})
        async with b.running(io):
            with pytest.raises(DeviceTimeout):
                await io.bus.transact(0, write_bits(0, (True,)), Priority.DIAGNOSTIC)
            assert [b.modules[unit].state.outputs[0] for unit in (1, 2)] == [True, True]
