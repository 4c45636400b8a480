"""Logs: fixed fields, valid JSON whatever comes, no identity in clear, repeats counted."""

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Secret
from edge_agent.observe.log import FIELDS, JsonFormatter, RepeatHandler, log, logging_to


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def record(event: str, at_s: float, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("edge", logging.WARNING, __file__, 1, event, (), None)
    made.created = at_s
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_a_line_has_the_fixed_fields() -> None:
    stream = io.StringIO()
    with logging_to("ports/0453/lanes/07", stream=stream):
        log(logging.getLogger("edge"), logging.WARNING, "device_lost", device="rfid-1", code="RFID_SILENT", detail="x")
        logging.getLogger("library").info("hello %s", "there")
        logging.getLogger("library").debug("unseen")
    first, second = lines_of(stream)
    assert first | {"time": ""} == {
        "time": "",
        "level": "warning",
        "event": "device_lost",
        "lane": "ports/0453/lanes/07",
        "device": "rfid-1",
        "passage_id": "",
        "code": "RFID_SILENT",
        "detail": "x",
        "logger": "edge",
    }
    assert set(FIELDS) <= set(second)
    assert second["event"] == "hello there"


def test_an_identity_value_is_never_in_clear() -> None:
    stream = io.StringIO()
    with logging_to("lane", stream=stream):
        logging.getLogger("edge").warning("read %s", Secret(b"\x30\x35CARD"), extra={"epc": "3035", "device": "rfid-1"})
    assert "CARD" not in stream.getvalue()
    assert "3035" not in stream.getvalue()
    assert "redacted" in stream.getvalue()


def test_an_exception_is_one_line() -> None:
    stream = io.StringIO()
    with logging_to("lane", stream=stream):
        try:
            divmod(1, 0)
        except ZeroDivisionError:
            logging.getLogger("edge").exception("crashed")
    (line,) = lines_of(stream)
    assert "ZeroDivisionError: " in line["exception"]


def test_repeats_are_counted_and_told_when_the_second_is_over() -> None:
    stream = io.StringIO()
    handler = RepeatHandler(stream)
    handler.setFormatter(JsonFormatter("lane"))
    for number in range(50):
        handler.handle(record("dropped", 100.0 + number / 100, device="rfid-1"))
    handler.handle(record("dropped", 100.5, device="rfid-2"))
    assert [line["device"] for line in lines_of(stream)] == ["rfid-1", "rfid-2"]
    handler.handle(record("other", 101.2))
    last = lines_of(stream)[2:]
    assert [(line["event"], line.get("repeated", 0)) for line in last] == [("dropped", 49), ("other", 0)]
    handler.handle(record("other", 101.3))
    handler.close()
    assert lines_of(stream)[-1]["repeated"] == 1


def test_a_clock_that_steps_back_silences_nothing() -> None:
    stream = io.StringIO()
    handler = RepeatHandler(stream)
    handler.setFormatter(JsonFormatter("lane"))
    handler.handle(record("lost", 1_000.0))
    handler.handle(record("lost", 10.0))
    assert len(lines_of(stream)) == 2


@given(st.text(), st.text(), st.integers(0, 3_000_000_000))
def test_any_text_gives_one_valid_line(event: str, device: str, at_s: int) -> None:
    line = JsonFormatter("lane").format(record(event.replace("%", ""), at_s, device=device))
    assert "\n" not in line
    assert json.loads(line)["device"] == device


def test_the_root_logger_is_left_as_it_was() -> None:
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    with pytest.raises(KeyError), logging_to("lane", stream=io.StringIO()):
        raise KeyError
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
