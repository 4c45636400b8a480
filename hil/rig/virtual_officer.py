"""Everything people do around a virtual lane: scripted acts and faults, and an officer who works by himself.

His eyes are the world: he sees where trucks are and who they are, as one does on camera; the agent he only knows by
what it shows.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_agent.model.decision import ActKind, OfficerAct, ReferralReason, Role, Verdict
from edge_agent.model.lane import LaneMode
from edge_agent.passage.etag import etag_of
from edge_agent.passage.state import LaneState, Track
from hil.world.events import TruckState, TruckView
from hil.world.faults import OFFICER_VERBS, Verb

if TYPE_CHECKING:
    from hil.rig.virtual_lane import VirtualLane

Args = Mapping[str, str | float | bool]
OFFICER_LEASE_S = 20.0
_LOOK_S = 1.0
_THINK_S = 6.0
_SIDE_AFTER_S = 1.0
_WRONG_LOOKS = 3
_WAVE_AGAIN_S = 15.0
_PATIENCE = 3
"""Releases that bring no green: then the truck goes to a staffed lane."""
_ASIDE = {"refer_secondary": Verdict.REFER_SECONDARY, "refuse_return": Verdict.REFUSE_RETURN}


@dataclass(frozen=True, slots=True)
class Played:
    """One act of an officer and the agent's answer ("" where nobody was there to answer)."""

    t: float
    verb: Verb
    truck: str
    result: str
    message: str


class VirtualOfficer:
    """Plays scripted verbs; with `options.officer` also watches the lane once a second and does what is needed."""

    def __init__(self, lane: "VirtualLane") -> None:
        self._lane = lane
        self._number = 0
        self._watching: asyncio.Task[None] | None = None
        self._standing: dict[str, float] = {}
        self._held: set[str] = set()
        self._aside: set[str] = set()
        self._tries: dict[str, int] = {}
        self._looks_wrong = 0
        self._testing = False
        self._waved: dict[str, float] = {}

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Start watching, where this officer does."""
        if self._lane.options.officer:
            self._watching = group.create_task(self._watch(), name="officer")

    def end(self) -> None:
        """Go home."""
        if self._watching is not None:
            self._watching.cancel()

    def play(self, verb: Verb, args: Args) -> None:
        """Do it now. Acts are answered a little later; what is done to the surroundings is done at once."""
        lane = self._lane
        if verb in OFFICER_VERBS:
            self._tell_oracle(verb, str(args.get("truck", "")), args)
            lane.group.create_task(self._act(verb, args), name=f"act-{verb.value}")
            return
        self._surroundings(verb, args)

    def _surroundings(self, verb: Verb, args: Args) -> None:
        lane, now = self._lane, self._lane.now_s
        match verb:
            case Verb.DIRECT_TRUCK:
                assert lane.direct(str(args["truck"]), str(args["way"])), f"{args['truck']} does not stand"
            case Verb.CENTRE_DOWN:
                lane.centre.cut()
            case Verb.CENTRE_UP:
                lane.centre.mend()
            case Verb.SENSOR_STUCK:
                lane.stick(str(args["zone"]), bool(args["level"]))
            case Verb.SENSOR_FREE:
                lane.free(str(args["zone"]))
            case Verb.LAMP_FEEDBACK_MISSING:
                lane.module.feedback_missing = True
                lane.oracle.lane_closed(now, "feedback missing", lane.options.feedback_bound_s)
            case Verb.LAMP_FEEDBACK_BACK:
                lane.module.feedback_missing = False
                lane.oracle.lane_opened(now, "feedback missing")
            case Verb.KILL_AGENT:
                lane.kill_agent()
            case _:
                lane.start_agent()

    def _tell_oracle(self, verb: Verb, truck: str, args: Args) -> None:
        oracle, now = self._lane.oracle, self._lane.now_s
        match verb:
            case Verb.HOLD_LANE:
                oracle.lane_closed(now, "hold")
            case Verb.HOLD_CONVEYANCE:
                self._held.add(truck)
                oracle.lane_closed(now, f"hold {truck}")
            case Verb.CLEAR_HOLD:
                oracle.lane_opened(now, "hold")
                for held in sorted(self._held):
                    oracle.lane_opened(now, f"hold {held}")
            case Verb.RELEASE_CONVEYANCE:
                self._lane.officer_released(truck, OFFICER_LEASE_S)
            case Verb.REFER_CONVEYANCE | Verb.DIRECT_CONVEYANCE:
                self._lane.officer_revoked(truck)
            case Verb.SET_MODE if str(args["mode"]) in ("closed", "all_hold"):
                oracle.lane_closed(now, "mode")
            case Verb.SET_MODE:
                oracle.lane_opened(now, "mode")
            case _:
                pass

    async def _act(self, verb: Verb, args: Args) -> None:
        agent = self._lane.agent
        truck = str(args.get("truck", ""))
        t = self._lane.now_s
        if agent is None:
            self._lane.note_act(Played(t, verb, truck, "", "nobody is there"))
            return
        result = message = ""
        testing = verb is Verb.TEST_SIGNAL
        if testing:
            self._lane.oracle.signal_test(t, on=True)
        for act in self._acts(agent.state, verb, args):
            answer = await agent.act(act)
            result, message = answer.result.value, answer.message
        if testing:
            self._testing = False
            self._lane.oracle.signal_test(self._lane.now_s, on=False)
        self._lane.note_act(Played(t, verb, truck, result, message))

    def _acts(self, state: LaneState, verb: Verb, args: Args) -> list[OfficerAct]:
        """The act, or for a cleared hold those that clear every one in force."""
        truck = str(args.get("truck", ""))
        if verb is Verb.CLEAR_HOLD:
            held = [track.id for track in state.tracks if track.conveyance.hold is not None]
            self._held.clear()
            return [self._made(ActKind.CLEAR_HOLD, conveyance_id=name) for name in ("", *held)]
        if verb is Verb.CONFIRM_ORDER:
            return [self._made(ActKind.CONFIRM_ORDER, confirmed_order=self._seen(state))]
        if verb is Verb.TEST_SIGNAL:
            return [replace(self._made(ActKind.TEST_SIGNAL), lane_empty=True)]
        if verb is Verb.SET_MODE:
            return [self._made(ActKind.SET_MODE, mode=str(args["mode"]))]
        if not truck:
            return [self._made(ActKind(verb.value))]
        track = self._track(state, truck)
        if track is None:
            return [self._made(ActKind(verb.value), conveyance_id="unknown", verdict=Verdict.REFER_SECONDARY)]
        verdict = Verdict(str(args["verdict"])) if "verdict" in args else Verdict.NO_DECISION
        return [
            self._made(
                ActKind(verb.value),
                conveyance_id=track.id,
                etag=etag_of(track.conveyance),
                identity_digest=track.digest,
                verdict=verdict,
                referral=ReferralReason(str(args.get("reason", "unspecified"))),
            )
        ]

    def _made(
        self,
        kind: ActKind,
        *,
        conveyance_id: str = "",
        etag: str = "",
        identity_digest: str = "",
        verdict: Verdict = Verdict.NO_DECISION,
        referral: ReferralReason = ReferralReason.UNSPECIFIED,
        confirmed_order: tuple[str, ...] = (),
        mode: str = "",
    ) -> OfficerAct:
        self._number += 1
        return OfficerAct(
            kind, f"act-{self._number}", "bso-1", Role.OFFICER, conveyance_id, etag, identity_digest, "seen on camera",
            0.0, verdict, referral, confirmed_order, mode,
        )  # fmt: skip

    def _track(self, state: LaneState, truck: str) -> Track | None:
        """The record shown for this truck: the officer compares place and picture."""
        mine = [track for track in state.tracks if self._lane.truck_of.get(track.id) == truck]
        return next((track for track in mine if track.upstream), mine[0] if mine else None)

    def _inside(self) -> list[TruckView]:
        """Trucks between A and S, from the stop line upstream."""
        self._lane.look()
        a_m = self._lane.world.geometry.a_m
        return [view for view in self._lane.world.trucks() if a_m < view.nose_m <= 0.0]

    def _seen(self, state: LaneState) -> tuple[str, ...]:
        tracks = [self._track(state, view.id) for view in self._inside()]
        return tuple(track.id for track in tracks if track is not None and track.upstream)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            agent = self._lane.agent
            if agent is not None:
                self._attend(agent.state)

    def _attend(self, state: LaneState) -> None:
        lane = self._lane
        if state.fault is not None:
            if not lane.module.feedback_missing:
                self._mend(state)
            return
        lane.world.road_closed = False
        if state.wanted_mode is not LaneMode.REMOTE:
            self.play(Verb.SET_MODE, {"mode": "remote"})
            return
        # Records and camera may differ for a moment at every crossing: only a lasting difference counts.
        self._looks_wrong = 0 if self._agrees(state) else self._looks_wrong + 1
        if (not state.order.known or self._looks_wrong >= _WRONG_LOOKS) and self._may_confirm(state):
            self._looks_wrong = 0
            self.play(Verb.CONFIRM_ORDER, {})
        self._see_who_waits(state)

    def _mend(self, state: LaneState) -> None:
        """The head is whole again: lead everybody out of the closed lane, test the signal, clear the fault."""
        views = self._inside()
        self._lane.world.road_closed = True
        if state.wanted_mode is not LaneMode.CLOSED:
            self.play(Verb.SET_MODE, {"mode": "closed"})
        elif state.tested is not None:
            self.play(Verb.CLEAR_FAULT, {})
        elif views:
            if views[0].state is TruckState.STANDING and views[0].nose_m >= -3.5:
                self._lead_out(state, views[0].id)
        elif not state.tracks:
            if not any(self._lane.faults.levels(self._lane.world.zones()).values()) and not self._testing:
                self._testing = True
                self.play(Verb.TEST_SIGNAL, {})
        elif self._may_confirm(state) and not self._leaving():
            self.play(Verb.CONFIRM_ORDER, {})

    def _leaving(self) -> bool:
        """Whether a truck past the line has not left the lane yet."""
        return any(view.nose_m > 0.0 for view in self._lane.world.trucks())

    def _lead_out(self, state: LaneState, truck: str) -> None:
        """Wave it aside; again when it still stands there after a while."""
        now = self._lane.now_s
        if now - self._waved.get(truck, -_WAVE_AGAIN_S) < _WAVE_AGAIN_S:
            return
        self._waved[truck] = now
        if self._track(state, truck) is not None and truck not in self._aside:
            self.play(Verb.DIRECT_CONVEYANCE, {"truck": truck, "verdict": Verdict.MANUAL_LANE.value})
        self._aside.add(truck)
        self._lane.later(_SIDE_AFTER_S, lambda: self._lane.direct(truck, "side"))

    def _agrees(self, state: LaneState) -> bool:
        """Whether the records upstream of the line are the trucks one sees there, in their order."""
        shown = [self._lane.truck_of.get(track.id, "") for track in state.tracks if track.upstream]
        return shown == [view.id for view in self._inside()]

    def _may_confirm(self, state: LaneState) -> bool:
        """Every truck in the corridor has a record, and nothing is in the beam."""
        views = self._inside()
        known = [self._track(state, view.id) for view in views]
        lies = self._lane.faults.levels(self._lane.world.zones()) != self._lane.world.zones()
        clear = not self._lane.world.zones()["stop_line_beam"]
        return clear and not lies and all(track is not None and track.upstream for track in known)

    def _see_who_waits(self, state: LaneState) -> None:
        views = self._inside()
        first = views[0] if views else None
        if first is None or first.state is not TruckState.STANDING or first.nose_m < -3.5:
            self._standing.clear()
            return
        since = self._standing.setdefault(first.id, self._lane.now_s)
        if self._lane.now_s - since < _THINK_S or self._lane.shown_green():
            return
        self._standing.clear()
        self._deal_with(state, first.id)

    def _deal_with(self, state: LaneState, truck: str) -> None:
        if truck in self._aside:
            return  # on its way out
        verdict = _ASIDE.get(self._lane.rule_of(truck).verdict.value)
        track = self._track(state, truck)
        if track is not None and not track.upstream:
            track = None  # the lane takes it for gone: there is no record to release, so it is sent to a staffed lane
        tries = self._tries[truck] = self._tries.get(truck, 0) + 1
        if verdict is None and track is not None and tries <= _PATIENCE:
            self.play(Verb.RELEASE_CONVEYANCE, {"truck": truck})
            return
        if track is not None and verdict is not None:
            self.play(Verb.DIRECT_CONVEYANCE, {"truck": truck, "verdict": verdict.value})
        self._aside.add(truck)
        self._lane.later(_SIDE_AFTER_S, lambda: self._lane.direct(truck, "side"))
