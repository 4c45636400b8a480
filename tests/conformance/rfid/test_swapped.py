"""Two readers swapped: the one that answers is refused when it is not the one named, whatever the family, at the start
and after every restart; one that cannot say who it is is told, not guessed."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pytest

from drivers.api import DeviceError, DeviceRefused, DeviceTimeout, DeviceUp, Observation, TagRead
from hil.devices import llrp_wire
from tests.conformance.rfid import encompass_bench, llrp_memory, memory_module
from tests.conformance.rfid.memory_module import Bench


class AnyBench(Protocol):
    """A session with a reader of some family."""

    seen: list[Observation]

    async def session(self, *steps: Callable[[Any], None], pause_s: float = 2.0) -> DeviceError | None:
        """Run it to its end."""
        ...


def mercury(named: str | None, *, tells: bool = True) -> Bench:
    bench = Bench(memory_module.SETTINGS.model_copy(update={"serial": named}))
    bench.module.tags = (memory_module.TAG,)
    if not tells:
        bench.module.serial = ""
    return bench


def encompass(named: str | None) -> AnyBench:
    bench = encompass_bench.Bench(encompass_bench.SETTINGS.model_copy(update={"serial": named}))
    bench.module.tags = (encompass_bench.TAG,)
    return bench


def llrp(named: str | None, *, tells: bool = True) -> AnyBench:
    bench = llrp_memory.LlrpBench(llrp_memory.SETTINGS.model_copy(update={"reader_id": named}))
    bench.module.tags = (llrp_memory.TAG,)
    if not tells:
        bench.rewrite = lambda asked: (
            [llrp_wire.message(100, asked.id, llrp_wire.status(109))] if asked.type == 2 else None
        )
    return bench


FAMILIES: dict[str, tuple[Callable[[str | None], AnyBench], str, str]] = {
    "mercury": (mercury, "VIRTUAL-1", "serial"),
    "encompass": (encompass, "012345", "serial"),
    "llrp": (llrp, "001625ffff10ba47", "reader_id"),
}


def identity(bench: AnyBench) -> str:
    """What the session said of its identity."""
    up = bench.seen[0]
    assert isinstance(up, DeviceUp)
    return up.info.details["identity"]


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_reader_that_was_named_is_read(family: str) -> None:
    make, told, _key = FAMILIES[family]
    bench = make(told)
    assert await bench.session() is None
    assert identity(bench) == "verified"
    up = bench.seen[0]
    assert isinstance(up, DeviceUp)
    assert up.info.serial == told
    assert any(isinstance(item, TagRead) for item in bench.seen)
    unnamed = make(None)
    assert await unnamed.session() is None
    assert identity(unnamed) == "not checked"


@pytest.mark.parametrize("family", FAMILIES)
async def test_another_reader_is_refused_and_reads_nothing(family: str) -> None:
    make, told, key = FAMILIES[family]
    other = told[::-1]
    bench = make(other)
    error = await bench.session()
    assert isinstance(error, DeviceRefused)
    assert (error.code, bench.seen) == ("WRONG_DEVICE", [])
    assert told in error.message
    assert other in error.message
    assert "swapped" in error.hint
    assert key in error.hint


async def test_another_module_after_a_restart_is_refused() -> None:
    bench = mercury("VIRTUAL-1")

    def exchange(b: Bench) -> None:
        b.module.serial = "VIRTUAL-2"
        b.module.reset()

    error = await bench.session(exchange, lambda _: None)
    assert isinstance(error, DeviceRefused)
    assert error.code == "WRONG_DEVICE"
    assert bench.module.stream is None


@pytest.mark.parametrize("make", [partial(mercury, tells=False), partial(llrp, tells=False)], ids=["mercury", "llrp"])
async def test_one_that_cannot_say_who_it_is_is_told_and_never_taken_for_the_one_named(
    make: Callable[[str | None], AnyBench],
) -> None:
    unnamed = make(None)
    assert await unnamed.session() is None
    assert identity(unnamed) == "not verifiable"
    assert any(isinstance(item, TagRead) for item in unnamed.seen)
    error = await make("0a0b").session()
    assert isinstance(error, DeviceRefused)
    assert error.code == "WRONG_DEVICE"
    assert "/dev/serial/by-id" in error.hint


async def test_a_clone_that_is_mute_about_what_it_does_not_know_is_read() -> None:
    for named in (None, "VIRTUAL-1"):
        bench = mercury(named)
        command = bench.module.command

        def mute(op: int, data: bytes, now_ms: float, heard: Callable[..., None] = command) -> None:
            if op != 0x10:
                heard(op, data, now_ms)

        bench.module.command = mute  # type: ignore[method-assign]
        error = await bench.session(pause_s=5.0)
        if named is None:
            assert error is None
            assert identity(bench) == "not verifiable"
            assert bench.tags()
        else:
            # Silence is no other identity: asked again soon, not parked.
            assert isinstance(error, DeviceTimeout)
            assert error.code == "RFID_NO_ANSWER"


async def test_a_damaged_answer_is_asked_for_again_soon() -> None:
    bench = mercury("VIRTUAL-1")
    bench.peer.alter = lambda data: data[:-1] + b"\x00" if data[2] == 0x10 else data
    error = await bench.session(pause_s=5.0)
    assert isinstance(error, DeviceTimeout)
