"""One story played on a bench in real time: the same file as on the virtual clock, on processes, lines and lamps.

The agent is the installed program, the release service a process, the officer a client of the lane's API. Judged is
what the devices tell with their own stamps, what the world knows, and the bundles that central holds.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import yaml

from hil.oracles.wrong_green import Limits, WrongGreenOracle
from hil.rig.bench_arm import BenchArm
from hil.rig.bench_officer import BenchOfficer
from hil.rig.bench_record import sealed_of
from hil.rig.bench_surroundings import CannotPlay, play_on
from hil.rig.lane_bench import BenchOptions, LaneBench
from hil.rig.lane_client import LaneClient, codes
from hil.rig.owners import Owners
from hil.rig.recorder import Event, Recorder
from hil.rig.release_side import ReleaseSide
from hil.rig.run_record import RunRecord
from hil.rig.story_needs import lacks
from hil.rig.target import Target
from hil.rig.wall_clock import WallClock
from hil.rig.world_driver import STEP_S, WorldDriver
from hil.world.events import EventKind, WorldEvent
from hil.world.faults import OFFICER_VERBS, Happening, Schedule, Verb
from hil.world.scenario import Scenario
from hil.world.truck import TagKind
from securecorridor.release.v1 import record_pb2

_QUIET_S = 1.5
"""So long after the last thing the story waits for, nothing more may happen that it does not say."""
_UNCONFIRMED_GREEN_S = 0.8
_LOOK_S = 0.2


class BenchStory:
    """Plays once. `slack_s` is what this bench may add to the moment of a `red_by`: a step of the world, and the
    target's own tolerance."""

    def __init__(self, story: Scenario, target: Target, run_dir: Path, *, media: bool = False) -> None:
        short = lacks(story, target.capabilities)
        if short:
            raise ValueError(f"{target.name} cannot: {', '.join(short)}")
        self.story = story
        self.target = target
        self.unconfirmed_green_s = _UNCONFIRMED_GREEN_S
        self.slack_s = STEP_S + target.tolerances.scheduling_ms / 1000
        self.clock = WallClock(run_dir / "clock")
        self.bench = LaneBench(
            BenchOptions(
                run_dir,
                story.geometry,
                media=media,
                console=False,
                environment=self.clock.environment if "step_clock" in target.capabilities else {},
                arm_travel_s=story.arm_travel_s,
                **target.bench_options(),
            )
        )
        default = Limits()
        slack_s = target.tolerances.scheduling_ms / 1000
        self.oracle = WrongGreenOracle(Limits(default.after_nose_s + slack_s, default.revocation_s + slack_s))
        self.releases = ReleaseSide(self.oracle, self._when)
        self.driver: WorldDriver
        self.arm: BenchArm | None = None
        self.bundles: list[record_pb2.Bundle] = []
        self.module = Recorder("module")
        self._release = Recorder("release service")
        self._schedule = Schedule(story.happenings)
        self._events: list[WorldEvent] = []
        self._shown: list[tuple[float, str]] = []
        self._greens: list[str] = []
        self._happened: list[tuple[float, Happening]] = []
        self._trouble: list[str] = []
        self._asked: dict[str, int] = {}
        self._numbers: dict[int, str] = {}
        self._stamp_s: float | None = None
        self._busy = 0
        self._linked = True

    @property
    def now_s(self) -> float:
        """World seconds now."""
        return self.driver.now_s

    async def run(self) -> RunRecord:
        """Bring the lane up, tell the story, end everything; what came out. Its times begin when the lane is up."""
        self.bench.dir.mkdir(parents=True, exist_ok=True)
        (self.bench.dir / "rules.yaml").write_text(self._rules())
        try:
            await self.bench.start_devices()
            self._make_world()
            await self.driver.prepare()
            self.bench.write_config()
            await self.bench.start_agent()
            await self.bench.start_watchers()
            return await self._told()
        finally:
            await self.module.close()
            await self._release.close()
            await self.bench.end()

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something in a while."""
        asyncio.get_running_loop().call_later(seconds, do)

    def link_lost(self) -> None:
        """The lane must know by now that central is gone."""
        if not self._linked:
            self.releases.linked(False)

    def link_back(self) -> None:
        """Central answers again."""
        self._linked = True
        self.releases.linked(True)

    def fall_silent(self, silent: bool) -> None:
        """No console sends a sign of life any more, or they do again: whoever is in control is not soon, nor is what
        they released."""
        self._officer.silent = silent
        if silent:
            self.later(self.target.limits.heartbeat_loss_s + self.target.limits.heartbeat_period_s, self._when_silent)

    def _when_silent(self) -> None:
        if self._officer.silent:
            self.releases.control_ended()

    def _rules(self) -> str:
        """What central knows of each truck."""
        heard, expected = self.bench.reader.heard, []
        for plan in self.story.trucks:
            rule = self.story.rules[plan.id]
            tags = {tag.kind.value: heard(tag.epc) for tag in reversed(plan.tags) if tag.kind is not TagKind.CARGO}
            answer = {
                "name": plan.id,
                "match": tags,
                "cargo": [{"kind": "crn", "value": f"7ABC{plan.id}"}],
                "verdict": rule.verdict.value,
                "delay_s": rule.delay_s,
                "ttl_s": rule.ttl_s,
                "reason": rule.reason,
                "silent": rule.silent,
                "revisions": [
                    {"after_s": r.after_s, "verdict": r.verdict.value, "reason": r.reason, "ttl_s": r.ttl_s}
                    for r in rule.revisions
                ],
            }
            expected += [answer] if tags else []
        return yaml.safe_dump({"conveyances": expected, "default": {"verdict": "no_decision"}})

    def _make_world(self) -> None:
        controls = self.bench.controls
        self.driver = WorldDriver(
            self.story.world(),
            controls["module"],
            controls["reader"],
            controls.get("camera"),
            on_event=self._on_world,
            on_lamp=self._on_lamp,
            heard=self.bench.reader.heard,
            on_step=self._on_step,
        )
        self._owners = Owners(self.driver.world_s)
        if self.story.arm_travel_s is not None:
            self.arm = BenchArm(self.driver.world, self.releases, self.driver.world_s)

    async def _told(self) -> RunRecord:
        client, world = LaneClient(self.bench.socket_dir), self.driver.world
        self._officer = BenchOfficer(
            self.bench.socket_dir / "officer.sock", world, self._owners, self.releases, self._when
        )
        await self.module.follow(self.bench.controls["module"], self._on_module)
        await self._release.follow(self.bench.controls["release"], self._on_release)
        try:
            async with asyncio.TaskGroup() as self._group:
                consoles = [self._officer.watch(), self._officer.keep_control()]
                watching = [self._group.create_task(work) for work in consoles]
                await client.until(_is_up, "centre and devices are up", timeout_s=15.0)
                if not world.trucks():
                    await self._officer.confirm_order()
                driving = self._group.create_task(self.driver.run())
                await self._until_told()
                until_s = self.now_s
                for task in (driving, *watching):
                    task.cancel()
            await self._fetch(client)
        finally:
            await client.close()
            await self._officer.close()
        return self._record(until_s)

    async def _until_told(self) -> None:
        """Until nothing more can come of it; `run_for_s` at the latest."""
        then, quiet_since = self.story.then, None
        while self.now_s < then.run_for_s:
            await asyncio.sleep(_LOOK_S)
            entered = {event.truck for event in self._events if event.kind is EventKind.ENTERED}
            told = self.driver.world.finished() and self._schedule.over() and not self._busy
            if not told or len(self._numbers) < max(len(entered), then.sealed or 0):
                quiet_since = None
            elif quiet_since is None:
                quiet_since = self.now_s
            elif self.now_s - quiet_since >= _QUIET_S:
                return

    async def _fetch(self, client: LaneClient) -> None:
        for number in sorted(self._numbers):
            self.bundles.append(await client.bundle(self._numbers[number]))

    def _record(self, until_s: float) -> RunRecord:
        self.oracle.settle(until_s)
        owners = self._owners.match((bundle.bundle_id, bundle.times, bundle.detected) for bundle in self.bundles)
        return RunRecord(
            until_s=until_s,
            events=tuple(self._events),
            shown=tuple(self._shown),
            greens=tuple(self._greens),
            sensors=tuple(self.story.geometry.zones()),
            happened=tuple(self._happened),
            acts=tuple(self._officer.acts),
            wrong=tuple(self.oracle.verdicts()),
            sealed=tuple(sealed_of(b, owners[b.bundle_id], self.driver.world_s) for b in self.bundles),
            numbers=tuple(sorted(self._numbers)),
            trouble=tuple(self._trouble),
            arm_wrong=self._arm_wrong(until_s),
        )

    def _arm_wrong(self, until_s: float) -> tuple[str, ...]:
        if self.arm is None:
            return ()
        self.arm.oracle.settle(until_s)
        return tuple(self.arm.oracle.wrongs)

    # ---- what happens ----

    def _on_world(self, event: WorldEvent) -> None:
        self._events.append(event)
        self._owners.take(event)
        self.oracle.world([event])
        if self.arm is not None:
            self.arm.oracle.saw([event])
        self._schedule.saw([event])

    def _on_module(self, event: Event) -> None:
        if self.arm is not None:
            self.arm.hear(event)

    def _on_lamp(self, t: float, aspect: str) -> None:
        self._shown.append((t, aspect))
        self.oracle.lamp(t, aspect)
        if aspect == "green":
            self._greens.append(self.driver.world.first_upstream() or "")

    def _on_step(self, t: float) -> None:
        for happening in self._schedule.due(t):
            self._happened.append((t, happening))
            self._do(self._play(happening.verb, happening.args))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy += 1
        self._group.create_task(work).add_done_callback(self._done)

    def _done(self, _task: "asyncio.Task[None]") -> None:
        self._busy -= 1

    async def _play(self, verb: Verb, args: Mapping[str, str | float | bool]) -> None:
        if verb in OFFICER_VERBS:
            await self._officer.play(verb, args)
            return
        if verb is Verb.CENTRE_DOWN:
            self._linked = False
        try:
            await play_on(self, verb, args)
        except CannotPlay as error:
            self._trouble.append(f"{verb.value} at {self.now_s:.3f}: {error}")

    def _on_release(self, event: Event) -> None:
        """Told by the release service, with its own stamp."""
        self._stamp_s = self.driver.world_s(int(event["at_ns"]))
        try:
            match event["event"]:
                case "request":
                    self._asked[str(event["conveyance_id"])] = int(event["stamp"])
                case "decision" if event["name"] in self.story.rules:
                    asked_s = self.driver.world_s(self._asked[str(event["conveyance_id"])])
                    release = event["verdict"] == "release"
                    self.releases.answered(str(event["name"]), release, asked_s + float(event["ttl"]))
                case "bundle":
                    self._numbers[int(event["seq"])] = str(event["bundle_id"])
                case _:
                    pass
        finally:
            self._stamp_s = None

    def _when(self) -> float:
        return self.now_s if self._stamp_s is None else self._stamp_s


def _is_up(lane: Any) -> bool:  # noqa: ANN401 - a LaneState
    known = all(zone.level != zone.LEVEL_UNKNOWN for zone in lane.zones)
    down = not lane.HasField("arm") or lane.arm.position == lane.arm.POSITION_DOWN
    return bool(lane.centre_up and lane.zones and known and down and "REQUIRED_DEVICE_DOWN" not in codes(lane))
