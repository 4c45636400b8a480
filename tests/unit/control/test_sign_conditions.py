"""What is told of a message sign: by its grade, and when it does not say what it is told."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.api import Grade
from edge_agent.control.notices import make_notices
from edge_agent.control.sign_conditions import tell_of_sign
from edge_agent.model.actuators import SignShown, SignText
from edge_agent.model.effects import Severity
from edge_agent.runtime.health import HealthBoard
from tests.unit.control.signal_rig import LoopClock
from tests.unit.control.test_notices import GREEN, RED, Outputs, lane
from tests.unit.passage.story import stamp

S = 1_000_000_000


def told(board: HealthBoard, at_s: float) -> dict[str, Severity]:
    return {condition.code: condition.severity for condition in board.visible(round(at_s * S))}


@pytest.mark.parametrize(("grade", "codes"), [(Grade.COIL, {"SIGN_COMMANDED_ONLY"}), (Grade.CONTACT, set())])
def test_a_sign_that_nothing_reads_back_is_commanded_only(grade: Grade, codes: set[str]) -> None:
    board = HealthBoard()
    tell_of_sign(board, "io-1", SignShown(SignText.STOP, stamp(0), SignText.STOP, grade), stamp(0))
    assert set(told(board, 60)) == codes
    assert all(severity is Severity.INFO for severity in told(board, 60).values()), "it is no fault"


@pytest.mark.parametrize(
    ("shown", "says"),
    [(SignText.PROCEED, "says proceed"), (None, "cannot be read back"), (SignText.BLANK, "says blank")],
)
def test_a_sign_that_does_not_say_what_it_is_told_is_told_when_it_lasts(shown: SignText | None, says: str) -> None:
    board = HealthBoard()
    for second in range(4):
        tell_of_sign(board, "sign", SignShown(SignText.STOP, stamp(0), shown, Grade.CONTACT), stamp(second))
    assert told(board, 2.9) == {}
    assert told(board, 3.0) == {"SIGN_NOT_AS_TOLD": Severity.WARNING}
    (condition,) = board.raised()
    assert condition.title == f"the message sign is told stop and {says}"
    tell_of_sign(board, "sign", SignShown(SignText.STOP, stamp(0), SignText.STOP, Grade.CONTACT), stamp(5))
    assert board.raised() == ()


async def test_the_lane_with_a_sign_on_relays_says_so_and_tells_an_output_that_sticks() -> None:
    outputs = Outputs()
    head = SimpleNamespace(id="io-1", actuators=dict.fromkeys(outputs.roles, 0))
    live: list[Any] = [SimpleNamespace(actuators=outputs)]
    board, clock, changes = HealthBoard(), LoopClock(), []
    seen = SimpleNamespace(signal=RED)
    agent = SimpleNamespace(
        config=SimpleNamespace(
            devices=[head], signal=SimpleNamespace(device="io-1"), notices=SimpleNamespace(beacon_s=60, tone_s=5)
        ),
        passage=SimpleNamespace(state=lane()), signal=SimpleNamespace(state=lambda: seen.signal), clock=clock,
        head=lambda: live[0], board=board, backend=SimpleNamespace(changed=lambda: changes.append(1)),
    )  # fmt: skip
    loop = make_notices(cast(Any, agent))
    assert loop is not None
    running = asyncio.ensure_future(loop.run())

    def codes() -> set[str]:
        return {condition.code for condition in board.visible(clock.stamp().mono_ns)}

    await asyncio.sleep(0.2)
    assert codes() == {"SIGN_COMMANDED_ONLY"}

    async def stuck(role: str, *, on: bool) -> None:
        outputs.on.add("sign_closed")

    outputs.switch = stuck  # type: ignore[method-assign]
    outputs.on.add("sign_closed")
    seen.signal = GREEN
    await asyncio.sleep(3.0)
    assert codes() == {"SIGN_COMMANDED_ONLY"}
    await asyncio.sleep(2.0)
    assert codes() == {"SIGN_COMMANDED_ONLY", "SIGN_NOT_AS_TOLD"}
    live[0] = None
    await asyncio.sleep(0.2)
    assert codes() == {"SIGN_COMMANDED_ONLY"}, "that the module is gone is told of the module"
    board.clear_device("io-1")  # a new session, so soon that nothing else is seen of it
    live[0], seen.signal = SimpleNamespace(actuators=Outputs()), RED
    await asyncio.sleep(0.2)
    board.clear_device("io-1")
    live[0] = SimpleNamespace(actuators=Outputs())
    await asyncio.sleep(0.2)
    assert codes() == {"SIGN_COMMANDED_ONLY"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert changes
