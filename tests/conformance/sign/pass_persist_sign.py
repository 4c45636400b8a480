"""A message sign behind net-snmp's agent: the objects of NTCIP 1203 v03 that a lane asks for, over `pass_persist`.

`pass_persist_sign.py [--crc swapped|plain] [--without OBJECT ...] [--local]`, run by snmpd, which does all of SNMP.
Objects are named below dms, as in `--without 6.11`. Written from the standard's object definitions and apart from the
virtual sign of hil/devices. A message takes one look to validate.
"""

import argparse
import binascii
import sys
from collections.abc import Callable, Iterator

DMS = "1.3.6.1.4.1.1206.4.2.3."
CHANGEABLE, CURRENT, BLANK = 3, 5, 7
NOT_USED, MODIFYING, VALIDATING, VALID, ERROR = 1, 2, 3, 4, 5
Value = int | bytes


def mirrored(octet: int) -> int:
    """The bits in the other order."""
    return int(f"{octet:08b}"[::-1], 2)


def frame_check(octets: bytes) -> bytes:
    """The two octets of ISO/IEC 3309, low one first, by way of the library's CRC that runs the other way round."""
    crc = binascii.crc_hqx(bytes(map(mirrored, octets)), 0xFFFF) ^ 0xFFFF
    return bytes((mirrored(crc >> 8), mirrored(crc & 0xFF)))


class Row:
    """A row of dmsMessageTable."""

    def __init__(self) -> None:
        self.cells: dict[int, Value] = {3: b"", 4: b"", 5: 0, 6: 0, 7: 0, 8: 1, 9: NOT_USED}

    def request(self, status: int, crc_of: Callable[[bytes], int]) -> bool:
        """modifyReq, validateReq, notUsedReq; whether it may be asked now."""
        if status == 7 and self.cells[9] == MODIFYING:
            multi, beacon, pixels = self.cells[3], self.cells[6], self.cells[7]
            assert isinstance(multi, bytes)
            assert isinstance(beacon, int)
            assert isinstance(pixels, int)
            self.cells[5] = crc_of(multi + bytes((beacon, pixels)))
            self.cells[9] = VALIDATING if multi.count(b"[") == multi.count(b"]") else ERROR
        elif status == 6:
            self.cells[9] = MODIFYING
        elif status == 8:
            self.__init__()  # type: ignore[misc]
        else:
            return False
        return True


class Sign:
    """The controller. `get` gives None, `set` a word of pass_persist for what it does not have or take."""

    def __init__(self, crc: str, without: frozenset[str], local: bool) -> None:
        self.crc_of: Callable[[bytes], int] = lambda octets: int.from_bytes(
            frame_check(octets), "big" if crc == "swapped" else "little"
        )
        self.local = local
        self.without = without
        self.rows = {(CHANGEABLE, number): Row() for number in range(1, 21)} | {(CURRENT, 1): Row()}
        none = bytes((BLANK, 0, 1, 0, 0))
        self.scalars: dict[str, Value] = {
            "6.1": 4, "6.3": bytes(12), "6.4": 65535, "6.5": none, "6.8": none, "6.9": none, "6.11": none, "6.12": none,
            "6.13": 0, "6.15": none, "6.17": 2, "9.7.1": 0,
        }  # fmt: skip
        self.scalars = {name: value for name, value in self.scalars.items() if name not in without}
        self.priority = 1

    def get(self, name: str) -> Value | None:
        """An object's value."""
        row, column = self._cell(name)
        if row is None:
            return self.scalars.get(name.removesuffix(".0")) if name.endswith(".0") else None
        if f"5.8.1.{column}" in self.without:
            return None
        value = row.cells.get(column)
        if column == 9 and value == VALIDATING:
            row.cells[9] = VALID
        return value

    def set(self, name: str, value: Value) -> str:
        """Set an object."""
        row, column = self._cell(name)
        before = self.get(name)
        if before is None:
            return "not-writable"
        if type(before) is not type(value):
            return "wrong-type"
        if name == "6.3.0":
            assert isinstance(value, bytes)
            return self._activate(value)
        if row is None:
            self.scalars[name.removesuffix(".0")] = value
            return "DONE"
        if column == 9:
            assert isinstance(value, int)
            return "DONE" if row.request(value, self.crc_of) else "inconsistent-value"
        if column == 5 or row.cells[9] != MODIFYING:
            return "gen-error"
        row.cells[column] = value
        return "DONE"

    def _cell(self, name: str) -> tuple[Row | None, int]:
        if not name.startswith("5.8.1."):
            return None, 0
        column, memory, number = map(int, name.split(".")[3:])
        return self.rows.get((memory, number)), column

    def _activate(self, code: bytes) -> str:
        error = self._against(code) if len(code) == 12 else 1
        status = self.scalars["9.7.1"]
        assert isinstance(status, int)
        self.scalars |= {"6.17": error or 2, "9.7.1": status | 0x80 if error else status & ~0x80}
        if error:
            return "gen-error"
        row = self.rows.get((code[3], int.from_bytes(code[4:6], "big")))
        current = self.rows[CURRENT, 1]
        current.cells = dict(row.cells) if row is not None else Row().cells
        shown: dict[str, Value] = {"6.3": code, "6.4": int.from_bytes(code[:2], "big"), "6.5": code[3:8]}
        self.scalars |= {name: value for name, value in shown.items() if name in self.scalars}
        priority = current.cells[8]
        assert isinstance(priority, int)
        self.priority = code[5] if code[3] == BLANK else priority
        return "DONE"

    def _against(self, code: bytes) -> int:
        """dmsActivateMsgError, 0 for none."""
        memory, number, crc = code[3], int.from_bytes(code[4:6], "big"), int.from_bytes(code[6:8], "big")
        if self.local:
            return 9
        if memory not in (CHANGEABLE, BLANK):
            return 5
        if memory == BLANK:
            return (0 if crc == 0 else 7) if 1 <= number <= 255 else 6
        row = self.rows.get((memory, number))
        if row is None:
            return 6
        if row.cells[9] != VALID:
            return 4
        return 7 if crc != row.cells[5] else 3 if code[2] < self.priority else 0


def parsed(text: str) -> Value:
    """A value as snmpd tells it."""
    kind, _, told = text.partition(" ")
    if kind == "integer":
        return int(told)
    return bytes.fromhex(told.strip('"')) if kind == "octet" else told.strip('"').encode("latin-1")


def told(name: str, value: Value | None) -> str:
    """A value as snmpd reads it."""
    if value is None:
        return "NONE"
    if isinstance(value, int):
        return f".{DMS}{name}\ninteger\n{value}"
    return f".{DMS}{name}\noctet\n{value.hex(' ')}" if value else f".{DMS}{name}\nstring\n"


def answers(sign: Sign, lines: Iterator[str]) -> Iterator[str]:
    """What to say to snmpd's lines."""
    for asked in lines:
        if asked == "PING":
            yield "PONG"
            continue
        name = next(lines).removeprefix("." + DMS)
        if asked == "get":
            yield told(name, sign.get(name))
        elif asked == "set":
            yield sign.set(name, parsed(next(lines)))
        else:
            yield "NONE"


def main() -> None:
    """Until snmpd ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--crc", choices=["swapped", "plain"], default="swapped")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args()
    sign = Sign(options.crc, frozenset(options.without), options.local)
    lines = (line.strip() for line in iter(sys.stdin.readline, ""))
    for answer in answers(sign, (line for line in lines if line)):  # snmpd sends empty ones after a value
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
