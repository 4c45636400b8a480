"""The virtual module as a process: published frames, libmodbus and mbpoll as clients, red after a client's death."""

import contextlib
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.modbus.libmodbus import Client, LibmodbusError

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 20


@dataclass
class Device:
    """A running module and its control channel."""

    port: int
    control: Path

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """One control request."""
        with self._channel() as channel, channel.makefile("rw") as lines:
            lines.write(json.dumps({"do": verb, **fields}) + "\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
            assert answer["ok"], answer
            return answer

    @contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The event stream from now on."""
        with self._channel() as channel, channel.makefile("rw") as lines:
            lines.write('{"do": "subscribe"}\n')
            lines.flush()
            assert json.loads(lines.readline())["subscribed"]
            yield (json.loads(line) for line in lines)

    @contextmanager
    def _channel(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(TIMEOUT_S)
            channel.connect(str(self.control))
            yield channel


def start(*arguments: str) -> subprocess.Popen[str]:
    """A Python process of this repository, ended by closing its stdin."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line it prints."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], TIMEOUT_S)[0], "nothing printed"
    return process.stdout.readline()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ends a process whatever happens."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        process.stdout.close()


@contextmanager
def running(profile: str = "wago_750_352", *line: str) -> Iterator[Device]:
    """A module as a process, over TCP, or on a serial line `--link PATH ...`."""
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        control = Path(folder) / "control"
        arguments = ["--control", str(control), "--profile", profile, *line]
        with ended(start("hil.devices.modbus_module", *arguments)) as process:
            ready = json.loads(line_of(process))
            assert ready["ready"]
            yield Device(ready.get("port", 0), control)
        assert process.returncode == 0
        assert not control.exists()


def answers(connection: socket.socket, request: str, expected: str) -> bool:
    """Send bytes; whether exactly the expected ones come back (none: the connection ends)."""
    connection.sendall(bytes.fromhex(request))
    wanted, got = bytes.fromhex(expected), b""
    while len(got) < max(len(wanted), 1) and (more := connection.recv(300)):
        got += more
    assert got.hex(" ") == wanted.hex(" ")
    return True


def test_published_frames() -> None:
    """Frames written by hand from the Modbus Application Protocol 1.1b3 and the TCP/IP guide."""
    with running() as device, socket.create_connection(("127.0.0.1", device.port), 5) as line:
        assert answers(line, "1501 0000 0006 01 02 0000 0010", "15 01 00 00 00 05 01 02 02 00 01")
        assert answers(line, "0002 0000 0006 01 05 0003 FF00", "00 02 00 00 00 06 01 05 00 03 ff 00")
        assert answers(line, "0003 0000 0006 FF 01 0200 0008", "00 03 00 00 00 04 ff 01 01 08")
        assert answers(line, "0004 0000 0008 01 0F 0000 0008 01 81", "00 04 00 00 00 06 01 0f 00 00 00 08")
        assert answers(line, "0005 0000 0006 01 03 2010 0003", "00 05 00 00 00 09 01 03 06 01 07 02 ee 01 60")
        assert answers(line, "0006 0000 0006 01 06 0000 0001", "00 06 00 00 00 06 01 06 00 00 00 01")
        assert answers(line, "0007 0000 0006 01 01 4000 0001", "00 07 00 00 00 03 01 81 02")
        assert answers(line, "0008 0000 0006 01 05 0000 1234", "00 08 00 00 00 03 01 85 03")
        assert answers(line, "0009 0000 0002 01 2B", "00 09 00 00 00 03 01 ab 01")
        two = "000A 0000 0006 01 01 0200 0001 000B 0000 0006 01 01 0201 0001"
        assert answers(line, two, "00 0a 00 00 00 04 01 01 01 01 00 0b 00 00 00 04 01 01 01 00")
        assert answers(line, "000C 0001 0006 01 01 0200 0001", ""), "garbage ends the connection"


@pytest.mark.needs("libmodbus")
def test_a_libmodbus_client_works_the_coupler() -> None:
    with running() as device:
        client = Client(device.port)
        try:
            assert client.read_registers(0x2010, 3) == [0x0107, 750, 352]
            client.write_bits(0, [True, False, True])
            assert client.read_bits(512, 8) == [1, 0, 1, 0, 0, 0, 0, 0]
            client.write_bit(512 + 2, on=False)
            assert client.read_registers(0x0200, 1, inputs=True) == [1]
            device.do("set_inputs", bits={"0": True, "15": True})
            inputs = client.read_bits(0, 16, inputs=True)
            assert (inputs[0], inputs[1], inputs[15]) == (1, 0, 1)
            with pytest.raises(LibmodbusError, match="Illegal data address"):
                client.read_bits(16, 1)
            client.write_registers(0x1000, [2, 0x4000])  # 200 ms, fed by function 15: starts
            assert client.read_registers(0x1006, 1) == [1]
            deadline = time.monotonic() + TIMEOUT_S
            while client.read_registers(0x1006, 1) == [1] and time.monotonic() < deadline:
                client.write_registers(0x1007, [0])  # neither this nor the reads feed it
            assert client.read_registers(0x1006, 1) == [2]
            with pytest.raises(LibmodbusError, match="failure"):
                client.read_bits(512, 8)
            with pytest.raises(LibmodbusError, match="failure"):
                client.write_bit(0, on=True)
            client.write_register(0x1005, 0xAAAA)
            client.write_register(0x1005, 0x5555)
            assert client.read_bits(512, 8) == [0] * 8
        finally:
            client.close()


@pytest.mark.needs("mbpoll")
def test_mbpoll_works_the_generic_map() -> None:
    def mbpoll(port: int, *arguments: str) -> str:
        command = ["mbpoll", "-0", "-1", "-p", str(port), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout

    with running("generic_coils") as device:
        assert "Written 2 references" in mbpoll(device.port, "-t", "0", "-r", "0", "127.0.0.1", "1", "1")
        coils = mbpoll(device.port, "-t", "0", "-r", "0", "-c", "3", "127.0.0.1")
        assert re.findall(r"\[\d+\]:\s+(\d)", coils) == ["1", "1", "0"]
        inputs = mbpoll(device.port, "-t", "1", "-r", "8", "-c", "3", "127.0.0.1")
        assert re.findall(r"\[\d+\]:\s+(\d)", inputs) == ["0", "0", "1"], "the green lamp is felt at 10"
        assert "Written 1 references" in mbpoll(device.port, "-t", "4", "-r", "100", "127.0.0.1", "0")
        assert device.do("get")["outputs"][:3] == [True, True, False]


@pytest.mark.needs("mbpoll")
def test_mbpoll_works_the_relay_module_on_a_serial_line(tmp_path: Path) -> None:
    link = tmp_path / "tty"

    with running("waveshare_relay_8ch", "--link", str(link)) as device:
        assert "Written 8 references" in mbpoll_rtu(link, "-t", "0", "-r", "0", values="10100001")
        assert re.findall(r"\[\d+\]:\s+(\d)", mbpoll_rtu(link, "-t", "0", "-r", "0", "-c", "8")) == list("10100001")
        version = mbpoll_rtu(link, "-t", "4:hex", "-r", "32768")
        assert "0x00C8" in version
        assert device.do("line")["garbage"] == 0


def mbpoll_rtu(link: Path, *options: str, values: str = "") -> str:
    """One exchange of mbpoll with unit 1; `values` to write, one digit each."""
    command = ["mbpoll", "-m", "rtu", "-b", "19200", "-P", "none", "-0", "-1", "-a", "1", *options, str(link), *values]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


@pytest.mark.needs("libmodbus")
def test_libmodbus_works_two_modules_on_one_line(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    with running("generic_coils", "--link", str(link), "--also", "7:generic_coils") as device:
        first, other = Client.rtu(str(link), 19200, 1), Client.rtu(str(link), 19200, 7)
        try:
            first.write_bits(0, [True, False, True])
            assert first.read_bits(0, 4) == [1, 0, 1, 0]
            assert other.read_bits(0, 4) == [0, 0, 0, 0]
            other.write_bit(1, on=True)
            assert other.read_bits(0, 2) == [0, 1]
            assert first.read_bits(8, 3, inputs=True) == [0, 0, 1]
            with pytest.raises(LibmodbusError, match="Illegal data address"):
                first.read_registers(5, 1)
            with pytest.raises(LibmodbusError, match="timed out"):
                Client.rtu(str(link), 19200, 9).read_bits(0, 1)
            assert device.do("line")["collisions"] == 0
        finally:
            first.close()
            other.close()


def test_the_control_channel_cuts_refuses_and_restarts() -> None:
    with running() as device, device.events() as events:
        with socket.create_connection(("127.0.0.1", device.port), 5) as line:
            device.do("foreign_write", point=0, on=True)
            assert device.do("get")["outputs"][0]
            device.do("reset")
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        device.do("refuse")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", device.port), 5)
        device.do("clear")
        device.do("power_cycle", off_ms=0)
        deadline = time.monotonic() + TIMEOUT_S
        while not device.do("get")["listening"] and time.monotonic() < deadline:
            pass
        with socket.create_connection(("127.0.0.1", device.port), 5) as line:
            assert answers(line, "0001 0000 0006 01 01 0200 0008", "00 01 00 00 00 04 01 01 01 00")
        seen = [next(events)]
        while seen[-1]["event"] != "power_cycled":
            seen.append(next(events))
        coils = [(event["point"], event["on"]) for event in seen if event["event"] == "coil"]
        assert coils == [(0, True), (0, False)]
        assert all(first["at_ns"] <= then["at_ns"] for first, then in itertools.pairwise(seen))
        with pytest.raises(AssertionError, match="unknown fault"):
            device.do("fault", fault="gremlins")


@pytest.mark.needs("libmodbus")
@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP], ids=lambda way: way.name)
def test_red_within_two_seconds_of_the_clients_death_although_another_reads_on(way: signal.Signals) -> None:
    with (
        running() as device,
        device.events() as events,
        ended(start("tests.conformance.modbus.session_process", str(device.port))) as session,
    ):
        assert line_of(session) == "green\n"
        assert device.do("get")["aspect"] == "green"
        reader = Client(device.port)
        try:
            died_ns = time.monotonic_ns()
            session.send_signal(way)
            while device.do("get")["aspect"] == "green":
                with contextlib.suppress(LibmodbusError):
                    reader.read_bits(512, 8)
                    reader.read_bits(0, 16, inputs=True)
                assert time.monotonic_ns() - died_ns < TIMEOUT_S * 1e9
        finally:
            reader.close()
        after = [next(events)]
        while after[-1]["event"] != "lamp" or after[-1]["at_ns"] < died_ns:
            after.append(next(events))
        assert after[-1]["aspect"] == "red"
        assert (after[-1]["at_ns"] - died_ns) / 1e9 <= 2.0
        assert any(event["event"] == "watchdog_tripped" for event in after)
        assert device.do("get")["aspect"] == "red"
