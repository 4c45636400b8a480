"""net-snmp as a peer: its agent with a message sign behind it, and its commands as a client."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIGN = Path(__file__).with_name("pass_persist_sign.py")
DMS = "1.3.6.1.4.1.1206.4.2.3"
DESCRIPTION = "1.3.6.1.2.1.1.1.0"
UP_S = 10.0
_PACKET = re.compile(r"^(?:Sending|Received) (\d+) byte[^\n]*\n((?:[0-9A-F]{4}:[^\n]*\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What a command of net-snmp said."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> str:
        """The value of its one line `.OID = TYPE: VALUE`."""
        return self.out.strip().partition(" = ")[2]

    @property
    def packets(self) -> list[bytes]:
        """Every packet of its dump (`-d`), in order."""
        found = []
        for size, dump in _PACKET.findall(self.out + self.err):
            lines = [line[6:56].replace(" ", "") for line in dump.splitlines()]
            found.append(bytes.fromhex("".join(lines)))
            assert len(found[-1]) == int(size)
        return found


def environment(folder: Path) -> dict[str, str]:
    """Nothing of this machine's own configuration, and no MIB: objects are numbers."""
    return {**os.environ, "SNMPCONFPATH": str(folder), "SNMP_PERSISTENT_DIR": str(folder), "MIBS": ""}


@dataclass(frozen=True)
class Client:
    """snmpget and snmpset, asking a port of this computer."""

    port: int
    folder: Path
    version: str = "1"
    community: str = "lane"
    timeout_s: float = 2.0

    async def get(self, *objects: str, dump: bool = False) -> Answer:
        """snmpget."""
        return await self._run("snmpget", objects, dump)

    async def set(self, *assignments: str, dump: bool = False) -> Answer:
        """snmpset; `assignments` object, type and value each."""
        return await self._run("snmpset", assignments, dump)

    async def _run(self, program: str, words: tuple[str, ...], dump: bool) -> Answer:
        how = [f"-v{self.version}", "-c", self.community, "-r0", f"-t{self.timeout_s}", "-On", *(["-d"] * dump)]
        process = await asyncio.create_subprocess_exec(
            program, *how, f"127.0.0.1:{self.port}", *words,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(self.folder),
        )  # fmt: skip
        out, err = await process.communicate()
        return Answer(process.returncode or 0, out.decode("latin-1"), err.decode("latin-1"))


def free_port() -> int:
    """A UDP port that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def snmpd(folder: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """net-snmp's agent with the sign behind it, `options` are the sign's: its port, and its process. Community lane may
    write, look may read."""
    port, config = free_port(), folder / "sign.conf"
    sign = " ".join((sys.executable, "-S", str(SIGN), *options))
    config.write_text(
        "rwcommunity lane 127.0.0.1\nrocommunity look 127.0.0.1\nsysDescr sign behind net-snmp\n"
        f"pass_persist .{DMS} {sign}\n"
    )
    command = ["snmpd", "-f", "-C", "-c", str(config), "-Lf", str(folder / "snmpd.log"), "-p", str(folder / "pid")]
    command += ["-I", "-smux"]  # which wants a port that is the same for everybody
    process = subprocess.Popen([*command, f"udp:127.0.0.1:{port}"], env=environment(folder), stderr=subprocess.DEVNULL)
    try:
        _wait_up(process, port, folder)
        yield port, process
    finally:
        process.kill()
        process.wait()


def _wait_up(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    ask = ["snmpget", "-v1", "-clook", "-r0", "-t0.1", f"127.0.0.1:{port}", f"{DMS}.6.1.0"]
    until = time.monotonic() + UP_S
    while subprocess.run(ask, env=environment(folder), capture_output=True, check=False).returncode:
        assert process.poll() is None, (folder / "snmpd.log").read_text()
        assert time.monotonic() < until, "snmpd does not answer"
