"""Plays the world in real time on virtual devices: trucks reach the sensors, lamps reach the drivers."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hil.rig.bench_arm import ARM_INPUTS, PRESENCE
from hil.rig.processes import Control
from hil.world.events import EventKind, WorldEvent
from hil.world.faults import SensorFaults
from hil.world.geometry import KMH, Geometry, Lamp
from hil.world.world import World

STEP_S = 0.02
_FIELD_S = 0.1
_SCENE_S = 0.1
_JUST_AFTER_S = 0.0005

INPUT_BITS: Mapping[str, int] = {"zone_a": 0, "zone_d": 1, "zone_s": 2, "stop_line_beam": 3, "zone_x": 4}
"""Which input of the virtual module each zone sensor is wired to, on a lane with a beam."""
_LINE_BITS = (3, 5)


def input_bits(geometry: Geometry) -> dict[str, int]:
    """The same for any lane: what stands at the line is where the beam would be, a second output beside the others."""
    line = dict(zip(geometry.line_zones, _LINE_BITS, strict=False))
    return {zone: line[zone] if zone in line else INPUT_BITS[zone] for zone in geometry.zones()}


class WorldDriver:
    """Steps `world` in real time, at 50 Hz and whenever something happens in it. World second 0 is `start_ns` on
    CLOCK_MONOTONIC, the devices' own clock: when `run` begins.

    `on_event` is told every world event, `on_lamp(t, aspect)` every lamp change at the module, both in world seconds;
    `on_step(t)` hears that everything up to `t` has been told. `heard` turns a world tag into what this lane's reader
    family calls it. Sensors lie as `faults` says.
    """

    def __init__(
        self,
        world: World,
        module: Control,
        reader: Control,
        camera: Control | None,
        *,
        on_event: Callable[[WorldEvent], None],
        on_lamp: Callable[[float, str], None],
        released: Callable[[str], bool] = lambda _truck: False,
        heard: Callable[[str], str] = str,
        on_step: Callable[[float], None] = lambda _t: None,
    ) -> None:
        self.world = world
        self.faults = SensorFaults()
        self._bits = {**input_bits(world.geometry), PRESENCE: ARM_INPUTS[PRESENCE]}
        self.start_ns = time.monotonic_ns()
        self._module = module
        self._reader = reader
        self._camera = camera
        self._on_event = on_event
        self._on_lamp = on_lamp
        self._released = released
        self._heard = heard
        self._on_step = on_step
        self._levels: dict[str, bool] = {}
        self._field: Sequence[tuple[str, int]] = ()
        self.lamp = "red"

    @property
    def now_s(self) -> float:
        """World seconds now."""
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def world_s(self, at_ns: int) -> float:
        """World seconds of a device's stamp."""
        return (at_ns - self.start_ns) / 1e9

    async def prepare(self) -> None:
        """The sensors show what is on the lane at world second 0."""
        for event in self.world.advance(0.0):
            self._on_event(event)
        self._levels = self._shown(self.world.zones())
        await self._set_inputs(self._levels)

    async def run(self) -> None:
        """Drive until cancelled. The first levels are set before the first step."""
        if not self._levels:
            await self.prepare()
        self.start_ns = time.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_lamps())
            group.create_task(self._step())
            if self._camera is not None:
                group.create_task(self._draw(self._camera))

    async def feel(self) -> None:
        """Tell the module what the sensors show now, true or not."""
        levels = self._shown(self.world.zones())
        changed = {zone: on for zone, on in levels.items() if self._levels[zone] != on}
        self._levels = levels
        if changed:
            await self._set_inputs(changed)

    async def _step(self) -> None:
        field_at = 0.0
        while True:
            now = max(self.now_s, self.world.now)
            for event in self.world.advance(now):
                self._on_event(event)
                if event.kind is EventKind.ZONE:
                    await self._pulse(event)
            await self.feel()
            self._on_step(now)
            if now >= field_at:
                field_at = now + _FIELD_S
                await self._set_field(now)
            change = self.world.next_change()
            due = now + STEP_S if change is None else min(now + STEP_S, change + _JUST_AFTER_S)
            await asyncio.sleep(max(0.0, due - self.now_s))

    async def _pulse(self, event: WorldEvent) -> None:
        """A zone that went on and off within one step still makes an edge at the module."""
        shown = self._shown({event.place: event.on})
        changed = {zone: on for zone, on in shown.items() if self._levels[zone] != on}
        self._levels |= changed
        if changed:
            await self._set_inputs(changed)

    def _shown(self, true_levels: Mapping[str, bool]) -> dict[str, bool]:
        """What the inputs show for what is so. An arm has a sensor of its own along the line."""
        line = self.world.geometry.sensor("stop_line_beam")
        arm = {PRESENCE: true_levels[line]} if self.world.arm_travel_s is not None and line in true_levels else {}
        return self.faults.levels(true_levels) | arm

    async def _set_inputs(self, levels: Mapping[str, bool]) -> None:
        await self._module.do("set_inputs", bits={str(self._bits[zone]): on for zone, on in levels.items()})

    async def _set_field(self, now: float) -> None:
        tags = self.world.tags_in_field(min(now, self.world.now))
        key = tuple((tag.epc, round(tag.rssi_dbm)) for tag in tags)
        if key == tuple(self._field):
            return
        self._field = key
        fields: list[dict[str, Any]] = [
            {"epc": self._heard(tag.epc), "tid": tag.tid, "rssi_dbm": tag.rssi_dbm, "antenna": tag.antenna}
            for tag in tags
        ]
        await self._reader.do("field", tags=fields)

    async def _follow_lamps(self) -> None:
        state = await self._module.do("get")
        self._show(self.now_s, str(state.get("lamp", "red")))
        async for event in self._module.events():
            if event["event"] == "lamp":
                self._show(self.world_s(int(event["at_ns"])), str(event["aspect"]))

    def _show(self, t: float, aspect: str) -> None:
        self.lamp = aspect
        self._on_lamp(t, aspect)
        # Drivers who see red and green together stop, as for a dark head.
        self.world.set_lamp(aspect if aspect in tuple(Lamp) else Lamp.DARK)

    async def _draw(self, camera: Control) -> None:
        while True:
            trucks = [
                {
                    "id": view.id,
                    "nose_m": view.nose_m,
                    "tail_m": view.tail_m,
                    "speed_kmh": view.v_mps / KMH,
                    "plate": view.plate_front or "",
                    "released": self._released(view.id),
                }
                for view in self.world.trucks()
            ]
            await camera.do("scene", trucks=trucks, lamp=self.lamp, lane_m=[-70, 45])
            await asyncio.sleep(_SCENE_S)
