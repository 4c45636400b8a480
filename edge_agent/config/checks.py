"""What must hold between the values of a `lane.yaml` that are each right by themselves."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import combinations, pairwise

from edge_agent.model.decision import Role
from edge_agent.model.lane import Zone
from edge_agent.safety.timing import minimum_amber_ns

from .marks import Loc
from .schema import (
    CentralSection,
    ConsoleConfig,
    ConsoleLaneSection,
    ConsoleSection,
    LaneConfig,
    LaneIoDevice,
    ReaderDevice,
)

INPUT_ROLES = ("zone_a", "zone_d", "zone_s", "zone_x", "stop_line_beam")
FEEDBACK_ROLES = ("red_feedback", "green_feedback")


SOCKET_PATH_MAX = 107
"""Bytes of a unix socket's path on Linux, without the closing zero (unix(7))."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: where to point, and what is wrong. `warning`: it is odd, but may be meant."""

    path: Loc
    message: str
    warning: bool = False


def findings(config: LaneConfig | ConsoleConfig) -> list[Finding]:
    """Every contradiction, in the order of the sections."""
    if isinstance(config, ConsoleConfig):
        return list(_console(config.console))
    checks = (
        _lane, _geometry, _antennas, _classes, _devices, _roles,
        _signal, _barrier, _policy, _central, _doors, _media, _ports,
    )  # fmt: skip
    found = [finding for check in checks for finding in check(config)]
    return found + list(_console(config.console) if config.console is not None else ())


def _lane(config: LaneConfig) -> Iterator[Finding]:
    if config.lane.id.split("/")[1] != config.lane.office:
        yield Finding(("lane", "office"), f"is not the office of lane.id ({config.lane.id})")


def _geometry(config: LaneConfig) -> Iterator[Finding]:
    g = config.geometry
    zones = (("zone_a", g.zone_a), ("zone_d", g.zone_d), ("zone_s", g.zone_s), ("zone_x", g.zone_x))
    for name, zone in zones:
        if zone.end_m <= zone.start_m:
            yield Finding(("geometry", name, "end_m"), "must be downstream of start_m (larger)")
    for (upper, before), (lower, after) in pairwise(zones):
        if after.start_m < before.end_m:
            yield Finding(("geometry", lower, "start_m"), f"{lower} must begin after {upper} ends ({before.end_m:g} m)")
    if not g.zone_s.start_m <= g.stop_line_beam_m <= g.zone_x.start_m:
        yield Finding(("geometry", "stop_line_beam_m"), "must lie between the start of zone_s and the start of zone_x")
    if not g.zone_s.start_m <= 0 <= g.zone_x.start_m:
        yield Finding(("geometry", "zone_s"), "the stop line is 0: zone_s must begin before it and zone_x after it")


def _antennas(config: LaneConfig) -> Iterator[Finding]:
    readers = {device.id: device for device in config.devices if isinstance(device, ReaderDevice)}
    seen: set[tuple[str, int]] = set()
    for index, antenna in enumerate(config.geometry.antennas):
        here: Loc = ("geometry", "antennas", index)
        if antenna.end_m <= antenna.start_m:
            yield Finding((*here, "end_m"), "must be downstream of start_m (larger)")
        if antenna.device not in readers:
            yield Finding((*here, "device"), f"{antenna.device} is no reader of this lane")
        elif antenna.antenna not in readers[antenna.device].antennas:
            yield Finding((*here, "antenna"), f"{antenna.antenna} is no antenna of {antenna.device}")
        if (antenna.device, antenna.antenna) in seen:
            yield Finding(here, f"antenna {antenna.antenna} of {antenna.device} is placed twice")
        seen.add((antenna.device, antenna.antenna))
    for index, device in enumerate(config.devices):
        if isinstance(device, ReaderDevice):
            for port in device.antennas:
                if (device.id, port) not in seen:
                    yield Finding(("devices", index, "antennas"), f"antenna {port} has no place in geometry.antennas")


def _classes(config: LaneConfig) -> Iterator[Finding]:
    seen: dict[tuple[bytes, bytes], int] = {}
    for index, tag in enumerate(config.classes):
        here: Loc = ("classes", index)
        if tag.mask_hex is not None and len(tag.mask) != len(tag.prefix):
            yield Finding((*here, "mask_hex"), "must be as long as prefix_hex")
        same = seen.setdefault((tag.prefix, tag.mask), index)
        if same != index:
            yield Finding((*here, "prefix_hex"), f"is the prefix of classes.{same} already")


def _devices(config: LaneConfig) -> Iterator[Finding]:
    ids: dict[str, int] = {}
    ports: dict[str, int] = {}
    for index, device in enumerate(config.devices):
        first = ids.setdefault(device.id, index)
        if first != index:
            yield Finding(("devices", index, "id"), f"{device.id} is the id of devices.{first} already")
        for port, key in _ports_of(device):
            first = ports.setdefault(port, index)
            if first != index:
                yield Finding(
                    ("devices", index, *key), f"{port} is the port of devices.{first} already; one device, one port"
                )
    yield from _serial_lines(config)


def _ports_of(device: ReaderDevice | LaneIoDevice) -> Iterator[tuple[str, Loc]]:
    """Units on one line, or behind one gateway on connections of their own, are different devices."""
    if not isinstance(device, LaneIoDevice):
        place, key = device.place
        yield place, (key,)
    else:
        serial = device.serial
        where = serial.path if serial is not None else f"{device.host}:{device.port}"
        yield f"{where} unit {device.unit_id}", ("serial", "path") if serial is not None else ("host",)
        if device.inputs_module is not None:
            yield f"{where} unit {device.inputs_module.unit_id}", ("inputs_module", "unit_id")


def _serial_lines(config: LaneConfig) -> Iterator[Finding]:
    """A line has one bit rate, and nothing but Modbus on it."""
    lines: dict[str, tuple[int, object]] = {}
    for index, device in enumerate(config.devices):
        use: object
        if isinstance(device, LaneIoDevice) and device.serial is not None:
            path, use, key = device.serial.path, device.serial, "serial"
        elif not isinstance(device, LaneIoDevice):
            (path, key), use = device.place, device.kind
        else:
            continue
        first, other = lines.setdefault(path, (index, use))
        if other != use:
            yield Finding(("devices", index, key), f"{path} is used by devices.{first} in another way")


def _roles(config: LaneConfig) -> Iterator[Finding]:
    owner: dict[str, int] = {}
    for index, device in enumerate(config.devices):
        for role in device.roles if isinstance(device, LaneIoDevice) else ():
            first = owner.setdefault(role, index)
            if first != index:
                yield Finding(("devices", index, "roles", role), f"is wired to devices.{first} already")
    yield from _together(owner, INPUT_ROLES, "one poll must see all of them")
    yield from _together(
        owner, ("green", "amber", *FEEDBACK_ROLES, "amber_feedback"), "one session reads the head back"
    )
    missing = [role for role in (*INPUT_ROLES, "green", *FEEDBACK_ROLES) if role not in owner]
    if missing:
        why = "no I/O module has it: " if len(missing) == 1 else "no I/O module has them: "
        yield Finding(("devices",), f"{why}roles {', '.join(missing)}")


def _together(owner: Mapping[str, int], roles: Sequence[str], why: str) -> Iterator[Finding]:
    """These roles belong to one I/O module, or to it and its inputs_module."""
    wired = [(role, owner[role]) for role in roles if role in owner]
    for role, index in wired[1:]:
        if index != wired[0][1]:
            text = f"{wired[0][0]} is wired to devices.{wired[0][1]}: {why} (a module without inputs: inputs_module)"
            yield Finding(("devices", index, "roles", role), text)


def _signal(config: LaneConfig) -> Iterator[Finding]:
    signal, kinematics = config.signal, config.kinematics
    head = next((device for device in config.devices if device.id == signal.device), None)
    if not isinstance(head, LaneIoDevice):
        yield Finding(("signal", "device"), f"{signal.device} is no I/O module of this lane")
        return
    if "green" not in head.roles:
        yield Finding(("signal", "device"), f"{signal.device} has no role green")
    if ("amber" in head.roles) != (signal.amber_ms > 0):
        fitted = "has an amber: give its length" if "amber" in head.roles else "has no role amber: must be 0"
        yield Finding(("signal", "amber_ms"), f"{signal.device} {fitted}")
    if signal.hardware == "virtual" and head.serial is None and not is_loopback(head.host or ""):
        yield Finding(("signal", "hardware"), f"virtual, but {head.id} is on another machine: that is a real head")
    least_ms = minimum_amber_ns(kinematics.v_max_kmh, kinematics.reaction_s, kinematics.decel_ms2) // 1_000_000
    if 0 < signal.amber_ms < least_ms:
        yield Finding(("signal", "amber_ms"), f"a driver at {kinematics.v_max_kmh:g} km/h needs {least_ms} ms or more")
    if signal.stale_ms < 2 * head.poll_ms:
        yield Finding(("signal", "stale_ms"), f"must be at least two polls of {head.id} ({head.poll_ms} ms each)")


def _barrier(config: LaneConfig) -> Iterator[Finding]:
    """An arm that is wired is configured, and one that is configured is wired, where the interlock can see it."""
    wired = [(index, d) for index, d in enumerate(config.devices) if isinstance(d, LaneIoDevice) and d.barrier]
    if config.barrier is None:
        for index, device in wired:
            yield Finding(("devices", index, "barrier"), f"{device.id} has an arm: the section barrier is missing")
    elif not wired:
        yield Finding(("barrier",), "no I/O module has the barrier's roles")
    for index, device in wired:
        if Zone.S.value not in device.roles:
            text = "the arm's limit switches must be seen in one poll with the zones: wire them to one module"
            yield Finding(("devices", index, "barrier"), text)


def _policy(config: LaneConfig) -> Iterator[Finding]:
    policy, kinematics = config.policy, config.kinematics
    if kinematics.v_min_kmh >= kinematics.v_max_kmh:
        yield Finding(("kinematics", "v_min_kmh"), "must be below v_max_kmh")
    v_ms = kinematics.v_max_kmh / 3.6
    commit_m = v_ms * (kinematics.reaction_s + policy.commit_margin_s) + v_ms**2 / (2 * kinematics.decel_ms2)
    if -config.geometry.zone_a.start_m <= commit_m:
        text = f"at this speed a vehicle is committed {commit_m:.1f} m before the stop line, upstream of zone_a"
        yield Finding(("kinematics", "v_max_kmh"), text)
    if config.store.reserve_mb >= config.store.max_mb:
        yield Finding(("store", "reserve_mb"), "must be below max_mb")


def _central(config: LaneConfig) -> Iterator[Finding]:
    yield from _needs_tls(("central",), config.central)


def _needs_tls(path: Loc, section: CentralSection | ConsoleLaneSection) -> Iterator[Finding]:
    local = section.target.startswith("unix:") or is_loopback(section.target.rpartition(":")[0])
    if section.tls is None and not local:
        yield Finding((*path, "target"), "is on another machine: tls is needed")


def _doors(config: LaneConfig) -> Iterator[Finding]:
    room = SOCKET_PATH_MAX - max(len(f"/{role}.sock") for role in Role)
    if len(os.fsencode(config.api.socket_dir)) > room:
        yield Finding(("api", "socket_dir"), f"longer than {room} bytes: the paths of its sockets would not fit")


def _media(config: LaneConfig) -> Iterator[Finding]:
    media = config.media
    if media is None:
        return
    if media.token_file is None and not is_loopback(media.listen_host):
        yield Finding(("media", "listen_host"), "other machines can reach it: token_file is needed")
    taken = {device.id: f"devices.{index}" for index, device in enumerate(config.devices)}
    for index, camera in enumerate(media.cameras):
        if camera.view in taken:
            yield Finding(("media", "cameras", index, "view"), f"{camera.view} names {taken[camera.view]} already")
        taken.setdefault(camera.view, f"media.cameras.{index}")


def _ports(config: LaneConfig) -> Iterator[Finding]:
    """Two programs cannot listen on one port of one address."""
    media, console = config.media, config.console
    doors: list[tuple[Loc, str, int]] = [
        (("api", "loopback_port"), "127.0.0.1", config.api.loopback_port),
        (("metrics", "port"), config.metrics.host, config.metrics.port),
    ]
    if media is not None:
        doors.append((("media", "listen_port"), media.listen_host, media.listen_port))
    if console is not None:
        doors.append((("console", "listen_port"), console.listen_host, console.listen_port))
    for (first, host, port), (second, other_host, other_port) in combinations(doors, 2):
        if port == other_port != 0 and _overlap(host, other_host):
            yield Finding(second, f"{port} is {'.'.join(map(str, first))} already")


def _overlap(host: str, other: str) -> bool:
    everywhere = {"0.0.0.0", "::", "[::]"}  # noqa: S104 - compared with, not listened on
    both_loopback = is_loopback(host) and is_loopback(other)
    return host == other or both_loopback or host in everywhere or other in everywhere


def _console(console: ConsoleSection) -> Iterator[Finding]:
    names: dict[str, int] = {}
    for index, lane in enumerate(console.lanes):
        here: Loc = ("console", "lanes", index)
        yield from _needs_tls(here, lane)
        first = names.setdefault(lane.name, index)
        if first != index:
            yield Finding((*here, "name"), f"{lane.name} is the name of console.lanes.{first} already")


def is_loopback(host: str) -> bool:
    """Whether a name or address, without port, means this computer only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
