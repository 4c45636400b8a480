"""The log's way out: a reader that does not read costs lines, and nothing else."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from edge_agent.observe.log import log, logging_to
from edge_agent.observe.outlet import LINES_KEPT

_LOG = logging.getLogger("edge")
_SIZE = 65536


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe that holds little: where it is read, where it is written."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _SIZE)
    os.set_blocking(read, False)
    with os.fdopen(write, "w") as stream:
        yield read, stream
    os.close(read)


def _read(file: int) -> bytes:
    try:
        return os.read(file, _SIZE)
    except BlockingIOError:
        return b""


def _lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.decode().splitlines()]


@pytest.mark.timeout(10)
def test_a_journal_that_does_not_read_holds_nobody_up_and_learns_what_it_missed(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    count = 3 * LINES_KEPT
    with logging_to("lane", stream=stream):
        for number in range(count):
            log(_LOG, logging.INFO, "event", device=f"d-{number}")
        data = b""
        for number in range(20):  # it reads again, and something more is logged now and then
            data += _read(read)
            log(_LOG, logging.INFO, "again", device=f"d-{number}")
    data += _read(read)
    told = _lines(data)
    events = [line["device"] for line in told if line["event"] == "event"]
    assert events == [f"d-{number}" for number in range(len(events))], "in order, the oldest kept"
    (lost,) = (line for line in told if line["event"] == "log_lines_lost")
    assert LINES_KEPT <= len(events) < count
    assert int(lost["detail"]) >= count - len(events)


@pytest.mark.timeout(10)
def test_the_last_line_is_out_when_the_process_dies(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    with logging_to("lane", stream=stream):
        log(_LOG, logging.ERROR, "the_last_one")
        assert _lines(_read(read))[0]["event"] == "the_last_one", "before anything else runs"
        log(_LOG, logging.ERROR, "long", detail="x" * 3 * _SIZE)
        data = b""
        for number in range(8):
            data += _read(read)
            log(_LOG, logging.ERROR, "next", device=f"d-{number}")
        assert _lines(data)[0]["detail"] == "x" * 3 * _SIZE, "whole, though the pipe takes it in pieces"


@pytest.mark.timeout(10)
def test_an_end_with_nobody_reading_is_short(pipe: tuple[int, TextIO]) -> None:
    _read_end, stream = pipe
    with logging_to("lane", stream=stream):
        for number in range(LINES_KEPT):
            log(_LOG, logging.INFO, "event", device=f"d-{number}")
