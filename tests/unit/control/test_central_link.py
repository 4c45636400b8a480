"""What the log says of a central that is away: why, once, and not for every vain attempt."""

from typing import Any, cast

import pytest

from drivers.api import Stamp
from edge_agent.control.central_link import CentralLink, LinkPorts
from edge_agent.model.errors import CentralUnavailable


class HandClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def stamp(self) -> Stamp:
        return Stamp(round(self.now_s * 1e9), round(self.now_s * 1e9))


def test_an_outage_of_hours_is_one_line_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    nothing = cast("Any", None)
    ports = LinkPorts(nothing, nothing, nothing, nothing, clock, nothing)
    link = CentralLink("127.0.0.1:9", None, "lanes/07", nothing, ports, drain_per_s=200)
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
