"""Draws what a lane camera would see: a side view of the lane with its trucks, plates and the signal head.

Drawing is plain OpenCV on one numpy picture, well under 5 ms a frame, so that a demo machine keeps its cores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

WIDTH: Final = 640
HEIGHT: Final = 360
BARCODE_BITS: Final = 16

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_ROAD_TOP = 262
_ROAD_BOTTOM = 308
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE: Colour = (240, 240, 240)
_SKY: Colour = (196, 176, 150)
_LAMPS: Mapping[str, Colour] = {"red": (40, 40, 235), "amber": (30, 170, 250), "green": (90, 220, 60)}
_LAMP_ORDER = ("red", "amber", "green")
_BODIES: Sequence[Colour] = ((150, 95, 40), (60, 110, 60), (70, 60, 140), (120, 120, 40), (110, 60, 110))


@dataclass(frozen=True, slots=True)
class Truck:
    """One truck as the world has it: `nose_m` and `tail_m` along the lane (the stop line is 0, downstream positive)."""

    id: str
    nose_m: float
    tail_m: float
    speed_kmh: float
    plate: str
    released: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What is on the lane now. `lane_m` is the stretch in view; `marks` are named positions painted on the road."""

    trucks: tuple[Truck, ...] = ()
    lamp: str = "dark"
    lane_m: tuple[float, float] = (-70.0, 45.0)
    marks: Mapping[str, float] = field(default_factory=lambda: {"S": 0.0})

    @staticmethod
    def parse(request: Mapping[str, Any], previous: "Scene") -> "Scene":
        """The scene of one `scene` request; what the request leaves out stays. KeyError, TypeError or ValueError when
        malformed."""
        trucks = previous.trucks
        if "trucks" in request:
            trucks = tuple(_parse_truck(item) for item in request["trucks"])
        lamp = str(request.get("lamp", previous.lamp)).lower()
        if lamp not in (*_LAMP_ORDER, "dark"):
            raise ValueError(f"lamp {lamp!r}")
        low, high = (float(value) for value in request.get("lane_m", previous.lane_m))
        if high - low < 1.0:
            raise ValueError("lane_m must span at least 1 m")
        marks = {str(name): float(at) for name, at in dict(request.get("marks", previous.marks)).items()}
        return Scene(trucks, lamp, (low, high), marks)


def _parse_truck(item: Mapping[str, Any]) -> Truck:
    return Truck(
        id=str(item["id"]),
        nose_m=float(item["nose_m"]),
        tail_m=float(item["tail_m"]),
        speed_kmh=float(item.get("speed_kmh", 0.0)),
        plate=str(item.get("plate", "")),
        released=bool(item.get("released", False)),
    )


class Painter:
    """Paints scenes; keeps the part that does not move."""

    def __init__(self, name: str, *, barcode: bool = False) -> None:
        self._name = name
        self._barcode = barcode
        self._backdrop: Picture | None = None
        self._backdrop_key: object = None

    def paint(self, scene: Scene, clock_text: str, number: int) -> Picture:
        """One 640x360 BGR picture. With `barcode` the frame `number` (modulo 2^16) is readable in its bottom rows."""
        picture = self._still_part(scene).copy()
        for truck in scene.trucks:
            _paint_truck(picture, truck, scene.lane_m)
        _paint_signal(picture, scene.lamp, _x_of(0.0, scene.lane_m))
        cv2.putText(picture, clock_text, (8, 22), _FONT, 0.5, _WHITE, 1, cv2.LINE_8)
        if self._barcode:
            _paint_barcode(picture, number)
        return picture

    def _still_part(self, scene: Scene) -> Picture:
        key = (scene.lane_m, tuple(sorted(scene.marks.items())))
        if self._backdrop is None or key != self._backdrop_key:
            self._backdrop = _paint_backdrop(scene, self._name)
            self._backdrop_key = key
        return self._backdrop


def read_barcode(picture: Picture) -> int | None:
    """The frame number painted into `picture` (any size), or None when the white and black references are not there."""
    height, width = picture.shape[:2]
    row = picture[int(height * 0.965)].reshape(width, -1).mean(axis=1)
    cell = width / (BARCODE_BITS + 4)
    values = [float(row[int((index + 0.5) * cell)]) for index in range(BARCODE_BITS + 4)]
    if values[0] < 150 or values[1] > 100:
        return None
    bits = [value > (values[0] + values[1]) / 2 for value in values[2 : 2 + BARCODE_BITS]]
    return sum(1 << index for index, bit in enumerate(bits) if bit)


def _paint_barcode(picture: Picture, number: int) -> None:
    cell = WIDTH // (BARCODE_BITS + 4)
    cells = [True, False, *(bool(number >> bit & 1) for bit in range(BARCODE_BITS)), False, True]
    for index, lit in enumerate(cells):
        picture[HEIGHT - 24 :, index * cell : (index + 1) * cell] = 235 if lit else 16


def _paint_backdrop(scene: Scene, name: str) -> Picture:
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:_ROAD_TOP] = _SKY
    picture[_ROAD_TOP:_ROAD_BOTTOM] = (78, 76, 74)
    picture[_ROAD_BOTTOM:] = (96, 128, 110)
    cv2.line(picture, (0, _ROAD_TOP), (WIDTH, _ROAD_TOP), (60, 60, 60), 2)
    low, high = scene.lane_m
    for metre in range(int(low // 10 * 10), int(high) + 1, 10):
        x = _x_of(metre, scene.lane_m)
        cv2.line(picture, (x, _ROAD_BOTTOM - 8), (x, _ROAD_BOTTOM), (170, 170, 170), 1)
        cv2.putText(picture, f"{metre}", (x - 10, _ROAD_BOTTOM + 14), _FONT, 0.35, _WHITE, 1, cv2.LINE_AA)
    for mark, at in scene.marks.items():
        x = _x_of(at, scene.lane_m)
        stop = mark == "S"
        cv2.line(picture, (x, _ROAD_TOP), (x, _ROAD_BOTTOM), _WHITE if stop else (120, 190, 230), 4 if stop else 1)
        cv2.putText(picture, mark, (x - 5, _ROAD_BOTTOM + 26), _FONT, 0.45, _WHITE, 1, cv2.LINE_AA)
    width = cv2.getTextSize(name, _FONT, 0.5, 1)[0][0]
    cv2.putText(picture, name, (WIDTH - width - 8, 22), _FONT, 0.5, _WHITE, 1, cv2.LINE_AA)
    return picture


def _paint_truck(picture: Picture, truck: Truck, lane_m: tuple[float, float]) -> None:
    nose, tail = _x_of(truck.nose_m, lane_m), _x_of(truck.tail_m, lane_m)
    if nose < -WIDTH or tail > 2 * WIDTH or nose <= tail:
        return
    body = _BODIES[sum(truck.id.encode()) % len(_BODIES)]
    cab = max(6, round((nose - tail) * 0.16))
    floor = _ROAD_BOTTOM - 14
    cv2.rectangle(picture, (tail, floor - 74), (nose - cab - 3, floor), body, -1)
    cv2.rectangle(picture, (nose - cab, floor - 58), (nose, floor), (205, 205, 215), -1)
    cv2.rectangle(picture, (nose - cab // 2, floor - 50), (nose - 2, floor - 32), (120, 90, 60), -1)
    for fraction in (0.08, 0.18, 0.72, 0.92):
        cv2.circle(picture, (round(tail + (nose - tail) * fraction), floor + 2), 8, (25, 25, 25), -1)
    _paint_plate(picture, truck.plate, (tail + nose - cab) // 2, floor - 10)
    if truck.released:
        cv2.rectangle(picture, (tail, floor - 74), (nose, floor), _LAMPS["green"], 2)
    label = f"{truck.id} {truck.speed_kmh:.0f} km/h"
    cv2.putText(picture, label, (tail + 3, floor - 58), _FONT, 0.38, _WHITE, 1, cv2.LINE_AA)


def _paint_plate(picture: Picture, plate: str, centre: int, base: int) -> None:
    if not plate:
        return
    width = cv2.getTextSize(plate, _FONT, 0.45, 1)[0][0]
    left = centre - width // 2
    cv2.rectangle(picture, (left - 4, base - 15), (left + width + 4, base + 4), _WHITE, -1)
    cv2.putText(picture, plate, (left, base), _FONT, 0.45, (30, 30, 30), 1, cv2.LINE_AA)


def _paint_signal(picture: Picture, lamp: str, x: int) -> None:
    left = x + 10
    cv2.rectangle(picture, (left + 10, 120), (left + 14, _ROAD_TOP), (50, 50, 50), -1)
    cv2.rectangle(picture, (left, 50), (left + 24, 126), (25, 25, 25), -1)
    for index, name in enumerate(_LAMP_ORDER):
        colour = _LAMPS[name] if name == lamp else (55, 55, 55)
        cv2.circle(picture, (left + 12, 63 + 25 * index), 10, colour, -1)


def _x_of(metre: float, lane_m: tuple[float, float]) -> int:
    low, high = lane_m
    return round((metre - low) / (high - low) * WIDTH)
