"""What is told of a central that is away or does not fit: as long as it lasts, and not for every vain attempt."""

from typing import Any, cast

import pytest

from drivers.api import Stamp
from edge_agent.control.central_link import CentralLink, LinkPorts
from edge_agent.model.errors import CentralRejected, CentralUnavailable
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


def test_a_central_that_refuses_is_told_until_it_takes_what_it_refused() -> None:
    board = HealthBoard()
    link = _link(HandClock(), board)
    link._fault("decide", CentralRejected("CENTRAL_PERMISSION_DENIED", "not this lane", "tell central's operators"))
    link._fault("bundle", CentralRejected("CENTRAL_SEQUENCE_GAP", "7 after 5", "tell central's operators"))
    (told,) = board.raised()
    assert (told.code, told.title) == (
        "CENTRAL_REFUSES",
        "central refuses the stream of bundle: CENTRAL_SEQUENCE_GAP: 7 after 5",
    )
    link._fault("bundle", CentralUnavailable("CENTRAL_UNAVAILABLE", "the stream broke", ""))
    link._works("decide")
    link._acknowledged(RecordClass.LANE_EVENT, 3)
    assert board.raised(), "nothing of what it refused has been taken"
    link._acknowledged(RecordClass.BUNDLE, 7)
    assert board.raised() == ()


def test_watermarks_that_do_not_fit_have_a_condition_of_their_own() -> None:
    board = HealthBoard()
    link = _link(HandClock(), board)
    link._alarm(RecordClass.BUNDLE, "WATERMARK_AHEAD", "central has more")
    link._fault("bundle", CentralRejected("CENTRAL_WATERMARK_AHEAD", "central has more", ""))
    assert [condition.code for condition in board.raised()] == ["CENTRAL_WATERMARK_AHEAD"]


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
