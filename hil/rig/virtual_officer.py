"""Everything people do around a virtual lane: scripted acts and faults, and an officer who works by himself.

His eyes are the world: he sees where trucks are and who they are, as one does on camera; the agent he only knows by
what it shows.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_agent.model.decision import ActKind, OfficerAct, ReferralReason, Role, Verdict
from edge_agent.model.lane import LaneMode
from edge_agent.passage.etag import etag_of
from edge_agent.passage.lane_control import without_control
from edge_agent.passage.state import LaneState, Track
from hil.rig.virtual_agent import VirtualAgent
from hil.rig.virtual_surroundings import Args, play_on
from hil.world.events import TruckState, TruckView
from hil.world.faults import OFFICER_VERBS, Verb

if TYPE_CHECKING:
    from hil.rig.virtual_lane import VirtualLane

OFFICER = "bso-1"
"""Who works at the lane; a script may have others act too."""
_LOOK_S = 1.0
_SHARP_M = 0.01
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
    """Plays scripted verbs, and keeps whoever has control of the lane in control; with `options.officer` also watches
    the lane once a second and does what is needed, unless another officer has taken over."""

    def __init__(self, lane: "VirtualLane") -> None:
        self._lane = lane
        self._number = 0
        self._watching: asyncio.Task[None] | None = None
        self._standing: dict[str, float] = {}
        self._aside: set[str] = set()
        self._mode = LaneMode.REMOTE if lane.world.geometry.rolls else LaneMode.ATTENDED
        self._unanswered: dict[asyncio.Task[None], tuple[Played, Callable[[], None]]] = {}
        self._sent_to: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        self._looks_wrong = 0
        self._testing = False
        self._waved: dict[str, float] = {}
        self._silent = False

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Start watching."""
        self._watching = group.create_task(self._watch(), name="officer")

    def fall_silent(self) -> None:
        """No console sends a sign of life any more: whoever is in control is not soon, nor are their releases."""
        self._silent = True
        agent = self._lane.agent
        if agent is not None and agent.state.control.officer:
            self._lane.later(agent.state.control.lasts_s, self._when_silent)

    def speak(self) -> None:
        """The consoles send signs of life again."""
        self._silent = False

    def _when_silent(self) -> None:
        if self._silent:
            self._lane.releases.control_ended()

    def end(self) -> None:
        """Go home."""
        if self._watching is not None:
            self._watching.cancel()
        for task in self._unanswered:
            task.cancel()

    def follow(self, verb: Verb, args: Args) -> None:
        """Do what the script says, as `play` does; a mode that it sets is the one to come back to."""
        if verb is Verb.SET_MODE:
            self._mode = LaneMode(str(args["mode"]))
        self.play(verb, args)

    def play(self, verb: Verb, args: Args) -> None:
        """Do it now. Acts are answered a little later; what is done to the surroundings is done at once.

        `place` in an act's words names the truck that has this place from the stop line upstream (0: the first); when
        nobody is there, nothing is done.
        """
        lane = self._lane
        if verb not in OFFICER_VERBS:
            play_on(lane, verb, args)
            return
        if self._silent:  # the page is frozen
            return
        if "place" in args:
            views = [view for view in self._inside() if view.id not in self._aside]  # those are on their way out
            if int(args["place"]) >= len(views):
                return
            args = {**args, "truck": views[int(args["place"])].id}
        agent = lane.agent
        if agent is None:  # his act reaches nobody and changes nothing
            lane.note_act(Played(lane.now_s, verb, str(args.get("truck", "")), "", "nobody is there"))
            return
        undo = self._tell_oracle(verb, args)
        task = lane.group.create_task(self._act(agent, verb, args, undo), name=f"act-{verb.value}")
        self._unanswered[task] = Played(lane.now_s, verb, str(args.get("truck", "")), "", "no answer"), undo
        task.add_done_callback(lambda done: self._unanswered.pop(done, None))

    def agent_gone(self) -> None:
        """What it has not answered it may have done or not: a hold is not counted on, a release is reckoned with."""
        for task, (played, undo) in list(self._unanswered.items()):
            task.cancel()
            self._lane.note_act(played)
            if played.verb is not Verb.RELEASE_CONVEYANCE:
                undo()
            if played.verb is Verb.TEST_SIGNAL:
                self._lane.later(self._lane.options.kill_bound_s, self._test_over)  # the module ends its green itself

    def _tell_oracle(self, verb: Verb, args: Args) -> Callable[[], None]:
        """What holds from the moment of the act; the answer takes it back when the act was refused."""
        if verb in (Verb.REFER_CONVEYANCE, Verb.DIRECT_CONVEYANCE):
            self._sent_to[str(args.get("truck", ""))] = str(args.get("verdict", Verdict.REFER_SECONDARY.value))
        if verb is Verb.GIVE_CONTROL and self._controls(args):
            self._lane.releases.control_ended()
        return self._lane.releases.act(verb, args)

    def _controls(self, args: Args) -> bool:
        agent = self._lane.agent
        return agent is not None and agent.state.control.officer == str(args.get("officer", OFFICER))

    def _test_over(self) -> None:
        self._testing = False
        self._lane.releases.test_over()

    async def _act(self, agent: VirtualAgent, verb: Verb, args: Args, undo: Callable[[], None]) -> None:
        t, truck = self._lane.now_s, str(args.get("truck", ""))
        result = message = ""
        testing = verb is Verb.TEST_SIGNAL
        officer = str(args.get("officer", OFFICER))
        acts = [replace(act, officer=officer) for act in self._acts(agent.state, verb, args)]
        nobody = not agent.state.control.officer
        if nobody and any(without_control(agent.state, act) is not None for act in acts):
            acts.insert(0, replace(self._made(ActKind.TAKE_CONTROL), officer=officer))
        for act in acts:
            answer = await agent.act(act)
            result, message = answer.result.value, answer.message
        if testing:
            self._test_over()
        if result != "OK":
            undo()
        self._lane.note_act(Played(t, verb, truck, result, message))

    def _acts(self, state: LaneState, verb: Verb, args: Args) -> list[OfficerAct]:
        """The act, or for a cleared hold those that clear every one in force."""
        truck = str(args.get("truck", ""))
        if verb is Verb.CLEAR_HOLD:
            held = [track.id for track in state.tracks if track.conveyance.hold is not None]
            return [self._made(ActKind.CLEAR_HOLD, conveyance_id=name) for name in ("", *held)]
        if verb is Verb.CONFIRM_ORDER:
            return [self._made(ActKind.CONFIRM_ORDER, confirmed_order=self._seen(state))]
        if verb is Verb.TEST_SIGNAL:
            return [replace(self._made(ActKind.TEST_SIGNAL), lane_empty=True)]
        if verb is Verb.SET_MODE:
            return [self._made(ActKind.SET_MODE, mode=str(args["mode"]))]
        if verb is Verb.TAKE_CONTROL:
            return [replace(self._made(ActKind.TAKE_CONTROL), displaces=state.control.officer)]
        if verb is Verb.ACKNOWLEDGE:
            return [replace(self._made(ActKind.ACKNOWLEDGE), condition=str(args["condition"]))]
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
            kind, f"act-{self._number}", OFFICER, Role.OFFICER, conveyance_id, etag, identity_digest, "seen on camera",
            0.0, verdict, referral, confirmed_order, mode,
        )  # fmt: skip

    def _track(self, state: LaneState, truck: str) -> Track | None:
        """The record shown for this truck: the officer compares place and picture. Of two with its picture it is that
        shown where the truck is: the other was followed along somebody else's way, and is of whoever went it."""
        mine = [track for track in state.tracks if self._lane.truck_of.get(track.id) == truck]
        mine = [track for track in mine if track.upstream] or mine
        here = [track for track in mine if len(mine) > 1 and self._shown_at(track, truck)]
        return next(iter(here or mine), None)

    def _shown_at(self, track: Track, truck: str) -> bool:
        """Whether the record is shown over a sensor that this truck is over."""
        self._lane.look()
        world = self._lane.world
        view = next((view for view in world.trucks() if view.id == truck), None)
        spans = world.geometry.zones()
        over = [spans[world.geometry.sensor(zone.value)] for zone in track.over]
        return view is not None and any(view.nose_m > span.start_m and view.tail_m < span.end_m for span in over)

    def _inside(self) -> list[TruckView]:
        """Trucks between A and S, from the stop line upstream; one whose nose stops right at A is over it."""
        self._lane.look()
        a_m = self._lane.world.geometry.a_m - _SHARP_M
        return [view for view in self._lane.world.trucks() if a_m <= view.nose_m <= 0.0]

    def _seen(self, state: LaneState) -> tuple[str, ...]:
        tracks = [self._track(state, view.id) for view in self._inside()]
        return tuple(track.id for track in tracks if track is not None and track.upstream)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            agent = self._lane.agent
            if agent is None:
                continue
            control = agent.passage.control
            if self._silent:
                continue
            control.keep(agent.state.control.officer)
            if self._lane.options.officer and agent.state.control.officer in ("", OFFICER):
                self._attend(agent.state)

    def _attend(self, state: LaneState) -> None:
        lane = self._lane
        if state.fault is not None:
            if not lane.module.feedback_missing:
                self._mend(state)
            return
        lane.world.road_closed = False
        if state.barrier_fault is not None:
            self._mend_arm()
        if state.wanted_mode is not self._mode:
            self.play(Verb.SET_MODE, {"mode": self._mode.value})
            return
        # Records and camera may differ for a moment at every crossing: only a lasting difference counts.
        views = self._inside()
        self._looks_wrong = 0 if self._agrees(state, views) else self._looks_wrong + 1
        if (not state.order.known or self._looks_wrong >= _WRONG_LOOKS) and self._may_confirm(state):
            self._looks_wrong = 0
            self.play(Verb.CONFIRM_ORDER, {})
        self._see_who_waits(state, views)

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

    def _mend_arm(self) -> None:
        """Somebody has looked at the arm, and it is free: what it was told for is over."""
        if self._lane.module.arm is not None and not self._lane.module.arm.jammed:
            self.play(Verb.CLEAR_FAULT, {})

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

    def _agrees(self, state: LaneState, views: list[TruckView]) -> bool:
        """Whether the records upstream of the line are the trucks one sees there, in their order."""
        shown = [self._lane.truck_of.get(track.id, "") for track in state.tracks if track.upstream]
        return shown == [view.id for view in views]

    def _may_confirm(self, state: LaneState) -> bool:
        """Every truck in the corridor has a record, and nothing is in the beam."""
        views = self._inside()
        known = [self._track(state, view.id) for view in views]
        lies = self._lane.faults.levels(self._lane.world.zones()) != self._lane.world.zones()
        zones, line = self._lane.world.zones(), self._lane.world.geometry.line_zones
        clear = not any(zones[zone] for zone in line)
        return clear and not lies and all(track is not None and track.upstream for track in known)

    def _see_who_waits(self, state: LaneState, views: list[TruckView]) -> None:
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
        verdict = _ASIDE.get(self._sent_to.get(truck, self._lane.rule_of(truck).verdict.value))
        track = self._track(state, truck)
        if track is not None and not track.upstream:
            track = None  # the lane takes it for gone: there is no record to release, so it is sent to a staffed lane
        tries = self._tries[truck] = self._tries.get(truck, 0) + 1
        if verdict is None and track is not None and tries <= _PATIENCE:
            self.play(Verb.RELEASE_CONVEYANCE, {"truck": truck})
            return
        if track is not None:  # whoever is waved out of the lane is directed first: the lane must know
            way = verdict if verdict is not None else Verdict.MANUAL_LANE
            self.play(Verb.DIRECT_CONVEYANCE, {"truck": truck, "verdict": way.value})
        self._aside.add(truck)
        self._lane.later(_SIDE_AFTER_S, lambda: self._lane.direct(truck, "side"))
