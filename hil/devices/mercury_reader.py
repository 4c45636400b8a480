"""Virtual Mercury RFID reader on a pseudo-terminal, with a control channel.

    python -m hil.devices.mercury_reader --control PATH --link PATH [--baud N] [--bootloader] [--already-streaming]
        [--persona mercury|ascii|silent] [--ports N] [--serial TEXT] [--seed N]

Verbs: get; field {tags:[{epc, rssi_dbm, antenna, pc?, tid?}]}; unplug; replug; mute {on}; reset; over_temperature {on};
antenna {port, connected}; return_loss; noise {bytes}; corrupt {count}; temperature {celsius}; raw {hex}.
Events: started, stopped, tag {count}, command {op}, unplugged, replugged.
"""

import argparse
import asyncio
import contextlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.devices import mercury_wire as wire
from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
from hil.devices.mercury_line import PtyLine
from hil.devices.mercury_module import Module, Stream, Tag

_READS_PER_TAG_S = 20.0
_READS_TOTAL_S = 300.0
_BACKLOG_LIMIT = 512  # the tag buffer of a module is a ring: reads the wire cannot carry are overwritten


class VirtualReader:
    """The module, its line and its faults."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        verbs = {name[5:]: getattr(self, name) for name in dir(self) if name.startswith("verb_")}
        self._control = ControlChannel(Path(arguments.control), verbs)
        self._line = PtyLine(Path(arguments.link), arguments.baud, self._heard, arguments.seed)
        self._commands = wire.CommandReader()
        self._random = random.Random(arguments.seed)
        self._persona = arguments.persona
        self._muted = False
        self._corrupt = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._born = self._loop.time()
        self._heard_at = 0.0
        self.module = Module(self._send, self._publish, arguments.ports, arguments.seed)
        self.module.in_bootloader = arguments.bootloader
        self.module.serial = arguments.serial
        if arguments.already_streaming:
            self.module.start_as_left(1000)

    async def run(self) -> None:
        """Serve until told to end."""
        self._line.plug()
        await self._control.open()
        announce_ready(link=str(self._line.link), baud=self._line.baud)
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [tasks.create_task(self._line.pump()), tasks.create_task(self._air())]
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
            "command_crc_errors": self._commands.crc_errors,
        }

    def verb_field(self, request: Mapping[str, Any]) -> None:
        self.module.tags = tuple(_tag(item) for item in request["tags"])
        self._wake.set()

    def verb_unplug(self, _request: Mapping[str, Any]) -> None:
        self._line.unplug()
        self._publish("unplugged")

    def verb_replug(self, _request: Mapping[str, Any]) -> None:
        self._line.plug()
        self._publish("replugged")

    def verb_mute(self, request: Mapping[str, Any]) -> None:
        self._muted = bool(request.get("on", True))

    def verb_reset(self, _request: Mapping[str, Any]) -> None:
        self.module.reset()
        self._wake.set()

    def verb_over_temperature(self, request: Mapping[str, Any]) -> None:
        self.module.hot = bool(request.get("on", True))
        if self.module.hot and self.module.stream is not None:
            self._send(wire.reply(0x22, 0x0504))
        self._wake.set()

    def verb_antenna(self, request: Mapping[str, Any]) -> None:
        port = int(request["port"])
        if port not in self.module.connected:
            raise ValueError(f"no port {port}")
        self.module.connected[port] = bool(request.get("connected", False))
        if not self.module.connected[port] and self.module.stream is not None:
            self._send(wire.reply(0x22, 0x0503))
        self._wake.set()

    def verb_return_loss(self, _request: Mapping[str, Any]) -> None:
        self._send(wire.reply(0x22, 0x0505))

    def verb_noise(self, request: Mapping[str, Any]) -> None:
        self._line.send(self._random.randbytes(int(request.get("bytes", 64))))

    def verb_corrupt(self, request: Mapping[str, Any]) -> None:
        self._corrupt = int(request.get("count", 1))

    def verb_temperature(self, request: Mapping[str, Any]) -> None:
        self.module.temperature_c = int(request["celsius"])
        self._send(wire.temperature_frame(self.module.temperature_c))

    def verb_raw(self, request: Mapping[str, Any]) -> None:
        self._send(bytes.fromhex(request["hex"]))

    def _publish(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        self._control.publish(event, **fields)

    def _now_ms(self) -> float:
        return (self._loop.time() - self._born) * 1000

    def _heard(self, data: bytes) -> None:
        """Bytes of the client, at the end of their time on the wire."""
        if self._persona == "silent" or self._muted:
            return
        if self._persona == "ascii":
            self._line.send(b"?ERR unknown command\r\n")
            return
        now = self._loop.time()
        if now - self._heard_at > 0.5:
            self._commands.forget()
        self._heard_at = now
        for op, body in self._commands.feed(data):
            self.module.command(op, body, self._now_ms())
            self._wake.set()

    def _send(self, frame: bytes) -> None:
        if self._muted or self._persona != "mercury":
            return
        if self._corrupt:
            self._corrupt -= 1
            frame = frame[:-1] + bytes((frame[-1] ^ 0x55,))
        self._line.send(frame)
        if (baud := self.module.new_baud) is not None:
            self.module.new_baud = None
            self._loop.call_later(len(frame) * 10 / self._line.baud + 0.003, self._line.set_baud, baud)

    async def _air(self) -> None:
        """The air interface: read cycles with the tags that are in the field at each moment."""
        while True:
            stream = self.module.stream
            if stream is None:
                await self._pause(60.0)
            else:
                await self._cycle(stream)

    async def _cycle(self, stream: Stream) -> None:
        due = self._loop.time()
        end = due + stream.on_ms / 1000
        seen = 0
        while (left := end - self._loop.time()) > 0:
            tags = self.module.readable_tags()
            if not tags:
                await self._pause(left)
                due = self._loop.time()
            else:
                # Due times add up, so that late wake-ups of this process do not lower the rate.
                rate = min(_READS_TOTAL_S, _READS_PER_TAG_S * len(tags))
                due += self._random.uniform(0.5, 1.5) / rate
                await asyncio.sleep(max(0.0, min(left, due - self._loop.time())))
                tag = self._random.choice(tags)
                if self.module.stream is stream and self._line.backlog < _BACKLOG_LIMIT and tag in self.module.tags:
                    self.module.sight(tag, self._now_ms())
                seen += 1
            if self.module.stream is not stream:
                return
        self.module.end_cycle(seen)
        if stream.off_ms:
            await asyncio.sleep(stream.off_ms / 1000)

    async def _pause(self, duration_s: float) -> None:
        """Wait, but not past a change."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._wake.wait()


def _tag(item: Mapping[str, Any]) -> Tag:
    epc = bytes.fromhex(item["epc"])
    if not epc or len(epc) % 2 or len(epc) > 62:
        raise ValueError("epc must be 2 to 62 bytes, whole 16-bit words")
    return Tag(
        epc=epc,
        rssi_dbm=float(item["rssi_dbm"]),
        antenna=int(item["antenna"]),
        pc=item.get("pc"),
        tid=bytes.fromhex(item.get("tid") or ""),
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="virtual Mercury RFID reader on a pseudo-terminal")
    parser.add_argument("--control", required=True, help="unix socket of the control channel")
    parser.add_argument("--link", required=True, help="symlink that stands for the serial port")
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument("--bootloader", action="store_true", help="start in the bootloader")
    parser.add_argument("--already-streaming", action="store_true", help="start as a previous session left it")
    parser.add_argument("--persona", choices=("mercury", "ascii", "silent"), default="mercury")
    parser.add_argument("--ports", type=int, default=4, help="antenna ports")
    parser.add_argument("--serial", default="VIRTUAL-1", help="serial number; empty: it tells none")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def _main() -> None:
    await VirtualReader(_parse()).run()


if __name__ == "__main__":
    asyncio.run(_main())
