"""A virtual message sign: an NTCIP 1203 controller on UDP, with a message table, durations and its own fall-backs.

`python -m hil.devices.ntcip_sign --control SOCKET [--minute-s 60]`. Events: `shown` (multi, source). Verbs: `get`,
`fault` (mute, refuse_activate, local: its switch stands at local control, errors: a number for shortErrorStatus),
`clear`, `power_cycle`, `tell` (number: another master activates a message). A short minute makes durations quick.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from hil.devices.control import ControlChannel, Handler, announce_ready, until_told_to_end
from hil.devices.ntcip_wire import BAD_VALUE, GEN_ERR, NO_SUCH_NAME, Absent, Told, build, crc_octets, parse

DMS = (1, 3, 6, 1, 4, 1, 1206, 4, 2, 3)
DESCRIPTION = (1, 3, 6, 1, 2, 1, 1, 1, 0)
ROWS = 20
_TABLE = (*DMS, 5, 8, 1)
_MULTI, _CRC, _PRIORITY, _STATUS = 3, 5, 8, 9
_NOT_HIGH_ENOUGH, _NOT_VALID, _NO_MEMORY, _NO_NUMBER, _OTHER_CRC, _LOCAL = 3, 4, 5, 6, 7, 9
"""dmsActivateMsgError."""
_MESSAGE_ERROR = 1 << 7
"""Of shortErrorStatus: the last message was not activated."""
_POWER, _RESET, _COMM_LOSS, _END = (6, 8), (6, 11), (6, 12), (6, 15)


class Sign:
    """The controller's state. `minute_s`: how long its minutes are."""

    def __init__(self, publish: Callable[..., Any], minute_s: float) -> None:
        self.mute = False
        self.refuse_activate = False
        self.local = False
        self.source = "blank"
        self._publish = publish
        self._minute_s = minute_s
        self._rows: dict[tuple[int, int], int | bytes] = {}
        for row in range(1, ROWS + 1):
            self._rows |= {(_MULTI, row): b"", (4, row): b"", (_CRC, row): 0, (6, row): 0, (7, row): 0, (8, row): 3}
            self._rows[_STATUS, row] = 1
        blank = bytes((7, 0, 1, 0, 0))
        self._scalars: dict[tuple[int, ...], int | bytes] = {
            (6, 1): 2, (6, 3): bytes(12), (6, 4): 0, (6, 5): blank, (6, 13): 0, (6, 17): 2, (9, 7, 1): 0,
            **dict.fromkeys((_POWER, (6, 9), _RESET, _COMM_LOSS, _END), blank),
        }  # fmt: skip
        self._ends: asyncio.TimerHandle | None = None
        self._lost: asyncio.TimerHandle | None = None

    @property
    def multi(self) -> bytes:
        """What it shows."""
        code = self._scalars[6, 5]
        assert isinstance(code, bytes)
        found = self._rows.get((_MULTI, int.from_bytes(code[1:3], "big")), b"") if code[0] == 3 else b""
        assert isinstance(found, bytes)
        return found

    @property
    def _priority(self) -> int:
        """Run-time priority of what it shows; a blank message's number is its priority."""
        code = self._scalars[6, 5]
        assert isinstance(code, bytes)
        number = int.from_bytes(code[1:3], "big")
        found = self._rows[_PRIORITY, number] if code[0] == 3 else number
        assert isinstance(found, int)
        return found

    def answer(self, datagram: bytes) -> bytes | None:
        """The reply; None for what it does not answer."""
        try:
            version, community, kind, request_id, variables = parse(datagram)
        except (ValueError, IndexError):
            return None
        if self.mute or kind not in (0xA0, 0xA3) or community != b"lane":
            return None
        self._heard()
        told: list[Told] = []
        for index, (name, value) in enumerate(variables, start=1):
            error = self._set(name, value) if kind == 0xA3 else 0
            found = self._find(name)
            if found is None and kind == 0xA0 and version:
                told.append((name, Absent.OBJECT))  # v2c tells it in the value's place
                continue
            if found is None and not error:
                error = NO_SUCH_NAME
            if error:
                return build(version, community, request_id, error, index, variables)
            told.append((name, found))
        return build(version, community, request_id, 0, 0, told)

    def power_cycle(self) -> None:
        """The power was gone for a moment."""
        self._default(_POWER, "power recovery")

    def tell(self, number: int) -> None:
        """Another master."""
        self._show(self._code(number), 0xFFFF, "another master")

    def errors(self, status: int) -> None:
        """shortErrorStatus from now on."""
        self._scalars[9, 7, 1] = status

    def report(self) -> dict[str, Any]:
        """As JSON values."""
        return {"multi": self.multi.decode("latin-1"), "source": self.source, "time_left": self._scalars[6, 4]}

    def close(self) -> None:
        """No more timers."""
        for timer in (self._ends, self._lost):
            if timer is not None:
                timer.cancel()

    def _find(self, name: tuple[int, ...]) -> int | bytes | None:
        if name == DESCRIPTION:
            return b"virtual message sign"
        if name[: len(_TABLE)] == _TABLE and len(name) == len(_TABLE) + 3:
            if name[-2:] == (5, 1) and name[-3] == _MULTI:
                return self.multi  # the current buffer
            return self._rows.get((name[-3], name[-1])) if name[-2] == 3 else None
        if name[: len(DMS)] == DMS and name[-1] == 0:
            return self._scalars.get(name[len(DMS) : -1])
        return None

    def _set(self, name: tuple[int, ...], value: int | bytes | None) -> int:
        before = self._find(name)
        if before is None or type(before) is not type(value):
            return NO_SUCH_NAME if before is None else BAD_VALUE
        assert value is not None
        if name[: len(_TABLE)] == _TABLE:
            return self._set_cell(name[-3], name[-1], value) if name[-2] == 3 else GEN_ERR
        key = name[len(DMS) : -1]
        if key == (6, 3):
            assert isinstance(value, bytes)
            return self._activate(value)
        self._scalars[key] = value
        return 0

    def _set_cell(self, column: int, row: int, value: int | bytes) -> int:
        if column == _CRC or (column != _STATUS and self._rows[_STATUS, row] != 2):
            return GEN_ERR
        if column != _STATUS:
            self._rows[column, row] = value
            return 0
        if value == 6:
            self._rows[_STATUS, row] = 2
        elif value == 7:
            multi, beacon, pixels = (self._rows[c, row] for c in (_MULTI, 6, 7))
            assert isinstance(multi, bytes)
            assert isinstance(beacon, int)
            assert isinstance(pixels, int)
            well = multi.count(b"[") == multi.count(b"]")
            self._rows[_STATUS, row] = 4 if well else 5
            self._rows[_CRC, row] = int.from_bytes(crc_octets(multi + bytes((beacon, pixels))), "big")
        return 0

    def _code(self, number: int) -> bytes:
        crc = self._rows[_CRC, number]
        assert isinstance(crc, int)
        return bytes((3,)) + number.to_bytes(2, "big") + crc.to_bytes(2, "big")

    def _activate(self, code: bytes) -> int:
        """12 octets: duration, priority, memory, number, CRC, source."""
        if self.refuse_activate or len(code) != 12:
            return GEN_ERR
        why = self._against(code)
        status = self._scalars[9, 7, 1]
        assert isinstance(status, int)
        self._scalars[6, 17] = why or 2
        self._scalars[9, 7, 1] = status | _MESSAGE_ERROR if why else status & ~_MESSAGE_ERROR
        if why:
            return GEN_ERR
        self._show(code[3:8], int.from_bytes(code[:2], "big"), "central")
        return 0

    def _against(self, code: bytes) -> int:
        """What of dmsActivateMsgError speaks against this activation; 0 for nothing."""
        memory, number = code[3], int.from_bytes(code[4:6], "big")
        blank = memory == 7 and 1 <= number <= 255
        held = memory == 3 and 1 <= number <= ROWS
        checks = (
            (self.local, _LOCAL),
            (memory not in (3, 7), _NO_MEMORY),
            (not (blank or held), _NO_NUMBER),
            (held and self._rows[_STATUS, number] != 4, _NOT_VALID),
            (code[3:8] != (self._code(number) if held else bytes((7, *code[4:6], 0, 0))), _OTHER_CRC),
            (code[2] < self._priority, _NOT_HIGH_ENOUGH),
        )
        return next((error for applies, error in checks if applies), 0)

    def _show(self, code: bytes, minutes: int, source: str) -> None:
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
        before = (self._scalars[6, 5], self.source)
        self._scalars[6, 5], self._scalars[6, 4], self.source = code, minutes, source
        if minutes != 0xFFFF:
            loop = asyncio.get_running_loop()
            self._ends = loop.call_later(minutes * self._minute_s, self._default, _END, "end of duration")
        if before != (code, source):
            self._publish("shown", multi=self.multi.decode("latin-1"), source=source)

    def _default(self, which: tuple[int, int], source: str) -> None:
        code = self._scalars[which]
        assert isinstance(code, bytes)
        self._show(code, 0xFFFF, source)

    def _heard(self) -> None:
        """Each message of the central starts the communication loss timer anew."""
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None
        minutes = self._scalars[6, 13]
        if isinstance(minutes, int) and minutes:
            loop = asyncio.get_running_loop()
            self._lost = loop.call_later(minutes * self._minute_s, self._default, _COMM_LOSS, "communications loss")


class SignPort(asyncio.DatagramProtocol):
    """The sign's UDP port."""

    def __init__(self, sign: Sign) -> None:
        self._sign = sign
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer."""
        reply = self._sign.answer(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


async def open_sign(sign: Sign, host: str = "127.0.0.1", port: int = 0) -> tuple[asyncio.DatagramTransport, int]:
    """Serve it; the transport, and its port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: SignPort(sign), local_addr=(host, port))
    return transport, transport.get_extra_info("sockname")[1]


def _verbs(sign: Sign) -> dict[str, Handler]:
    def fault(request: Mapping[str, Any]) -> None:
        sign.mute = bool(request.get("mute", False))
        sign.refuse_activate = bool(request.get("refuse_activate", False))
        sign.local = bool(request.get("local", False))
        sign.errors(int(request.get("errors", 0)))

    return {
        "get": lambda _: sign.report(),
        "fault": fault,
        "clear": lambda _: fault({}),
        "power_cycle": lambda _: sign.power_cycle(),
        "tell": lambda request: sign.tell(int(request["number"])),
    }


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--minute-s", type=float, default=60.0)
    options = parser.parse_args()

    told: list[ControlChannel] = []

    def publish(event: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        told[0].publish(event, **fields)

    sign = Sign(publish, options.minute_s)
    control = ControlChannel(options.control, _verbs(sign))
    told.append(control)
    await control.open()
    transport, port = await open_sign(sign, port=options.port)
    announce_ready(device="ntcip_sign", control=str(options.control), host="127.0.0.1", port=port)
    try:
        await until_told_to_end()
    finally:
        sign.close()
        transport.close()
        await control.close()


if __name__ == "__main__":
    asyncio.run(_main())
