"""The bus against servers that misbehave on purpose: what pymodbus alone would let through or be slow about."""

import asyncio
import gc

import pytest
from pymodbus.pdu import ModbusPDU

from drivers.api import DeviceError, DeviceRefused, DeviceTimeout, LinkLost, ProtocolViolation
from drivers.modbus.bus import BusTiming, ModbusBus, Priority
from drivers.modbus.pdu_codec import read_bits, write_bits, write_register
from drivers.modbus.settings.line import SerialLine, TcpLine
from tests.unit.modbus.scripted import Scripted, Seen, bus_to, scripted_server, until

pytestmark = pytest.mark.real_time

READ = read_bits(1, 0, 8)
RED = write_bits(0, (False,))
GREEN = write_bits(0, (True,))


def right(script: Scripted, seen: Seen) -> None:
    """Answer rightly: zeros, or the echo."""
    function = seen.pdu[0]
    script.send(seen.answer(bytes([function, 1, 0]) if function in (1, 2) else seen.pdu[:5]))


def silent(_script: Scripted, _seen: Seen) -> None:
    """Never answer."""


async def test_an_exchange() -> None:
    async with scripted_server(right) as script, bus_to(script) as bus:
        assert await bus.transact(1, READ, Priority.POLL) == (0,) * 8
        assert await bus.transact(1, GREEN, Priority.WRITE) == ()
        assert [seen.pdu for seen in script.requests] == [READ.pdu(), GREEN.pdu()]
        assert (bus.statistics.transactions, bus.statistics.connects) == (2, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda seen: seen.answer(bytes([1, 1, 0])),  # the reply of a read answers a write
        lambda seen: seen.answer(seen.pdu[:4] + b"\x09"),  # another count
        lambda seen: seen.answer(bytes([15, 0, 2, 0, 1])),  # another address
        lambda seen: seen.answer(bytes([5, 0, 0, 0xFF, 0])),  # another function
        lambda seen: seen.answer(seen.pdu[:5], transaction=0),
        lambda seen: seen.answer(seen.pdu[:5], transaction=seen.transaction + 7),
        lambda seen: seen.answer(seen.pdu[:5], unit=9),
        lambda seen: seen.answer(seen.pdu[:5], protocol=0x0101),
        lambda seen: seen.answer(seen.pdu[:5] + b"\x00"),
        lambda seen: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_a_wrong_reply_is_never_success(wrong: object) -> None:
    """Row 1: function, address, value and count of a reply are checked; on TCP also id 0 and ids never sent."""
    async with (
        scripted_server(lambda script, seen: script.send(wrong(seen))) as script,  # type: ignore[operator]
        bus_to(script) as bus,
    ):
        with pytest.raises(ProtocolViolation):
            await bus.transact(1, GREEN, Priority.WRITE)
        assert bus.statistics.mismatches == 1


async def test_a_late_reply_does_not_acknowledge_the_next_request() -> None:
    """Row 2: the answer to a timed-out write arrives during the next one and is passed over."""
    kept: list[Seen] = []

    def late(script: Scripted, seen: Seen) -> None:
        if not kept:
            kept.append(seen)
            return
        script.send(kept[0].answer(kept[0].pdu[:5]))
        if seen.pdu == READ.pdu():
            script.send(seen.answer(bytes([1, 1, 0x55])))

    async with scripted_server(late) as script, bus_to(script) as bus:
        with pytest.raises(DeviceTimeout):
            await bus.transact(1, GREEN, Priority.WRITE)
        with pytest.raises(DeviceTimeout):
            await bus.transact(1, GREEN, Priority.WRITE)  # only the late echo comes: it is no acknowledgement
        assert await bus.transact(1, READ, Priority.POLL) == (1, 0, 1, 0, 1, 0, 1, 0)
        assert bus.statistics.late_replies == 2
        assert bus.statistics.timeouts == 2


async def test_a_cancelled_call_leaves_the_line_usable() -> None:
    def first_silent(script: Scripted, seen: Seen) -> None:
        if len(script.requests) > 1:
            right(script, script.requests[0])  # its late answer, then the right one
            right(script, seen)

    async with scripted_server(first_silent) as script, bus_to(script) as bus:
        task = asyncio.ensure_future(bus.transact(1, GREEN, Priority.WRITE))
        await until(lambda: bool(script.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await bus.transact(1, READ, Priority.POLL) == (0,) * 8
        assert bus.statistics.cancelled == 1


async def test_a_cancellation_that_meets_the_reply_is_not_lost() -> None:
    """asyncio.wait_for of Python 3.11 returns the reply and forgets the cancellation; pymodbus uses it."""
    async with scripted_server(right) as script, bus_to(script) as bus:
        call = asyncio.ensure_future(bus.transact(1, READ, Priority.POLL))

        def cancel_on_reply(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
            if not sending:
                call.cancel()
            return pdu

        assert bus._client is not None
        bus._client.ctx.trace_pdu = cancel_on_reply
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()
        bus._client.ctx.trace_pdu = lambda _sending, pdu: pdu
        assert await bus.transact(1, READ, Priority.POLL) == (0,) * 8


async def test_red_overtakes_what_waits_and_goes_out_after_one_dead_read() -> None:
    """Row 4: red behind a dead read waits for that read's bound only, and before everything queued earlier."""

    def dead_read(script: Scripted, seen: Seen) -> None:
        if len(script.requests) > 1:
            right(script, seen)

    async with scripted_server(dead_read) as script, bus_to(script) as bus, asyncio.TaskGroup() as group:
        dying = group.create_task(_expect(DeviceTimeout, bus.transact(1, READ, Priority.POLL)))
        await until(lambda: bool(script.requests))
        for priority in (Priority.DIAGNOSTIC, Priority.POLL, Priority.READBACK):
            group.create_task(bus.transact(1, read_bits(2, priority, 8), priority))
        group.create_task(bus.transact(1, GREEN, Priority.WRITE))
        await asyncio.sleep(0)
        group.create_task(bus.transact(1, RED, Priority.RED))
        await dying
    functions = [seen.pdu[:3] for seen in script.requests[1:]]
    assert functions == [
        RED.pdu()[:3],
        GREEN.pdu()[:3],
        *(bytes([2, 0, priority]) for priority in (Priority.READBACK, Priority.POLL, Priority.DIAGNOSTIC)),
    ]
    assert script.requests[1].pdu == RED.pdu()


async def _expect(kind: type[Exception], call: object) -> None:
    with pytest.raises(kind):
        await call  # type: ignore[misc]


async def test_a_cut_connection_fails_the_pending_call_at_once() -> None:
    """Row 5: pymodbus would wait for the whole time-out, 30 s here."""
    timing = BusTiming(reply_ms=30_000)
    async with scripted_server(lambda script, _seen: script.cut()) as script, bus_to(script, timing) as bus:
        with pytest.raises(LinkLost) as lost:
            await bus.transact(1, READ, Priority.POLL)
        assert lost.value.code == "MODBUS_LINK_LOST"
        with pytest.raises(LinkLost):
            await bus.transact(1, RED, Priority.RED)
        assert bus.statistics.losses == 1
        assert not bus.connected


async def test_those_who_wait_fail_with_the_connection() -> None:
    timing = BusTiming(reply_ms=30_000)
    async with scripted_server(silent) as script, bus_to(script, timing) as bus:
        calls = [asyncio.ensure_future(bus.transact(1, READ, Priority.POLL)) for _ in range(5)]
        await until(lambda: bool(script.requests))
        bus.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [LinkLost] * 5


async def test_connecting_tells_the_reason_and_is_bounded() -> None:
    """Row 6: no reconnect of its own; the caller opens a new bus."""
    async with scripted_server(right) as script:
        port = script.port
    with pytest.raises(LinkLost, match="refused"):
        await ModbusBus("io-1", TcpLine("127.0.0.1", port), BusTiming()).open()
    with pytest.raises(LinkLost, match="io-1"):
        await ModbusBus("io-1", SerialLine("/nonexistent/tty", parity="N"), BusTiming()).open()
    gc.collect()  # pyserial's half-made transport


async def test_noise_is_a_fault_told_at_once_and_the_connection_ends() -> None:
    """Row 9: bytes before a reply lose the framing; on TCP only a new connection finds it again."""

    def noisy(script: Scripted, seen: Seen) -> None:
        script.send(b"\x5a" + seen.answer(seen.pdu[:5]))

    async with scripted_server(noisy) as script, bus_to(script) as bus:
        with pytest.raises(ProtocolViolation):
            await bus.transact(1, RED, Priority.RED)
        await asyncio.sleep(0)
        assert not bus.connected


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail ready\r\n"])
async def test_another_service_on_the_port_is_named(greeting: bytes) -> None:
    async with scripted_server(silent, greeting) as script, bus_to(script) as bus:
        with pytest.raises(ProtocolViolation) as told:
            await bus.transact(1, READ, Priority.POLL)
        assert told.value.code == "MODBUS_NOT_MODBUS"
        assert "another device or service" in told.value.hint


async def test_many_timeouts_do_not_close_the_connection() -> None:
    """Row 10: pymodbus closes by itself after a few."""
    async with scripted_server(silent) as script, bus_to(script, BusTiming(reply_ms=20)) as bus:
        for _ in range(8):
            with pytest.raises(DeviceTimeout):
                await bus.transact(1, READ, Priority.POLL)
        assert bus.connected


@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [
        (1, DeviceRefused, "MODBUS_CONFIGURATION"),
        (2, DeviceRefused, "MODBUS_CONFIGURATION"),
        (3, DeviceRefused, "MODBUS_CONFIGURATION"),
        (4, DeviceError, "MODBUS_DEVICE_FAILURE"),
        (5, DeviceError, "MODBUS_BUSY"),
        (6, DeviceError, "MODBUS_BUSY"),
        (10, LinkLost, "MODBUS_GATEWAY"),
        (11, LinkLost, "MODBUS_GATEWAY"),
    ],
)
async def test_exception_replies_are_told_apart(code: int, kind: type[DeviceError], name: str) -> None:
    def refuse(script: Scripted, seen: Seen) -> None:
        script.send(seen.answer(bytes([seen.pdu[0] | 0x80, code])))

    async with scripted_server(refuse) as script, bus_to(script) as bus:
        with pytest.raises(kind) as refused:
            await bus.transact(1, write_register(5, 1), Priority.WRITE)
        assert refused.value.code == name


async def test_what_before_send_raises_ends_the_call_unsent() -> None:
    def stop() -> None:
        raise DeviceError("SUPERSEDED", "red overtook green")

    async with scripted_server(right) as script, bus_to(script) as bus:
        with pytest.raises(DeviceError, match="overtook"):
            await bus.transact(1, GREEN, Priority.WRITE, stop)
        await bus.transact(1, RED, Priority.RED)
        assert [seen.pdu for seen in script.requests] == [RED.pdu()]


async def test_a_reply_in_single_bytes_is_read() -> None:
    def dribble(script: Scripted, seen: Seen) -> None:
        data = seen.answer(bytes([1, 1, 0x0F]))
        loop = asyncio.get_running_loop()
        for index in range(len(data)):
            loop.call_later(0.002 * index, script.send, data[index : index + 1])

    async with scripted_server(dribble) as script, bus_to(script) as bus:
        assert await bus.transact(1, READ, Priority.POLL) == (1, 1, 1, 1, 0, 0, 0, 0)
        assert bus.statistics.late_replies == 0


async def test_cancelling_one_who_waits_does_not_stop_the_queue() -> None:
    async with scripted_server(silent) as script, bus_to(script, BusTiming(reply_ms=60)) as bus:
        first = asyncio.ensure_future(bus.transact(1, READ, Priority.POLL))
        second = asyncio.ensure_future(bus.transact(1, READ, Priority.POLL))
        third = asyncio.ensure_future(bus.transact(1, RED, Priority.RED))
        await asyncio.sleep(0)
        second.cancel()
        results = await asyncio.gather(first, second, third, return_exceptions=True)
        assert [type(result) for result in results] == [DeviceTimeout, asyncio.CancelledError, DeviceTimeout]
        assert [seen.pdu for seen in script.requests] == [READ.pdu(), RED.pdu()]


def test_serial_silence_is_three_and_a_half_characters() -> None:
    assert SerialLine("x", 19200, "E").silence_s == pytest.approx(3.5 * 11 / 19200)
    assert SerialLine("x", 9600, "N").silence_s == pytest.approx(3.5 * 10 / 9600)
    assert SerialLine("x", 115200).silence_s == 0.00175
