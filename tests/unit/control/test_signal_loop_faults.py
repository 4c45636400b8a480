"""The signal loop on virtual time: faults that latch, and what is told of all this."""

import asyncio
from pathlib import Path

import pytest

import edge_agent
from drivers.api import Grade
from edge_agent.control.signal_loop import Limits, SignalFault, interlock_digest
from edge_agent.safety.facts import Reason
from tests.unit.control.signal_rig import GREEN, MS, RED, Rig, green, running

# --- faults ----------------------------------------------------------------------------------------------------------

PHASES = [0, 11, 24, 38, 52, 66, 79, 93]


async def latch_time(rig: Rig) -> int:
    """ms until the loop reports a latched fault."""
    since = rig.now_ns()
    while not rig.loop.state().fault:
        await asyncio.sleep(0.001)
        assert rig.now_ns() - since < 3_000 * MS, "no fault was latched"
    return (rig.now_ns() - since) // MS


@pytest.mark.parametrize("phase_ms", PHASES)
async def test_conflict_latches_between_200_and_450_ms(phase_ms: int) -> None:
    async with green() as rig:
        await asyncio.sleep(phase_ms / 1000)
        rig.module.stuck_lamps = {RED}
        assert 200 <= await latch_time(rig) <= 450
        assert rig.loop.state().fault == SignalFault.CONFLICT
        assert rig.log[-1][1] is RED


@pytest.mark.parametrize("phase_ms", PHASES)
async def test_missing_red_lamp_latches_between_700_ms_and_one_second(phase_ms: int) -> None:
    rig = Rig()
    async with running(rig):
        await asyncio.sleep(phase_ms / 1000)
        rig.module.dead_lamps = {RED}
        assert 700 <= await latch_time(rig) <= 1000
        assert rig.loop.state().fault == SignalFault.DARK


@pytest.mark.parametrize("phase_ms", PHASES)
async def test_green_lamp_failing_latches_within_half_a_second(phase_ms: int) -> None:
    async with green() as rig:
        await asyncio.sleep(phase_ms / 1000)
        rig.module.dead_lamps = {GREEN}
        assert 300 <= await latch_time(rig) <= 450
        assert rig.log[-1][1] is RED


@pytest.mark.parametrize("phase_ms", PHASES)
async def test_on_a_slow_line_the_look_comes_when_the_deviation_is_a_fault(phase_ms: int) -> None:
    """An exchange of 14 ms: from the first sight of it, T_rb, at most the exchange under way, and one of its own."""
    rig = Rig(Limits(settle_ns=200 * MS))
    async with running(rig):
        rig.live.exchange_ms = 14
        rig.give()
        await asyncio.sleep(0.5 + phase_ms / 1000)
        rig.module.dead_lamps = {GREEN}
        failed_ns = rig.now_ns()
        rig.loop.wake()  # a poll has felt it
        await asyncio.sleep(0.5)
        assert rig.loop.state().fault == SignalFault.DARK
        assert 200 <= rig.first_write(RED, failed_ns) <= 14 + 14 + 200 + 14 + 2


async def test_green_that_never_lights_latches_and_stays_red_for_all() -> None:
    rig = Rig()
    async with running(rig):
        rig.module.dead_lamps = {GREEN}
        rig.give()
        assert 300 <= await latch_time(rig) <= 360
        rig.module.dead_lamps = set()
        for _ in range(3):
            rig.give()
            await asyncio.sleep(1)
        assert rig.module.shows() is RED
        assert rig.loop.state().ruling.reasons[0] is Reason.FAULT_LATCHED
        assert rig.changes[-1].fault == "SIGNAL_DARK"
        rig.order(fault_cleared_seq=1)
        rig.give()
        await asyncio.sleep(1)
        assert rig.module.shows() is GREEN
        assert rig.changes[-1].fault == ""


async def test_stuck_green_is_named() -> None:
    async with green() as rig:
        rig.module.stuck_lamps = {GREEN}
        rig.module.dead_lamps = {RED}
        rig.order(hold=True)
        assert 300 <= await latch_time(rig) <= 360
        assert rig.loop.state().fault == SignalFault.STUCK_GREEN


async def test_foreign_write_is_a_fault_at_the_next_look() -> None:
    async with green() as rig:
        rig.module.foreign = True
        assert await latch_time(rig) <= 110
        assert rig.loop.state().fault == SignalFault.FOREIGN_WRITE


async def test_a_fault_survives_sessions_and_restarts() -> None:
    rig = Rig(latched=SignalFault.CONFLICT)
    async with running(rig):
        rig.head = None
        await asyncio.sleep(1)
        rig.head = rig.session()
        rig.give()
        await asyncio.sleep(1)
        assert rig.module.shows() is RED
        assert rig.loop.state().fault == "SIGNAL_CONFLICT"
        rig.order(fault_cleared_seq=1)
        await asyncio.sleep(0.1)
        assert rig.module.shows() is GREEN or rig.loop.state().fault == ""


async def test_a_clearing_from_before_the_restart_does_not_count() -> None:
    rig = Rig(latched=SignalFault.CONFLICT, cleared=5)
    async with running(rig):
        assert rig.loop.state().fault == "SIGNAL_CONFLICT"


# --- what is told ----------------------------------------------------------------------------------------------------


async def test_reasons_carry_the_time_they_appeared() -> None:
    rig = Rig()
    async with running(rig):
        first = dict(rig.loop.state().reasons_since)
        await asyncio.sleep(1)
        rig.order(hold=True)
        await asyncio.sleep(0.2)
        since = dict(rig.loop.state().reasons_since)
        assert list(since) == [Reason.HOLD, Reason.NO_LEASE]
        assert since[Reason.NO_LEASE] == first[Reason.NO_LEASE]
        assert since[Reason.HOLD].mono_ns > since[Reason.NO_LEASE].mono_ns + 900 * MS


async def test_a_change_is_told_with_its_reason_its_lease_and_its_time() -> None:
    async with green() as rig:
        assert rig.loop.state().since.mono_ns == next(at for at, aspect in rig.log if aspect is GREEN) + 5 * MS
        rig.order(hold=True, lease=None)
        await asyncio.sleep(0.3)
        assert (rig.changes[-1].reason, rig.changes[-1].lease_seq) == ("hold", 0)
        assert rig.loop.state().lease_seq == 0
        assert rig.loop.state().since.mono_ns == rig.changes[-2].at.mono_ns


async def test_a_steady_signal_is_told_once() -> None:
    async with green() as rig:
        told = len(rig.changes)
        await asyncio.sleep(5)
        assert len(rig.changes) == told


async def test_a_confirmation_grows_stale() -> None:
    async with green() as rig:
        assert rig.loop.state().confirmed_at is not None
        rig.live.exchange_ms = 5_000
        await asyncio.sleep(1)
        state = rig.loop.state()
        assert (state.confirmed, state.grade, state.confirmed_at) == (None, Grade.NONE, None)


async def test_conflict_confirms_nothing() -> None:
    rig = Rig()
    async with running(rig):
        rig.module.stuck_lamps = {GREEN}
        await asyncio.sleep(0.2)
        assert rig.loop.state().confirmed is None


def test_one_line_of_the_program_writes_green() -> None:
    places = [
        (path.name, line.strip())
        for path in Path(edge_agent.__file__).parent.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if ".write(Aspect." in line or "head.write(" in line
    ]
    assert sorted(places) == [
        ("all_red.py", "await session.write(Aspect.RED)"),
        ("signal_loop.py", "await head.write(Aspect.GREEN)"),
        ("signal_loop.py", "await head.write(aspect)"),
    ]


def test_interlock_digest_is_of_the_files() -> None:
    assert len(bytes.fromhex(interlock_digest())) == 32
    assert interlock_digest() == interlock_digest()
