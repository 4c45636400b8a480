"""The sign's driver and the virtual sign, each against net-snmp: another's SNMP, and a sign written apart from ours."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from drivers.api import DeviceError, DeviceRefused, DeviceTimeout, DeviceUp, LinkLost, Observation
from drivers.sign.dms_sign import DmsSign, SignSeen
from drivers.sign.settings import TEXTS, SignSettings, default_sign_dir, load_sign
from drivers.sign.snmp_codec import GET, RESPONSE, SET, decode, encode
from hil.devices.ntcip_sign import Sign, open_sign
from tests.conformance.sign.net_snmp import DESCRIPTION, DMS, Client, snmpd
from tests.unit.modbus.lane_io_bench import RealClock
from tests.unit.modbus.scripted import until

pytestmark = [pytest.mark.real_time, pytest.mark.needs("net-snmp")]
PROFILE = load_sign(default_sign_dir() / "ntcip_1203.yaml")

# A message, its CRC and its activation as they went between a management system and another maker's sign (a published
# capture, 2015 firmware): the sign computed the CRC.
CAPTURED_MULTI = "[pt30o0][pb][cf][jp3][jl3][fo220,B62F]TEST"
CAPTURED_CRC = 0x1D0F
CAPTURED_ACTIVATION = "ffffff0300011d0f00000000"
CAPTURED_BLANK = "ffffff070001000000000000"


def cell(column: int, number: int = 1, memory: int = 3) -> str:
    return f"{DMS}.5.8.1.{column}.{memory}.{number}"


ACTIVATE, SOURCE, WHY, MODE = (f"{DMS}.6.{number}.0" for number in (3, 5, 17, 1))
CURRENT_MULTI = cell(3, memory=5)


# ---- the virtual sign, told by net-snmp ----


@asynccontextmanager
async def virtual_sign() -> AsyncIterator[tuple[Sign, int]]:
    sign = Sign(lambda *_, **__: None, 60.0)
    transport, port = await open_sign(sign)
    try:
        yield sign, port
    finally:
        sign.close()
        transport.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_net_snmp_has_the_virtual_sign_show_the_captured_message(tmp_path: Path, version: str) -> None:
    async with virtual_sign() as (sign, port):
        client = Client(port, tmp_path, version)
        assert (await client.get(DESCRIPTION)).value == 'STRING: "virtual message sign"'
        for assignment in (
            (MODE, "i", "4"), (cell(9), "i", "6"), (cell(3), "s", CAPTURED_MULTI), (cell(4), "s", "peer"),
            (cell(6), "i", "0"), (cell(7), "i", "0"), (cell(8), "i", "100"), (cell(9), "i", "7"),
        ):  # fmt: skip
            assert (await client.set(*assignment)).code == 0, assignment
        seen = await client.get(cell(9), cell(5), cell(3))
        assert [line.partition(" = ")[2] for line in seen.out.splitlines()] == [
            "INTEGER: 4", f"INTEGER: {CAPTURED_CRC}", f'STRING: "{CAPTURED_MULTI}"',
        ]  # fmt: skip
        assert (await client.set(ACTIVATE, "x", CAPTURED_ACTIVATION)).code == 0
        assert (await client.get(SOURCE)).value == "Hex-STRING: 03 00 01 1D 0F"
        assert (await client.get(WHY)).value == "INTEGER: 2"
        assert (await client.get(CURRENT_MULTI)).value == f'STRING: "{CAPTURED_MULTI}"'
        assert sign.report()["multi"] == CAPTURED_MULTI
        assert (await client.set(ACTIVATE, "x", CAPTURED_BLANK)).code == 0
        assert sign.report()["multi"] == ""


@pytest.mark.parametrize(
    ("activation", "why"),
    [
        ("0002ff0300010f1d00000000", 7),  # its octets of the CRC in the other order
        ("0002ff030002000000000000", 4),
        ("0002ff03ffff000000000000", 6),
        ("0002ff040001000000000000", 5),
        ("000263070001000000000000", 3),  # activated with 99, and what is shown has 100
    ],
)
async def test_the_virtual_sign_says_why_it_does_not_show_a_message(tmp_path: Path, activation: str, why: int) -> None:
    async with virtual_sign() as (sign, port):
        sign._rows |= {(3, 1): CAPTURED_MULTI.encode(), (5, 1): CAPTURED_CRC, (8, 1): 100, (9, 1): 4}
        client = Client(port, tmp_path)
        assert (await client.set(ACTIVATE, "x", CAPTURED_ACTIVATION)).code == 0
        refused = await client.set(ACTIVATE, "x", activation)
        assert "(genError)" in refused.err
        assert (await client.get(WHY)).value == f"INTEGER: {why}"
        assert (await client.get(f"{DMS}.9.7.1.0")).value == "INTEGER: 128", "bit 7 of shortErrorStatus, message"
        assert sign.report()["multi"] == CAPTURED_MULTI, "it goes on showing what it showed"


async def test_the_virtual_sign_is_silent_to_strangers_and_has_no_other_objects(tmp_path: Path) -> None:
    async with virtual_sign() as (_, port):
        stranger = Client(port, tmp_path, community="public", timeout_s=0.3)
        assert "Timeout" in (await stranger.get(DESCRIPTION)).err
        v1, v2c = Client(port, tmp_path), Client(port, tmp_path, "2c")
        nothing = f"{DMS}.6.99.0"
        assert "(noSuchName)" in (await v1.get(MODE, nothing)).err
        assert "No Such Object" in (await v2c.get(MODE, nothing)).out
        assert "(noSuchName)" in (await v1.set(nothing, "i", "1")).err
        assert "(badValue)" in (await v1.set(MODE, "s", "4")).err
        assert "(genError)" in (await v1.set(cell(3), "s", "STOP")).err, "it is not being modified"


# ---- the driver, told by a sign behind net-snmp's agent ----


class Lane:
    """A session of the driver with a sign at this port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.wanted = "stop"
        self.told: list[Observation] = []
        self.seen: list[SignSeen] = []

    def session(self, *, snmp: str = "v1", community: bytes = b"lane") -> DmsSign:
        settings = SignSettings(host="127.0.0.1", port=self.port, profile="ntcip_1203", timeout_ms=300)
        profile = PROFILE.model_copy(update={"snmp": snmp})
        return DmsSign("sign", settings, profile, community, RealClock(), lambda: self.wanted, self.seen.append)

    @asynccontextmanager
    async def running(self, snmp: str = "v1") -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.ensure_future(self.session(snmp=snmp).run(self.told.append))
        try:
            await until(lambda: bool(self.seen) or task.done())
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, DeviceError):
                await task

    async def fails(self, *, snmp: str = "v1", community: bytes = b"lane") -> DeviceError:
        with pytest.raises(DeviceError) as ended:
            await self.session(snmp=snmp, community=community).run(self.told.append)
        return ended.value

    async def confirms(self, text: str) -> None:
        self.wanted = text
        await until(lambda: bool(self.seen) and self.seen[-1].text == text)


@pytest.mark.parametrize("snmp", ["v1", "v2c"])
async def test_the_driver_has_a_foreign_sign_say_each_text_and_reads_it_back(tmp_path: Path, snmp: str) -> None:
    with snmpd(tmp_path) as (port, _):
        lane, client = Lane(port), Client(port, tmp_path)
        async with lane.running(snmp):
            assert isinstance(lane.told[0], DeviceUp)
            assert lane.told[0].info.details["described"] == "sign behind net-snmp"
            for number, text in enumerate(TEXTS, start=PROFILE.first_message):
                await lane.confirms(text)
                shown = bytes.fromhex((await client.get(CURRENT_MULTI, "-Ox")).value.removeprefix("Hex-STRING: "))
                assert shown.decode("latin-1") == PROFILE.texts[text]
                source = (await client.get(SOURCE)).value.removeprefix("Hex-STRING: ").split()
                assert source[:3] == ["03", "00", f"{number:02X}"]
            await lane.confirms("blank")
            assert (await client.get(SOURCE)).value == "Hex-STRING: 07 00 01 00 00"
            stop = "Hex-STRING: 03 00 0B"
            for default in (8, 9, 11, 12, 15):
                assert (await client.get(f"{DMS}.6.{default}.0")).value.startswith(stop), "what it falls back to"
            assert (await client.get(f"{DMS}.6.13.0")).value == f"INTEGER: {PROFILE.comm_loss_min}"
            crc = int((await client.get(cell(5, 12))).value.removeprefix("INTEGER: "))
            lane.seen.clear()
            assert (await client.set(ACTIVATE, "x", f"0005ff03000c{crc:04x}00000000")).code == 0
            await until(lambda: SignSeen("secondary", ()) in lane.seen)  # another master's message is read back
            await lane.confirms("blank")


async def test_a_sign_without_beacons_and_pixel_service_is_served(tmp_path: Path) -> None:
    with snmpd(tmp_path, "--without", "5.8.1.6", "--without", "5.8.1.7") as (port, _):
        for snmp in ("v1", "v2c"):
            lane = Lane(port)
            async with lane.running(snmp):
                await lane.confirms("closed")


async def test_what_a_foreign_sign_does_not_take_is_told_with_the_reason(tmp_path: Path) -> None:
    for options, told in (
        (("--without", "6.11"), f"does not take {DMS}.6.11.0"),
        (("--without", "6.5"), f"no object {DMS}.6.5.0"),
        (("--crc", "plain"), "message 11 is not in it as it was written"),
        (("--local",), "does not show message 11: it is under local control"),
    ):
        with snmpd(tmp_path, *options) as (port, _):
            for snmp in ("v1", "v2c"):
                refused = await Lane(port).fails(snmp=snmp)
                assert (type(refused), refused.code) == (DeviceRefused, "SIGN_REFUSES")
                assert told in refused.message


async def test_communities_silence_and_a_dead_agent_are_told_apart(tmp_path: Path) -> None:
    with snmpd(tmp_path) as (port, process):
        assert isinstance(await Lane(port).fails(community=b"wrong"), DeviceTimeout)
        reader = await Lane(port).fails(community=b"look")
        assert (reader.code, MODE in reader.message) == ("SIGN_REFUSES", True)
        lane = Lane(port)
        async with lane.running() as task:
            process.send_signal(signal.SIGSTOP)
            lane.wanted = "closed"
            await asyncio.sleep(0.45)  # the first datagram goes unanswered, the second waits for it
            assert not task.done()
            process.send_signal(signal.SIGCONT)
            await lane.confirms("closed")
            process.kill()
            await until(task.done)
            assert isinstance(task.exception(), LinkLost | DeviceTimeout)


# ---- octets ----


async def test_net_snmps_octets_are_ours(tmp_path: Path) -> None:
    """What net-snmp's client and agent send is what our codec makes of the same message, octet by octet."""
    with snmpd(tmp_path) as (port, _):
        packets: list[bytes] = []
        for version in ("1", "2c"):
            client = Client(port, tmp_path, version)
            long = "STOP[nl]" + "x" * 250
            for answer in (
                await client.get(DESCRIPTION, MODE, SOURCE, cell(3), dump=True),
                await client.get(f"{DMS}.6.99.0", dump=True),
                await client.set(cell(9), "i", "6", dump=True),
                await client.set(cell(3), "s", long, dump=True),
                await client.get(cell(3), dump=True),
                await client.set(f"{DMS}.6.13.0", "i", "65535", dump=True),
                await client.set(f"{DMS}.6.13.0", "i", "-129", dump=True),
                await client.set(ACTIVATE, "x", CAPTURED_ACTIVATION, dump=True),
            ):
                packets += answer.packets
        assert {decode(packet).kind for packet in packets} == {GET, SET, RESPONSE}
        assert len(packets) == 32
        for packet in packets:
            # What is not there is for an agent of v2c to tell; it says so with a tag of its own in the value's place.
            absent = packet.replace(b"\x81\x00", b"\x05\x00") if decode(packet).version else packet
            assert encode(decode(packet)) == absent
