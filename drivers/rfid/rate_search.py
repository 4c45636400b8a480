"""Finding a reader on a serial port when its bit rate may be another than the configured one. Same for all families."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from drivers.api import DeviceRefused, DeviceTimeout

_WANTED_FIRST = 2


class Line(Protocol):
    """What a search needs of a family's dialogue."""

    @property
    def bytes_seen(self) -> int:
        """Everything read so far."""
        ...

    def set_baud(self, baud: int) -> None:
        """Change the rate, bits/s."""
        ...


async def find_rate(
    line: Line,
    baud: int,
    others: Sequence[int],
    answers: Callable[[int, int], Awaitable[bool]],
    *,
    what: str,
    strange_bytes: int,
) -> int:
    """The rate at which a reader answers: `baud` or one of `others`. `answers(attempt, rate)` asks at the rate just
    set; `what` is what was looked for ("a Mercury frame").

    DeviceRefused WRONG_DEVICE when bytes come that are none of it, at several rates or `strange_bytes` of them at
    `baud` in the first two attempts; DeviceTimeout RFID_NO_ANSWER when nothing comes.
    """
    strangers: dict[int, int] = {}
    for attempt, rate in enumerate(_order(baud, others)):
        seen = line.bytes_seen
        line.set_baud(rate)
        if await answers(attempt, rate):
            return rate
        if line.bytes_seen > seen and (rate != baud or attempt < _WANTED_FIRST):
            strangers[rate] = strangers.get(rate, 0) + line.bytes_seen - seen
    if len(strangers) > 1 or strangers.get(baud, 0) >= strange_bytes:
        raise DeviceRefused(
            "WRONG_DEVICE",
            f"{sum(strangers.values())} bytes came at {len(strangers)} bit rates, none of them {what}",
            "another kind of device is on this port, or the line is noisy: check the port in lane.yaml and the wiring",
        )
    raise DeviceTimeout(
        "RFID_NO_ANSWER",
        f"no answer at any of {len({baud, *others})} bit rates",
        "check the reader's power, the cable (TX and RX crossed?) and the port in lane.yaml",
    )


def _order(baud: int, others: Sequence[int]) -> Iterator[int]:
    # The wanted rate twice, as a reader that sleeps hears the second question only, and again between the others: a
    # reader whose power returns during the search is at the wanted rate and must not wait for the search to end.
    for _ in range(_WANTED_FIRST):
        yield baud
    for rate in others:
        if rate != baud:
            yield rate
            yield baud
