"""One JSON object a line on stderr, with fixed fields; repeats within a second are counted instead of written."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from .outlet import LineOutlet

FIELDS = ("event", "lane", "device", "passage_id", "code")
"""Always there, "" when they do not apply. `detail` and `repeated` are there when they have something to say."""

_QUIET_S = 1.0
_KEYS_MAX = 1024


def log(
    logger: logging.Logger,
    level: int,
    event: str,
    *,
    device: str = "",
    passage_id: str = "",
    code: str = "",
    detail: str = "",
) -> None:
    """Write one event: `event` a stable word, `detail` for people. Neither may hold an identity value."""
    fields = {"device": device, "passage_id": passage_id, "code": code, "detail": detail}
    logger.log(level, event, extra=fields)


class JsonFormatter(logging.Formatter):
    """Renders a record of this program or of a library in the fixed fields."""

    def __init__(self, lane: str) -> None:
        super().__init__()
        self._lane = lane

    def format(self, record: logging.LogRecord) -> str:
        """One line, always valid JSON, whatever the record holds."""
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "lane": self._lane,
        }
        for name in ("device", "passage_id", "code"):
            line[name] = str(getattr(record, name, ""))
        detail = str(getattr(record, "detail", ""))
        if detail:
            line["detail"] = detail
        if repeated := getattr(record, "repeated", 0):
            line["repeated"] = repeated
        if record.name != "root":
            line["logger"] = record.name
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


@dataclass(slots=True)
class _Seen:
    last: logging.LogRecord
    until_s: float
    held_back: int = 0


class RepeatHandler(logging.StreamHandler[LineOutlet]):
    """Writes the first of equal records (logger, level, event, device, passage, code), holds the rest of the second
    back, and writes the last of those with their count once the second is over and anything is logged. Never waits for
    the stream: `log_lines_lost` tells of lines that it did not take for too long."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(LineOutlet(stream, self._lost_line))
        self._seen: dict[tuple[str, ...], _Seen] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write, or count. Runs under the handler's lock."""
        now_s = record.created
        self._release(now_s)
        key = _key(record)
        seen = self._seen.get(key)
        if seen is not None:
            seen.last, seen.held_back = record, seen.held_back + 1
            return
        if len(self._seen) < _KEYS_MAX:
            self._seen[key] = _Seen(record, now_s + _QUIET_S)
        super().emit(record)

    def close(self) -> None:
        """Write what was held back, and end."""
        self._release(float("inf"))
        self.stream.close()
        super().close()

    def _lost_line(self, count: int) -> str:
        record = logging.LogRecord("observe", logging.WARNING, "", 0, "log_lines_lost", None, None)
        record.detail = str(count)
        return self.format(record) + self.terminator

    def _release(self, now_s: float) -> None:
        # A wall clock that steps back must not silence a line for longer than its second.
        over = [key for key, seen in self._seen.items() if not seen.until_s - _QUIET_S <= now_s < seen.until_s]
        for key in over:
            seen = self._seen.pop(key)
            if seen.held_back:
                seen.last.repeated = seen.held_back
                super().emit(seen.last)


def _key(record: logging.LogRecord) -> tuple[str, ...]:
    return (
        record.name,
        record.levelname,
        record.getMessage(),
        *(str(getattr(record, name, "")) for name in ("device", "passage_id", "code")),
    )


@contextmanager
def logging_to(lane: str, level: int = logging.INFO, stream: TextIO = sys.stderr) -> Iterator[None]:
    """Log everything of `level` and above to the stream for as long as the context lasts."""
    handler = RepeatHandler(stream)
    handler.setFormatter(JsonFormatter(lane))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()
