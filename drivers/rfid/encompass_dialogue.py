"""One conversation with an Encompass reader over a link: commands answered in turn, its own messages acknowledged."""

import asyncio
from collections.abc import Callable

from drivers.api import Clock, DeviceTimeout, ProtocolViolation, Stamp
from drivers.link.link import Link
from drivers.rfid import encompass_codec as codec
from drivers.rfid.encompass_codec import BadMessage, Message, MessageSplitter
from drivers.rfid.inbox import Inbox

TRIES = 3
_ANSWER_S = 0.3  # beside the line's own time for a question, an answer and one message in its way
_REPEAT_S = 13.0  # the longest time a reader can be told to wait for an acknowledgement is 12.7 s
_QUIET_S = 0.1
_BITS_PER_CHARACTER = 10
_LINE_CHARACTERS = 3 * (codec.MAX_LINE + 3)


class Dialogue:
    """Sends commands and reads messages, in basic protocol or ECP (`ecp`).

    `on_message` gets every message that is no answer, once: a repeat of an unacknowledged one is acknowledged and
    dropped. In ECP each is acknowledged, or refused when its check is wrong, as soon as it came; not while a command is
    open, when the reader sends it again later by itself. Counters: `bytes_seen`, `heard` valid messages, `bad` ones,
    `repeats`.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._sequence = 1
        self._last: Message | None = None
        self._last_s = 0.0
        self._open = False
        self._answer_s = _ANSWER_S
        self.splitter = MessageSplitter()
        self._inbox: Inbox[bytes] = Inbox(link, clock, self.splitter)
        self.ecp = False
        self.command_mode = False
        self.heard = 0
        self.bad = 0
        self.repeats = 0
        self.on_message: Callable[[Stamp, Message], object] | None = None

    @property
    def lost(self) -> int:
        """Messages that came damaged or unfinished."""
        return self.bad + self.splitter.dropped_messages

    @property
    def bytes_seen(self) -> int:
        """Everything read from the line so far, at any rate."""
        return self._inbox.bytes_seen

    def set_baud(self, baud: int) -> None:
        """Change the line's rate and forget half a message of the old one."""
        self._link.set_baud(baud)
        self.splitter.reset()
        self.splitter.half_message_s = codec.HALF_MESSAGE_S + codec.MAX_LINE * _BITS_PER_CHARACTER / baud
        self._answer_s = _ANSWER_S + _LINE_CHARACTERS * _BITS_PER_CHARACTER / baud
        self._inbox.clear()

    async def send_raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        await self._link.write(data)

    async def next_line(self, timeout_s: float) -> tuple[Stamp, bytes] | None:
        """The next unchecked message with the time its bytes arrived; None after `timeout_s` without one."""
        return await self._inbox.next(timeout_s)

    async def listen(self, timeout_s: float) -> bool:
        """Wait for one message of the reader and handle it; False after `timeout_s` without a valid one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (arrived := await self.next_line(deadline - loop.time())) is not None:
            message = self._decode(arrived[1])
            if isinstance(message, BadMessage):
                await self._refuse(message)
                continue
            await self._take(arrived[0], message)
            return True
        return False

    async def ask(self, command: str, tries: int = TRIES) -> str:
        """Send a command and return its answer, `Error` too. Sent again, in ECP with the same sequence, until answered.
        DeviceTimeout RFID_NO_ANSWER."""
        sequence = self._next_sequence()
        data = codec.encode_ecp(sequence, command) if self.ecp else codec.encode_basic(command)
        self._open = True
        try:
            for attempt in range(tries):
                await self._link.write(data)
                answer = await self._answer(command, sequence)
                if answer is not None:
                    if attempt and not self.ecp:
                        await self._pass_late_answers(command)
                    return answer
        finally:
            self._open = False
        raise DeviceTimeout(
            "RFID_NO_ANSWER", f"the reader did not answer command {command} within {tries * self._answer_s:.1f} s"
        )

    async def order(self, command: str, tries: int = TRIES) -> None:
        """As `ask`, but the answer must be `Done`. ProtocolViolation RFID_COMMAND_FAILED."""
        if await self.ask(command, tries) != codec.DONE:
            raise ProtocolViolation("RFID_COMMAND_FAILED", f"the reader answered command {command} with an error")

    async def to_command_mode(self) -> None:
        """From here the reader sends no tags: its transmitter is off. DeviceTimeout, ProtocolViolation."""
        self.command_mode = True
        await self.order(codec.ENTER_COMMAND_MODE)

    async def to_data_mode(self, tries: int = TRIES) -> None:
        """Read tags again. DeviceTimeout, ProtocolViolation."""
        await self.order(codec.ENTER_DATA_MODE, tries)
        self.command_mode = False

    async def leave(self, timeout_s: float) -> None:
        """Back to data mode whatever the protocol; returns at the answer or after `timeout_s`. LinkLost."""
        sequence = self._next_sequence()
        leave = codec.encode_ecp(sequence, codec.ENTER_DATA_MODE)
        await self._link.write(leave + codec.encode_basic(codec.ENTER_DATA_MODE))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        wait_s = timeout_s
        while (arrived := await self.next_line(min(wait_s, deadline - loop.time()))) is not None:
            answer = codec.decode_ecp(arrived[1])
            if isinstance(answer, Message) and answer.sequence == sequence and answer.text == codec.DONE:
                break
            # In basic protocol answers have no number: the last of those under way is the one.
            wait_s = _QUIET_S if arrived[1] == codec.DONE.encode() else timeout_s
        self.command_mode = False

    def _next_sequence(self) -> int:
        # A reader repeats its old answer to a sequence it has just seen: each command takes the next odd digit.
        self._sequence = (self._sequence + 2) % 16
        return self._sequence

    async def _answer(self, command: str, sequence: int) -> str | None:
        """The answer to an open command; None when it is time to send it again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._answer_s
        while (arrived := await self.next_line(deadline - loop.time())) is not None:
            stamp, line = arrived
            message = self._decode(line)
            if isinstance(message, BadMessage):
                if self.ecp and message.sequence == sequence:
                    return None  # a damaged answer: the same sequence makes the reader repeat it
            elif self._answers(message, command, sequence):
                self.heard += 1
                if message.text == codec.NAK:
                    return None
                return message.text
            elif self.ecp or message.text != command:  # an echo is nobody's tag
                await self._take(stamp, message)
        return None

    async def _pass_late_answers(self, command: str) -> None:
        """Basic protocol: a command sent again may be answered twice; the second is not the next command's."""
        for _ in range(TRIES):
            arrived = await self.next_line(_QUIET_S)
            if arrived is None:
                return
            message = self._decode(arrived[1])
            if isinstance(message, Message) and message.text != command:
                await self._take(arrived[0], message)

    def _answers(self, message: Message, command: str, sequence: int) -> bool:
        if self.ecp:
            return message.sequence == sequence
        return _is_answer_text(message.text, command)

    def _decode(self, line: bytes) -> Message | BadMessage:
        message = codec.decode_ecp(line) if self.ecp else codec.decode_basic(line)
        if isinstance(message, BadMessage):
            self.bad += 1
        return message

    async def _take(self, stamp: Stamp, message: Message) -> None:
        """A message of the reader's own: report it unless it is a repeat, and acknowledge it."""
        self.heard += 1
        if message.is_answer:
            return  # late: nobody waits for it
        now = stamp.mono_ns / 1e9
        if message.sequence is not None and message == self._last and now - self._last_s < _REPEAT_S:
            self.repeats += 1
            self._last_s = now
        elif self.on_message is not None:
            self._last, self._last_s = message, now
            self.on_message(stamp, message)
        if message.sequence is not None and not self._open and not self.command_mode:
            await self._link.write(codec.encode_ecp(message.sequence, codec.ACK))

    async def _refuse(self, message: BadMessage) -> None:
        """Ask for a damaged message again; the reader also repeats it when the sequence named is not its own."""
        if self.ecp and message.sequence is not None and message.sequence % 2 == 0:
            await self._link.write(codec.encode_ecp(message.sequence, codec.NAK))


def _is_answer_text(text: str, command: str) -> bool:
    """Basic protocol: whether a text can be the answer to `command`, by what such commands answer."""
    if text == codec.ERROR:
        return True
    if not command.startswith("5"):
        return text == codec.DONE
    head = _HEADS.get(command)
    return text != codec.DONE and (head is None or text.startswith(head))


_HEADS = {
    codec.GET_VERSION: "Model",
    codec.GET_RF_STATUS: "RFST ",
    "524": "IDAP ",
    "525": "ECPS ",
    "526": "IOST ",
    "529": "PRST ",
    "530": "RF0S ",
    "560": "SSTC ",
}
