"""Virtual TransCore Encompass reader on a pseudo-terminal, with a control channel.

    python -m hil.devices.encompass_reader --control PATH --link PATH [--baud N] [--ecp] [--command-mode]
        [--persona encompass|ascii|silent] [--seed N]

Verbs: get; field {tags:[{id | epc, antenna?}]}; presence {on, input?}; unplug; replug; mute {on}; reset; noise {bytes};
corrupt {count}; lose_ack {count}; error {number}; say {text}; refuse {commands}; frequency {code}; rate {per_s}.
A tag is given by its text (`id`) or in hex (`epc`): bytes that are no tag text are read as their hex digits.
Events: tag {count}, command {command}, bad_command, data_mode {rf_off_s}, unplugged, replugged.
"""

import argparse
import asyncio
import contextlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
from hil.devices.encompass_module import Module, Tag
from hil.devices.encompass_wire import LineReader
from hil.devices.mercury_line import PtyLine

_READS_PER_TAG_S = 10.0
_READS_TOTAL_S = 25.0  # what 9600 bits/s carry, nearly
_TICK_S = 0.02
_BACKLOG_LIMIT = 256  # a reader holds one message besides the one on the wire; what the line cannot carry is not read
_TAG_CHARACTERS = frozenset(map(chr, range(0x20, 0x60))) - {"#"}


class VirtualReader:
    """The module, its line and its faults."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        verbs = {name[5:]: getattr(self, name) for name in dir(self) if name.startswith("verb_")}
        self._control = ControlChannel(Path(arguments.control), verbs)
        self._line = PtyLine(Path(arguments.link), arguments.baud, self._heard, arguments.seed)
        self._lines = LineReader()
        self._random = random.Random(arguments.seed)
        self._persona = arguments.persona
        self._muted = False
        self._corrupt = 0
        self._rate = _READS_PER_TAG_S
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self.module = Module(self._send, self._publish)
        self.module.settings.ecp = arguments.ecp
        self.module.settings.echo = arguments.echo
        self.module.command_mode = arguments.command_mode

    async def run(self) -> None:
        """Serve until told to end."""
        self._line.plug()
        await self._control.open()
        announce_ready(link=str(self._line.link), baud=self._line.baud)
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [tasks.create_task(work) for work in (self._line.pump(), self._air(), self._time())]
                await until_told_to_end()
                for worker in workers:
                    worker.cancel()
        finally:
            self._line.unplug()
            await self._control.close()

    def verb_get(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            **self.module.state(),
            "baud": self._line.baud,
            "client_baud": self._line.client_baud() if self._line.plugged else 0,
            "plugged": self._line.plugged,
            "lost_bytes": self._line.lost_bytes,
        }

    def verb_field(self, request: Mapping[str, Any]) -> None:
        self.module.tags = tuple(_tag(item) for item in request["tags"])
        self._wake.set()

    def verb_presence(self, request: Mapping[str, Any]) -> None:
        bit = 1 << int(request.get("input", 0))
        if bit > 2:
            raise ValueError("input must be 0 or 1")
        inputs = self.module.inputs | bit if request.get("on", True) else self.module.inputs & ~bit
        self.module.set_inputs(inputs, self._loop.time())

    def verb_unplug(self, _request: Mapping[str, Any]) -> None:
        self._line.unplug()
        self._publish("unplugged")

    def verb_replug(self, _request: Mapping[str, Any]) -> None:
        self._line.plug()
        self._publish("replugged")

    def verb_mute(self, request: Mapping[str, Any]) -> None:
        self._muted = bool(request.get("on", True))

    def verb_reset(self, _request: Mapping[str, Any]) -> None:
        self.module.restart(self._loop.time())

    def verb_noise(self, request: Mapping[str, Any]) -> None:
        self._line.send(self._random.randbytes(int(request.get("bytes", 64))))

    def verb_corrupt(self, request: Mapping[str, Any]) -> None:
        self._corrupt = int(request.get("count", 1))

    def verb_lose_ack(self, request: Mapping[str, Any]) -> None:
        self.module.lose_acks = int(request.get("count", 1))

    def verb_error(self, request: Mapping[str, Any]) -> None:
        self.module.say(f"Error{int(request['number']):02d}", self._loop.time())

    def verb_say(self, request: Mapping[str, Any]) -> None:
        self.module.say(str(request["text"]), self._loop.time())

    def verb_refuse(self, request: Mapping[str, Any]) -> None:
        self.module.settings.refused = frozenset(map(str, request["commands"]))

    def verb_frequency(self, request: Mapping[str, Any]) -> None:
        self.module.settings.frequency = str(request["code"])

    def verb_rate(self, request: Mapping[str, Any]) -> None:
        self._rate = float(request["per_s"])

    def _publish(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        self._control.publish(event, **fields)

    def _heard(self, data: bytes) -> None:
        """Bytes of the client, at the end of their time on the wire."""
        if self._persona == "silent" or self._muted:
            return
        if self._persona == "ascii":
            self._line.send(b"?ERR unknown command\r\n")
            return
        now = self._loop.time()
        if now - self._heard_at > 0.5:
            self._lines.forget()
        self._heard_at = now
        for line in self._lines.feed(data):
            self.module.line(line, now)

    def _send(self, data: bytes) -> None:
        if self._muted or self._persona != "encompass":
            return
        if self._corrupt:
            self._corrupt -= 1
            at = len(data) // 2
            data = data[:at] + bytes((data[at] ^ 0x02,)) + data[at + 1 :]
        self._line.send(data)

    async def _time(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.module.tick(self._loop.time())

    async def _air(self) -> None:
        """Read the tags in the field, in turn, as fast as the line carries reports."""
        while True:
            tags = self.module.tags
            if not tags:
                self._wake.clear()
                await self._wake.wait()
                continue
            rate = min(_READS_TOTAL_S, self._rate * len(tags))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(0.5, 1.5) / rate):
                    self._wake.clear()
                    await self._wake.wait()
            if self.module.tags and self._line.backlog < _BACKLOG_LIMIT:
                self.module.sight(self._random.choice(self.module.tags), self._loop.time())


def _tag(item: Mapping[str, Any]) -> Tag:
    text = str(item["id"]) if "id" in item else _text_of(str(item["epc"]))
    if not 1 <= len(text) <= 48 or not set(text) <= _TAG_CHARACTERS:
        raise ValueError("a tag text has 1 to 48 characters, space to underscore without #")
    return Tag(text, int(item.get("antenna", 1)))


def _text_of(epc: str) -> str:
    text = bytes.fromhex(epc).decode("latin-1")
    return text if text and set(text) <= _TAG_CHARACTERS else epc.upper()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="virtual TransCore Encompass reader on a pseudo-terminal")
    parser.add_argument("--control", required=True, help="unix socket of the control channel")
    parser.add_argument("--link", required=True, help="symlink that stands for the serial port")
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--ecp", action="store_true", help="start in the error-correcting protocol")
    parser.add_argument("--echo", action="store_true", help="echo commands in basic protocol, as an MPRX does")
    parser.add_argument("--command-mode", action="store_true", help="start as an interrupted session left it")
    parser.add_argument("--persona", choices=("encompass", "ascii", "silent"), default="encompass")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def _main() -> None:
    await VirtualReader(_parse()).run()


if __name__ == "__main__":
    asyncio.run(_main())
