"""The reader families a bench can stand: which virtual reader to start, how a lane is configured for it, and under
which identity it hears the world's tags."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.world import tags

_TEXT_TAIL = 16


def text_epc(epc: str) -> str:
    """What an Encompass reader reports of a world tag, in hex: 18 characters of text, a class word and the number's
    end (tag ids of that family are up to 20 characters)."""
    word = {tags.DRIVER_CARD_PREFIX: "DC", tags.TRANSPONDER_PREFIX: "TR"}.get(epc[:4].upper(), "TG")
    return f"{word}{epc[-_TEXT_TAIL:].upper()}".encode().hex().upper()


@dataclass(frozen=True, slots=True)
class ReaderKind:
    """One family. `arguments(dir)` of its virtual reader; `device(at)` its entry in the lane's configuration, `at`
    being `link`, or `host` and `port`; `prefixes` (driver card, transponder) of its classes in hex; `heard` the
    identity it gives a world tag."""

    module: str
    arguments: Callable[[Path], list[str]]
    device: Callable[[Mapping[str, Any]], dict[str, Any]]
    prefixes: tuple[str, str] = (tags.DRIVER_CARD_PREFIX, tags.TRANSPONDER_PREFIX)
    heard: Callable[[str], str] = str


def _on_tty(folder: Path) -> list[str]:
    return ["--link", str(folder / "reader.tty")]


READERS: dict[str, ReaderKind] = {
    "mercury": ReaderKind(
        "mercury_reader",
        _on_tty,
        lambda at: {
            "kind": "mercury",
            "port": at["link"],
            "baud": 115200,
            "region": "na",
            "power_cdbm": 2700,
        },
    ),
    "llrp": ReaderKind(
        "llrp_reader",
        lambda _folder: [],
        lambda at: {"kind": "llrp", "host": at["host"], "port": at["port"], "power_cdbm": 2700},
    ),
    "encompass": ReaderKind(
        "encompass_reader",
        _on_tty,
        lambda at: {"kind": "encompass", "port": at["link"], "baud": 9600},
        prefixes=(b"DC".hex(), b"TR".hex()),
        heard=text_epc,
    ),
}
