"""The sections about the lane's place: which presence sensors there are, and where. Distances in metres from the stop
line, downstream positive."""

from typing import Annotated

from pydantic import Field

from edge_agent.model.lane import ZoneSpan
from edge_agent.model.presence import PresenceLayout

from .section import Id, Section

Metres = Annotated[float, Field(ge=-500, le=500)]


class SpanSection(Section):
    """A stretch of the lane."""

    start_m: Metres = Field(description="Upstream end, metres from the stop line (negative: before it)")
    end_m: Metres = Field(description="Downstream end, metres from the stop line")

    def to_span(self) -> ZoneSpan:
        """The core's record."""
        return ZoneSpan(self.start_m, self.end_m)


class AntennaSection(SpanSection):
    """Where a tag on a vehicle is read by one antenna."""

    device: Id = Field(description="Reader's device id")
    antenna: int = Field(ge=1, le=16, description="Antenna port of that reader")
    miss_limit_percent: int = Field(
        default=50,
        ge=1,
        le=100,
        description="Share of the vehicles it may miss before that is a condition; 100: all",
    )
    floor_dbm: float | None = Field(
        default=None, ge=-100, le=0, description="Weaker tags are the next lane's; -100 where it has no neighbour"
    )


class PresenceSection(Section):
    """What tells where vehicles are: loops A, D and S, what stands at the stop line, and, by geometry.zone_x, a loop at
    the exit."""

    layout: PresenceLayout = Field(
        default=PresenceLayout.LOOPS_AND_BEAM, description="What stands at the stop line; check-config tells its limits"
    )
    field_from_m: float | None = Field(
        default=None, ge=0, le=2, description="light_curtain: lowest beam, metres above the road"
    )
    field_to_m: float | None = Field(
        default=None, ge=0, le=5, description="light_curtain: highest beam, metres above the road"
    )


class GeometrySection(Section):
    """Where things are, in metres from the stop line. Which keys of the stop line are needed, the layout says."""

    zone_a: SpanSection = Field(description="Advance loop")
    zone_d: SpanSection = Field(description="Decision loop")
    zone_s: SpanSection = Field(description="Loop at the stop line")
    stop_line_beam_m: Metres | None = Field(default=None, description="loops_and_beam: crossing beam")
    stop_line_loop: SpanSection | None = Field(default=None, description="loops_only: the loop at the line itself")
    stop_line_curtain_m: Metres | None = Field(default=None, description="light_curtain: the curtain")
    zone_x: SpanSection | None = Field(default=None, description="Exit loop, where the lane has one")
    lane_end_m: Metres | None = Field(
        default=None, description="Without zone_x: the end of the lane, whose records end by time"
    )
    antennas: tuple[AntennaSection, ...] = Field(description="Read zone of every antenna in use")
    length_max_m: float = Field(default=27.5, ge=5, le=60, description="Longest lawful vehicle")

    @property
    def line(self) -> ZoneSpan | None:
        """Where the sensor at the stop line is; None where none is given."""
        if self.stop_line_loop is not None:
            return self.stop_line_loop.to_span()
        at_m = self.stop_line_beam_m if self.stop_line_beam_m is not None else self.stop_line_curtain_m
        return ZoneSpan(at_m, at_m) if at_m is not None else None

    @property
    def end(self) -> ZoneSpan | None:
        """The exit loop, or the place where the lane ends; None where neither is given."""
        if self.zone_x is not None:
            return self.zone_x.to_span()
        return ZoneSpan(self.lane_end_m, self.lane_end_m) if self.lane_end_m is not None else None
