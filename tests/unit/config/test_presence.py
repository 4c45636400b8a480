"""Presence layouts in lane.yaml: what each needs, what is too much, and orders of zones that make no sense."""

import re

import pytest

from edge_agent.config.load import parse
from edge_agent.config.schema import LaneConfig
from edge_agent.model.lane import Zone, ZoneSpan
from edge_agent.model.presence import LAYOUTS, LINE_ROLES, NO_EXIT, PresenceLayout

from .test_load import NAME, TEXT, errors_of

BEAM_KEY = re.search(r"  stop_line_beam_m: 0\.0.*\n", TEXT)[0]  # type: ignore[index]
BEAM_ROLE = "      stop_line_beam: { point: 4, active: low } # a broken beam opens the contact\n"
EXIT_KEY = re.search(r"  zone_x: \{ start_m.*\n", TEXT)[0]  # type: ignore[index]
EXIT_ROLE = "      zone_x: { point: 3 }\n"
LAYOUT = re.search(r"  layout: loops_and_beam.*\n", TEXT)[0]  # type: ignore[index]


def with_changes(*pairs: tuple[str, str]) -> str:
    """The example with these pieces replaced."""
    text = TEXT
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


LOOPS = (
    (LAYOUT, "  layout: loops_only\n"),
    (BEAM_KEY, "  stop_line_loop: { start_m: -0.3, end_m: 1.7 }\n"),
    (BEAM_ROLE, "      stop_line_loop: { point: 4 }\n"),
)
CURTAIN = (
    (LAYOUT, "  layout: light_curtain\n  field_from_m: 0.3\n  field_to_m: 1.8\n"),
    (BEAM_KEY, "  stop_line_curtain_m: 0.05\n"),
    (
        BEAM_ROLE,
        "      stop_line_curtain_1: { point: 4, active: low }\n      stop_line_curtain_2: { point: 7, active: low }\n",
    ),
)
NO_X = ((EXIT_KEY, "  lane_end_m: 37.0\n"), (EXIT_ROLE, ""))


def config_of(text: str) -> LaneConfig:
    return parse(text.encode(), NAME, LaneConfig)


def test_loops_only() -> None:
    config = config_of(with_changes(*LOOPS))
    geometry = config.to_geometry()
    assert (geometry.layout, geometry.beam_m, geometry.line_length_m) == (PresenceLayout.LOOPS_ONLY, -0.3, 2.0)
    assert "people" in " ".join(config.cannot_see())


def test_light_curtain() -> None:
    config = config_of(with_changes(*CURTAIN))
    geometry = config.to_geometry()
    assert (geometry.layout, geometry.beam_m, geometry.line_length_m) == (PresenceLayout.LIGHT_CURTAIN, 0.05, 0.0)
    assert config.to_limits().zones == tuple(Zone)


def test_a_lane_without_an_exit_loop() -> None:
    for layout in ((), LOOPS, CURTAIN):
        config = config_of(with_changes(*layout, *NO_X))
        geometry = config.to_geometry()
        assert (geometry.exit_sensed, geometry.x) == (False, ZoneSpan(37.0, 37.0))
        assert Zone.X not in config.to_limits().zones
        assert config.cannot_see()[-1] == NO_EXIT


def test_the_example_has_a_beam_and_an_exit_loop() -> None:
    config = config_of(TEXT)
    assert config.cannot_see() == LAYOUTS[PresenceLayout.LOOPS_AND_BEAM].cannot_see
    assert config.to_geometry().exit_sensed


def test_every_layout_has_its_own_sensors_at_the_line_and_says_what_it_cannot_see() -> None:
    roles = [role for traits in LAYOUTS.values() for role in traits.line_roles]
    assert sorted(roles) == sorted(LINE_ROLES)
    assert set(LAYOUTS) == set(PresenceLayout)
    assert all(traits.cannot_see for traits in LAYOUTS.values())


WRONG = {
    "no sensor at the line": (((BEAM_KEY, ""),), "geometry", "stop_line_beam_m is missing"),
    "loops only, and its loop is missing": (
        (*LOOPS[:1], (BEAM_KEY, ""), LOOPS[2]),
        "geometry",
        "stop_line_loop is missing",
    ),
    "another layout's place": (
        LOOPS[:1] + LOOPS[2:],
        "geometry.stop_line_beam_m",
        "is of presence.layout loops_and_beam",
    ),
    "another layout's input": (LOOPS[:2], "devices.1.roles.stop_line_beam", "loops_only has none: take it out"),
    "and its own is missing": (LOOPS[:2], "devices", "roles stop_line_loop"),
    "one output of two": (
        (*CURTAIN[:2], (BEAM_ROLE, "      stop_line_curtain_1: { point: 4 }\n")),
        "devices",
        "roles stop_line_curtain_2",
    ),
    "a beam beside the beam": (
        ((BEAM_ROLE, BEAM_ROLE + "      stop_line_loop: { point: 7 }\n"),),
        "devices.1.roles.stop_line_loop",
        "loops_and_beam has none",
    ),
    "no field": ((("  layout: loops_and_beam", "  layout: light_curtain"),), "presence", "field_from_m is missing"),
    "a field of a beam": (((LAYOUT, LAYOUT + "  field_to_m: 2\n"),), "presence.field_to_m", "light_curtain only"),
    "a field upside down": (
        (*CURTAIN[1:], (LAYOUT, "  layout: light_curtain\n  field_from_m: 1.8\n  field_to_m: 0.3\n")),
        "presence.field_to_m",
        "must be above field_from_m",
    ),
    "an unknown layout": (((LAYOUT, "  layout: radar\n"),), "presence.layout", "'loops_and_beam', 'loops_only'"),
    "loops only and rolling": (
        (*LOOPS, ("mode_at_start: closed", "mode_at_start: remote")),
        "lane.mode_at_start",
        "nobody may roll with presence.layout loops_only: a loop at the line may miss a nose",
    ),
    "an exit loop that is not wired": (((EXIT_ROLE, ""),), "devices", "roles zone_x"),
    "an exit loop that is nowhere": ((NO_X[0],), "devices.1.roles.zone_x", "geometry has no zone_x"),
    "neither exit loop nor end": (((EXIT_KEY, ""), NO_X[1]), "geometry", "give zone_x"),
    "both": (((EXIT_KEY, EXIT_KEY + "  lane_end_m: 40\n"),), "geometry.lane_end_m", "leave it out"),
    "an end before the line": (((EXIT_KEY, "  lane_end_m: -1\n"), NO_X[1]), "geometry.lane_end_m", "downstream of"),
    "an exit before the line": (
        ((EXIT_KEY, "  zone_x: { start_m: -0.2, end_m: 0.5 }\n"),),
        "geometry.zone_x.start_m",
        "downstream of the stop line",
    ),
    "A after D": (
        (("zone_a: { start_m: -60.0, end_m: -58.0 }", "zone_a: { start_m: -20.0, end_m: -18.0 }"),),
        "geometry.zone_d.start_m",
        "zone_d must begin after zone_a ends",
    ),
    "the stop loop after the line": (
        (("zone_s: { start_m: -3.0, end_m: -0.5 }", "zone_s: { start_m: 0.5, end_m: 2.0 }"),),
        "geometry.zone_s.start_m",
        "vehicles wait on zone_s before it",
    ),
    "a loop as long as a truck": (
        (("zone_a: { start_m: -60.0, end_m: -58.0 }", "zone_a: { start_m: -60.0, end_m: -45.0 }"),),
        "geometry.zone_a.end_m",
        "longer than the shortest vehicle",
    ),
    "a beam where vehicles wait": (
        (("  stop_line_beam_m: 0.0", "  stop_line_beam_m: -2.0"),),
        "geometry.stop_line_beam_m",
        "must not be upstream of zone_s' end",
    ),
    "a beam past the line": (
        (("  stop_line_beam_m: 0.0", "  stop_line_beam_m: 0.5"),),
        "geometry.stop_line_beam_m",
        "must be at 0.08 m or upstream of it",
    ),
    "a loop past the line": (
        (LOOPS[0], (BEAM_KEY, "  stop_line_loop: { start_m: 0.1, end_m: 2.0 }\n"), LOOPS[2]),
        "geometry.stop_line_loop.start_m",
        "a loop tells late of a nose",
    ),
    "a loop before the line": (
        (LOOPS[0], (BEAM_KEY, "  stop_line_loop: { start_m: -0.4, end_m: -0.1 }\n"), LOOPS[2]),
        "geometry.stop_line_loop.end_m",
        "must reach over it",
    ),
    "a stop loop over the line's": (
        (LOOPS[0], (BEAM_KEY, "  stop_line_loop: { start_m: -1.0, end_m: 1.0 }\n"), LOOPS[2]),
        "geometry.stop_line_loop.start_m",
        "stop_line_loop must begin after zone_s ends",
    ),
    "standing and rolling at once": (
        (("  decel_ms2: 2.0", "  decel_ms2: 2.0\n  stop_kmh: 4"),),
        "kinematics.stop_kmh",
        "would count as standing",
    ),
    "given up while it rolls": (
        (("  required_cargo: true", "  required_cargo: true\n  abandon_s: 60"),),
        "policy.abandon_s",
        "2 times the slowest way from loop to loop is 72 s",
    ),
    "stalled after the green is over": (
        (("  required_cargo: true", "  required_cargo: true\n  stall_after_green_s: 45"),),
        "policy.stall_after_green_s",
        "below green_max_s",
    ),
    "a watchdog that trips between two writes": (
        (("    watchdog_ms: 1000", "    watchdog_ms: 200"),),
        "signal.cycle_ms",
        "drops the light after 200 ms without a write",
    ),
    "inputs too seldom looked at": (
        (("    poll_ms: 25", "    poll_ms: 151\n    stale_ms: 500"), ("  stale_ms: 300\n", "  stale_ms: 500\n")),
        "devices.1.poll_ms",
        "every 150 ms or sooner",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused_with_its_place(name: str) -> None:
    pairs, path, message = WRONG[name]
    lines = errors_of(with_changes(*pairs))
    hits = [line for line in lines if re.fullmatch(rf"lane\.yaml:\d+:\d+: {re.escape(path)}: .*", line)]
    assert any(message in line for line in hits), lines


def test_what_stands_at_a_limit_is_let_through() -> None:
    beam = ("  stop_line_beam_m: 0.0", "  stop_line_beam_m: 0.083")
    assert config_of(with_changes(beam)).to_geometry().beam_m == 0.083
    at_loop = ("  stop_line_beam_m: 0.0", "  stop_line_beam_m: -0.5")
    assert config_of(with_changes(at_loop)).to_geometry().beam_m == -0.5
