"""One conversation with a Mercury module over a link: commands answered in turn, stream frames in between."""

import asyncio
from collections.abc import Callable

from drivers.api import Clock, DeviceRefused, DeviceTimeout, ProtocolViolation, Stamp
from drivers.link.link import Link
from drivers.rfid import mercury_codec as codec
from drivers.rfid.inbox import Inbox
from drivers.rfid.mercury_codec import Frame, FrameSplitter, status_name

COMMAND_TIMEOUT_S = 2.0  # the vendor's host gives 1 s plus the transport's own time
STOP_TIMEOUT_S = 2.0
_BITS_PER_BYTE = 10

# Statuses that say "this module will not do that": asking again changes nothing.
_REFUSALS = frozenset((0x0100, 0x0101, 0x0102, 0x0103, 0x0105, 0x0106, 0x0109, 0x010A, 0x010B, 0x0402, 0x0507))


class ModuleRestarted(Exception):
    """The module sent its reset notice or lost its settings: configure it again."""


class Dialogue:
    """Sends commands and reads frames. `on_stream` gets every opcode 22 frame that arrives during a command.

    `frames` and `bytes_seen` count what arrived; `stamp` is when the newest frame's bytes did.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self.splitter = FrameSplitter()
        self._inbox: Inbox[Frame] = Inbox(link, clock, self.splitter)
        self.on_stream: Callable[[Stamp, Frame], object] | None = None

    @property
    def bytes_seen(self) -> int:
        """Everything read from the line so far, at any rate."""
        return self._inbox.bytes_seen

    def set_baud(self, baud: int) -> None:
        """Change the line's rate and forget half a frame of the old one."""
        self._link.set_baud(baud)
        self.splitter.reset()
        self.splitter.half_frame_s = codec.HALF_FRAME_S + codec.MAX_FRAME * _BITS_PER_BYTE / baud
        self._inbox.clear()

    async def send(self, op: int, data: bytes = b"") -> None:
        """Write one command and do not wait."""
        await self._link.write(codec.encode_command(op, data))

    async def send_raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        await self._link.write(data)

    async def next_frame(self, timeout_s: float) -> tuple[Stamp, Frame] | None:
        """The next frame of any kind with the time its bytes arrived; None after `timeout_s` without one."""
        return await self._inbox.next(timeout_s)

    async def ask(self, op: int, data: bytes = b"", timeout_s: float = COMMAND_TIMEOUT_S) -> Frame:
        """Send a command and return its reply, whatever its status. DeviceTimeout RFID_NO_ANSWER; ModuleRestarted."""
        await self.send(op, data)
        return await self._answer(op, timeout_s, lambda _frame: True)

    async def order(self, what: str, op: int, data: bytes = b"") -> Frame:
        """As `ask`, but the reply must be status ok. DeviceRefused RFID_SETTING_REFUSED when the module will never do
        it, ProtocolViolation RFID_COMMAND_FAILED for other statuses."""
        return accepted(what, await self.ask(op, data))

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End continuous reading; returns after the module's reply, which follows all pending tag frames.
        DeviceTimeout RFID_NO_ANSWER."""
        await self.send_raw(codec.STOP)
        await self._answer(codec.MULTI_PROTOCOL, timeout_s, is_stop_reply)

    async def _answer(self, op: int, timeout_s: float, fits: Callable[[Frame], bool]) -> Frame:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            arrived = await self.next_frame(deadline - loop.time())
            if arrived is None:
                raise DeviceTimeout(
                    "RFID_NO_ANSWER", f"the reader did not answer command {op:02X} within {timeout_s:g} s"
                )
            stamp, frame = arrived
            if frame.op == op and fits(frame):
                return frame
            if frame.op == codec.READ_MULTIPLE and self.on_stream is not None:
                self.on_stream(stamp, frame)
            elif frame.op == codec.BOOT:
                raise ModuleRestarted


def is_stop_reply(frame: Frame) -> bool:
    """True for the answer to a stop: 02, or a module that knows no streaming (01xx)."""
    return frame.op == codec.MULTI_PROTOCOL and (
        frame.data.endswith(codec.STOP_REPLY_DATA) or frame.status >> 8 == 0x01
    )


def accepted(what: str, reply: Frame) -> Frame:
    """`reply` when its status is ok; see `Dialogue.order`."""
    if reply.status == codec.OK:
        return reply
    message = f"the reader answered {what} with {status_name(reply.status)}"
    if reply.status in _REFUSALS:
        raise DeviceRefused("RFID_SETTING_REFUSED", message, "check the reader's settings in lane.yaml and its profile")
    raise ProtocolViolation("RFID_COMMAND_FAILED", message)
