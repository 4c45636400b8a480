"""What happens to the lane besides traffic: faults and acts of people, as data with a time or a trigger."""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hil.world.events import EventKind, WorldEvent


class Verb(StrEnum):
    """What may happen. The officer's words are those of the agent's acts; the rest is done to the lane's surroundings.

    `direct_truck`: the driver is told to go on, see `World.direct`. A frozen sensor keeps its level and loses its
    edges; a chattering one changes by itself. `person_crosses`: somebody on foot is over the line for so long, as far
    as the sensors there feel people. A silent module answers nothing; a late one obeys at once but answers late. A
    jammed arm stays where it is. A silent console still shows the lane, but sends no sign of life: its browser is
    frozen.
    """

    HOLD_LANE = "hold_lane"
    HOLD_CONVEYANCE = "hold_conveyance"
    CLEAR_HOLD = "clear_hold"
    RELEASE_CONVEYANCE = "release_conveyance"
    REFER_CONVEYANCE = "refer_conveyance"
    DIRECT_CONVEYANCE = "direct_conveyance"
    CONFIRM_ORDER = "confirm_order"
    SET_MODE = "set_mode"
    CLEAR_FAULT = "clear_fault"
    TEST_SIGNAL = "test_signal"
    ACKNOWLEDGE = "acknowledge"
    TAKE_CONTROL = "take_control"
    GIVE_CONTROL = "give_control"
    CONSOLE_SILENT = "console_silent"
    CONSOLE_SPEAKS = "console_speaks"
    DIRECT_TRUCK = "direct_truck"
    CENTRE_DOWN = "centre_down"
    CENTRE_UP = "centre_up"
    CENTRE_LATE = "centre_late"
    CENTRE_PROMPT = "centre_prompt"
    SENSOR_STUCK = "sensor_stuck"
    SENSOR_CHATTER = "sensor_chatter"
    SENSOR_FROZEN = "sensor_frozen"
    SENSOR_FREE = "sensor_free"
    MODULE_SILENT = "module_silent"
    MODULE_ANSWERS = "module_answers"
    MODULE_LATE = "module_late"
    MODULE_PROMPT = "module_prompt"
    LAMP_FEEDBACK_MISSING = "lamp_feedback_missing"
    LAMP_FEEDBACK_BACK = "lamp_feedback_back"
    ARM_JAMS = "arm_jams"
    ARM_FREED = "arm_freed"
    KILL_AGENT = "kill_agent"
    START_AGENT = "start_agent"
    CLOCK_STEP = "clock_step"
    PERSON_CROSSES = "person_crosses"


OFFICER_VERBS = frozenset(
    {
        Verb.HOLD_LANE,
        Verb.HOLD_CONVEYANCE,
        Verb.CLEAR_HOLD,
        Verb.RELEASE_CONVEYANCE,
        Verb.REFER_CONVEYANCE,
        Verb.DIRECT_CONVEYANCE,
        Verb.CONFIRM_ORDER,
        Verb.SET_MODE,
        Verb.CLEAR_FAULT,
        Verb.TEST_SIGNAL,
        Verb.ACKNOWLEDGE,
        Verb.TAKE_CONTROL,
        Verb.GIVE_CONTROL,
    }
)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A moment: world second `at_s`, or `plus_s` after the first event of `kind` (of `truck`, at `place`; empty: any).
    Crossings count downstream only."""

    at_s: float | None = None
    kind: EventKind | None = None
    truck: str = ""
    place: str = ""
    plus_s: float = 0.0

    def fits(self, event: WorldEvent) -> bool:
        """Whether this event is the one waited for."""
        return (
            event.kind is self.kind and event.on and self.truck in ("", event.truck) and self.place in ("", event.place)
        )


@dataclass(frozen=True, slots=True)
class Happening:
    """At the trigger, do the verb. Arguments by name, as strings, numbers or booleans."""

    trigger: Trigger
    verb: Verb
    args: Mapping[str, str | float | bool] = field(default_factory=dict)


class Schedule:
    """Which happenings are due. Feed it every world event; each happening comes out once."""

    def __init__(self, happenings: Iterable[Happening]) -> None:
        self._waiting: list[Happening] = []
        self._timed: list[tuple[float, int, Happening]] = []
        for number, happening in enumerate(happenings):
            if happening.trigger.at_s is None:
                self._waiting.append(happening)
            else:
                bisect.insort(self._timed, (happening.trigger.at_s, number, happening), key=lambda entry: entry[:2])
        self._number = len(self._waiting) + len(self._timed)

    def saw(self, events: Iterable[WorldEvent]) -> None:
        """Arm what these events trigger."""
        for event in events:
            for happening in [waiting for waiting in self._waiting if waiting.trigger.fits(event)]:
                self._waiting.remove(happening)
                self._number += 1
                due = event.t + happening.trigger.plus_s
                bisect.insort(self._timed, (due, self._number, happening), key=lambda entry: entry[:2])

    def over(self) -> bool:
        """Whether everything has been done."""
        return not self._waiting and not self._timed

    def next_time(self) -> float | None:
        """When the next known happening is due; None while all wait for events."""
        return self._timed[0][0] if self._timed else None

    def due(self, t: float) -> tuple[Happening, ...]:
        """Take everything due up to and including `t`, in order."""
        count = bisect.bisect_right(self._timed, t, key=lambda entry: entry[0])
        taken, self._timed = self._timed[:count], self._timed[count:]
        return tuple(happening for _, _, happening in taken)


class SensorFaults:
    """Sensors that lie: a stuck one shows its stuck level whatever the world does; `flip` makes one chatter."""

    def __init__(self) -> None:
        self._stuck: dict[str, bool] = {}

    def stick(self, zone: str, level: bool) -> None:
        """From now on `zone` shows `level`."""
        self._stuck[zone] = level

    def flip(self, zone: str) -> bool:
        """A lying `zone` shows the other level from now on; False when it tells the truth."""
        if zone not in self._stuck:
            return False
        self._stuck[zone] = not self._stuck[zone]
        return True

    def free(self, zone: str) -> None:
        """`zone` tells the truth again."""
        self._stuck.pop(zone, None)

    def levels(self, true_levels: Mapping[str, bool]) -> dict[str, bool]:
        """What the inputs show."""
        return {zone: self._stuck.get(zone, level) for zone, level in true_levels.items()}
