"""What is done to a virtual lane's surroundings by a script: faults of sensors, module, link and process; the clock."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from hil.world.faults import Verb

if TYPE_CHECKING:
    from hil.rig.virtual_lane import VirtualLane

Args = Mapping[str, str | float | bool]
Play = Callable[["VirtualLane", Args], None]


def play_on(lane: "VirtualLane", verb: Verb, args: Args) -> None:
    """Do it now. KeyError for a verb that is an officer's; AssertionError when it cannot be done."""
    _PLAYS[verb](lane, args)


def _direct_truck(lane: "VirtualLane", args: Args) -> None:
    assert lane.direct(str(args["truck"]), str(args["way"])), f"{args['truck']} does not stand"


def _lose_feedback(lane: "VirtualLane", _args: Args) -> None:
    lane.module.feedback_missing = True
    lane.oracle.lane_closed(lane.now_s, "feedback missing", lane.options.feedback_bound_s)


def _regain_feedback(lane: "VirtualLane", _args: Args) -> None:
    lane.module.feedback_missing = False
    lane.oracle.lane_opened(lane.now_s, "feedback missing")


def _chatter(lane: "VirtualLane", args: Args) -> None:
    zone, period_s = str(args["zone"]), 1.0 / float(args["hz"])
    lane.stick(zone, not lane.faults.levels(lane.world.zones())[zone])

    def flip() -> None:
        if lane.faults.flip(zone):
            lane.poll_soon()
            lane.later(period_s, flip)

    lane.later(period_s, flip)


def _freeze(lane: "VirtualLane", args: Args) -> None:
    zone = str(args["zone"])
    lane.stick(zone, lane.faults.levels(lane.world.zones())[zone])


def _walk_over_the_line(lane: "VirtualLane", args: Args) -> None:
    for zone in lane.world.geometry.sees_people():
        lane.stick(zone, True)
        lane.later(float(args["seconds"]), partial(lane.free, zone))


def _silence_module(lane: "VirtualLane", _args: Args) -> None:
    lane.module.mute = True
    lane.oracle.lane_closed(lane.now_s, "module silent", lane.options.kill_bound_s)


def _hear_module(lane: "VirtualLane", _args: Args) -> None:
    lane.oracle.lane_opened(lane.now_s, "module silent")
    lane.module.mute = False
    lane.new_session()


def _step_clock(lane: "VirtualLane", args: Args) -> None:
    lane.clock.step_utc_ms += round(float(args["ms"]))


def _set_late_centre(lane: "VirtualLane", args: Args) -> None:
    lane.centre.late_s = float(args.get("seconds", 0.0))


def _set_late_module(lane: "VirtualLane", args: Args) -> None:
    deaf = not lane.module.readable
    lane.module.late_s = float(args.get("ms", 0.0)) / 1000.0
    if deaf and lane.module.readable:
        lane.new_session()


def _jam(jammed: bool) -> Play:
    def play(lane: "VirtualLane", _args: Args) -> None:
        assert lane.module.arm is not None, "the lane has no arm"
        lane.module.arm.jam(jammed)

    return play


_PLAYS: Mapping[Verb, Play] = {
    Verb.DIRECT_TRUCK: _direct_truck,
    Verb.CONSOLE_SILENT: lambda lane, _: lane.officer.fall_silent(),
    Verb.CONSOLE_SPEAKS: lambda lane, _: lane.officer.speak(),
    Verb.CENTRE_DOWN: lambda lane, _: lane.centre.cut(),
    Verb.CENTRE_UP: lambda lane, _: lane.centre.mend(),
    Verb.CENTRE_LATE: _set_late_centre,
    Verb.CENTRE_PROMPT: _set_late_centre,
    Verb.SENSOR_STUCK: lambda lane, args: lane.stick(str(args["zone"]), bool(args["level"])),
    Verb.SENSOR_CHATTER: _chatter,
    Verb.SENSOR_FROZEN: _freeze,
    Verb.SENSOR_FREE: lambda lane, args: lane.free(str(args["zone"])),
    Verb.LAMP_FEEDBACK_MISSING: _lose_feedback,
    Verb.LAMP_FEEDBACK_BACK: _regain_feedback,
    Verb.MODULE_SILENT: _silence_module,
    Verb.MODULE_ANSWERS: _hear_module,
    Verb.MODULE_LATE: _set_late_module,
    Verb.MODULE_PROMPT: _set_late_module,
    Verb.ARM_JAMS: _jam(True),
    Verb.ARM_FREED: _jam(False),
    Verb.KILL_AGENT: lambda lane, _: lane.kill_agent(),
    Verb.START_AGENT: lambda lane, _: lane.start_agent(),
    Verb.CLOCK_STEP: _step_clock,
    Verb.PERSON_CROSSES: _walk_over_the_line,
}
