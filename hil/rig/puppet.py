"""A lane played by hand: trucks that are nothing but inputs and tags, driven faster than a world could be.

Zone inputs and the reader's field are set through the devices' control channels, on the geometry and at the speed
given; what the lane does with it is read from the devices' own events.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from hil.rig.lane_bench import BenchOptions, LaneBench
from hil.rig.lane_client import LaneClient, codes
from hil.rig.recorder import Event, Recorder
from hil.rig.world_driver import INPUT_BITS
from hil.world import tags
from hil.world.geometry import Geometry

GREEN_POINT = 0
GEOMETRY = Geometry(x_m=12.0, exit_m=30.0)
"""The exit loop close behind the line, so that a passage is short."""
FAST = {"kinematics": {"v_max_kmh": 40, "v_min_kmh": 5, "reaction_s": 0.5, "decel_ms2": 6.0, "stop_kmh": 5}}
"""A lane for quick trucks: they are released well before their commit distance at 36 km/h."""
RULES = """\
default:
  verdict: release
  delay_s: 0.2
  ttl_s: 120
  cargo: [{kind: crn, value: "7ABC0001"}]
conveyances: []
"""
_FIELD_M = (-57.0, -47.0)
# Heard best where the antenna hangs: a tag that peaks before A could as well be on the next vehicle.
_RSSI_DBM = -45.0


def is_green(event: Event) -> bool:
    """The green output went on."""
    return event["event"] == "coil" and event["point"] == GREEN_POINT and bool(event["on"])


def is_red(event: Event) -> bool:
    """The green output went off: with this wiring the command for red."""
    return event["event"] == "coil" and event["point"] == GREEN_POINT and not event["on"]


def lamp_shows(aspect: str) -> Any:  # noqa: ANN401 - a match of Recorder
    """The lamps changed to this."""
    return lambda event: event["event"] == "lamp" and event["aspect"] == aspect


class PuppetTruck:
    """One truck: `nose_m` where its nose is. Zones follow as it is moved; its tags answer while its cab is at A."""

    def __init__(self, lane: "PuppetLane", serial: int, *, length_m: float = 10.0, tagged: bool = True) -> None:
        self.serial = serial
        self.nose_m = -61.0
        self.length_m = length_m
        self.tagged = tagged
        self.epcs = (tags.driver_card_epc(serial), tags.transponder_epc(serial))
        self._lane = lane

    async def move_to(self, nose_m: float, speed_kmh: float = 36.0) -> None:
        """Drive to `nose_m` in real time; every sensor passed on the way is felt when it is passed."""
        began_s, from_m = asyncio.get_running_loop().time(), self.nose_m
        pace = speed_kmh / 3.6
        for at_m, what, on in self._on_the_way(from_m, nose_m):
            await self._lane.sleep_until(began_s + (at_m - from_m) / pace)
            self.nose_m = at_m
            if what == "field":
                await self._lane.put_tags(self, present=on)
            else:
                await self._lane.put_zone(what, self, present=on)
        await self._lane.sleep_until(began_s + (nose_m - from_m) / pace)
        self.nose_m = nose_m

    async def leave(self) -> None:
        """Drive on until it has left the lane."""
        await self.move_to(GEOMETRY.zones()["zone_x"].end_m + self.length_m + 1.0)

    async def vanish(self) -> None:
        """Taken away by hand: no sensor feels it any more."""
        await self._lane.put_tags(self, present=False)
        for zone in INPUT_BITS:
            await self._lane.put_zone(zone, self, present=False)

    def _on_the_way(self, from_m: float, to_m: float) -> list[tuple[float, str, bool]]:
        marks = [(span.start_m, zone, True) for zone, span in GEOMETRY.zones().items()]
        marks += [(span.end_m + self.length_m, zone, False) for zone, span in GEOMETRY.zones().items()]
        if self.tagged:
            marks += [(_FIELD_M[0], "field", True), (_FIELD_M[1], "field", False)]
        return sorted(mark for mark in marks if from_m < mark[0] <= to_m)


class PuppetLane:
    """A bench with a quick lane on it, what its devices say, and an officer's client. Async context manager."""

    def __init__(self, run_dir: Path, *, overrides: Mapping[str, Any] | None = None, **options: Any) -> None:  # noqa: ANN401
        options = {"media": False, "console": False, **options}
        self.bench = LaneBench(BenchOptions(run_dir, GEOMETRY, overrides={**FAST, **(overrides or {})}, **options))
        self.module = Recorder("module")
        self.release = Recorder("release service")
        self.client: LaneClient
        self._serial = int(time.time() * 1000) & 0xFFFFFF
        self._over: dict[str, set[PuppetTruck]] = {zone: set() for zone in INPUT_BITS}
        self._heard: list[PuppetTruck] = []

    async def __aenter__(self) -> Self:
        self.bench.dir.mkdir(parents=True, exist_ok=True)
        (self.bench.dir / "rules.yaml").write_text(RULES)
        await self.bench.__aenter__()
        try:
            await self.module.follow(self.bench.controls["module"])
            await self.release.follow(self.bench.controls["release"])
            self.client = LaneClient(self.bench.socket_dir)
        except BaseException:
            await self.bench.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self.module.close()
        await self.release.close()
        await self.bench.end()

    async def restart_agent(self) -> float:
        """Start the agent anew (what is left of the old one is killed first); seconds from its start to READY."""
        old = self.bench.children.get("agent")
        if old is not None and old.running:
            old.kill()
        if old is not None:
            await old.process.wait()
        began_s = asyncio.get_running_loop().time()
        await self.bench.start_agent()
        return asyncio.get_running_loop().time() - began_s

    async def reconfigure(self, edit: Callable[[dict[str, Any]], None] = lambda _config: None) -> float:
        """End the agent in good order, change its configuration and start it anew; seconds until READY."""
        agent = self.bench.children.get("agent")
        if agent is not None:
            await agent.end()
        self.bench.write_config(edit)
        return await self.restart_agent()

    async def restart_release_service(self) -> None:
        """Start the release service anew on its old address and store."""
        await self.release.close()
        await self.bench.controls["release"].close()
        await self.bench.start_release_service()
        await self.release.follow(self.bench.controls["release"])

    def truck(self, *, tagged: bool = True) -> PuppetTruck:
        """A new truck before the lane, with tags nobody has seen yet."""
        self._serial += 1
        return PuppetTruck(self, self._serial, tagged=tagged)

    async def open_lane(self) -> None:
        """Wait for the centre and confirm, as an officer, that the corridor is empty."""
        await self.client.until(lambda lane: lane.centre_up, "the release service answers")
        await self.client.until(
            lambda lane: all(zone.level == zone.LEVEL_FREE for zone in lane.zones), "every zone is free"
        )
        await self.client.until(lambda lane: "REQUIRED_DEVICE_DOWN" not in codes(lane), "every device is up")
        await self.client.confirm_order()

    async def outbox_empty(self, timeout_s: float = 15.0) -> None:
        """Wait until central has acknowledged every record."""
        async with asyncio.timeout(timeout_s):
            while await self.client.outbox_records():
                await self.client.until(lambda _lane: True, "a state")

    async def truck_on_green(self) -> tuple[PuppetTruck, Event]:
        """A new truck is driven to A, is read, asked about and released: the truck, and the event of the green coil."""
        truck = self.truck()
        since_ns = time.monotonic_ns()
        await truck.move_to(-45.0)
        green = await self.module.wait(is_green, "green", after_ns=since_ns)
        return truck, green

    async def put_zone(self, zone: str, truck: PuppetTruck, *, present: bool) -> None:
        """A truck is over a zone, or no more."""
        over = self._over[zone]
        (over.add if present else over.discard)(truck)
        await self.bench.controls["module"].do("set_inputs", bits={str(INPUT_BITS[zone]): bool(over)})

    async def put_tags(self, truck: PuppetTruck, *, present: bool) -> None:
        """A truck's tags are in the field of antenna 1, or no more."""
        heard = [other for other in self._heard if other is not truck]
        self._heard = [*heard, truck] if present else heard
        field = [{"epc": epc, "rssi_dbm": _RSSI_DBM, "antenna": 1} for other in self._heard for epc in other.epcs]
        await self.bench.controls["reader"].do("field", tags=field)

    @staticmethod
    async def sleep_until(at_s: float) -> None:
        """Until this second of the loop: driving takes its time."""
        await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
