"""The world around the corridor: starts, links, store, devices, clock and signal head, and the mode in effect."""

from drivers.api import Stamp
from edge_agent.model.conveyance import Flag, SignalEvent, ZoneTimes
from edge_agent.model.decision import ControlChange
from edge_agent.model.effects import Severity, WithdrawLease
from edge_agent.model.inputs import (
    BarrierChanged,
    CentreLink,
    ClockStepped,
    ConsolePresence,
    DeviceChanged,
    HeadCommissioned,
    HeadTested,
    SignalChanged,
    Started,
    StoreHealth,
    VehicleUnread,
)
from edge_agent.model.lane import LaneMode, Zone
from edge_agent.model.presence import standing_only
from edge_agent.model.records import replace

from .association import over_antenna
from .codes import ConditionCode, EventCode
from .kinematics import excuse_ns
from .lane_control import control_ended, nobody_answers
from .maintenance import interrupt
from .order import lose_order
from .requests import ask_all_again
from .sightings import flood_over
from .state import DeviceDown, Fault, LaneState, Link, Tested, Track, ZoneInputs
from .turn import Turn

CLOCKS_AGREE_NS = 1_000_000_000
"""How far wall and monotonic clock may differ about an outage within one boot of the computer."""
_FOLLOWING = frozenset(
    code.value
    for code in (
        ConditionCode.ORDER_UNKNOWN,
        ConditionCode.CENTRE_LOST,
        ConditionCode.CONSOLE_ABSENT,
        ConditionCode.STORE_DEGRADED,
        ConditionCode.SIGNAL_FAULT,
        ConditionCode.NOT_COMMISSIONED,
        ConditionCode.LANE_HOLD,
        ConditionCode.DEVICE_DOWN,
    )
)
"""Conditions that `review_conditions` raises: a new life, whose board is empty, must hear of them again."""
MOST_SIGNALS = 256
"""Signal changes kept per vehicle; more than this is a defect of the head, and the lane's events have them all."""


def on_started(turn: Turn, event: Started) -> None:
    """Continuity was lost: whoever is inside is an orphan, no lease or decision of the former life holds, holds and
    faults do."""
    state = turn.state
    held = state.held
    again = bool(state.boot_id) or bool(state.tracks)
    tracks = tuple(_orphan(track, turn) for track in state.tracks)
    turn.state = replace(
        state,
        boot_id=event.boot_id,
        seed=event.seed,
        tracks=tracks,
        zones=ZoneInputs(since=_last_alive(state, turn)),
        held=None,
        centre=Link(False, turn.at),
        console=Link(False, turn.at),
        signal=None,
        tested=None,
        barrier=None,
        silenced=None,
        devices_down=(),
        pending=(),
        stray_times=(),
        loose=(),
        flicker={},
        mode_since=turn.at,
        conditions=tuple(code for code in state.conditions if code not in _FOLLOWING),
    )
    if held is not None:
        turn.effects.append(WithdrawLease(turn.at, held.lease.seq, "restarted", True))
    turn.flag_all(Flag.ORPHANED, Flag.RESTARTED, Flag.ORDER_UNKNOWN)
    turn.event(EventCode.STARTED, Severity.INFO, restarted=int(again), inside=len(tracks))
    control_ended(turn, ControlChange.RESTARTED)
    interrupt(turn)
    lose_order(turn, "restarted" if again else "started")


def _orphan(track: Track, turn: Turn) -> Track:
    green = track.conveyance.lease is not None
    conveyance = replace(track.conveyance, lease=None)
    return replace(
        Track(conveyance, turn.at, track.reached, digest=track.digest, rolled=track.rolled, stood=track.stood),
        torn=track.torn,
        decisions_from=len(conveyance.decisions),
        fixes=ZoneTimes(),
        over=track.over,
        suspect=True,
        directed=track.directed,
        directed_before=track.directed,
        green_at_gap=green,
        excused_ns=turn.now_ns + excuse_ns(turn.state.config.kinematics, standing=False) if green else 0,
    )


def _last_alive(state: LaneState, turn: Turn) -> Stamp | None:
    """The last sign of the former life; None when how long ago it was cannot be told: another boot of the computer
    starts its monotonic clock anew, so that the two clocks disagree about it."""
    if state.seen is None:
        return None
    elapsed = turn.now_ns - state.seen.mono_ns
    return state.seen if abs(turn.at.utc_ns - state.seen.utc_ns - elapsed) <= CLOCKS_AGREE_NS else None


def on_centre(turn: Turn, event: CentreLink) -> None:
    """The link to the release service came up or went down."""
    if event.up == turn.state.centre.up:
        return
    turn.state = replace(turn.state, centre=Link(event.up, turn.at))
    turn.event(EventCode.CENTRE, Severity.INFO if event.up else Severity.ALARM, up=int(event.up))
    if event.up:
        ask_all_again(turn)
    else:
        turn.flag_all(Flag.CENTRE_LOST, upstream_only=True)


def on_console(turn: Turn, event: ConsolePresence) -> None:
    """An officer's console is watching, or none is."""
    if event.present == turn.state.console.up:
        return
    turn.state = replace(turn.state, console=Link(event.present, turn.at))
    turn.event(EventCode.CONSOLE, Severity.INFO, present=int(event.present))


def on_store(turn: Turn, event: StoreHealth) -> None:
    """The store keeps its promise, or does not."""
    if event.ok == turn.state.store.up:
        return
    turn.state = replace(turn.state, store=Link(event.ok, turn.at, event.code))
    turn.event(EventCode.STORE, Severity.INFO if event.ok else Severity.ALARM, ok=int(event.ok), cause=event.code)


def on_device(turn: Turn, event: DeviceChanged) -> None:
    """A device came up or went down; a reader that is down leaves a gap in every passage it should have seen."""
    known = next((d for d in turn.state.devices_down if d.device == event.device), None)
    if event.up:
        if known is None:
            return
        rest = tuple(d for d in turn.state.devices_down if d.device != event.device)
    else:
        if known is not None and (known.code, known.required) == (event.code, event.required):
            return
        since = known.since if known is not None else turn.at
        down = DeviceDown(event.device, since, event.code, event.required)
        rest = (*(d for d in turn.state.devices_down if d.device != event.device), down)
        if any(device == event.device for device, _, _ in turn.state.config.geometry.antennas):
            turn.flag_all(Flag.READER_GAP, upstream_only=True)
    tested = turn.state.tested
    if tested is not None and tested.device == event.device:
        tested = None  # what comes back may be another module
    turn.state = replace(turn.state, devices_down=rest, tested=tested)
    severity = Severity.INFO if event.up else Severity.WARNING
    turn.event(EventCode.DEVICE, severity, device=event.device, up=int(event.up), cause=event.code)


def on_unread(turn: Turn, event: VehicleUnread) -> None:
    """A reader felt a vehicle and read no tag on it: an event of its own, of the vehicle when it can be no other."""
    state = turn.state
    here = over_antenna(event.device, event.antenna, state.tracks, state.config, turn.now_ns)
    conveyance = here[0] if len(here) == 1 else ""
    antenna = f"{event.device}/{event.antenna}" if event.antenna else event.device
    turn.event(EventCode.UNREAD_VEHICLE, Severity.WARNING, conveyance, antenna=antenna)


def on_clock(turn: Turn, event: ClockStepped) -> None:
    """Wall time stepped: the records of everyone inside say so."""
    turn.flag_all(Flag.CLOCK_STEPPED)
    turn.event(EventCode.CLOCK_STEPPED, Severity.WARNING, step_ms=event.step_ms)


def on_signal(turn: Turn, event: SignalChanged) -> None:
    """The head was commanded or confirmed otherwise: evidence for the vehicle it concerned; a fault latches."""
    turn.state = replace(turn.state, signal=event)
    track = None if event.test else _concerned(turn.state, event)
    if track is not None and len(track.conveyance.signals) < MOST_SIGNALS:
        shown = SignalEvent(turn.at, event.commanded, event.confirmed, event.grade, event.reason)
        turn.put_conveyance(track, replace(track.conveyance, signals=(*track.conveyance.signals, shown)))
    if event.fault and turn.state.fault is None:
        turn.state = replace(turn.state, fault=Fault(event.fault, turn.at), tested=None)
        turn.event(EventCode.SIGNAL_FAULT, Severity.ALARM, fault=event.fault)


def on_barrier(turn: Turn, event: BarrierChanged) -> None:
    """The arm is elsewhere, was asked for a movement, or has a fault, which latches."""
    before = turn.state.barrier
    turn.state = replace(turn.state, barrier=event)
    if event.asked != "none" and (before is None or before.asked != event.asked):
        turn.event(EventCode.BARRIER, Severity.INFO, asked=event.asked, arm=event.arm)
    if event.fault and turn.state.barrier_fault is None:
        turn.state = replace(turn.state, barrier_fault=Fault(event.fault, turn.at))
        turn.event(EventCode.BARRIER_FAULT, Severity.ALARM, fault=event.fault, arm=event.arm)


def _concerned(state: LaneState, event: SignalChanged) -> Track | None:
    """The vehicle over the line, else the first upstream of it; a change made on a lease in force is its holder's."""
    lease = state.lease
    if lease is not None and lease.seq == event.lease_seq:
        return state.track(lease.conveyance_id)
    over = next((track for track in state.tracks if Zone.BEAM in track.over), None)
    return over or state.first_upstream


def on_head_tested(turn: Turn, event: HeadTested) -> None:
    """Somebody tested the head: central hears of it; a passed signal test opens the way to clearing a fault."""
    signal = event.kind == "signal_test"
    if signal and turn.state.fault is not None:
        tested = Tested(turn.at, event.by, event.device) if event.passed else None
        turn.state = replace(turn.state, tested=tested)
    code = EventCode.SIGNAL_TEST if signal else EventCode.KILL_TEST
    turn.event(
        code, Severity.INFO if event.passed else Severity.ALARM, passed=int(event.passed), device=event.device,
        module=event.module, officer=event.by, **dict(event.facts),
    )  # fmt: skip


def on_commissioned(turn: Turn, event: HeadCommissioned) -> None:
    """The head's module has a kill test on record, or has none."""
    if (event.ok, event.why) == (turn.state.commissioned.up, turn.state.commissioned.code):
        return
    # The condition is raised anew with its text.
    told = tuple(code for code in turn.state.conditions if event.ok or code != ConditionCode.NOT_COMMISSIONED.value)
    turn.state = replace(turn.state, commissioned=Link(event.ok, turn.at, event.why), conditions=told)


def review_mode(turn: Turn) -> None:
    """The mode in effect: the one that was set, unless a fault, the store or a missing officer takes it back."""
    state = turn.state
    absent = nobody_answers(state)
    mode = state.wanted_mode
    planned = state.mode_planned
    if state.fault is not None:
        mode, planned = LaneMode.FAULT, False
    elif mode is LaneMode.REMOTE and (absent or not state.store.up or not state.commissioned.up or not _rolls(state)):
        mode, planned = LaneMode.DEGRADED, False
    if mode is not state.mode:
        turn.state = replace(state, mode=mode, mode_since=turn.at, mode_planned=planned)
        severity = Severity.INFO if planned else Severity.ALARM
        turn.event(EventCode.MODE, severity, mode=mode.value, before=state.mode.value)


def _rolls(state: LaneState) -> bool:
    """Whether what this lane has at the stop line lets anybody roll: a store may come from another layout's life."""
    return not standing_only(state.config.geometry.layout)


def review_conditions(turn: Turn) -> None:
    """Raise and clear the conditions that follow from the state."""
    state = turn.state
    alarm, warning = Severity.ALARM, Severity.WARNING
    turn.condition(
        ConditionCode.ORDER_UNKNOWN, warning, not state.order.known, "Order of the corridor is unknown",
        "confirm the order on camera, or release standing vehicles until the corridor is empty",
    )  # fmt: skip
    turn.condition(
        ConditionCode.CENTRE_LOST, alarm, not state.centre.up, "The release service does not answer", "check the link"
    )
    turn.condition(
        ConditionCode.CONSOLE_ABSENT, alarm, nobody_answers(state), "No officer at a console controls the lane",
        "open the console and take control of the lane",
    )  # fmt: skip
    turn.condition(
        ConditionCode.STORE_DEGRADED, alarm, not state.store.up, "The store is degraded", "free space, check the disk"
    )
    turn.condition(
        ConditionCode.SIGNAL_FAULT, alarm, state.fault is not None, "A signal fault is latched",
        "close the lane, repair the head, test the signal, then clear the fault",
    )  # fmt: skip
    turn.condition(
        ConditionCode.NOT_COMMISSIONED, alarm, not state.commissioned.up,
        f"No rolling release: {state.commissioned.code}", "close the lane, then: lanectl commission",
    )  # fmt: skip
    turn.condition(
        ConditionCode.LANE_HOLD, warning, state.hold is not None, "The lane is held", "an officer can clear the hold"
    )
    fault = state.barrier_fault
    title = f"The barrier arm has a fault: {fault.code}" if fault is not None else "The barrier arm is well again"
    turn.condition(
        ConditionCode.BARRIER_FAULT, alarm, fault is not None, title, "look at the arm, repair it, then clear the fault"
    )
    if ConditionCode.TAG_FLOOD.value in state.conditions and flood_over(turn):
        turn.condition(ConditionCode.TAG_FLOOD, warning, False, "The tags are gone", "")
    required = any(down.required for down in state.devices_down)
    turn.condition(
        ConditionCode.DEVICE_DOWN,
        alarm,
        required,
        "A device that policy requires is down",
        "see the device's condition",
    )
