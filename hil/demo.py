"""`./dev demo`: a whole lane on virtual hardware. Trucks keep coming; an officer's page shows them; Ctrl-C ends all.

With `--trucks N --exit` it ends by itself with a table of passages and latencies measured at the virtual devices, and
exit code 0 only if every passage was sealed, delivered once and never wrongly green.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
from rich.console import Console
from rich.table import Table

from hil.rig.judge import Judge, Passage
from hil.rig.lane_bench import BenchOptions, LaneBench
from hil.rig.officer import Act, ScriptedOfficer
from hil.rig.processes import Child, Control
from hil.rig.readers import READERS
from hil.rig.target import load_target
from hil.rig.world_driver import WorldDriver
from hil.world.events import EventKind, WorldEvent
from hil.world.geometry import Geometry, Lamp
from hil.world.traffic import Arrival, Kind, Traffic, TrafficMix
from hil.world.truck import TagKind, TruckPlan
from hil.world.world import World
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub

SHOW = (Kind.RELEASED, Kind.RELEASED, Kind.LATE, Kind.REFERRED, Kind.NO_TAG, Kind.HELD, Kind.TWO_CARDS, Kind.REVOKED)
"""The kinds that come first, in this order; after them the traffic is random."""
HOLD_TRUCK = 2
"""The truck on whose green the scripted officer holds the lane, to show it."""
MODULES = {"tcp": "virtual", "rtu": "virtual-rtu"}
"""The target whose I/O module the demo stands."""
_RULES_AHEAD_S = 5.0
_DRAIN_S = 20.0
_GONE_S = 2.0
"""How long after its last word a process may take to be seen to have ended."""
EXAMPLES = """\
to cause a fault while it runs (DIR is that of --keep, or the one printed at the start):
  .venv/bin/python -m hil.devices.control DIR/module.ctl '{"do": "fault", "fault": "mute"}'  I/O module is silent
  .venv/bin/python -m hil.devices.control DIR/module.ctl '{"do": "clear"}'                   and answers again
  .venv/bin/python -m hil.devices.control DIR/reader.ctl '{"do": "unplug"}'                  reader's cable pulled
  .venv/bin/python -m hil.devices.control DIR/reader.ctl '{"do": "replug"}'                  and put back
  .venv/bin/python -m hil.devices.control DIR/camera.ctl '{"do": "freeze"}'                  picture stands still
an answer {"ok": false, ...} lists what else the device can do; lanectl why tells what the lane makes of it.
"""
_QUIET_EVENTS = frozenset({"LEASE_GRANTED", "LEASE_WITHDRAWN", "DECISION_ACCEPTED"})


class DemoFailed(RuntimeError):
    """The demo cannot go on; the message says what has ended or failed."""


class PatientControl(Control):
    """A device's control channel that outlives its device: one that has ended is told nothing, and tells nothing."""

    def __init__(self, path: Path, child: Child) -> None:
        super().__init__(path)
        self._child = child

    async def do(self, verb: str, **fields: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON values
        """As `Control.do`; an empty answer when the device has ended."""
        if not self._child.running:
            return {}
        try:
            return await super().do(verb, **fields)
        except (OSError, RuntimeError, ValueError):
            if await self._ended():
                return {}
            raise

    async def events(self, subscribed: Callable[[], None] = lambda: None) -> AsyncIterator[Mapping[str, Any]]:
        """As `Control.events`, but never ends."""
        with contextlib.suppress(OSError):
            async for event in super().events(subscribed):
                yield event
        await asyncio.Event().wait()

    async def _ended(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GONE_S):
                await self._child.process.wait()
        return not self._child.running


class Demo:
    """One run."""

    def __init__(self, options: argparse.Namespace, run_dir: Path) -> None:
        self.options = options
        self.console = Console(highlight=False, width=max(100, Console().width))
        port = options.port if _port_is_free(options.port) else 0
        devices = load_target(MODULES[options.modbus]).bench_options() | {"reader": options.reader}
        bench_options = BenchOptions(run_dir, Geometry(), console_port=port, **devices)
        self.bench = LaneBench(bench_options)
        self.judge = Judge()
        self.arrivals: dict[str, Arrival] = {}
        self.done = asyncio.Event()
        self.entered = 0
        self.driver: WorldDriver
        self.officer: ScriptedOfficer
        self._rules: asyncio.Queue[Arrival] = asyncio.Queue()
        self._hold_now = asyncio.Event()
        self._left = 0
        self._with_rule: set[str] = set()
        self._delivered = asyncio.Event()

    async def run(self) -> int:
        """Bring the lane up, let trucks through it, end everything; the exit code."""
        began = time.monotonic()
        self.console.print(
            "Starting a lane on virtual hardware: release service, I/O module, reader, camera, agent ..."
        )
        async with self.bench:
            self._announce(time.monotonic() - began)
            self._make_world()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in self._work()]
                await self.done.wait()
                if self.options.exit and self._left >= self.options.trucks:
                    await self._drain()
                for task in tasks:
                    task.cancel()
            passages = await self._sealed_passages()
        return self._report(passages)

    def _work(self) -> list[Any]:
        return [
            self.driver.run(),
            self.officer.run(),
            self._write_rules(),
            self._watch_module(),
            self._watch_release_service(),
            self._print_events(),
            self._hold_once(),
            *(self._watch_process(child) for child in self.bench.children.values()),
        ]

    def _make_world(self) -> None:
        world = World(self.bench.options.geometry, self._plans(), seed=self.options.seed)
        self._be_patient()
        controls = self.bench.controls
        self.driver = WorldDriver(
            world,
            controls["module"],
            controls["reader"],
            controls.get("camera"),
            on_event=self._on_world,
            on_lamp=self.judge.lamp,
            heard=self.bench.reader.heard,
            released=lambda truck: (
                self.judge.passages[truck].verdict == "release" if truck in self.judge.passages else False
            ),
        )
        self.officer = ScriptedOfficer(
            self.bench.socket_dir / "officer.sock",
            lane_empty=lambda: not world.trucks(),
            send_aside=self._send_aside,
            report=self._on_act,
        )

    def _be_patient(self) -> None:
        """From here on the devices may end without ending the demo."""
        for name in ("module", "reader", "camera"):
            if name in self.bench.controls:
                self.bench.controls[name] = PatientControl(self.bench.dir / f"{name}.ctl", self.bench.children[name])

    async def _watch_process(self, child: Child) -> None:
        """Say that a process has ended; what follows from it, the lane shows. Without central there is no demo."""
        code = await child.process.wait()
        ended = f"the process {child.name} (pid {child.pid}) has ended with exit code {code}"
        if child.name == "release":
            raise DemoFailed(f"{ended}: without a release service there is nothing to show\n{child.log_end()}".rstrip())
        self._say(self.driver.now_s, f"{ended}; its log is {child.log}")
        if child.name == "module":
            # Nobody feeds the lamps any more, and nobody will tell.
            self.driver.lamp = "dark"
            self.driver.world.set_lamp(Lamp.DARK)
            self.judge.lamp(self.driver.now_s, "dark")

    def _plans(self) -> Iterator[TruckPlan]:
        """Trucks in order of time, and for each its rule to the release service before it is read."""
        random_traffic = Traffic(self.options.seed, TrafficMix(trucks_per_h=150.0), first_s=4.0)
        for count, arrival in enumerate(random_traffic):
            if self.options.trucks and count >= self.options.trucks:
                return
            shown = self._as_kind(arrival, SHOW[count]) if count < len(SHOW) else arrival
            self.arrivals[shown.plan.id] = shown
            self._rules.put_nowait(shown)
            yield shown.plan

    def _as_kind(self, arrival: Arrival, kind: Kind) -> Arrival:
        """The same place in the traffic, but a truck of this kind."""
        model = next(iter(Traffic(self.options.seed + 1, TrafficMix(shares={kind: 1.0}))))
        serial_tags = next(
            iter(Traffic(self.options.seed + len(self.arrivals) * 7 + 11, TrafficMix(shares={kind: 1.0})))
        )
        plan = replace(arrival.plan, tags=serial_tags.plan.tags)
        return Arrival(plan, kind, model.rule)

    async def _write_rules(self) -> None:
        """What central knows of each truck arrives long before the truck does."""
        release = self.bench.controls["release"]
        while True:
            arrival = await self._rules.get()
            rule = arrival.rule
            heard = self.bench.reader.heard
            tags = {tag.kind.value: heard(tag.epc) for tag in arrival.plan.tags if tag.kind is not TagKind.CARGO}
            if not tags:
                continue
            self._with_rule.add(arrival.plan.id)
            revisions = [{"after_s": r.after_s, "verdict": r.verdict.value} for r in rule.revisions]
            await release.do(
                "rule",
                name=arrival.plan.id,
                match=tags,
                cargo=[{"kind": "crn", "value": f"7ABC{arrival.plan.id}"}],
                verdict=rule.verdict.value,
                delay_s=rule.delay_s,
                ttl_s=rule.ttl_s,
                reason=rule.reason,
                silent=rule.silent,
                revisions=revisions,
                basis="FLE",
                programmes=["FAST"],
            )

    def _on_world(self, event: WorldEvent) -> None:
        if event.kind is EventKind.ENTERED:
            kind = self.arrivals[event.truck].kind.value
            self.judge.arrive(event.truck, kind, event.t)
            self._say(event.t, f"{event.truck} arrives ({kind.replace('_', ' ')})")
        self.judge.world(event)
        if event.kind in (EventKind.LEFT, EventKind.DIVERTED):
            self._left += 1
            self._say(event.t, f"{event.truck} has left" + (" by the side" if event.kind is EventKind.DIVERTED else ""))
            if self.options.exit and self._left >= self.options.trucks:
                self.done.set()

    def _on_act(self, act: Act) -> None:
        t = self.driver.world_s(act.sent_ns)
        self._say(t, f"officer: {act.name} {act.result}")
        if act.result != "OK":
            return
        if act.name == "ClearHold":
            self.judge.hold_cleared(t)
        elif act.name == "ReleaseConveyance":
            first = self.driver.world.first_upstream()
            if first is not None:
                self.judge.officer_released(t, first, 20.0)

    def _send_aside(self) -> None:
        first = self.driver.world.first_upstream()
        if first is not None:
            with contextlib.suppress(ValueError, KeyError):
                self.driver.world.direct(first, "side")

    async def _watch_module(self) -> None:
        async for event in self.bench.controls["module"].events():
            t = self.driver.world_s(int(event["at_ns"]))
            self.judge.module(t, event, self.driver.world.first_upstream())
            if event["event"] == "coil" and event["point"] == 0 and event["on"]:
                first = self.driver.world.first_upstream()
                self._say(t, f"GREEN for {first}")
                if first == f"T{HOLD_TRUCK}":
                    self._hold_now.set()
            elif event["event"] == "coil" and event["point"] == 0:
                self._say(t, "RED")

    async def _hold_once(self) -> None:
        """The officer holds the lane while one truck has green, and lets it go again."""
        await self._hold_now.wait()
        await asyncio.sleep(0.8)
        self.judge.held(self.driver.now_s)
        await self.officer.hold_lane("shown in the demo")
        await asyncio.sleep(3.0)
        await self.officer.clear_hold("shown in the demo")
        await asyncio.Event().wait()

    async def _watch_release_service(self) -> None:
        async for event in self.bench.controls["release"].events():
            t = self.driver.world_s(int(event["at_ns"]))
            name = str(event.get("name", ""))
            self.judge.release_service(t, event, name or None)
            if event["event"] == "decision":
                self._say(t, f"central decides on {self._who(name)}: {event['verdict']}")
            elif event["event"] == "bundle":
                self._delivered.set()
                self._say(t, f"central holds bundle {event['seq']} ({event['outcome']})")

    def _who(self, name: str) -> str:
        """Whom a decision is about: by its rule, else by its place if that leaves one only."""
        if name in self.arrivals:
            return name
        inside = [p for p in self.judge.passages.values() if p.left is None and not p.verdict]
        if inside and inside[0].truck not in self._with_rule:
            return f"{inside[0].truck} (by its place: no rule names it)"
        return "an unknown vehicle"

    async def _print_events(self) -> None:
        """Lane events as the technician would see them with `lanectl tail`; waits for an agent that is gone."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._tail()
            await asyncio.sleep(1.0)

    async def _tail(self) -> None:
        async with grpc.aio.insecure_channel(f"unix:{self.bench.socket_dir / 'technician.sock'}") as channel:
            request = diagnostics_pb.TailEventsRequest(follow=True)
            async for answer in DiagnosticsServiceStub(channel).TailEvents(request):
                event = answer.event
                if event.code in _QUIET_EVENTS or event.severity == types.SEVERITY_INFO:
                    continue
                facts = " ".join(f"{name}={value}" for name, value in sorted(event.facts.items()))
                self._say(self.driver.world_s(event.at.mono_ns), f"lane: {event.code} {facts}")

    async def _drain(self) -> None:
        """Wait until central holds a bundle for every truck."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while len(self.judge.delivered) < len(self.judge.passages):
                    self._delivered.clear()
                    await self._delivered.wait()

    async def _sealed_passages(self) -> list[lane_pb.Passage]:
        """What the agent says it has sealed; nothing when it does not answer."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await self._list_passages()
        return []

    async def _list_passages(self) -> list[lane_pb.Passage]:
        async with grpc.aio.insecure_channel(f"unix:{self.bench.socket_dir / 'officer.sock'}") as channel:
            answer = await LaneServiceStub(channel).ListPassages(
                lane_pb.ListPassagesRequest(page_size=500), timeout=5.0
            )
            return sorted(answer.passages, key=lambda p: p.detect_time.ToNanoseconds())

    def _announce(self, seconds: float) -> None:
        bench = self.bench
        self.console.print(f"Lane up in {seconds:.1f} s.")
        self.console.print(
            f"  officer's page  http://127.0.0.1:{bench.console_port}/login#officer=demo&token={bench.console_token}"
        )
        self.console.print(f"  metrics         http://127.0.0.1:{bench.metrics_port}/metrics")
        self.console.print(f"  technician      {lanectl_line(bench.socket_dir)}")
        self.console.print(
            f'  cause a fault   .venv/bin/python -m hil.devices.control {bench.dir}/reader.ctl \'{{"do": "unplug"}}\''
            "   (more: ./dev demo --help)",
            soft_wrap=True,
        )
        if not self.options.exit:
            self.console.print("Ctrl-C ends everything.")

    def _say(self, t: float, text: str) -> None:
        self.console.print(f"{t:8.2f} s  {text}", soft_wrap=True)

    def _report(self, passages: list[lane_pb.Passage]) -> int:
        judge = self.judge
        outcomes = [(p.bundle_id, types.Outcome.Name(p.outcome).removeprefix("OUTCOME_").lower()) for p in passages]
        judge.join(outcomes)
        self._print_passages(list(judge.passages.values()))
        self._print_latencies()
        if not self.options.exit:
            return 0
        wrong = judge.verdicts(self.driver.now_s)
        problems = [f"wrong green: {verdict}" for verdict in wrong]
        if len(passages) != len(judge.passages):
            problems.append(f"{len(judge.passages)} trucks, but {len(passages)} bundles")
        missing = [p.truck for p in judge.passages.values() if p.sealed is None]
        if missing:
            problems.append(f"not delivered: {', '.join(missing)}")
        for problem in problems:
            self.console.print(f"FAILED: {problem}")
        if not problems:
            self.console.print(f"{len(passages)} passages, each sealed and delivered once; 0 wrong greens.")
        return 1 if problems else 0

    def _print_passages(self, passages: list[Passage]) -> None:
        table = Table(title="Passages (seconds of lane time)")
        for column in ("truck", "kind", "verdict", "asked", "decided", "green", "nose", "red", "outcome"):
            table.add_column(column, justify="left" if column in ("truck", "kind", "verdict", "outcome") else "right")
        for p in passages:
            times = [f"{t:.2f}" if t is not None else "-" for t in (p.requested, p.decided, p.green, p.nose, p.red)]
            table.add_row(p.truck, p.kind, p.verdict or "-", *times, p.outcome or "-")
        self.console.print(table)

    def _print_latencies(self) -> None:
        if not self.judge.latencies.rows():
            return
        table = Table(title="Measured at the virtual devices (ms)")
        for column in ("what", "n", "median", "max"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for name, count, median, worst in self.judge.latencies.rows():
            table.add_row(name, str(count), f"{median:.1f}", f"{worst:.1f}")
        self.console.print(table)


def lanectl_line(socket_dir: Path) -> str:
    """What a technician types to see the demo's lane."""
    return f".venv/bin/lanectl --socket-dir {socket_dir} status"


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """What failed, without the groups of tasks it failed in."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _until_told(demo: Demo) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, demo.done.set)
    return await demo.run()


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="./dev demo", description=__doc__.splitlines()[0] if __doc__ else "",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--trucks", type=int, default=0, help="how many trucks (0: they keep coming)")
    parser.add_argument("--exit", action="store_true", help="end when they have passed, with tables; needs --trucks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=sorted(READERS), default="mercury", help="reader family")
    parser.add_argument("--modbus", choices=sorted(MODULES), default="tcp", help="how the I/O module is reached")
    parser.add_argument("--port", type=int, default=8080, help="port of the officer's page (another if it is taken)")
    parser.add_argument("--keep", type=Path, default=None, help="keep logs, stores and configuration in this folder")
    options = parser.parse_args()
    if options.exit and not options.trucks:
        parser.error("--exit needs --trucks")
    run_dir = options.keep or Path(tempfile.mkdtemp(prefix="lane-demo-"))
    try:
        return asyncio.run(_until_told(Demo(options, run_dir)))
    except BaseExceptionGroup as group:
        for error in _leaves(group):
            text = str(error) if isinstance(error, DemoFailed) else f"{type(error).__name__}: {error}"
            print(f"demo failed: {text}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep is None and not os.environ.get("LANE_DEMO_KEEP"):
            shutil.rmtree(run_dir, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
