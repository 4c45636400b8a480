"""What a story asks of a bench, in the words of its target file."""

from collections.abc import Mapping

from hil.world.faults import Verb
from hil.world.scenario import Scenario

_ALWAYS = frozenset({"device_clock", "set_inputs", "set_tags", "script_centre"})
_BY_VERB: Mapping[Verb, str] = {
    Verb.CENTRE_DOWN: "freeze_centre",
    Verb.CENTRE_UP: "freeze_centre",
    Verb.CENTRE_LATE: "delay_centre",
    Verb.CENTRE_PROMPT: "delay_centre",
    Verb.MODULE_SILENT: "mute_device",
    Verb.MODULE_ANSWERS: "mute_device",
    Verb.MODULE_LATE: "mute_device",
    Verb.MODULE_PROMPT: "mute_device",
    Verb.LAMP_FEEDBACK_MISSING: "lamp_faults",
    Verb.LAMP_FEEDBACK_BACK: "lamp_faults",
    Verb.ARM_JAMS: "barrier_arm",
    Verb.ARM_FREED: "barrier_arm",
    Verb.KILL_AGENT: "kill_agent",
    Verb.START_AGENT: "kill_agent",
    Verb.CLOCK_STEP: "step_clock",
}


def needs(story: Scenario) -> frozenset[str]:
    """Every capability without which the story cannot be played."""
    arm = {"barrier_arm"} if story.arm_travel_s is not None else set()
    return _ALWAYS | arm | {_BY_VERB[h.verb] for h in story.happenings if h.verb in _BY_VERB}


def lacks(story: Scenario, capabilities: frozenset[str]) -> tuple[str, ...]:
    """What a bench with these capabilities is short of, sorted; empty when it can play the story."""
    return tuple(sorted(needs(story) - capabilities))
