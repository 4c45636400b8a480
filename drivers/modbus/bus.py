"""The owner of one Modbus line or connection: order, time-outs, strict replies. pymodbus is behind it and nowhere else.

pymodbus does framing and transport; the request bytes and the judgement of the reply are ours (`pdu_codec`,
`mbap_codec`), because it takes replies with another function, address, value or count. Its retries and its reconnect
are off: a session that loses its connection ends, and the caller opens a new one.

Quiet window: on RTU nothing tells a late reply from the next one, so after a time-out, a cancelled call or a mismatch
the line rests for `quiet_ms`. On TCP the transaction id does that (checked strictly), so there is none.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
import os
import termios
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.framer import FramerType
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.transport.serialtransport import SerialTransport

from drivers.api import DeviceError, DeviceRefused, DeviceTimeout, LinkLost, ProtocolViolation
from drivers.link.serial import in_thread
from drivers.modbus import mbap_codec
from drivers.modbus.pdu_codec import ExceptionReplyError, ReplyMismatchError, Request, match_reply
from drivers.modbus.settings.line import SerialLine, TcpLine

_SHOWN = 4

# pymodbus logs a line per time-out; the bus counts them and the session's end is reported once, above.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


class Priority(IntEnum):
    """Who goes first. RED overtakes everything that waits."""

    RED = 0
    WRITE = 1
    READBACK = 2
    POLL = 3
    DIAGNOSTIC = 4


@dataclass(frozen=True, slots=True)
class BusTiming:
    """`reply_ms`: bound of one exchange. `quiet_ms`: rest after an unclean one (RTU). `gap_ms`: least pause before a
    request, on RTU never below 3.5 characters. `connect_ms`: bound of opening."""

    reply_ms: float = 200.0
    quiet_ms: float = 250.0
    gap_ms: float = 0.0
    connect_ms: float = 1000.0

    def suiting(self, other: "BusTiming") -> "BusTiming":
        """What suits both of two units on one line."""
        return BusTiming(
            reply_ms=max(self.reply_ms, other.reply_ms),
            quiet_ms=max(self.quiet_ms, other.quiet_ms),
            gap_ms=max(self.gap_ms, other.gap_ms),
            connect_ms=max(self.connect_ms, other.connect_ms),
        )


@dataclass(slots=True)
class BusStatistics:
    """Counters since the bus was made. `answered` counts whole replies, right or wrong."""

    transactions: int = 0
    answered: int = 0
    timeouts: int = 0
    mismatches: int = 0
    exceptions: int = 0
    late_replies: int = 0
    cancelled: int = 0
    connects: int = 0
    losses: int = 0


class _RawPdu(ModbusPDU):
    """A PDU as plain bytes, so that pymodbus frames it and nothing more."""

    def __init__(self, pdu: bytes, unit: int = 0) -> None:
        super().__init__(dev_id=unit)
        self.function_code = pdu[0]
        self.pdu = pdu

    def encode(self) -> bytes:
        return self.pdu[1:]


class _RawDecoder(DecodePDU):
    """Hands the framer's payload on undecoded. It must not raise: pymodbus would drop the connection without a word."""

    def decode(self, frame: bytes) -> ModbusPDU | None:
        return _RawPdu(bytes(frame)) if frame else None


class ModbusBus:
    """One line, one owner. Single-use: open once, and after a loss make a new one."""

    def __init__(self, device: str, line: TcpLine | SerialLine, timing: BusTiming) -> None:
        self.statistics = BusStatistics()
        self._device = device
        self.line = line
        self._timing = timing
        self._serial = line if isinstance(line, SerialLine) else None
        self._gap_s = max(timing.gap_ms / 1000, self._serial.silence_s if self._serial else 0.0)
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._unit = 0
        self.listeners: list[Callable[[bool, bytes], None]] = []
        """Called with every byte sent (True) and received."""
        self.last_reply: bytes | None = None
        self._said = b""
        self._heard = b""
        self._buffered = b""
        self._in_flight = False
        self._up = asyncio.Event()
        self._ended: DeviceError | None = None
        self._busy = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._quiet_until = 0.0

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._client is not None and self._client.connected

    @property
    def is_slow(self) -> bool:
        """Whether an exchange takes milliseconds of wire time: a serial line."""
        return self._serial is not None

    def suit(self, timing: BusTiming) -> None:
        """Be as patient as another unit on the line needs, from the next exchange on."""
        self._timing = self._timing.suiting(timing)
        self._gap_s = max(self._gap_s, timing.gap_ms / 1000)
        if self._client is not None:
            self._client.ctx.comm_params.timeout_connect = self._timing.reply_ms / 1000

    async def open(self) -> None:
        """Connect once. LinkLost with the reason when that fails or takes longer than `connect_ms`."""
        assert self._client is None, "a bus is opened once"
        self._client = client = self._make_client()
        client.ctx.framer.decoder = _RawDecoder(False)
        client.set_max_no_responses(1 << 30)  # it would close the connection by itself after a few time-outs
        try:
            async with asyncio.timeout(self._timing.connect_ms / 1000):
                await self._connect(client)
                await self._up.wait()  # a serial transport reports itself a little later
        except TimeoutError:
            raise self._link_lost("no answer to the connection attempt", "check power, cable and address") from None
        except OSError as error:
            # asyncio's own text names the call and not the cause; name resolution has negative numbers of its own
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise self._link_lost(why, "check address, port and cable") from error
        except Exception as error:
            # pyserial lets termios.error through when a port vanishes while it is configured: no OSError
            raise self._link_lost(f"{type(error).__name__}: {error}", "check the port") from error
        self.statistics.connects += 1

    async def _connect(self, client: AsyncModbusTcpClient | AsyncModbusSerialClient) -> None:
        """Make the transport; not by `client.connect`, which swallows the reason of a failure."""
        line = self._serial
        if line is None:
            await client.ctx.call_create()
            return
        loop, reply_s = asyncio.get_running_loop(), self._timing.reply_ms / 1000

        def open_port() -> SerialTransport:
            return SerialTransport(
                loop, client.ctx, line.path, line.baud, 8, line.parity, line.stop_bits, timeout=reply_s
            )

        # In a thread: a broken adapter can hold whoever opens it in the kernel, and the loop has other devices.
        transport = await in_thread(open_port, lambda late: late.sync_serial.close())
        transport.setup()

    def close(self) -> None:
        """Close the connection; a pending call fails with LinkLost. May be called at any time, also twice."""
        if self._client is not None:
            self._fail_pending(self._link_lost("closed"))
            self._drop_unsent(self._client.ctx.transport)
            self._client.close()

    @staticmethod
    def _drop_unsent(transport: object) -> None:
        """What an adapter has not sent by now would hold the loop in close() for up to 30 s."""
        port = transport.sync_serial if isinstance(transport, SerialTransport) else None
        if port is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(port.fileno(), termios.TCOFLUSH)

    async def transact(
        self, unit: int, request: Request, priority: Priority, before_send: Callable[[], None] | None = None
    ) -> tuple[int, ...]:
        """One exchange, in the order of priority. Bits or registers read; () for a write.

        `before_send` is called when the line is ours, just before the bytes leave; what it raises ends the call
        unsent. Raises LinkLost, DeviceTimeout, ProtocolViolation, and for exception replies DeviceRefused (1, 2, 3:
        the map is wrong), LinkLost (10, 11: behind a gateway) or DeviceError (MODBUS_DEVICE_FAILURE, MODBUS_BUSY).
        """
        await self._take_quiet_turn(priority)
        try:
            if before_send is not None:
                before_send()
            return await self._exchange(unit, request)
        finally:
            self._pass_turn()

    async def _exchange(self, unit: int, request: Request) -> tuple[int, ...]:
        client = self._client
        if client is None or not client.connected:
            raise self._ending()
        self._unit = unit
        self._in_flight = True
        self.statistics.transactions += 1
        cancels = _cancels_asked()
        try:
            reply = await client.ctx.execute(False, _RawPdu(request.pdu(), unit))
        except asyncio.CancelledError:
            self.statistics.cancelled += 1
            self._rest()
            raise
        except ModbusIOException:
            self.statistics.timeouts += 1
            self._rest()
            raise self._timed_out(unit, request) from None
        except ConnectionException:
            raise self._ending() from None
        finally:
            self._in_flight = False
            self._mark_line()
        if _cancels_asked() > cancels:
            # before Python 3.12 asyncio.wait_for, used by pymodbus, loses a cancellation that meets the reply
            self.statistics.cancelled += 1
            raise asyncio.CancelledError
        assert isinstance(reply, _RawPdu)
        return self.judged(request, reply.pdu)

    def judged(self, request: Request, reply: bytes) -> tuple[int, ...]:
        """Bits or registers of a reply, () for a write; raises as `transact` when it is none to this request."""
        self.statistics.answered += 1
        self.last_reply = reply
        try:
            return match_reply(request, reply)
        except ReplyMismatchError as error:
            self.statistics.mismatches += 1
            self._rest()
            raise ProtocolViolation("MODBUS_WRONG_REPLY", self._told(str(error))) from error
        except ExceptionReplyError as error:
            self.statistics.exceptions += 1
            raise self._refusal(request, error) from error

    def _timed_out(self, unit: int, request: Request) -> DeviceTimeout:
        """Nothing at all, our own words, or something that is no answer: each wants another remedy."""
        what = f"no answer of unit {unit} to function {request.function} in {self._timing.reply_ms:g} ms"
        hint = "check unit_id, power and cable"
        if self._heard and self._heard.startswith(self._said):
            what, hint = f"{what}, only an echo", "switch the echo of the serial adapter off"
        elif self._heard:
            # Not more: what talks there may be a reader, and its next bytes somebody's tag.
            shown = "a text" if self._heard[:_SHOWN].isascii() else self._heard[:_SHOWN].hex()
            what = f"{what}, but {len(self._heard)} bytes that are none: {shown}"
            hint = "line busy or garbled: check bit rate, parity, termination, and whether something else talks on it"
        return DeviceTimeout("MODBUS_TIMEOUT", self._told(what), hint)

    def _refusal(self, request: Request, error: ExceptionReplyError) -> DeviceError:
        what = self._told(f"{error} to function {request.function} at {request.address}")
        if error.code in (1, 2, 3):
            return DeviceRefused("MODBUS_CONFIGURATION", what, "the profile's map does not fit this device")
        if error.code in (5, 6):
            return DeviceError("MODBUS_BUSY", what)
        if error.code in (10, 11):
            return LinkLost("MODBUS_GATEWAY", what, "the gateway cannot reach the device")
        return DeviceError("MODBUS_DEVICE_FAILURE", what)

    # ---- order ----

    async def _take_quiet_turn(self, priority: Priority) -> None:
        """Our turn on a line that has been silent long enough. Whoever waits for silence lets a higher priority pass
        when it is over."""
        ticket = next(self._order)
        while True:
            await self._take_turn(priority, ticket)
            rest = self._quiet_until - asyncio.get_running_loop().time()
            if rest <= 0:
                return
            try:
                await asyncio.sleep(rest)
            except asyncio.CancelledError:
                self._pass_turn()
                raise
            if not self._is_overtaken(priority):
                return
            self._pass_turn()

    async def _take_turn(self, priority: Priority, ticket: int) -> None:
        if not self._busy and not self._waiting:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, ticket, turn))
        if not self._busy:
            self._pass_turn()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_turn()  # it was given to us in the instant we were cancelled
            raise

    def _pass_turn(self) -> None:
        self._busy = False
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._busy = True
                turn.set_result(None)
                return

    def _is_overtaken(self, priority: Priority) -> bool:
        return any(waiting < priority and not turn.done() for waiting, _, turn in self._waiting)

    def _rest(self) -> None:
        """After an unclean exchange on RTU: the line rests until a late reply must have passed."""
        if self._serial is not None:
            self._silence(self._timing.quiet_ms / 1000)

    def _mark_line(self) -> None:
        self._silence(self._gap_s)

    def _silence(self, seconds: float) -> None:
        if seconds:
            self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + seconds)

    # ---- pymodbus ----

    def _make_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        reply_s = self._timing.reply_ms / 1000
        if isinstance(self.line, SerialLine):
            return AsyncModbusSerialClient(
                self.line.path,
                framer=FramerType.RTU,
                baudrate=self.line.baud,
                parity=self.line.parity,
                stopbits=self.line.stop_bits,
                reconnect_delay=0,
                timeout=reply_s,
                retries=0,
                trace_packet=self._on_serial_bytes,
                trace_connect=self._on_connect,
            )
        return AsyncModbusTcpClient(
            self.line.host,
            port=self.line.port,
            framer=FramerType.SOCKET,
            reconnect_delay=0,
            timeout=reply_s,
            retries=0,
            trace_packet=self._on_tcp_bytes,
            trace_connect=self._on_connect,
        )

    def _on_connect(self, up: bool) -> None:
        if up:
            self._up.set()
        else:  # pymodbus keeps waiting for a reply that cannot come any more
            self.statistics.losses += 1
            self._ended = self._ended or self._link_lost("connection closed by the device")
            self._fail_pending(self._ending())

    def _on_serial_bytes(self, sending: bool, data: bytes) -> bytes:
        """Remember what a time-out is told by. Received bytes come as a growing buffer, begun anew after garbage."""
        if sending:
            self._said, self._heard, self._buffered = data, b"", b""
            self._tell(True, data)
        else:
            known = len(self._buffered) if data.startswith(self._buffered) else 0
            self._heard += data[known:]
            self._buffered = data
            self._tell(False, data[known:])
        return data

    def _tell(self, sending: bool, data: bytes) -> None:
        for listener in self.listeners:
            listener(sending, data)

    def _on_tcp_bytes(self, sending: bool, data: bytes) -> bytes:
        self._tell(sending, data)
        if sending or self._client is None:
            return data
        verdict = mbap_codec.judge(data, self._client.ctx.next_tid, self._unit)
        self.statistics.late_replies += verdict.late
        if not verdict.fault:
            return data
        self.statistics.mismatches += 1
        code = "MODBUS_NOT_MODBUS" if verdict.lost_framing else "MODBUS_WRONG_REPLY"
        violation = ProtocolViolation(code, self._told(verdict.fault), verdict.hint)
        self._fail_pending(violation)
        if not verdict.lost_framing:
            return data
        self._ended = violation
        asyncio.get_running_loop().call_soon(self._client.close)
        return b""

    def _fail_pending(self, error: DeviceError) -> None:
        if self._in_flight and self._client is not None and not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(error)

    def _ending(self) -> DeviceError:
        """Why there is no connection, as a new exception for each caller."""
        ended = self._ended or self._link_lost("not connected")
        return type(ended)(ended.code, ended.message, ended.hint)

    def _link_lost(self, why: str, hint: str = "") -> LinkLost:
        return LinkLost("MODBUS_LINK_LOST", self._told(why), hint)

    def _told(self, what: str) -> str:
        return f"{self._device} at {self.line}: {what}"


def _cancels_asked() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
