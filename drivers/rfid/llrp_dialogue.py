"""One LLRP conversation: requests answered by id and type, keepalives acknowledged, everything else handed on."""

import asyncio
from collections.abc import Callable

from drivers.api import Clock, DeviceRefused, DeviceTimeout, ProtocolViolation, Stamp
from drivers.link.tcp import Stream
from drivers.rfid import llrp_codec as codec
from drivers.rfid.llrp_codec import Message, MessageSplitter, Status, decode_status, encode_message

_READ_SIZE = 1 << 16
_CLOCK_STEP_S = 1e-6  # a timer set closer than a clock's step fires without the time having moved
_SETTINGS_HINT = "check the reader's settings in lane.yaml and its profile"


class Dialogue:
    """Sends requests and reads messages. `on_unasked` gets every message that is no answer, keepalives included, as it
    arrives during a request.

    Answers are matched by id and type. Counters: `strays` answers to nothing that was asked, errors about messages that
    have no answer included.
    """

    def __init__(self, link: Stream, clock: Clock, answer_s: float) -> None:
        self._link = link
        self._clock = clock
        self._answer_s = answer_s
        self._splitter = MessageSplitter()
        self._stamp = clock.stamp()
        self._next_id = 0
        self.version = 1
        self.strays = 0
        self.on_unasked: Callable[[Stamp, Message], object] | None = None

    @property
    def messages(self) -> int:
        """Whole messages received so far."""
        return self._splitter.messages

    @property
    def unfinished(self) -> int:
        """Bytes received of a message that has not ended."""
        return self._splitter.pending

    async def send(self, kind: int, body: bytes = b"", message_id: int | None = None) -> int:
        """Write one message and do not wait; its id."""
        if message_id is None:
            self._next_id = self._next_id % 0xFFFFFFFF + 1
            message_id = self._next_id
        await self._link.write(encode_message(kind, message_id, body, self.version))
        return message_id

    async def next_message(self, timeout_s: float) -> tuple[Stamp, Message] | None:
        """The next message with the time its last bytes arrived; keepalives are acknowledged first. None after
        `timeout_s` without one. ProtocolViolation RFID_GARBLED."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (message := self._splitter.take()) is None:
            left = deadline - loop.time()
            if left <= _CLOCK_STEP_S:
                return None
            try:
                async with asyncio.timeout(left):
                    data = await self._link.read(_READ_SIZE)
            except TimeoutError:
                return None
            self._stamp = self._clock.stamp()
            self._splitter.feed(data)
        stamp = self._stamp
        if message.type == codec.KEEPALIVE:
            await self.send(codec.KEEPALIVE_ACK, message_id=message.id)
        return stamp, message

    async def ask(self, what: str, kind: int, body: bytes = b"") -> Message:
        """Send a request and return its answer, whatever its status. DeviceTimeout RFID_NO_ANSWER; an LLRP error
        message about this request is raised as in `order`."""
        message_id = await self.send(kind, body)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._answer_s
        while (arrived := await self.next_message(deadline - loop.time())) is not None:
            stamp, message = arrived
            if message.id == message_id and message.type == codec.ANSWERS[kind]:
                return message
            if message.id == message_id and message.type == codec.ERROR_MESSAGE:
                raise refusal(what, decode_status(message.body))
            if message.type in _ANSWER_TYPES:
                self.strays += 1
            elif self.on_unasked is not None:
                self.on_unasked(stamp, message)
        raise DeviceTimeout("RFID_NO_ANSWER", f"the reader did not answer {what} within {self._answer_s:g} s")

    async def status_of(self, what: str, kind: int, body: bytes = b"", start: int = 0) -> Status:
        """As `ask`; the status in the answer, whose parameters begin at `start`."""
        return decode_status((await self.ask(what, kind, body)).body, start)

    async def order(self, what: str, kind: int, body: bytes = b"") -> Message:
        """As `ask`, but the answer must say success. DeviceRefused RFID_SETTING_REFUSED when the reader will never do
        it, ProtocolViolation RFID_COMMAND_FAILED when the device failed."""
        answer = await self.ask(what, kind, body)
        status = decode_status(answer.body)
        if status.code:
            raise refusal(what, status)
        return answer


# Custom messages are not listed: a vendor may send them unasked.
_ANSWER_TYPES = frozenset({codec.ERROR_MESSAGE, *codec.ANSWERS.values()} - {codec.CUSTOM_MESSAGE})


def refusal(what: str, status: Status) -> DeviceRefused | ProtocolViolation:
    """The fault for an answer that says no."""
    message = f"the reader answered {what} with {status}"
    if status.code == codec.DEVICE_ERROR:
        return ProtocolViolation("RFID_COMMAND_FAILED", message, "power-cycle the reader if it stays")
    return DeviceRefused("RFID_SETTING_REFUSED", message, _SETTINGS_HINT)
