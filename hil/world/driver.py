"""One truck and its driver on the lane: which acceleration next, and until when. Internal to the world."""

import math
from enum import Enum

from hil.world.events import TruckState, TruckView
from hil.world.geometry import KMH, Geometry
from hil.world.motion import Segment, following_speed, stopping_m, time_to_travel
from hil.world.truck import MAX_BRAKE_MPS2, Behaviour, ReverseAct, StopAct, TruckPlan

NEVER = math.inf
FOLLOW_TICK_S = 0.5  # at most every headway; a driver looks at the truck ahead this often when near it
_ROOM_TO_START_M = 1.0  # nobody moves up for less
_START_SPEED_MPS = 0.5
_LINE_MARGIN_M = 0.05
_PAUSE_S = 1.0
_REVERSE_MPS2 = 0.5
_KEEP_TRACK_S = 10.0
_EPS = 1e-9


class Mark(Enum):
    """What a place on the lane means to a truck that crosses it."""

    NOSE = 1
    TAIL = 2
    ZONE_ON = 3
    ZONE_OFF = 4
    SIGHT = 5
    EXIT = 6


Threshold = tuple[float, Mark, str]


def thresholds(
    geometry: Geometry, length_m: float, drawbar: tuple[float, float] | None = None
) -> tuple[Threshold, ...]:
    """Every place where something happens to a truck of that length, as nose positions in order. `drawbar`: from where
    to where behind the nose there is nothing else."""
    places: list[Threshold] = [(-geometry.sight_m, Mark.SIGHT, "")]
    for name, x in geometry.points().items():
        places += [(x, Mark.NOSE, name), (x + length_m, Mark.TAIL, name)]
    for name, span in geometry.zones().items():
        places += [(span.start_m, Mark.ZONE_ON, name), (span.end_m + length_m, Mark.ZONE_OFF, name)]
        if drawbar is None or geometry.sees_drawbars(name):
            continue
        off_m, on_m = span.end_m + drawbar[0], span.start_m + drawbar[1]
        if off_m < on_m:  # shorter than the sensor is long, it frees nothing
            places += [(off_m, Mark.ZONE_OFF, name), (on_m, Mark.ZONE_ON, name)]
    places.append((geometry.exit_m + length_m, Mark.EXIT, ""))
    return tuple(sorted(places, key=lambda place: place[0]))


class Truck:
    """A truck on the lane. The world asks `next_t`, tells it what happened, and calls `replan` when its motion ends."""

    __slots__ = (
        "acts_done",
        "barred",
        "committed",
        "dwell_t",
        "follower",
        "go",
        "leader",
        "leaving_at",
        "line_mark",
        "marks",
        "next_mark_t",
        "ordered_on",
        "passed",
        "percept_go",
        "percept_t",
        "plan",
        "script",
        "scripted",
        "seg",
        "sight_mark",
        "track",
        "wake_t",
    )

    def __init__(self, plan: TruckPlan, marks: tuple[Threshold, ...], t: float, x: float, v: float) -> None:
        self.plan = plan
        self.marks = marks
        self.seg = Segment(t, t, x, v, 0.0)
        self.track: list[Segment] = []
        self.passed = sum(1 for mark in marks if mark[0] <= x)
        self.line_mark = next(i for i, mark in enumerate(marks) if mark[1] is Mark.NOSE and mark[2] == "S")
        self.sight_mark = next(i for i, mark in enumerate(marks) if mark[1] is Mark.SIGHT)
        self.leader: Truck | None = None
        self.follower: Truck | None = None
        self.go = False
        self.barred = False
        self.committed = False
        self.ordered_on = False
        self.percept_t = NEVER
        self.percept_go = False
        self.wake_t = NEVER
        self.next_mark_t = NEVER
        self.leaving_at = NEVER
        self.acts_done = 0
        self.dwell_t = NEVER
        self.script: list[tuple[float, float]] = []
        self.scripted = False

    def next_t(self) -> float:
        """When this truck next needs the world's attention."""
        return min(self.next_mark_t, self.seg.t1, self.percept_t, self.wake_t, self.dwell_t, self.leaving_at)

    def at(self, t: float) -> tuple[float, float]:
        """Nose and speed at `t`, from the present segment or the recent past (10 s)."""
        if t >= self.seg.t0 or not self.track:
            return self.seg.at(t)
        for past in reversed(self.track):
            if t >= past.t0:
                return past.at(t)
        return self.track[0].at(t)

    def moving(self) -> bool:
        """Whether the present segment goes anywhere."""
        return self.seg.v != 0.0 or self.seg.a != 0.0

    def upstream_of_line(self) -> bool:
        """Whether the nose has not crossed S."""
        return self.passed <= self.line_mark

    def sees_lamp(self) -> bool:
        """Whether the head is ahead and within sight."""
        return self.sight_mark < self.passed <= self.line_mark

    def notice(self, t: float, go: bool) -> None:
        """The lamp changed in front of this driver, who acts on it after the reaction time."""
        if go == self.go:
            self.percept_t = NEVER
        elif self.percept_t == NEVER or self.percept_go != go:
            self.percept_go = go
            self.percept_t = t + (self.plan.go_reaction_s if go else self.plan.stop_reaction_s)

    def view(self, t: float) -> TruckView:
        """What a camera sees."""
        x, v = self.at(t)
        standing = abs(v) < 1e-6
        state = TruckState.STANDING if standing else TruckState.MOVING if v > 0 else TruckState.REVERSING
        plan = self.plan
        tail, speed = x - plan.length_m, 0.0 if standing else v
        return TruckView(plan.id, x, tail, speed, state, plan.plate_front, plan.plate_rear, x - plan.cab_m)

    def find_next_mark(self, t: float) -> None:
        """Set when the next place is crossed in the present segment."""
        seg = self.seg
        if seg.v < 0.0 or (seg.v == 0.0 and seg.a < 0.0):
            self.next_mark_t = seg.when_at(self.marks[self.passed - 1][0], False) if self.passed else NEVER
        elif self.passed < len(self.marks) and self.moving():
            self.next_mark_t = seg.when_at(self.marks[self.passed][0], True)
        else:
            self.next_mark_t = NEVER
        self.next_mark_t = max(self.next_mark_t, t)

    def replan(self, t: float) -> None:
        """Choose the motion from now on."""
        x, v = self.seg.at(t)
        if abs(v) < 1e-6:
            v = 0.0
        if v == 0.0 and not self.script and self.dwell_t == NEVER:
            self._begin_act(t, x)
        self.scripted = bool(self.script)
        if self.scripted:
            a, seconds = self.script.pop(0)
        elif self.dwell_t < NEVER or self.leaving_at < NEVER:
            v, a, seconds = 0.0, 0.0, NEVER
        else:
            a, seconds = self._drive(t, x, v)
        if self.seg.t1 > self.seg.t0 and t > self.seg.t0:
            self.track.append(self.seg._replace(t1=t))
            while self.track[0].t1 < t - _KEEP_TRACK_S:
                self.track.pop(0)
        self.seg = Segment(t, t + seconds, x, v, a)
        self.find_next_mark(t)

    def wake(self, t: float) -> None:
        """Look again at `t` at the latest."""
        self.wake_t = min(self.wake_t, t)

    def stop_bound_m(self, t: float) -> tuple[float, bool]:
        """Where the tail would stand if this truck braked its hardest from now, and whether it stands there already
        (a reversing truck counts as standing where it will end)."""
        x, v = self.at(t)
        tail = x - self.plan.length_m
        if self.scripted:
            return tail - self._reverse_left_m(t), True
        return tail + stopping_m(v), v <= _EPS and not self.moving()

    def _reverse_left_m(self, t: float) -> float:
        """How much further back the script and the running segment go."""
        x, v = self.at(t)
        end_x, end_v = self.seg.at(self.seg.t1) if self.seg.t1 < NEVER else (x, v)
        back = x - end_x
        for a, seconds in self.script:
            back -= (end_v + 0.5 * a * seconds) * seconds
            end_v += a * seconds
        return max(back, 0.0)

    def _begin_act(self, t: float, x: float) -> None:
        act = self._act()
        if act is None or x < act.x_m - 0.3:
            return
        self.acts_done += 1
        if isinstance(act, StopAct):
            self.dwell_t = t + act.seconds
            return
        room = act.distance_m
        if self.follower is not None:
            fx, fv = self.follower.at(t)
            room = min(room, x - self.plan.length_m - self.follower.plan.gap_m - fx - stopping_m(max(fv, 0.0)))
        if room > 0.1:
            half_s = math.sqrt(room / _REVERSE_MPS2)
            self.script = [(0.0, _PAUSE_S), (-_REVERSE_MPS2, half_s), (_REVERSE_MPS2, half_s), (0.0, _PAUSE_S)]
            if self.follower is not None:
                self.follower.wake(t)

    def _act(self) -> StopAct | ReverseAct | None:
        acts = self.plan.acts
        return acts[self.acts_done] if self.acts_done < len(acts) else None

    def _drive(self, t: float, x: float, v: float) -> tuple[float, float]:
        """Acceleration and its duration: never past a stop target, never nearer to the leader than is safe."""
        target = min(self._line_target(x, v), self._act_target())
        leader = self.leader
        if leader is None:
            return self._towards(target, x, v)
        bound, stands = leader.stop_bound_m(t)
        if stands:
            return self._towards(min(target, bound - self.plan.gap_m), x, v)
        return self._behind(bound - self.plan.gap_m, target, x, v)

    def _behind(self, stop_at: float, target: float, x: float, v: float) -> tuple[float, float]:
        """Drive towards `target` behind a moving leader who could stand so that `stop_at` is the limit of the nose."""
        plan = self.plan
        a, seconds = self._towards(target, x, v)
        cruise = plan.cruise_kmh * KMH
        # So long nothing the leader does can bring this truck, even at cruise, into its headway.
        free_s = (stop_at - plan.headway_s * cruise - stopping_m(cruise) - x) / cruise
        if free_s >= FOLLOW_TICK_S:
            return a, min(seconds, free_s)
        wanted = min(following_speed(x, v, stop_at, plan.headway_s), v + plan.accelerate_mps2 * FOLLOW_TICK_S, cruise)
        if v == 0.0 and wanted < _START_SPEED_MPS:
            return 0.0, FOLLOW_TICK_S
        follow_a = max((wanted - v) / FOLLOW_TICK_S, -MAX_BRAKE_MPS2)
        if follow_a < a:
            a = follow_a
            seconds = self._until_brake_point(target - x, v, a)
        if a < 0.0:
            seconds = min(seconds, v / -a)
        return a, min(seconds, FOLLOW_TICK_S)

    def _until_brake_point(self, ahead: float, v: float, a: float) -> float:
        """Seconds under `a` until braking must begin to stand `ahead`; none when it had to begin already."""
        brake_m = stopping_m(v, self.plan.brake_mps2)
        if ahead == NEVER or ahead <= brake_m or a <= -self.plan.brake_mps2:
            return NEVER
        return time_to_travel((ahead - brake_m) / (1.0 + a / self.plan.brake_mps2), v, a)

    def _act_target(self) -> float:
        act = self._act()
        return NEVER if act is None else act.x_m

    def _line_target(self, x: float, v: float) -> float:
        """Where lamp and arm make this driver stop; no place when they need not, or can no longer, be heeded."""
        plan = self.plan
        mark = -plan.stop_short_m
        brake_m = stopping_m(v, plan.brake_mps2)
        if self.barred and self.passed <= self.line_mark:  # nobody drives into an arm on purpose
            return mark if x + brake_m <= mark + _EPS or v == 0.0 else -_LINE_MARGIN_M
        if (
            self.passed > self.line_mark
            or self.go
            or self.committed
            or self.ordered_on
            or plan.behaviour is Behaviour.RUNS_RED
        ):
            return NEVER
        if x + brake_m <= mark + _EPS or v == 0.0:
            return mark
        if x + brake_m <= -_LINE_MARGIN_M:
            return x + brake_m  # over the mark but before the line
        self.committed = True
        return NEVER

    def _towards(self, target: float, x: float, v: float) -> tuple[float, float]:
        """Accelerate to cruise, or cruise, or brake so as to stand at `target`."""
        plan = self.plan
        ahead = target - x
        if v == 0.0 and ahead < _ROOM_TO_START_M:
            return 0.0, NEVER
        brake_m = stopping_m(v, plan.brake_mps2)
        if v > 0.0 and ahead <= brake_m + _EPS:
            brake = min(v * v / (2.0 * ahead), MAX_BRAKE_MPS2) if ahead > 1e-6 else MAX_BRAKE_MPS2
            return -brake, v / brake
        cruise = plan.cruise_kmh * KMH
        if v >= cruise - _EPS:
            return 0.0, (ahead - brake_m) / v
        a = plan.accelerate_mps2
        until_cruise_s = (cruise - v) / a
        return a, min(until_cruise_s, self._until_brake_point(ahead, v, a))
