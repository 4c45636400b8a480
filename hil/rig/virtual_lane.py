"""A whole lane in one process on a loop's time: the agent's control core, everything real but the wires, in the world.

What happens outside the agent is here: trucks, sensors, reader, module, release service, officer, oracle. On a virtual
loop hours pass in seconds; on the real one it runs in real time.
"""

import asyncio
import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from drivers.api import Aspect, InputSnapshot, Secret, token_of
from edge_agent.model.conveyance import Conveyance
from edge_agent.model.effects import EmitEvent, SealBundle
from edge_agent.model.inputs import CentreLink, DecisionReceived
from edge_agent.model.lane import LanePolicy
from hil.oracles.wrong_green import Verdict, WrongGreenOracle
from hil.rig.release_side import ReleaseSide
from hil.rig.virtual_agent import SITE_KEY, AgentPorts, VirtualAgent, core_config
from hil.rig.virtual_arm import VirtualArm
from hil.rig.virtual_centre import CentreOutlets, VirtualCentre
from hil.rig.virtual_ledger import VirtualLedger
from hil.rig.virtual_module import LoopClock, VirtualModule
from hil.rig.virtual_officer import Played, VirtualOfficer
from hil.world.events import EventKind, WorldEvent, digest
from hil.world.faults import Happening, Schedule, SensorFaults, Verb
from hil.world.rf import AirRead
from hil.world.rules import ReleaseRule
from hil.world.truck import TruckPlan
from hil.world.world import World

_TINY_S = 1e-6
_EDGE_M = 0.5
_STILL_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """Times of the surroundings, seconds. `report_s`: how long the reader gathers reads. `officer`: one who acts by
    himself, besides the scripted acts."""

    commit_s: float = 0.004
    exchange_s: float = 0.004
    lamp_delay_s: float = 0.05
    watchdog_s: float = 1.0
    poll_s: float = 0.025
    report_s: float = 0.05
    feedback_bound_s: float = 0.8
    kill_bound_s: float = 2.0
    officer: bool = False
    confirm_at_start: bool = True
    keep_events: bool = True
    policy: LanePolicy = field(default_factory=LanePolicy)


@dataclass(frozen=True, slots=True)
class Passage:
    """A sealed passage and the truck it was, by who was over the sensor that made it ("" for nobody)."""

    truck: str
    conveyance: Conveyance


class VirtualLane:
    """Runs until told. World seconds count from `run`; the loop's time is world time plus a constant.

    `wrong` are the oracle's verdicts; `shown` every lamp change as (world second, aspect); `greens` whom each green was
    for; `events` the world's events; `acts` every officer's act with its answer; `happened` what the script did;
    `lane_events` the agent's.
    """

    def __init__(
        self,
        world: World,
        rule_of: Callable[[str], ReleaseRule],
        plan_of: Callable[[str], TruckPlan],
        happenings: Iterable[Happening] = (),
        options: Options | None = None,
    ) -> None:
        self.world = world
        self.options = options if options is not None else Options()
        self.oracle = WrongGreenOracle()
        self.releases = ReleaseSide(self.oracle, lambda: self.now_s)
        self.wrong: list[Verdict] = []
        self.events: list[WorldEvent] = []
        self.shown: list[tuple[float, Aspect]] = []
        self.greens: list[str] = []
        self.acts: list[Played] = []
        self.happened: list[tuple[float, Happening]] = []
        self.lane_events: list[tuple[float, EmitEvent]] = []
        self.truck_of: dict[str, str] = {}
        self.rule_of = rule_of
        self.schedule = Schedule(happenings)
        self.faults = SensorFaults()
        self.lives = 0
        self._plan_of = plan_of
        self._spans = world.geometry.zones()
        self._owners: dict[str, str] = {}
        self._epcs: dict[str, Secret] = {}
        self._drafts: dict[str, Conveyance] = {}
        self._digest = hashlib.sha256()
        self._edges: dict[str, int] = {}
        self._levels: dict[str, bool] = {}
        self._sessions = 0
        self._told_s = 0.0
        self._polling = False
        self._reads: Iterator[AirRead] = iter(())
        self._read: AirRead | None = None
        self._heard_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._agent: VirtualAgent | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._longer: Callable[[], float] = lambda: 0.0

    async def run(self, until_s: float, longer: Callable[[], float] = lambda: 0.0) -> None:
        """From world second 0 to `until_s`; nothing is left running. `longer` is asked then, and again when its answer
        is over: how many seconds to go on. ExceptionGroup when a part of the agent failed."""
        self._longer = longer
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._ended = self._loop.create_future()
        options = self.options
        self.clock = LoopClock()
        self.ledger = VirtualLedger(options.commit_s)
        self.module = VirtualModule(
            self.clock, self._lamp, lamp_delay_s=options.lamp_delay_s, watchdog_s=options.watchdog_s
        )
        if self.world.arm_travel_s is not None:
            self.module.arm = VirtualArm(self.world.arm_travel_s, self)
        outlets = CentreOutlets(self._submit, self._answered, self.releases.linked)
        self.centre: VirtualCentre = VirtualCentre(self.clock, outlets, self.owner, self.rule_of)
        self.officer: VirtualOfficer = VirtualOfficer(self)
        self._loop.call_at(self._start_s + until_s, self._finish)
        async with asyncio.TaskGroup() as group:
            self.group = group
            self._take(self.world.advance(0.0))
            self.start_agent()
            self._arm()
            self.officer.begin(group)
            await self._ended
            await self._close()
        self.oracle.settle(self.now_s)
        if self.module.arm is not None:
            self.module.arm.oracle.settle(self.now_s)
        self.wrong = self.oracle.verdicts()

    @property
    def now_s(self) -> float:
        """World seconds now."""
        return max(self.world.now, self._loop.time() - self._start_s)

    @property
    def began_s(self) -> float:
        """The loop's second that is world second 0."""
        return self._start_s

    @property
    def agent(self) -> VirtualAgent | None:
        """The agent, while one is alive."""
        return self._agent if self._agent is not None and self._agent.alive else None

    def sealed(self) -> tuple[Passage, ...]:
        """Every durable bundle in order, with the truck it belongs to."""
        found = (self._drafts[bundle.bundle_id] for bundle in self.ledger.bundles)
        return tuple(Passage(self.truck_of.get(c.conveyance_id, ""), c) for c in found)

    def unsealed(self) -> tuple[Passage, ...]:
        """The records of a living agent that are not sealed yet, most downstream first."""
        tracks = self.agent.state.tracks if self.agent is not None else ()
        return tuple(Passage(self.truck_of.get(track.id, ""), track.conveyance) for track in tracks)

    def digest(self) -> str:
        """SHA-256 over everything that happened: the world's events and every committed row and bundle."""
        running = self._digest.copy()
        for row in self.ledger.rows:
            running.update(row)
        for bundle in self.ledger.bundles:
            running.update(bundle.payload)
        return running.hexdigest()

    def look(self) -> None:
        """Bring the world to now, for somebody who looks at it."""
        self._take(self.world.advance(self.now_s))

    def stirred(self) -> None:
        """The world was told something: what follows from it now, and what it will do next."""
        self._take(self.world.advance(self.now_s), moved=True)
        self._arm()

    def start_agent(self) -> None:
        """A fresh process on the same store; central and console find it a moment later."""
        self.lives += 1
        ports = AgentPorts(self.centre.ask, self.centre.withdraw, self._event, self._drafted)
        config = core_config(self.world.geometry, self.options.policy)
        agent = VirtualAgent(self.lives, config, self.ledger, self.module, self.clock, ports, self.options.exchange_s)
        self._agent = agent
        self._levels = self._inputs()
        self._edges = dict.fromkeys(self._levels, 0)
        agent.begin()
        self._sessions += 1
        if self.module.readable:
            agent.take_snapshot(self._snapshot())
            self._match_new(self._over())
        self._task = self.group.create_task(self._live(agent), name=f"agent-{self.lives}")
        self._loop.call_later(0.0 if self.lives == 1 else 1.0, self._reconnect, agent)

    def kill_agent(self) -> None:
        """`kill -9`."""
        if self._agent is None or self._task is None or not self._agent.alive:
            return
        self._agent.kill()
        self.centre.disconnect()
        self._task.cancel()
        self.officer.agent_gone()
        self.oracle.lane_closed(self.now_s, "agent killed", self.options.kill_bound_s)

    def direct(self, truck: str, way: str) -> bool:
        """Wave a standing truck on; False when it does not stand there."""
        self.look()
        try:
            self.world.direct(truck, way)
        except (KeyError, ValueError):
            return False
        finally:
            self._listen()
            self._arm()
        return True

    def stick(self, zone: str, level: bool) -> None:
        """This sensor lies from now on."""
        self.faults.stick(zone, level)
        self.poll_soon()

    def free(self, zone: str) -> None:
        """This sensor tells the truth again."""
        self.faults.free(zone)
        self.poll_soon()

    def new_session(self) -> None:
        """The agent has found the module again: a fresh session, whose first poll is told whatever it shows."""
        self._sessions += 1
        self._levels = self._inputs()
        self._tell_inputs()

    def shown_green(self) -> bool:
        """Whether drivers see green now."""
        return self.module.shown is Aspect.GREEN

    def shown_at(self, t: float) -> Aspect:
        """What drivers saw at a world second."""
        return next((aspect for since, aspect in reversed(self.shown) if since <= t), Aspect.RED)

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        """Do something in a while."""
        self._loop.call_later(seconds, do)

    def note_act(self, played: Played) -> None:
        """An officer's act was answered."""
        self.acts.append(played)
        self._digest.update(f"{played.t:.9f} {played.verb} {played.result}".encode())

    async def _live(self, agent: VirtualAgent) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await agent.run()

    def _reconnect(self, agent: VirtualAgent) -> None:
        if agent is not self._agent or not agent.alive:
            return
        self.centre.connect()
        agent.watch(True)
        if self.lives > 1:
            self.oracle.lane_opened(self.now_s, "agent killed")
        elif self.options.confirm_at_start and not self.world.trucks():
            self.officer.play(Verb.CONFIRM_ORDER, {})

    async def _close(self) -> None:
        self.officer.end()
        self.centre.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and self._agent is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.module.close()

    def _finish(self) -> None:
        if self._ended is None or self._ended.done():
            return
        more_s = self._longer()
        if more_s > 0.0:
            self._loop.call_later(more_s, self._finish)
        else:
            self._ended.set_result(None)

    def _arm(self) -> None:
        """Wake at the next thing that happens in the world, in the script or at the reader."""
        if self._timer is not None:
            self._timer.cancel()
        due = math.inf
        if self._read is not None:
            report_s = self.options.report_s
            due = self._read.t if not report_s else (math.floor(self._read.t / report_s) + 1) * report_s
        for t in (self._heard_s, self.schedule.next_time()):
            if t is not None and t < due:
                due = t
        self._timer = self._loop.call_at(self._start_s + due, self._pump) if due < math.inf else None

    def _pump(self) -> None:
        self._timer = None
        t = self._loop.time() - self._start_s
        change, happening = self._heard_s, self.schedule.next_time()
        for due in (change, happening):
            if due is not None and due <= t + _TINY_S:
                t = max(t, due)
        self._report(t)
        if change <= t or (happening is not None and happening <= t):
            self._take(self.world.advance(max(t, self.world.now)), moved=True)
            for happened in self.schedule.due(t):
                self.happened.append((t, happened))
                self.officer.follow(happened.verb, happened.args)
        self._arm()

    def _report(self, t: float) -> None:
        """The reader hands over what it has heard."""
        read, agent, heard_until = self._read, self._agent, t + _TINY_S
        while read is not None and read.t <= heard_until:
            if agent is not None:
                epc = self._epcs.get(read.epc)
                if epc is None:
                    epc = self._epcs[read.epc] = Secret(bytes.fromhex(read.epc))
                agent.take_tag(epc, read.antenna, read.rssi_dbm)
            read = next(self._reads, None)
        self._read = read

    def _take(self, events: list[WorldEvent], *, moved: bool = False) -> None:
        """What the world did, and the reads to come until it does something again. `moved`: it was told to."""
        self._report(self.now_s)
        if events:
            self._tell(events)
        if events or moved:
            self._listen()

    def _tell(self, events: list[WorldEvent]) -> None:
        self.oracle.world(events)
        self.schedule.saw(events)
        if self.module.arm is not None:
            self.module.arm.oracle.saw(events)
        for event in events:
            if event.kind is EventKind.ZONE:
                self.poll_soon()
            elif event.kind is EventKind.ENTERED:
                self._meet(event.truck)
        self._digest.update(digest(events).encode())
        if self.options.keep_events:
            self.events += events
        self.oracle.settle(self.now_s - _TINY_S)

    def _listen(self) -> None:
        now, change = self.now_s, self.world.next_change()
        self._heard_s = change if change is not None else now + _STILL_S
        self._reads = self.world.next_tag_reads(now, self._heard_s)
        self._read = next(self._reads, None)

    def _meet(self, truck: str) -> None:
        for tag in self._plan_of(truck).tags:
            self._owners[token_of(Secret(bytes.fromhex(tag.epc)), SITE_KEY)] = truck

    def owner(self, token: str) -> str:
        """Who carries the tag with this token ("": nobody known)."""
        return self._owners.get(token, "")

    def poll_soon(self) -> None:
        """An input may have changed: look at the next poll."""
        if not self._polling:
            self._polling = True
            poll_s = self.options.poll_s
            due = (math.floor(self.now_s / poll_s) + 1) * poll_s
            self._loop.call_at(self._start_s + due, self._poll)

    def _inputs(self) -> dict[str, bool]:
        """What the inputs show now."""
        levels, arm = self.faults.levels(self.world.zones()), self.module.arm
        return levels if arm is None else levels | arm.levels()

    def _poll(self) -> None:
        """A poll of the inputs, made only when something may have changed."""
        self._polling = False
        levels = self._inputs()
        changed = [zone for zone, level in levels.items() if level != self._levels[zone]]
        if not changed or not self.module.readable:
            return
        for zone in changed:
            self._edges[zone] += 1
        self._levels = levels
        self._tell_inputs()

    def _tell_inputs(self) -> None:
        """Hand the agent what a poll has found, when the module's answer is there; answers do not overtake."""
        agent, snapshot = self._agent, self._snapshot()
        there = self._over()
        self._told_s = max(self._told_s, self._loop.time() + self.module.late_s)
        if agent is not None and self._told_s <= self._loop.time():
            self._hear(agent, snapshot, there)
        elif agent is not None:
            self._loop.call_at(self._told_s, self._hear, agent, snapshot, there)

    def _hear(self, agent: VirtualAgent, snapshot: InputSnapshot, there: Mapping[str, str]) -> None:
        if agent is self._agent and self.module.readable:
            agent.take_snapshot(snapshot)
            self._match_new(there)

    def _snapshot(self) -> InputSnapshot:
        return InputSnapshot(self.clock.stamp(), "io-1", self._sessions, dict(self._levels), dict(self._edges))

    def _match_new(self, there: Mapping[str, str]) -> None:
        """Whose passage is it? Whoever was over the sensor that made it (`there`), at the poll that told."""
        if self._agent is None:
            return
        tracks = self._agent.state.tracks
        for track in tracks:
            if self.truck_of.get(track.id):
                continue
            truck = there[self.world.geometry.sensor(track.over[-1].value)] if track.over else ""
            # A record that a lie began is the truck's that comes into it, unless that has one of its own.
            known = track.id in self.truck_of and any(self.truck_of.get(other.id) == truck for other in tracks)
            self.truck_of[track.id] = "" if known else truck

    def _over(self) -> Mapping[str, str]:
        """Who is over each sensor now, the last one where there are two; "" for nobody."""
        over = dict.fromkeys(self._spans, "")
        for view in self.world.trucks():
            for zone, span in self._spans.items():
                if view.nose_m > span.start_m - _EDGE_M and view.tail_m < span.end_m + _EDGE_M:
                    over[zone] = view.id
        return over

    def _lamp(self, aspect: Aspect) -> None:
        """The lamps changed: drivers and the oracle see it."""
        t = self.now_s
        self._take(self.world.advance(t))
        self.shown.append((t, aspect))
        self._digest.update(f"{t:.9f} {aspect}".encode())
        self.oracle.lamp(t, aspect.value)
        if self.module.arm is not None:
            self.module.arm.oracle.lamp(t, aspect.value)
        if aspect is Aspect.GREEN:
            self.greens.append(self.world.first_upstream() or "")
        self.world.set_lamp(aspect.value)
        self.stirred()

    def _answered(self, truck: str, release: bool, until_s: float) -> None:
        self.releases.answered(truck, release, until_s - self._start_s)

    def _submit(self, event: CentreLink | DecisionReceived) -> None:
        if self._agent is not None:
            self._agent.submit(event)

    def _drafted(self, effect: SealBundle) -> None:
        self._drafts[effect.conveyance.bundle_id] = effect.conveyance

    def _event(self, effect: EmitEvent) -> None:
        if self.options.keep_events:
            self.lane_events.append((self.now_s, effect))
