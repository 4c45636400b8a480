"""What a script does to the surroundings of a lane on a bench: sensors, module, lamps, link, process, clock."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from hil.world.faults import Verb

if TYPE_CHECKING:
    from hil.rig.bench_story import BenchStory

Args = Mapping[str, str | float | bool]


class CannotPlay(ValueError):
    """The script asks for what is not possible now."""


async def play_on(run: "BenchStory", verb: Verb, args: Args) -> None:
    """Do it now. CannotPlay when it cannot be done; KeyError for a verb that is an officer's or no bench's."""
    await _PLAYS[verb](run, args)


async def _direct_truck(run: "BenchStory", args: Args) -> None:
    try:
        run.driver.world.direct(str(args["truck"]), str(args["way"]))
    except (KeyError, ValueError) as error:
        raise CannotPlay(str(error)) from error


async def _stick(run: "BenchStory", args: Args) -> None:
    run.driver.faults.stick(str(args["zone"]), bool(args["level"]))


async def _freeze(run: "BenchStory", args: Args) -> None:
    zone = str(args["zone"])
    run.driver.faults.stick(zone, run.driver.faults.levels(run.driver.world.zones())[zone])


async def _chatter(run: "BenchStory", args: Args) -> None:
    await _freeze(run, args)
    while run.driver.faults.flip(str(args["zone"])):  # noqa: ASYNC110 - a loose contact keeps its own time
        await asyncio.sleep(1.0 / float(args["hz"]))


async def _free(run: "BenchStory", args: Args) -> None:
    run.driver.faults.free(str(args["zone"]))


async def _walk_over_the_line(run: "BenchStory", args: Args) -> None:
    for zone in run.driver.world.geometry.sees_people():
        run.driver.faults.stick(zone, True)
        run.later(float(args["seconds"]), partial(run.driver.faults.free, zone))


async def _cut_centre(run: "BenchStory", _args: Args) -> None:
    """The line is silent; when three heartbeats are missed, nothing that central released may show green."""
    limits = run.target.limits
    os.kill(run.bench.children["release"].pid, signal.SIGSTOP)
    run.later(limits.heartbeat_loss_s + limits.heartbeat_period_s, run.link_lost)


async def _mend_centre(run: "BenchStory", _args: Args) -> None:
    os.kill(run.bench.children["release"].pid, signal.SIGCONT)
    run.link_back()


async def _silence_module(run: "BenchStory", _args: Args) -> None:
    run.oracle.lane_closed(run.now_s, "module silent", run.target.limits.kill_to_red_s)
    await run.bench.controls["module"].do("fault", fault="mute")


async def _delay_module(run: "BenchStory", args: Args) -> None:
    await run.bench.controls["module"].do("fault", fault="delay", ms=float(args["ms"]))


async def _hear_module(run: "BenchStory", _args: Args) -> None:
    await run.bench.controls["module"].do("clear")
    run.oracle.lane_opened(run.now_s, "module silent")


async def _cut_feedback(run: "BenchStory", _args: Args) -> None:
    run.oracle.lane_closed(run.now_s, "feedback missing", run.unconfirmed_green_s)
    await run.bench.controls["module"].do("feedback_cut", cut=True)


async def _mend_feedback(run: "BenchStory", _args: Args) -> None:
    await run.bench.controls["module"].do("feedback_cut", cut=False)
    run.oracle.lane_opened(run.now_s, "feedback missing")


async def _jam_arm(run: "BenchStory", _args: Args) -> None:
    await run.bench.controls["module"].do("arm", jammed=True)


async def _free_arm(run: "BenchStory", _args: Args) -> None:
    await run.bench.controls["module"].do("arm", jammed=False)


async def _kill_agent(run: "BenchStory", _args: Args) -> None:
    run.oracle.lane_closed(run.now_s, "agent killed", run.target.limits.kill_to_red_s)
    run.bench.children["agent"].kill()
    await run.bench.children["agent"].process.wait()


async def _start_agent(run: "BenchStory", _args: Args) -> None:
    await run.bench.start_agent()
    run.oracle.lane_opened(run.now_s, "agent killed")


async def _step_clock(run: "BenchStory", args: Args) -> None:
    run.clock.step(run.clock.stepped_s + float(args["ms"]) / 1000)


async def _fall_silent(run: "BenchStory", _args: Args) -> None:
    run.fall_silent(True)


async def _speak(run: "BenchStory", _args: Args) -> None:
    run.fall_silent(False)


Play = Callable[["BenchStory", Args], Awaitable[None]]
_PLAYS: Mapping[Verb, Play] = {
    Verb.DIRECT_TRUCK: _direct_truck,
    Verb.CONSOLE_SILENT: _fall_silent,
    Verb.CONSOLE_SPEAKS: _speak,
    Verb.CENTRE_DOWN: _cut_centre,
    Verb.CENTRE_UP: _mend_centre,
    Verb.SENSOR_STUCK: _stick,
    Verb.SENSOR_CHATTER: _chatter,
    Verb.SENSOR_FROZEN: _freeze,
    Verb.SENSOR_FREE: _free,
    Verb.LAMP_FEEDBACK_MISSING: _cut_feedback,
    Verb.LAMP_FEEDBACK_BACK: _mend_feedback,
    Verb.MODULE_SILENT: _silence_module,
    Verb.MODULE_ANSWERS: _hear_module,
    Verb.MODULE_LATE: _delay_module,
    Verb.MODULE_PROMPT: _hear_module,
    Verb.ARM_JAMS: _jam_arm,
    Verb.ARM_FREED: _free_arm,
    Verb.KILL_AGENT: _kill_agent,
    Verb.START_AGENT: _start_agent,
    Verb.CLOCK_STEP: _step_clock,
    Verb.PERSON_CROSSES: _walk_over_the_line,
}
