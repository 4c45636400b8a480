"""Tests of the head ordered by a person, what they leave on record, and whether the module may be used for REMOTE."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drivers.api import Clock, DeviceInfo, DeviceUp
from edge_agent.config.checks import is_loopback
from edge_agent.config.schema import LaneConfig, LaneIoDevice
from edge_agent.model.decision import ActResult, OfficerAct
from edge_agent.model.effects import AnswerAct
from edge_agent.model.errors import StoreError
from edge_agent.model.inputs import HeadCommissioned, HeadTested
from edge_agent.store.commissioning import KillTestRecord, read_record, write_record

from .head_test import HeadTests, KillTest, Step
from .passage_loop import PassageLoop

_PTS = Path("/dev/pts")


def is_virtual(config: LaneConfig) -> bool:
    """Whether the head's module is one without a lamp that anybody could see: said so by the configuration, and reached
    on this computer only (loopback, or a pseudo terminal)."""
    device = next(d for d in config.devices if isinstance(d, LaneIoDevice) and d.id == config.signal.device)
    if config.signal.hardware != "virtual":
        return False
    if device.serial is not None:
        return _PTS in Path(device.serial.path).resolve().parents
    return is_loopback(device.host or "")


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What a kill test came to: the measurement, and whether the module may now be used for REMOTE (`why` not)."""

    result: KillTest
    why: str


class Commissioning:
    """Runs the tests of the head for a person, and keeps the kill test's record."""

    def __init__(self, config: LaneConfig, tests: HeadTests, passage: Callable[[], PassageLoop], clock: Clock) -> None:
        self._device = config.signal.device
        self._folder = config.store.path
        self._virtual = is_virtual(config)
        self._tests = tests
        self._passage = passage
        self._clock = clock
        self._info: DeviceInfo | None = None

    def started(self) -> None:
        """Tell the core what is known before the module has answered: only that there is nothing on record."""
        found, why = self._on_record()
        if self._virtual or found is None:
            self._tell(why)

    def up(self, up: DeviceUp) -> None:
        """The head's module was identified: is the record of this very one? To be told before it may show green."""
        self._info = up.info
        self._tell(self._judged(up.info))

    async def test_signal(self, act: OfficerAct) -> tuple[AnswerAct, tuple[Step, ...]]:
        """Show every aspect once; the steps are empty when the core refused the act."""
        answer = await self._allowed(act)
        if answer.result is not ActResult.OK:
            return answer, ()
        steps = await self._tests.run()
        facts = {f"{number}_{step.aspect.value}": _step_text(step) for number, step in enumerate(steps, start=1)}
        self._record("signal_test", act, all(step.passed for step in steps), facts)
        return answer, steps

    async def kill_test(self, act: OfficerAct) -> tuple[AnswerAct, Commissioned | None]:
        """Let the module turn red by itself, and keep that on record when it did in time."""
        answer = await self._allowed(act)
        if answer.result is not ActResult.OK:
            return answer, None
        info = self._info
        if info is None:
            why = "the module has not answered since the agent started: see lanectl devices"
            return answer, Commissioned(KillTest(False, -1, "", why), why)
        result = await self._tests.kill()
        facts = {"red_ms": str(result.red_ms), "sign": result.sign, "why": result.why}
        facts |= {
            "watchdog_ms": info.details.get("watchdog_ms", ""),
            "profile": info.profile_digest,
            "firmware": info.firmware,
            "serial": info.serial,
        }
        self._record("kill_test", act, result.passed, facts)
        if not result.passed:
            return answer, Commissioned(result, result.why)
        await asyncio.to_thread(write_record, self._folder, self._made(info, result, act.officer))
        why = self._judged(self._info or info)
        self._tell(why)
        return answer, Commissioned(result, why)

    async def _allowed(self, act: OfficerAct) -> AnswerAct:
        answer = await self._passage().act(act)
        if answer.result is ActResult.OK and self._tests.busy:
            return AnswerAct(
                answer.at, act.request_id, ActResult.FAILED_PRECONDITION, "another test is under way", answer.etag
            )
        return answer

    def _record(self, kind: str, act: OfficerAct, passed: bool, facts: dict[str, str]) -> None:
        module = self._info.details.get("identity", "") if self._info is not None else ""
        event = HeadTested(self._clock.stamp(), kind, passed, self._device, module, act.officer, tuple(facts.items()))
        self._passage().submit(event)

    def _made(self, info: DeviceInfo, result: KillTest, by: str) -> KillTestRecord:
        return KillTestRecord(
            device=self._device,
            module=info.details.get("identity", ""),
            model=info.model,
            firmware=info.firmware,
            serial=info.serial,
            profile=info.profile,
            profile_digest=info.profile_digest,
            watchdog_ms=info.details.get("watchdog_ms", ""),
            red_ms=result.red_ms,
            sign=result.sign,
            by=by,
            utc_ns=self._clock.stamp().utc_ns,
        )

    def _on_record(self) -> tuple[KillTestRecord | None, str]:
        if self._virtual:
            return None, ""
        try:
            found = read_record(self._folder)
        except StoreError as error:
            return None, error.message
        return found, "" if found is not None else f"no kill test of {self._device} is on record"

    def _judged(self, info: DeviceInfo) -> str:
        """Why the module must not be used for REMOTE; "" when it may."""
        found, why = self._on_record()
        if found is None:
            return why
        known = (
            ("module or firmware", found.module, info.details.get("identity", "")),
            ("profile", found.profile_digest, info.profile_digest),
            ("watchdog time", found.watchdog_ms, info.details.get("watchdog_ms", "")),
        )
        changed = [name for name, then, now in known if then != now]
        return f"the kill test on record is of another {' and '.join(changed)}" if changed else ""

    def _tell(self, why: str) -> None:
        self._passage().submit(HeadCommissioned(at=self._clock.stamp(), ok=not why, why=why))


def _step_text(step: Step) -> str:
    shown = step.shown.value if step.shown is not None else "nothing"
    outcome = f"confirmed in {step.confirmed_ms} ms" if step.passed else f"failed: {step.why}"
    return f"{shown} ({step.grade.name.lower()}), {outcome}"
