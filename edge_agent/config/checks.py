"""What must hold between the values of a `lane.yaml` that are each right by themselves."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import combinations, pairwise

from drivers.modbus.settings.line import SerialLine
from edge_agent.model.decision import Role
from edge_agent.model.lane import Zone
from edge_agent.model.presence import EXIT_ROLE, LINE_ROLES, PresenceLayout, required_roles, standing_only
from edge_agent.passage.kinematics import SHORTEST_M, metres_per_second
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
    SignalSection,
)

FEEDBACK_ROLES = ("red_feedback", "green_feedback")
LINE_KEYS = {
    PresenceLayout.LOOPS_AND_BEAM: "stop_line_beam_m",
    PresenceLayout.LOOPS_ONLY: "stop_line_loop",
    PresenceLayout.LIGHT_CURTAIN: "stop_line_curtain_m",
}
"""Where each layout's sensor at the stop line stands."""
FIELD_KEYS = ("field_from_m", "field_to_m")
SEEN_LATE_S = 0.1
"""So long a nose may be over the line before its sensor stands where it sees it; poll and exchange take the rest of the
300 ms after which green over a crossing vehicle is wrong."""
_READ_CHARACTERS = 8 + 5
"""Of a read of bits on a serial line, and its reply, beside the bytes that hold the bits."""
_WRITE_CHARACTERS = 9 + 8
"""Of a write of bits and its echo, likewise."""
SLOWEST_POLL_MS = 150
"""A zone input that is looked at less often leaves no time for red."""

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
        _lane, _presence, _geometry, _antennas, _classes, _devices, _roles,
        _signal, _barrier, _sign, _policy, _central, _doors, _media, _ports,
    )  # fmt: skip
    found = [finding for check in checks for finding in check(config)]
    return found + list(_console(config.console) if config.console is not None else ())


def _lane(config: LaneConfig) -> Iterator[Finding]:
    if config.lane.id.split("/")[1] != config.lane.office:
        yield Finding(("lane", "office"), f"is not the office of lane.id ({config.lane.id})")


def _presence(config: LaneConfig) -> Iterator[Finding]:
    """What the layout needs is given, and nothing that belongs to another one."""
    layout, g = config.presence.layout, config.geometry
    for other, key in LINE_KEYS.items():
        given = getattr(g, key) is not None
        if other is layout and not given:
            yield Finding(("geometry",), f"{key} is missing: presence.layout {layout.value} needs it")
        elif other is not layout and given:
            text = f"is of presence.layout {other.value}, and this lane's is {layout.value}: change one of them"
            yield Finding(("geometry", key), text)
    for key in FIELD_KEYS:
        given = getattr(config.presence, key) is not None
        if given != (layout is PresenceLayout.LIGHT_CURTAIN):
            text = "is for light_curtain only: leave it out" if given else f"{key} is missing: see the curtain's manual"
            yield Finding(("presence", key) if given else ("presence",), text)
    bottom_m, top_m = config.presence.field_from_m, config.presence.field_to_m
    if bottom_m is not None and top_m is not None and top_m <= bottom_m:
        yield Finding(("presence", "field_to_m"), "must be above field_from_m (larger)")
    if standing_only(layout) and config.lane.mode_at_start == "remote":
        text = f"nobody may roll with presence.layout {layout.value}: {standing_only(layout)}; say attended"
        yield Finding(("lane", "mode_at_start"), text)


def _geometry(config: LaneConfig) -> Iterator[Finding]:
    g = config.geometry
    zones = [("zone_a", g.zone_a), ("zone_d", g.zone_d), ("zone_s", g.zone_s)]
    zones += [("stop_line_loop", g.stop_line_loop)] if g.stop_line_loop is not None else []
    zones += [("zone_x", g.zone_x)] if g.zone_x is not None else []
    for name, zone in zones:
        if zone.end_m <= zone.start_m:
            yield Finding(("geometry", name, "end_m"), "must be downstream of start_m (larger)")
        elif zone.end_m - zone.start_m > SHORTEST_M:
            text = (
                f"a loop of more than {SHORTEST_M:g} m is longer than the shortest vehicle: it could not tell two apart"
            )
            yield Finding(("geometry", name, "end_m"), text)
    for (upper, before), (lower, after) in pairwise(zones):
        if after.start_m < before.end_m:
            yield Finding(("geometry", lower, "start_m"), f"{lower} must begin after {upper} ends ({before.end_m:g} m)")
    if g.zone_s.start_m >= 0:
        yield Finding(("geometry", "zone_s", "start_m"), "the stop line is 0: vehicles wait on zone_s before it")
    yield from _line(config)
    yield from _exit(config)


def _line(config: LaneConfig) -> Iterator[Finding]:
    """The sensor at the line sees a nose when it crosses, and never one that waits."""
    layout, line = config.presence.layout, config.geometry.line
    key = LINE_KEYS[layout]
    if line is None or getattr(config.geometry, key) is None:
        return
    loop = layout is PresenceLayout.LOOPS_ONLY
    here: Loc = ("geometry", key, "start_m") if loop else ("geometry", key)
    late_m = 0.0 if loop else SEEN_LATE_S * metres_per_second(config.kinematics.v_min_kmh)
    if line.start_m > late_m:
        who = "a loop tells late of a nose" if loop else f"a nose at {config.kinematics.v_min_kmh:g} km/h"
        text = f"{who}: green would outlive the crossing; must be at {late_m:.2f} m or upstream of it"
        yield Finding(here, text)
    elif line.start_m < config.geometry.zone_s.end_m:
        text = f"must not be upstream of zone_s' end ({config.geometry.zone_s.end_m:g} m): a tail leaves zone_s first"
        yield Finding(here, text)
    if loop and line.end_m <= 0:
        yield Finding(("geometry", key, "end_m"), "the stop line is 0: the loop must reach over it")


def _exit(config: LaneConfig) -> Iterator[Finding]:
    """A lane ends at its exit loop or at a place that is given, downstream of the line."""
    g, end, line = config.geometry, config.geometry.end, config.geometry.line
    if end is None:
        text = "give zone_x, the exit loop; a lane without one has lane_end_m, and its records end by time"
        yield Finding(("geometry",), text)
        return
    if g.zone_x is not None and g.lane_end_m is not None:
        yield Finding(("geometry", "lane_end_m"), "is for a lane without zone_x: leave it out")
    here: Loc = ("geometry", "zone_x", "start_m") if g.zone_x is not None else ("geometry", "lane_end_m")
    if end.start_m <= max(0.0, line.end_m if line is not None else 0.0):
        yield Finding(here, "must be downstream of the stop line (0) and of its sensor")


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
    yield from _line_load(config)


def _line_load(config: LaneConfig) -> Iterator[Finding]:
    """What is asked on a serial line again and again has time on it."""
    load: dict[str, float] = {}
    first: dict[str, int] = {}
    for index, device in enumerate(config.devices):
        if isinstance(device, LaneIoDevice) and isinstance(device.line, SerialLine):
            path = device.line.path
            first.setdefault(path, index)
            load[path] = load.get(path, 0.0) + _asked(device, device.line, config.signal)
    for path, share in load.items():
        if share > 1:
            rate = f"{path}: polls and signal cycles ask for {share:.0%} of what the line carries"
            here: Loc = ("devices", first[path], "serial", "baud")
            yield Finding(here, f"{rate}: raise baud, or poll its modules less often (poll_ms)")


def _asked(device: LaneIoDevice, line: SerialLine, signal: SignalSection) -> float:
    """The share of a line's time that one module's polls and its head's readback and write ask for."""
    points = [wired.point for wired in device.inputs.values()]
    inputs = (max(points) - min(points)) // 8 + 1 if points else 1
    share = line.exchange_s(_READ_CHARACTERS + inputs) / (device.poll_ms / 1000)
    if device.id == signal.device:
        cycle = line.exchange_s(_READ_CHARACTERS + 1) + line.exchange_s(_WRITE_CHARACTERS + 1)
        share += cycle / (signal.cycle_ms / 1000)
    return share


def _roles(config: LaneConfig) -> Iterator[Finding]:
    owner: dict[str, int] = {}
    for index, device in enumerate(config.devices):
        for role in device.roles if isinstance(device, LaneIoDevice) else ():
            first = owner.setdefault(role, index)
            if first != index:
                yield Finding(("devices", index, "roles", role), f"is wired to devices.{first} already")
    layout, exit_sensed = config.presence.layout, config.geometry.zone_x is not None
    needed = required_roles(layout, exit_sensed=exit_sensed)
    for surplus in (*LINE_ROLES, EXIT_ROLE):
        if surplus in owner and surplus not in needed:
            why = f"presence.layout {layout.value} has none" if surplus in LINE_ROLES else "geometry has no zone_x"
            here: Loc = ("devices", owner[surplus], "roles", surplus)
            yield Finding(here, f"{why}: take it out, or change the layout")
    yield from _together(owner, needed, "one poll must see all of them")
    yield from _poll(config, {owner[role] for role in needed if role in owner})
    yield from _together(
        owner, ("green", "amber", *FEEDBACK_ROLES, "amber_feedback"), "one session reads the head back"
    )
    missing = [name for name in (*needed, "green", *FEEDBACK_ROLES) if name not in owner]
    if missing:
        why = "no I/O module has it: " if len(missing) == 1 else "no I/O module has them: "
        yield Finding(("devices",), f"{why}roles {', '.join(missing)}")


def _poll(config: LaneConfig, with_zones: set[int]) -> Iterator[Finding]:
    """Zones are looked at often enough, and a gap in which a whole vehicle can pass unseen is told as one."""
    v_max_kmh = config.kinematics.v_max_kmh
    pass_ms = round(1000 * SHORTEST_M / metres_per_second(v_max_kmh))
    for index in sorted(with_zones):
        device = config.devices[index]
        if not isinstance(device, LaneIoDevice):
            continue
        if device.poll_ms > SLOWEST_POLL_MS:
            text = (
                f"a nose over the line must be red within 300 ms: poll the zones every {SLOWEST_POLL_MS} ms or sooner"
            )
            yield Finding(("devices", index, "poll_ms"), text)
        if device.stale_ms > pass_ms:
            text = f"at {v_max_kmh:g} km/h a vehicle can pass in {pass_ms} ms, in a gap between two polls that counts"
            yield Finding(("devices", index, "stale_ms"), f"{text} as none: must not be above that")


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
    if head.watchdog_ms < 3 * signal.cycle_ms:
        text = f"{signal.device} drops the light after {head.watchdog_ms} ms without a write: must be a third of that"
        yield Finding(("signal", "cycle_ms"), text)
    if signal.stale_ms < 2 * head.poll_ms:
        yield Finding(("signal", "stale_ms"), f"must be at least two polls of {head.id} ({head.poll_ms} ms each)")


def _sign(config: LaneConfig) -> Iterator[Finding]:
    """A lane has one sign: with its own controller, or on outputs of an I/O module."""
    if config.sign is None:
        return
    for index, device in enumerate(config.devices):
        roles = device.roles if isinstance(device, LaneIoDevice) else ()
        wired = sorted(role for role in roles if role.startswith("sign_"))
        if wired:
            yield Finding(("sign",), f"devices.{index} has a sign already: roles {', '.join(wired)}")
        if device.id == "sign":
            yield Finding(("devices", index, "id"), "sign is the name of the message sign")


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
    if kinematics.stop_kmh > kinematics.v_min_kmh:
        text = f"one that rolls at v_min_kmh ({kinematics.v_min_kmh:g}) would count as standing: must not be above it"
        yield Finding(("kinematics", "stop_kmh"), text)
    starts = [zone.start_m for zone in (config.geometry.zone_a, config.geometry.zone_d, config.geometry.zone_s)]
    way_m = max(after - before for before, after in pairwise(starts))
    rolling_s = policy.stopped_factor * way_m / metres_per_second(kinematics.v_min_kmh)
    if policy.abandon_s <= rolling_s:
        text = (
            f"a vehicle that still rolls would be given up: {policy.stopped_factor:g} times the slowest way from loop"
        )
        yield Finding(("policy", "abandon_s"), f"{text} to loop is {rolling_s:.0f} s; must be longer")
    if policy.stall_after_green_s >= policy.green_max_s:
        yield Finding(("policy", "stall_after_green_s"), "must be below green_max_s")
    v_ms = kinematics.v_max_kmh / 3.6
    commit_m = v_ms * (kinematics.reaction_s + policy.commit_margin_s) + v_ms**2 / (2 * kinematics.decel_ms2)
    if -config.geometry.zone_a.start_m <= commit_m:
        text = f"at this speed a vehicle is committed {commit_m:.1f} m before the stop line, upstream of zone_a"
        yield Finding(("kinematics", "v_max_kmh"), text)
    if config.store.reserve_mb >= config.store.max_mb:
        yield Finding(("store", "reserve_mb"), "must be below max_mb")


def _central(config: LaneConfig) -> Iterator[Finding]:
    yield from _target(("central",), config.central)


def _target(path: Loc, section: CentralSection | ConsoleLaneSection) -> Iterator[Finding]:
    if section.target.startswith("unix:"):
        return
    host, _, port = section.target.rpartition(":")
    if not 1 <= int(port) <= 65535:
        yield Finding((*path, "target"), f"{port} is no port: 1 to 65535")
    local = is_loopback(host)
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
        yield from _target(here, lane)
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
