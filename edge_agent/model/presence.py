"""The presence layouts a lane may have: which sensors stand where, what each allows, and what it cannot see.

A layout differs from the others in what tells that a nose is over the stop line; loops A, D and S belong to all of
them, and an exit loop X may be absent from each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class PresenceLayout(StrEnum):
    """Layouts by what stands at the stop line; the values are the words of the configuration."""

    LOOPS_AND_BEAM = "loops_and_beam"
    LOOPS_ONLY = "loops_only"
    LIGHT_CURTAIN = "light_curtain"


BEAM_ROLE = "stop_line_beam"
LOOP_ROLE = "stop_line_loop"
CURTAIN_ROLES = ("stop_line_curtain_1", "stop_line_curtain_2")
UPSTREAM_ROLES = ("zone_a", "zone_d", "zone_s")
EXIT_ROLE = "zone_x"
LINE_ROLES = (BEAM_ROLE, LOOP_ROLE, *CURTAIN_ROLES)
"""Every input that some layout has at the stop line."""


@dataclass(frozen=True, slots=True)
class LayoutTraits:
    """What a layout is. `line_roles`: the inputs at the line; any of them active means that somebody is over it.
    `standing_only`: why only vehicles that stand at the line may be released, "" where they may roll. `cannot_see`:
    one sentence each."""

    line_roles: tuple[str, ...]
    standing_only: str
    cannot_see: tuple[str, ...]


_LOOPS_UPSTREAM = "between the loops: a vehicle that stands there, or people"

LAYOUTS: Mapping[PresenceLayout, LayoutTraits] = {
    PresenceLayout.LOOPS_AND_BEAM: LayoutTraits(
        (BEAM_ROLE,),
        "",
        (
            _LOOPS_UPSTREAM,
            "at the line: what is not at the beam's height. A drawbar or an empty chassis looks like a tail",
            "a beam stuck clear, before a vehicle has gone through it",
        ),
    ),
    PresenceLayout.LOOPS_ONLY: LayoutTraits(
        (LOOP_ROLE,),
        "a loop at the line may miss a nose, tells of it late, and does not fail to occupied",
        (
            _LOOPS_UPSTREAM,
            "at the line: people, bicycles, anything without metal near the road",
            "a gap between two vehicles shorter than the loop at the line: a tailgater so close is not told apart",
            "a nose until it is far enough over the loop's edge, and a loop that is out of tune, before a vehicle has "
            "gone over it",
        ),
    ),
    PresenceLayout.LIGHT_CURTAIN: LayoutTraits(
        CURTAIN_ROLES,
        "",
        (
            _LOOPS_UPSTREAM,
            "at the line: what is below or above the curtain's field",
            "a gap between two vehicles that passes between two polls of the inputs",
            "both outputs stuck clear at the same time, before a vehicle has gone through",
        ),
    ),
}
NO_EXIT = "past the line: when a vehicle has left, and whether one stands there; its record ends by time"
"""What a lane without an exit loop cannot see, whatever its layout."""


def standing_only(layout: PresenceLayout) -> str:
    """Why such a lane may only release vehicles that stand at the line; "" where they may roll."""
    return LAYOUTS[layout].standing_only


def cannot_see(layout: PresenceLayout, *, exit_sensed: bool) -> tuple[str, ...]:
    """What a lane of this layout cannot see, one sentence each."""
    return LAYOUTS[layout].cannot_see if exit_sensed else (*LAYOUTS[layout].cannot_see, NO_EXIT)


def required_roles(layout: PresenceLayout, *, exit_sensed: bool) -> tuple[str, ...]:
    """The inputs that a lane of this layout has, upstream first."""
    return (*UPSTREAM_ROLES, *LAYOUTS[layout].line_roles, *((EXIT_ROLE,) if exit_sensed else ()))
