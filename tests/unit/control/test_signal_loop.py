"""The signal loop on virtual time: start and end, green, red at once, sessions."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.api import DeviceError, DeviceRefused, DeviceTimeout, Grade, InputSnapshot, LinkLost
from edge_agent.control.signal_loop import Limits
from edge_agent.safety.facts import Permit, Reason
from tests.unit.control.signal_rig import AMBER, GREEN, MS, RED, Rig, green, running

# --- start, end, pace ------------------------------------------------------------------------------------------------


async def test_red_comes_first_of_all() -> None:
    rig = Rig()
    rig.module.coils = rig.module.lit_before = GREEN
    rig.give()
    async with running(rig, settle_s=0.004):
        assert rig.log == [(rig.log[0][0], RED)]
        assert rig.live.reads == 0
        assert rig.loop.state().commanded is None


async def test_every_cycle_writes_and_beats() -> None:
    rig = Rig()
    async with running(rig):
        before, beats = len(rig.log), rig.beats
        await asyncio.sleep(2.0)
        assert len(rig.log) - before == rig.beats - beats == 20
        state = rig.loop.state()
        assert (state.cycles, state.commanded, state.confirmed, state.grade) == (rig.beats, RED, RED, Grade.CONTACT)
        assert state.ruling.reasons == (Reason.NO_LEASE,)
        assert state.last_cycle is not None


async def test_cancelled_loop_leaves_red_read_back() -> None:
    async with green() as rig:
        reads = rig.live.reads
    assert rig.log[-1][1] is RED
    assert rig.live.reads > reads
    assert rig.module.shows() is RED
    assert (rig.loop.state().commanded, rig.loop.state().confirmed) == (RED, RED)
    assert (rig.changes[-1].commanded, rig.changes[-1].confirmed) == (RED, RED)


async def test_confirmed_since_is_of_what_the_lamps_show_and_not_of_the_command() -> None:
    async with green() as rig:
        lit = rig.loop.state().confirmed_since
        rig.module.stuck_lamps = {GREEN}
        ordered_ns = rig.now_ns()
        rig.order(hold=True)
        await asyncio.sleep(0.05)
        state = rig.loop.state()
        assert (state.commanded, state.confirmed) == (RED, GREEN)
        assert state.since.mono_ns >= ordered_ns > lit.mono_ns
        assert state.confirmed_since == lit
        rig.module.stuck_lamps = set()
        await asyncio.sleep(0.2)
        state = rig.loop.state()
        assert state.confirmed is RED
        assert state.confirmed_since.mono_ns > ordered_ns


async def test_leaving_is_bounded_when_the_head_hangs() -> None:
    rig = Rig()
    task = asyncio.create_task(rig.loop.run())
    await asyncio.sleep(0.5)
    rig.live.exchange_ms = 60_000
    started = rig.now_ns()
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert rig.now_ns() - started == 1_200 * MS
    assert rig.loop.state().last_failure == "SIGNAL_RED_NOT_VERIFIED"
    assert rig.loop.state().commanded is None


async def test_leaving_says_when_red_was_not_seen() -> None:
    async with green() as rig:
        rig.module.stuck_lamps = {GREEN}
    assert rig.loop.state().last_failure == "SIGNAL_RED_NOT_VERIFIED"


async def test_leaving_tries_again_after_a_failed_exchange() -> None:
    failures = [DeviceTimeout("MODBUS_TIMEOUT", "no answer")]
    async with green() as rig:
        rig.live.fail = lambda what: failures.pop() if failures else None
    assert not failures
    assert rig.module.shows() is RED


async def test_leaving_with_a_broken_link_or_a_new_session_or_none() -> None:
    async with green() as rig:
        rig.live.fail = lambda _: LinkLost("MODBUS_LINK_LOST", "gone")
    assert rig.loop.state().last_failure == "SIGNAL_RED_NOT_VERIFIED"
    async with green() as rig:
        rig.head = rig.session()
    assert rig.module.shows() is RED
    async with green() as rig:
        rig.head = None
        written = len(rig.log)
    assert len(rig.log) == written


async def test_a_program_error_ends_the_loop_with_red() -> None:
    async with green() as rig:

        def broken() -> InputSnapshot | None:
            raise ZeroDivisionError

        rig.loop._ports = replace(rig.loop._ports, zones=broken)
        rig.live.exchange_ms = 1
        await asyncio.sleep(0.2)
    assert rig.log[-1][1] is RED


# --- green -----------------------------------------------------------------------------------------------------------


async def test_a_lease_is_green_after_one_readback() -> None:
    rig = Rig()
    async with running(rig):
        since = rig.now_ns()
        rig.give()
        await asyncio.sleep(0.2)
        assert rig.first_write(GREEN, since) == 5  # one read of 5 ms
        state = rig.loop.state()
        assert (state.commanded, state.confirmed, state.grade, state.lease_seq) == (GREEN, GREEN, Grade.CONTACT, 1)
        assert state.ruling.reasons == ()
        assert [(c.commanded, c.confirmed, c.reason, c.lease_seq) for c in rig.changes[-2:]] == [
            (GREEN, RED, "", 1),
            (GREEN, GREEN, "", 1),
        ]


async def test_a_change_is_read_back_soon() -> None:
    async with green() as rig:
        since = rig.now_ns()
        rig.order(hold=True)
        await asyncio.sleep(0.2)
        confirmed = next(c.at.mono_ns for c in rig.changes if c.at.mono_ns > since and c.confirmed is RED)
        assert confirmed - since <= (5 + 40 + 25 + 5) * MS + 5 * MS


async def test_a_settled_head_is_read_once_a_cycle() -> None:
    async with green() as rig:
        reads = rig.live.reads
        await asyncio.sleep(1.0)
        assert rig.live.reads - reads == 10


async def test_an_unsettled_head_is_read_every_25_ms() -> None:
    async with green() as rig:
        rig.module.dead_lamps = {GREEN}
        await asyncio.sleep(0.1)
        reads = rig.live.reads
        await asyncio.sleep(0.18)
        assert 5 <= rig.live.reads - reads <= 7


async def test_a_head_that_cannot_confirm_stays_red() -> None:
    rig = Rig()
    rig.live.grade = Grade.COIL
    async with running(rig):
        rig.give()
        await asyncio.sleep(1.0)
        assert GREEN not in {aspect for _, aspect in rig.log}
        assert rig.loop.state().ruling.reasons == (Reason.CANNOT_CONFIRM,)
        assert (rig.loop.state().confirmed, rig.loop.state().grade) == (RED, Grade.COIL)


async def test_refused_green_is_tried_once() -> None:
    rig = Rig()
    rig.live.fail = lambda what: DeviceRefused("GREEN_REFUSED", "no watchdog") if what == "green" else None
    async with running(rig):
        rig.give()
        await asyncio.sleep(3.0)
        assert [aspect for _, aspect in rig.log].count(GREEN) == 1
        assert rig.loop.state().last_failure == "GREEN_REFUSED"
        assert rig.loop.state().ruling.reasons == (Reason.LEASE_EXPIRED,)
        assert (GREEN, RED) in [(c.commanded, c.confirmed) for c in rig.changes]  # that it was tried is on record


async def test_a_move_that_changes_no_order_costs_no_exchange() -> None:
    async with green() as rig:
        reads, beats = rig.live.reads, rig.beats
        for _ in range(50):
            rig.loop.orders_moved()
            await asyncio.sleep(0.02)
        assert rig.beats - beats == 10
        assert rig.live.reads - reads <= 10


# --- red at once -----------------------------------------------------------------------------------------------------


def _inputs(rig: Rig, **values: object) -> None:
    for name, value in values.items():
        setattr(rig, name, value)
    rig.loop.wake()


ENDINGS: dict[str, Callable[[Rig], object]] = {
    "hold": lambda rig: rig.order(hold=True),
    "lease withdrawn": lambda rig: rig.order(lease=None),
    "mode": lambda rig: rig.order(permit=Permit.NONE),
    "order unknown": lambda rig: rig.order(order_known=False),
    "source lost": lambda rig: rig.order(source_alive=False),
    "nose in the beam": lambda rig: _inputs(rig, beam=True, edges=1),
    "crossed between two looks": lambda rig: _inputs(rig, edges=2),
    "inputs gone": lambda rig: _inputs(rig, inputs_live=False),
    "another conveyance": lambda rig: rig.give(who="c2"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("phase_ms", [0, 3, 5, 7, 50, 97])
async def test_green_ends_within_the_exchange_under_way(ending: str, phase_ms: int) -> None:
    async with green() as rig:
        await asyncio.sleep(phase_ms / 1000)
        since = rig.now_ns()
        ENDINGS[ending](rig)
        await asyncio.sleep(0.1)
        assert rig.first_write(RED, since) <= 5  # nothing, or what is left of one exchange of 5 ms
        assert GREEN not in {aspect for at, aspect in rig.log if at > since + 5 * MS}


async def test_hold_during_the_write_of_green() -> None:
    rig = Rig()
    async with running(rig):
        rig.give()
        rig.live.on_write = lambda aspect: rig.order(hold=True) if aspect is GREEN else None
        await asyncio.sleep(0.1)
        at_green = next(at for at, aspect in rig.log if aspect is GREEN)
        assert rig.first_write(RED, at_green) == 5
        assert [aspect for _, aspect in rig.log].count(GREEN) == 1


async def test_unwoken_loop_goes_red_within_a_cycle() -> None:
    async with green() as rig:
        since = rig.now_ns()
        rig.orders = replace(rig.orders, hold=True)
        await asyncio.sleep(0.2)
        assert rig.first_write(RED, since) <= 110


async def test_green_lasts_its_maximum_and_the_lease_does_not_give_another() -> None:
    async with green(Limits(green_max_ns=5_000 * MS)) as rig:
        since = next(at for at, aspect in rig.log if aspect is GREEN)
        await asyncio.sleep(20)
        assert 5_000 <= rig.first_write(RED, since) <= 5_110
        assert max(at for at, aspect in rig.log if aspect is GREEN) < since + 5_110 * MS
        assert Reason.GREEN_OVERDUE in rig.loop.state().ruling.reasons
        rig.give()
        await asyncio.sleep(0.5)
        assert rig.module.shows() is GREEN


async def test_a_stalled_vehicle_loses_its_green() -> None:
    async with green() as rig:
        await asyncio.sleep(5)
        rig.loop_occupied = True
        since = rig.now_ns()
        await asyncio.sleep(13)
        assert 12_000 <= rig.first_write(RED, since) <= 12_210


async def test_minimum_red_between_two_greens() -> None:
    async with green() as rig:
        rig.order(hold=True)
        since = rig.now_ns()
        rig.order(hold=False)
        await asyncio.sleep(0)
        rig.order(hold=True)
        await asyncio.sleep(0.02)
        rig.order(hold=False)
        rig.give()
        await asyncio.sleep(1)
        assert 500 <= rig.first_write(GREEN, since) <= 620


async def test_expiry_goes_through_amber_where_fitted() -> None:
    async with green(Limits(amber_ns=3_000 * MS)) as rig:
        rig.give(seconds=1)
        await asyncio.sleep(6)
        amber = next(at for at, aspect in rig.log if aspect is AMBER)
        assert 3_000 <= rig.first_write(RED, amber) <= 3_110
        assert rig.module.shows() is RED


async def test_hold_during_amber_is_red_at_once() -> None:
    async with green(Limits(amber_ns=3_000 * MS)) as rig:
        rig.order(permit=Permit.NONE)
        await asyncio.sleep(1)
        assert rig.module.shows() is AMBER
        since = rig.now_ns()
        rig.order(hold=True)
        await asyncio.sleep(0.1)
        assert rig.first_write(RED, since) <= 5


async def test_a_new_lease_during_amber_does_not_cut_it_short() -> None:
    async with green(Limits(amber_ns=3_000 * MS)) as rig:
        rig.give(seconds=0.5)
        await asyncio.sleep(1)
        amber = next(at for at, aspect in rig.log if aspect is AMBER)
        rig.give(seconds=30)
        await asyncio.sleep(4)
        assert 3_000 <= rig.first_write(RED, amber) <= 3_110
        assert rig.first_write(GREEN, amber) >= 3_500


# --- sessions and failures -------------------------------------------------------------------------------------------


async def test_no_session_beats_and_says_why() -> None:
    rig = Rig()
    rig.head = None
    rig.give()
    async with running(rig):
        assert rig.beats >= 9
        assert rig.loop.state().ruling.reasons[0] is Reason.MODULE_NOT_READY
        assert [(c.commanded, c.confirmed, c.grade) for c in rig.changes] == [(RED, None, Grade.NONE)]


async def test_a_new_session_starts_red_and_does_not_replay_the_old_green() -> None:
    async with green() as rig:
        rig.head = None
        await asyncio.sleep(0.5)
        assert rig.loop.state().confirmed is None
        since = rig.now_ns()
        rig.head = rig.session()
        await asyncio.sleep(2)
        assert {aspect for at, aspect in rig.log if at >= since} == {RED}
        assert rig.loop.state().ruling.reasons == (Reason.LEASE_EXPIRED,)
        rig.give()
        await asyncio.sleep(0.3)
        assert rig.module.shows() is GREEN


async def test_a_session_that_replaces_another_at_once_starts_red_too() -> None:
    async with green() as rig:
        since = rig.now_ns()
        rig.head = rig.session()
        await asyncio.sleep(2)
        assert {aspect for at, aspect in rig.log if at > since + 5 * MS} == {RED}


async def test_without_a_session_orders_are_still_judged() -> None:
    rig = Rig()
    rig.head = None
    async with running(rig):
        rig.give()
        rig.order(hold=True)
        await asyncio.sleep(0.2)
        state = rig.loop.state()
        assert state.ruling.reasons[:3] == (Reason.HOLD, Reason.MODULE_NOT_READY, Reason.READBACK_UNKNOWN)
        assert Reason.NO_LEASE not in state.ruling.reasons
        assert (state.commanded, state.lease_seq) == (None, 1)


async def test_a_lease_that_waited_for_the_session_is_served() -> None:
    rig = Rig()
    rig.head = None
    async with running(rig):
        rig.give()
        await asyncio.sleep(1)
        rig.head = rig.session()
        await asyncio.sleep(1)
        assert rig.module.shows() is GREEN


async def test_no_green_before_red_was_read_back() -> None:
    rig = Rig()
    rig.module.dead_lamps = {RED}
    rig.give()
    async with running(rig, settle_s=0.6):
        assert {aspect for _, aspect in rig.log} == {RED}
        assert Reason.MODULE_NOT_READY in rig.loop.state().ruling.reasons


@pytest.mark.parametrize("exchange", ["read", "green", "red"])
async def test_a_failed_exchange_is_followed_by_red(exchange: str) -> None:
    async with green() as rig:
        failed: list[int] = []

        def fail(what: str) -> DeviceError | None:
            if what == exchange and not failed:
                failed.append(rig.now_ns())
                return DeviceTimeout("MODBUS_TIMEOUT", "no answer")
            return None

        rig.live.fail = fail
        if exchange == "red":
            rig.order(hold=True)
        await asyncio.sleep(1)
        after = [(at, aspect) for at, aspect in rig.log if at >= failed[0]]
        assert {aspect for _, aspect in after} == {RED}
        assert after[0][0] - failed[0] <= 100 * MS
        state = rig.loop.state()
        assert (state.failures, state.last_failure) == (1, "MODBUS_TIMEOUT")
        assert failed[0] <= state.since.mono_ns <= failed[0] + 120 * MS
        assert rig.module.shows() is RED


async def test_a_dead_module_is_not_fed_but_the_loop_beats() -> None:
    async with green() as rig:
        rig.live.fail = lambda what: DeviceTimeout("MODBUS_TIMEOUT", "no answer")
        taken, beats = rig.module.fed_ns, rig.beats
        await asyncio.sleep(3)
        rig.module.look()
        assert rig.module.fed_ns == taken
        assert rig.beats - beats >= 25
        assert rig.loop.state().failures >= 25
        assert rig.module.tripped
        assert rig.loop.state().confirmed is None


async def test_a_tripped_watchdog_is_red_first_and_asks_for_a_new_lease() -> None:
    async with green() as rig:
        rig.module.output(RED)
        rig.module.tripped = True
        await asyncio.sleep(2)
        assert rig.loop.state().commanded is RED
        assert rig.loop.state().fault == ""
        assert rig.loop.state().ruling.reasons == (Reason.LEASE_EXPIRED,)
