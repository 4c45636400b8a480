"""A whole lane on virtual hardware: every device, the release service and the agent's three processes, each for real.

The agent under test is the installed program with a normal configuration file; only the endpoints in it are virtual.
"""

import asyncio
import contextlib
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from hil.rig.bench_arm import arm_arguments, arm_roles
from hil.rig.processes import Child, Control, start
from hil.rig.readers import READERS
from hil.rig.world_driver import input_bits
from hil.world.geometry import Geometry, Layout

LANE = "ports/0453/lanes/07"


@dataclass(frozen=True, slots=True)
class Present:
    """A device that stands there already: the control socket of what speaks for it, and where it is reached (`host` and
    `port`, or `link` and for a module `baud`)."""

    control: Path
    at: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to bring up. `console_port` 0 takes a free port. `module_baud` 0: the I/O module is reached over TCP, else
    over a serial line of this rate; `module_settings` are merged into its entry in the lane's configuration.
    `overrides` are merged into that configuration, `environment` is added to that of the agent's programs.
    `present`: "module" and "reader" that need not be started; `program` the module run as the agent. `arm_travel_s`:
    how long the barrier arm at the line takes, None: there is none; `barrier`: the profile of its operator."""

    run_dir: Path
    geometry: Geometry = field(default_factory=Geometry)
    media: bool = True
    console: bool = True
    console_port: int = 0
    module_profile: str = "wago_750_352"
    module_baud: int = 0
    module_settings: Mapping[str, Any] = field(default_factory=dict)
    reader: str = "mercury"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    present: Mapping[str, Present] = field(default_factory=dict)
    program: str = "edge_agent"
    arm_travel_s: float | None = None
    barrier: str = "pulse_pair"


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ReadySocket:
    """Plays the service manager: a NOTIFY_SOCKET that waits for READY=1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        self.status = ""

    async def ready(self, timeout_s: float) -> bool:
        """Whether READY=1 came in time; `status` holds the last status line."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    text = (await loop.sock_recv(self._socket, 4096)).decode()
                    for line in text.splitlines():
                        if line.startswith("STATUS="):
                            self.status = line.removeprefix("STATUS=")
                    if "READY=1" in text.splitlines():
                        return True
        return False

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self.path.unlink(missing_ok=True)


class LaneBench:
    """Starts everything in order and ends everything for certain. Use as an async context manager."""

    def __init__(self, options: BenchOptions) -> None:
        self.options = options
        self.dir = options.run_dir
        self.reader = READERS[options.reader]
        self.children: dict[str, Child] = {}
        self.controls: dict[str, Control] = {}
        self.config_path = self.dir / "lane.yaml"
        self.socket_dir = self.dir / "sockets"
        self.store_dir = self.dir / "store"
        self.metrics_port = free_port()
        self.media_port = free_port()
        self.console_port = options.console_port or free_port()
        self.console_token = ""
        self.status: dict[str, str] = {}
        self.at: dict[str, Mapping[str, Any]] = {}

    async def __aenter__(self) -> Self:
        self.dir.mkdir(parents=True, exist_ok=True)
        try:
            await self.start_devices()
            self.write_config()
            await self.start_agent()
            await self.start_watchers()
        except BaseException:
            await self.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def start_devices(self) -> None:
        """Release service, I/O module, reader and camera, side by side."""
        keys = self.dir / "keys"
        done = await start("keys", ["-m", "hil.release_service", "keys", "--out", str(keys)], self.dir, ready_s=None)
        if await done.process.wait() != 0:
            raise RuntimeError(f"making keys failed\n{done.log_end()}")
        rules = self.dir / "rules.yaml"
        if not rules.exists():
            rules.write_text("conveyances: []\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(self.start_release_service())
            group.create_task(self._device("module", "modbus_module", self._module_arguments()))
            group.create_task(self._device("reader", self.reader.module, self.reader.arguments(self.dir)))
            if self.options.media:
                group.create_task(self._device("camera", "rtsp_camera", ["--name", "overview"]))

    async def start_release_service(self) -> None:
        """(Re)start the release service on its address."""
        listen = f"unix:{self.dir / 'release.sock'}"
        arguments = ["-m", "hil.release_service", "serve", "--config", str(self.dir / "rules.yaml")]
        arguments += ["--store", str(self.dir / "central"), "--listen", listen, "--keys", str(self.dir / "keys")]
        arguments += ["--control", str(self.dir / "release.ctl")]
        self.children["release"] = await start("release", arguments, self.dir)
        self.controls["release"] = Control(self.dir / "release.ctl")

    async def _device(self, name: str, module: str, arguments: list[str]) -> None:
        present = self.options.present.get(name)
        if present is not None:
            self.controls[name], self.at[name] = Control(present.control), present.at
            return
        control = self.dir / f"{name}.ctl"
        command = ["-m", f"hil.devices.{module}", "--control", str(control), *arguments]
        self.children[name] = await start(name, command, self.dir)
        self.at[name] = self.children[name].ready
        self.controls[name] = Control(control)

    def write_config(self, edit: Callable[[dict[str, Any]], None] = lambda _config: None) -> None:
        """The lane's configuration file, with the addresses the devices gave; `edit` may change anything in it."""
        self.console_token = secrets.token_urlsafe(18)
        token = self.dir / "keys" / "console.token"
        token.write_text(self.console_token + "\n")
        token.chmod(0o600)
        config = self._config()
        for section, values in self.options.overrides.items():
            config[section] = {**config.get(section, {}), **values} if isinstance(values, Mapping) else values
        edit(config)
        self.config_path.write_text(yaml.safe_dump(config, sort_keys=False))

    async def start_agent(self, ready_s: float = 15.0) -> None:
        """(Re)start the control process; returns when it says it is ready."""
        await self._program("agent", ["run", "--config", str(self.config_path)], ready_s)

    async def start_watchers(self) -> None:
        """Media and console, where wanted."""
        if self.options.media:
            await self._program("media", ["media", "--config", str(self.config_path)], 20.0)
        if self.options.console:
            await self._program("console", ["console", "--config", str(self.config_path)], 20.0)

    async def _program(self, name: str, arguments: list[str], ready_s: float) -> None:
        notify = ReadySocket(self.dir / f"{name}.notify")
        try:
            child = await start(
                name,
                ["-m", self.options.program, *arguments],
                self.dir,
                ready_s=None,
                environment={**self.options.environment, "NOTIFY_SOCKET": str(notify.path)},
            )
            self.children[name] = child
            ready = await notify.ready(ready_s)
            self.status[name] = notify.status
            if not ready:
                raise RuntimeError(f"{name} did not become ready in {ready_s:g} s\n{child.log_end()}")
        finally:
            notify.close()

    async def end(self) -> dict[str, int]:
        """End every process, the agent first; the exit codes by name."""
        codes: dict[str, int] = {}
        order = ["console", "media", "agent", *[n for n in self.children if n not in ("console", "media", "agent")]]
        for name in order:
            if name in self.children:
                codes[name] = await self.children.pop(name).end()
        for control in self.controls.values():
            await control.close()
        self.controls.clear()
        return codes

    def remove(self) -> None:
        """Remove the run's folder."""
        shutil.rmtree(self.dir, ignore_errors=True)

    def _config(self) -> dict[str, Any]:
        keys = self.dir / "keys"
        config: dict[str, Any] = {
            "lane": {
                "id": LANE,
                "office": "0453",
                "unlocode": "CAWND",
                "direction": "inbound",
                "mode_at_start": "remote" if self.options.geometry.rolls else "attended",
            },
            "presence": self._presence(),
            "geometry": self._geometry(),
            "kinematics": {"v_max_kmh": 25, "v_min_kmh": 3, "reaction_s": 1.5, "decel_ms2": 2.0},
            "policy": {"required_cargo": True},
            "classes": [
                {"kind": "driver_card", "prefix_hex": self.reader.prefixes[0]},
                {"kind": "transponder", "prefix_hex": self.reader.prefixes[1]},
            ],
            "devices": [self._reader(), self._module()],
            "signal": {
                "device": "io-1",
                "cycle_ms": 100,
                "t_rb_ms": 200,
                "red_min_ms": 500,
                "stale_ms": 300,
                "hardware": "virtual",
            },
            "store": {"path": str(self.store_dir), "reserve_mb": 16, "max_mb": 256},
            "central": {
                "target": f"unix:{self.dir / 'release.sock'}",
                "lane_key_file": str(keys / "site_hmac.key"),
                "central_public_key_file": str(keys / "central_public.key"),
            },
            "api": {"socket_dir": str(self.socket_dir)},
            "metrics": {"host": "127.0.0.1", "port": self.metrics_port},
        }
        if self.options.arm_travel_s is not None:
            config["barrier"] = {"travel_s": 10, "clear_s": 2, "settle_ms": 500}
        if self.options.media:
            config["media"] = self._media()
        if self.options.console:
            config["console"] = self._console()
        return config

    def _presence(self) -> dict[str, Any]:
        layout = self.options.geometry.layout
        field = {"field_from_m": 0.3, "field_to_m": 1.8} if layout is Layout.LIGHT_CURTAIN else {}
        return {"layout": layout.value, **field}

    def _geometry(self) -> dict[str, Any]:
        zones = self.options.geometry.zones()
        spans = {z: {"start_m": zones[z].start_m, "end_m": zones[z].end_m} for z in ("zone_a", "zone_d", "zone_s")}
        reach = 4.0
        line = zones[self.options.geometry.line_zones[0]]
        at_line: dict[Layout, dict[str, Any]] = {
            Layout.LOOPS_AND_BEAM: {"stop_line_beam_m": line.start_m},
            Layout.LIGHT_CURTAIN: {"stop_line_curtain_m": line.start_m},
            Layout.LOOPS_ONLY: {"stop_line_loop": {"start_m": line.start_m, "end_m": line.end_m}},
        }
        end = zones.get("zone_x")
        return {
            **spans,
            **at_line[self.options.geometry.layout],
            **({"zone_x": {"start_m": end.start_m, "end_m": end.end_m}} if end is not None else {"lane_end_m": 37.0}),
            "antennas": [
                {"device": "rfid-1", "antenna": a.port, "start_m": a.x_m - reach, "end_m": a.x_m + reach}
                for a in self.options.geometry.antennas
            ],
        }

    def _reader(self) -> dict[str, Any]:
        antennas = [a.port for a in self.options.geometry.antennas]
        return {"id": "rfid-1", **self.reader.device(self.at["reader"]), "antennas": antennas}

    def _module_arguments(self) -> list[str]:
        arguments, baud = ["--profile", self.options.module_profile], self.options.module_baud
        if self.options.arm_travel_s is not None:
            arguments += arm_arguments(self.options.arm_travel_s)
        return [*arguments, "--link", str(self.dir / "module.tty"), "--baud", str(baud)] if baud else arguments

    def _module(self) -> dict[str, Any]:
        roles: dict[str, Any] = {zone: {"point": bit} for zone, bit in input_bits(self.options.geometry).items()}
        roles |= {"red_feedback": {"point": 8}, "green_feedback": {"point": 10}, "green": {"point": 0}}
        arm = self.options.arm_travel_s is not None
        roles |= arm_roles() if arm else {}
        ready = self.at["module"]
        line = {"path": ready["link"], "baud": ready["baud"], "parity": "N"} if "link" in ready else None
        reached = {"serial": line} if line else {"host": ready["host"], "port": ready["port"]}
        return {
            "id": "io-1",
            "kind": "modbus_lane_io",
            **reached,
            "profile": self.options.module_profile,
            "poll_ms": 25,
            "watchdog_ms": 1000,
            "feedback_grade": "lamp",
            **({"barrier": self.options.barrier} if arm else {}),
            "roles": roles,
            **self.options.module_settings,
        }

    def _media(self) -> dict[str, Any]:
        return {
            "listen_host": "127.0.0.1",
            "listen_port": self.media_port,
            "allowed_origins": [f"http://127.0.0.1:{self.console_port}", f"http://localhost:{self.console_port}"],
            "cameras": [{"view": "overview", "kind": "rtsp", "url": self.children["camera"].ready["url"]}],
        }

    def _console(self) -> dict[str, Any]:
        lane: dict[str, Any] = {"name": "Lane 07", "target": f"unix:{self.socket_dir / 'officer.sock'}"}
        if self.options.media:
            lane["media_url"] = f"http://127.0.0.1:{self.media_port}"
        return {
            "listen_host": "127.0.0.1",
            "listen_port": self.console_port,
            "token_file": str(self.dir / "keys" / "console.token"),
            "lanes": [lane],
        }
