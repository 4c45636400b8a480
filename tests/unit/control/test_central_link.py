"""What is told of a central that is away or does not fit: as long as it lasts, and not for every vain attempt."""

from typing import Any, cast

import pytest

from drivers.api import Stamp
from edge_agent.control.central_link import CentralLink, LinkPorts
from edge_agent.model.errors import CentralUnavailable
from edge_agent.runtime.health import HealthBoard
from edge_agent.store.records import RecordClass


class HandClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def stamp(self) -> Stamp:
        return Stamp(round(self.now_s * 1e9), round(self.now_s * 1e9))


def _link(clock: HandClock, board: HealthBoard) -> CentralLink:
    nothing = cast("Any", None)
    ports = LinkPorts(nothing, nothing, nothing, nothing, clock, board)
    return CentralLink("127.0.0.1:9", None, "lanes/07", nothing, ports, drain_per_s=200)


def test_a_class_that_is_stuck_stays_told_while_another_is_acknowledged() -> None:
    board = HealthBoard()
    link = _link(HandClock(), board)
    for record_class in (RecordClass.BUNDLE, RecordClass.SUPPLEMENT):
        link._alarm(record_class, "WATERMARK_AHEAD", f"{record_class}: central has more")
    for acknowledged, told in (
        (RecordClass.LANE_EVENT, True),
        (RecordClass.SUPPLEMENT, True),
        (RecordClass.BUNDLE, False),
    ):
        link._acknowledged(acknowledged, 7)
        assert bool(board.raised()) is told


def test_an_outage_of_hours_is_one_line_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    link = _link(clock, HealthBoard())
    silent = CentralUnavailable("CENTRAL_SILENT", "3 heartbeats without an answer", "")
    away = CentralUnavailable("CENTRAL_UNAVAILABLE", "the stream broke", "")
    with caplog.at_level("WARNING"):
        link._fault("decide", silent)
        for _ in range(7200):  # eight hours
            clock.now_s += 4.0
            link._fault("decide", away)
            link._fault("bundle", away)
        clock.now_s += 3600.0
        link._fault("decide", away)
    told = [(getattr(record, "code", ""), getattr(record, "detail", "")) for record in caplog.records]
    assert told == [
        ("CENTRAL_SILENT", "decide: 3 heartbeats without an answer"),
        ("CENTRAL_UNAVAILABLE", "decide: the stream broke"),
        ("CENTRAL_UNAVAILABLE", "bundle: the stream broke"),
        ("CENTRAL_UNAVAILABLE", "decide: the stream broke"),
    ]
