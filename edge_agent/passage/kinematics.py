"""Where a vehicle can be, from the times at which zones saw it and the lane's speed bounds. Pure arithmetic.

Positions are those of the nose, in metres from the stop line, downstream positive. Times are monotonic nanoseconds.
"""

from typing import NamedTuple

from edge_agent.model.conveyance import ZoneTimes
from edge_agent.model.lane import Geometry, Kinematics, Zone

NS = 1_000_000_000
SPEED_TOLERANCE = 1.05
"""A measured speed is a mean over one zone distance, quantised by the poll period: the nose may be this much faster."""
FEASIBLE_FACTOR = 1.5
"""A vehicle this much faster than the lane's top speed is not the one expected: another vehicle is in the corridor."""
SHORTEST_M = 5.0
"""No vehicle of this lane is shorter (a bobtail tractor is about 6 m): nose and tail are this far apart at least."""
OVERLONG = 1.05
"""Longer than the longest legal vehicle by this factor: two vehicles were detected as one."""
SLOW_SECONDS = 1.0
"""A stop counts from this length (the outcome report's definition: an interval of at least 1 s below walking pace)."""


class Interval(NamedTuple):
    """Where the nose is. `earliest_m`: if it drives as fast as it may (nearest to the exit); `latest_m`: as slow."""

    earliest_m: float
    latest_m: float


class Course(NamedTuple):
    """Dead reckoning from the last zone passed: position and speed bounds (m/s) since `at_ns`, and `wall_m`, the start
    of the next zone, which the nose has not reached because that zone has not seen it."""

    at_ns: int
    from_m: float
    fast_ms: float
    slow_ms: float
    wall_m: float

    def interval(self, at_ns: int) -> Interval:
        """The nose at `at_ns` (not before the course began)."""
        elapsed = max(0, at_ns - self.at_ns) / NS
        return Interval(
            earliest_m=min(self.wall_m, self.from_m + self.fast_ms * elapsed),
            latest_m=min(self.wall_m, self.from_m + self.slow_ms * elapsed),
        )


def metres_per_second(kmh: float) -> float:
    """km/h as m/s."""
    return kmh / 3.6


def commit_distance_m(kmh: float, kinematics: Kinematics) -> float:
    """Distance from the stop line inside which a driver at this speed can no longer stop for a new red:
    v * reaction + v^2 / (2 * deceleration)."""
    v = metres_per_second(kmh)
    return v * kinematics.reaction_s + v * v / (2 * kinematics.decel_ms2)


def minimum_amber_s(kinematics: Kinematics) -> float:
    """Shortest amber at the lane's top speed: reaction + v / (2 * deceleration), the kinematic change interval of
    the MUTCD."""
    return kinematics.reaction_s + metres_per_second(kinematics.v_max_kmh) / (2 * kinematics.decel_ms2)


def minimum_follower_gap_s(kmh: float, kinematics: Kinematics, signalling_s: float = 0.0) -> float:
    """Time gap a follower needs to roll on its own green under the tail-clear rule: C(v) / v + signalling.

    ValueError when the speed is not positive."""
    if kmh <= 0:
        raise ValueError("a follower gap needs a positive speed")
    return commit_distance_m(kmh, kinematics) / metres_per_second(kmh) + signalling_s


def speed_kmh(from_m: float, from_ns: int, to_m: float, to_ns: int) -> float:
    """Mean speed between two fixes; 0 when time did not advance."""
    elapsed = (to_ns - from_ns) / NS
    return 3.6 * (to_m - from_m) / elapsed if elapsed > 0 else 0.0


def zone_start_m(zone: Zone, geometry: Geometry) -> float:
    """Where the nose is when this zone becomes active."""
    return _starts(geometry)[_INDEX[zone]]


def zone_end_m(zone: Zone, geometry: Geometry) -> float:
    """Where the tail is when this zone becomes free."""
    line_m = geometry.beam_m + geometry.line_length_m
    return (geometry.a.end_m, geometry.d.end_m, geometry.s.end_m, line_m, geometry.x.end_m)[_INDEX[zone]]


_INDEX = {zone: index for index, zone in enumerate((Zone.A, Zone.D, Zone.S, Zone.BEAM, Zone.X))}


def _starts(geometry: Geometry) -> tuple[float, float, float, float, float]:
    x_m = geometry.x.start_m if geometry.exit_sensed else float("inf")  # no nose is ever held up by what is not there
    return geometry.a.start_m, geometry.d.start_m, geometry.s.start_m, geometry.beam_m, x_m


def nose_fixes(times: ZoneTimes, geometry: Geometry) -> tuple[tuple[int, float], ...]:
    """(time, position) of every zone the nose is known to have reached, upstream first."""
    pairs = (
        (times.a_nose, geometry.a.start_m),
        (times.d_nose, geometry.d.start_m),
        (times.s_loop, geometry.s.start_m),
        (times.s_nose, geometry.beam_m),
        (times.x_nose, geometry.x.start_m),
    )
    return tuple([(stamp.mono_ns, position) for stamp, position in pairs if stamp is not None])


def last_fix(times: ZoneTimes, geometry: Geometry) -> tuple[int, float] | None:
    """The last of `nose_fixes`: the farthest zone the nose is known to have reached; None without any."""
    if times.x_nose is not None:
        return times.x_nose.mono_ns, geometry.x.start_m
    if times.s_nose is not None:
        return times.s_nose.mono_ns, geometry.beam_m
    if times.s_loop is not None:
        return times.s_loop.mono_ns, geometry.s.start_m
    if times.d_nose is not None:
        return times.d_nose.mono_ns, geometry.d.start_m
    return (times.a_nose.mono_ns, geometry.a.start_m) if times.a_nose is not None else None


def tail_fixes(times: ZoneTimes, geometry: Geometry) -> tuple[tuple[int, float], ...]:
    """(time, position) of every zone the tail is known to have left, upstream first."""
    pairs = (
        (times.a_tail, geometry.a.end_m),
        (times.d_tail, geometry.d.end_m),
        (times.s_tail, geometry.beam_m + geometry.line_length_m),
        (times.x_tail, geometry.x.end_m),
    )
    return tuple([(stamp.mono_ns, position) for stamp, position in pairs if stamp is not None])


def wall_after_m(position_m: float, geometry: Geometry) -> float:
    """Start of the first zone downstream of a position (infinite beyond the last)."""
    for start in _starts(geometry):
        if start > position_m:
            return start
    return float("inf")


def course_of(times: ZoneTimes, measured_kmh: float, geometry: Geometry, kinematics: Kinematics) -> Course | None:
    """The course since the last zone passed; None while no zone time is known (a restored vehicle, say).

    Until a speed was measured the lane's bounds apply; then the measured one, with its tolerance."""
    fix = last_fix(times, geometry)
    if fix is None:
        return None
    at_ns, position = fix
    slow = metres_per_second(kinematics.v_min_kmh)
    fast = metres_per_second(kinematics.v_max_kmh)
    if measured_kmh > 0:
        measured = metres_per_second(measured_kmh)
        fast = max(slow, measured * SPEED_TOLERANCE)
        slow = max(slow, measured / SPEED_TOLERANCE)
    return Course(at_ns, position, fast, min(slow, fast), wall_after_m(position, geometry))


def commit_line_m(course: Course, kinematics: Kinematics, margin_s: float) -> float:
    """Position (negative) at which the nose enters C(v), at the fastest speed of its course; `margin_s` covers relay
    and lamp."""
    return -(commit_distance_m(course.fast_ms * 3.6, kinematics) + course.fast_ms * margin_s)


def commit_time_ns(course: Course, kinematics: Kinematics, margin_s: float) -> int | None:
    """When the earliest position enters C(v); None when the next zone must see the vehicle first."""
    line = commit_line_m(course, kinematics, margin_s)
    if course.from_m >= line:
        return course.at_ns
    if course.wall_m <= line:
        return None
    return course.at_ns + int(NS * (line - course.from_m) / course.fast_ms)


def may_be_committed(times: ZoneTimes, now_ns: int, geometry: Geometry, kinematics: Kinematics) -> bool:
    """Whether the nose may be inside C(v) at the lane's top speed, whatever speed was measured; True without a fix."""
    fix = last_fix(times, geometry)
    if fix is None:
        return True
    since_ns, position = fix
    fast = metres_per_second(kinematics.v_max_kmh)
    return position + fast * (now_ns - since_ns) / NS >= -commit_distance_m(kinematics.v_max_kmh, kinematics)


def excuse_ns(kinematics: Kinematics, *, standing: bool) -> int:
    """How long after it lost its green a crossing is not the driver's doing: twice the way to the line, at the slowest
    pace from C(v), at the fastest from a standstill at the line."""
    pace = kinematics.v_max_kmh if standing else kinematics.v_min_kmh
    return int(2 * commit_distance_m(kinematics.v_max_kmh, kinematics) / metres_per_second(pace) * NS)


def seconds_to_commit(course: Course, kinematics: Kinematics, margin_s: float, now_ns: int) -> float:
    """Estimated seconds until the nose enters C(v); 0 once inside. An estimate for people, never for the light."""
    now = course.interval(now_ns)
    middle = (now.earliest_m + now.latest_m) / 2
    pace = (course.fast_ms + course.slow_ms) / 2
    return max(0.0, (commit_line_m(course, kinematics, margin_s) - middle) / pace)


def standing_time_ns(loop_ns: int, geometry: Geometry, kinematics: Kinematics) -> int:
    """When a vehicle that entered the stop loop at `loop_ns` and has not broken the beam is known to stand: moving at
    the stop speed or faster it would have reached the beam by then."""
    seconds = (geometry.beam_m - geometry.s.start_m) / metres_per_second(kinematics.stop_kmh)
    return loop_ns + int(NS * max(1.0, seconds))


def clearing_s(geometry: Geometry, kinematics: Kinematics) -> float:
    """Seconds from the stop line to a tail out of X, for the longest and slowest rolling vehicle."""
    return (geometry.x.end_m - geometry.beam_m + geometry.length_max_m) / metres_per_second(kinematics.v_min_kmh)


def could_have_come(
    times: ZoneTimes, zone: Zone, at_ns: int, geometry: Geometry, kinematics: Kinematics, factor: float
) -> bool:
    """Whether the nose may be at `zone` at `at_ns`, driving at most `factor` times the top speed since its last fix.
    True without a fix."""
    fix = last_fix(times, geometry)
    if fix is None:
        return True
    since_ns, position = fix
    reach = position + factor * metres_per_second(kinematics.v_max_kmh) * (at_ns - since_ns) / NS
    return reach >= zone_start_m(zone, geometry)


def nose_interval(times: ZoneTimes, geometry: Geometry, kinematics: Kinematics, at_ns: int) -> Interval | None:
    """Where the nose was or is at any time, from zone times before and after it; None without any.

    Assumes motion within the lane's speed bounds; where a stop contradicts that, the interval spans the contradiction.
    """
    slow = metres_per_second(kinematics.v_min_kmh)
    fast = metres_per_second(kinematics.v_max_kmh)
    low, high = float("-inf"), float("inf")
    noses = nose_fixes(times, geometry)
    tails = tail_fixes(times, geometry)
    if not noses and not tails:
        return None
    passed = None
    for fix_ns, position in noses:
        elapsed = (at_ns - fix_ns) / NS
        if elapsed >= 0:
            passed = position
            low, high = max(low, position + elapsed * slow), min(high, position + elapsed * fast)
        else:
            low, high = max(low, position + elapsed * fast), min(high, position + elapsed * slow)
    for fix_ns, end in tails:
        elapsed = (at_ns - fix_ns) / NS
        near, far = (slow, fast) if elapsed >= 0 else (fast, slow)
        low = max(low, end + SHORTEST_M + elapsed * near)
        high = min(high, end + geometry.length_max_m + elapsed * far)
    if passed is not None:
        wall = wall_after_m(passed, geometry)
        low, high = min(low, wall), min(high, wall)
    return Interval(earliest_m=max(low, high), latest_m=min(low, high))


def consistent(times: ZoneTimes, geometry: Geometry) -> bool:
    """Whether one vehicle can have made these times: no tail leaves a zone that even the longest vehicle's nose had
    left that far behind before. False when a stuck or blind sensor gave it another's edge."""
    noses = nose_fixes(times, geometry)
    return all(
        position <= end + geometry.length_max_m
        for left_ns, end in tail_fixes(times, geometry)
        for reached_ns, position in noses
        if reached_ns <= left_ns
    )


def length_m(times: ZoneTimes, measured_kmh: float, geometry: Geometry) -> float:
    """Length from the time over zone A at the measured speed; 0 while either is unknown."""
    if times.a_nose is None or times.a_tail is None or measured_kmh <= 0:
        return 0.0
    seconds = (times.a_tail.mono_ns - times.a_nose.mono_ns) / NS
    return max(0.0, metres_per_second(measured_kmh) * seconds - (geometry.a.end_m - geometry.a.start_m))


def length_over_line_m(times: ZoneTimes, geometry: Geometry) -> float:
    """Length from the time over the sensor at the line at the mean speed from there to X; 0 while either is unknown. An
    estimate for the record of a vehicle that rolled evenly and that the loops upstream did not measure."""
    if times.s_nose is None or times.s_tail is None or times.x_nose is None:
        return 0.0
    start_ns = times.s_nose.mono_ns
    over, way = times.s_tail.mono_ns - start_ns, times.x_nose.mono_ns - start_ns
    share = over / way if way > 0 else 0.0
    return max(0.0, (geometry.x.start_m - geometry.beam_m) * share - geometry.line_length_m)


def stop_ms(from_m: float, from_ns: int, to_m: float, to_ns: int, kinematics: Kinematics) -> int:
    """Milliseconds lost against the slowest rolling speed between two fixes; 0 below the length that counts as a stop.

    Zone times cannot show a stop directly: this is the estimate the outcome report uses."""
    lost = (to_ns - from_ns) / NS - (to_m - from_m) / metres_per_second(kinematics.v_min_kmh)
    return int(lost * 1000) if lost >= SLOW_SECONDS else 0
