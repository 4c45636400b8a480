"""The sign's session against the virtual sign, over UDP in real time; its minutes are short here."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.api import DeviceError, DeviceRefused, DeviceTimeout, DeviceUp, EdgeError, LinkLost, Observation
from drivers.sign.dms_sign import DmsSign, SignSeen
from drivers.sign.settings import SignSettings, default_sign_dir, load_sign
from hil.devices.ntcip_sign import Sign, open_sign
from tests.unit.modbus.lane_io_bench import RealClock
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time
PROFILE = load_sign(default_sign_dir() / "ntcip_1203.yaml")


class Bench:
    """A virtual sign on a free port, and what its session tells."""

    def __init__(self, port: int, sign: Sign, events: list[dict[str, Any]]) -> None:
        self.port = port
        self.sign = sign
        self.events = events
        self.wanted = "stop"
        self.told: list[Observation] = []
        self.seen: list[SignSeen] = []

    def session(self, **changes: Any) -> DmsSign:
        settings = SignSettings(host="127.0.0.1", port=self.port, profile="ntcip_1203", timeout_ms=100)
        community = changes.pop("community", b"lane")
        profile = PROFILE.model_copy(update=changes)
        return DmsSign("sign", settings, profile, community, RealClock(), lambda: self.wanted, self.seen.append)

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.ensure_future(self.session(**changes).run(self.told.append))
        try:
            await until(lambda: bool(self.told) or task.done())
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, DeviceError):
                await task

    async def fails(self, **changes: Any) -> DeviceError:
        with pytest.raises(DeviceError) as ended:
            await self.session(**changes).run(self.told.append)
        return ended.value

    async def says(self, words: str) -> None:
        await until(lambda: words in self.sign.report()["multi"] and bool(self.seen))


@asynccontextmanager
async def bench(minute_s: float = 60.0) -> AsyncIterator[Bench]:
    events: list[dict[str, Any]] = []
    sign = Sign(lambda event, **fields: events.append({"event": event, **fields}), minute_s)
    transport, port = await open_sign(sign)
    try:
        yield Bench(port, sign, events)
    finally:
        sign.close()
        transport.close()
        await asyncio.sleep(0)


async def test_it_says_in_both_languages_what_is_wanted_and_the_sign_confirms_it() -> None:
    async with bench() as b, b.running():
        assert isinstance(b.told[0], DeviceUp)
        await b.says("STOP[nl]ARRÊT")
        for wanted, words in (
            ("secondary", "GO TO SECONDARY[nl]ALLEZ À L'INSPECTION SECONDAIRE"),
            ("closed", "LANE CLOSED[nl]VOIE FERMÉE"),
            ("stop", "STOP[nl]ARRÊT"),
        ):
            b.wanted = wanted
            await b.says(words)
            await until(lambda name=wanted: b.seen[-1] == SignSeen(name, ()))  # type: ignore[misc]
        b.wanted = "blank"
        await until(lambda: b.sign.report()["multi"] == "")
        await until(lambda: b.seen[-1].text == "blank")


async def test_a_sign_that_nobody_speaks_to_says_stop_by_itself() -> None:
    async with bench(minute_s=0.8) as b:
        async with b.running():
            b.wanted = "secondary"
            await b.says("SECONDARY")
        await b.says("STOP[nl]ARRÊT")
        assert b.events[-1]["source"] == "communications loss"


async def test_a_text_that_nobody_renews_ends_and_one_that_is_renewed_does_not() -> None:
    async with bench(minute_s=0.8) as b, b.running(duration_min=1, comm_loss_min=10):
        b.wanted = "closed"
        await b.says("LANE CLOSED")
        b.sign.refuse_activate = True
        await b.says("STOP[nl]ARRÊT")
        assert b.events[-1]["source"] == "end of duration"
    async with bench() as b, b.running():
        b.wanted = "closed"
        await b.says("LANE CLOSED")
        shown = len(b.events)
        before = time.monotonic()
        await until(lambda: time.monotonic() - before > 2.5)
        assert len(b.events) == shown


async def test_what_another_master_shows_and_a_power_failure_are_put_right() -> None:
    async with bench() as b, b.running():
        b.wanted = "closed"
        await b.says("LANE CLOSED")
        b.sign.tell(12)
        await b.says("SECONDARY")
        await b.says("LANE CLOSED")
        b.sign.power_cycle()
        assert "STOP" in b.sign.report()["multi"], "power recovery shows the default"
        await b.says("LANE CLOSED")


async def test_errors_of_the_sign_are_told_in_words() -> None:
    async with bench() as b, b.running():
        b.sign.errors(1 << 5 | 1 << 2)
        await until(lambda: bool(b.seen) and b.seen[-1].errors == ("power", "pixel"))


async def test_a_second_session_writes_no_message_that_is_there() -> None:
    async with bench() as b:
        async with b.running():
            await b.says("STOP")
        writes: list[int] = []

        def note(column: int, _row: int, _value: int | bytes) -> int:
            writes.append(column)
            return 0

        b.sign._set_cell = note  # type: ignore[assignment,method-assign]
        b.told.clear()
        async with b.running():
            assert b.told
        assert writes == []


async def test_a_sign_that_goes_silent_or_takes_nothing_ends_the_session_with_the_reason() -> None:
    async with bench() as b:
        async with b.running() as task:
            b.sign.mute = True
            await until(task.done)
            assert isinstance(task.exception(), DeviceTimeout)
        b.sign.mute = False
        assert isinstance(await b.fails(community=b"wrong"), DeviceTimeout)
        refused = await b.fails(texts={**PROFILE.texts, "stop": "[jl3"})
        assert isinstance(refused, DeviceRefused)
        assert "does not validate" in refused.message
        refused = await b.fails(first_message=19)
        assert refused.code == "SIGN_REFUSES"
        b.sign.refuse_activate = True
        assert (await b.fails()).code == "SIGN_REFUSES"


async def test_a_sign_that_does_not_show_a_message_says_why() -> None:
    async with bench() as b:
        b.sign.local = True
        refused = await b.fails()
        assert (refused.code, refused.message) == (
            "SIGN_REFUSES", "sign: it does not show message 11: it is under local control",
        )  # fmt: skip
        b.sign.local = False
        async with b.running(snmp="v2c"):
            await b.says("STOP[nl]ARRÊT")


@pytest.mark.parametrize("snmp", ["v1", "v2c"])
async def test_an_object_that_is_not_there_is_named(snmp: str) -> None:
    async with bench() as b:
        del b.sign._scalars[6, 5]
        b.sign._show = lambda *_: None  # type: ignore[method-assign]
        b.sign._against = lambda code: 0  # type: ignore[method-assign]
        refused = await b.fails(snmp=snmp)
        assert refused.message == "sign: it has no object 1.3.6.1.4.1.1206.4.2.3.6.5.0"


async def test_nobody_there_is_told_at_once() -> None:
    async with bench() as b:
        port = b.port
    gone = Bench(port, Sign(lambda *_, **__: None, 1.0), [])
    assert isinstance(await gone.fails(), LinkLost)


def test_profiles_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no sign profile") as refused:
        load_sign(default_sign_dir() / "nothing.yaml")
    assert "ntcip_1203" in refused.value.hint
    text = (default_sign_dir() / "ntcip_1203.yaml").read_text()
    path = tmp_path / "sign.yaml"
    for change in (
        ("version: 1", "edition: 1"),
        ("duration_min: 2", "duration_min: 200"),
        ("  closed:", "  shut:"),
        ("priority: 200", "priority: 200\npriority: 20"),
    ):
        path.write_text(text.replace(*change))
        with pytest.raises(EdgeError) as refused:
            load_sign(path)
        assert refused.value.code == "PROFILE_INVALID"
        assert refused.value.message.startswith("sign.yaml:")
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("  closed")))
    with pytest.raises(EdgeError, match="closed missing"):
        load_sign(path)


async def test_a_host_that_is_no_name_is_link_lost() -> None:
    settings = SignSettings(host="no..name", profile="ntcip_1203")
    sign = DmsSign("sign", settings, PROFILE, b"lane", RealClock(), lambda: "stop", lambda _: None)
    with pytest.raises(LinkLost, match="SIGN_UNREACHABLE"):
        await sign.run(lambda _: None)
