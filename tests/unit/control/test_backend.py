"""What the doors' backend does besides showing the lane."""

from types import SimpleNamespace
from typing import Any, cast

from drivers.api import Stamp
from edge_agent.control.backend import Backend
from edge_agent.model.decision import ActKind, ActResult, OfficerAct, Role
from edge_agent.model.effects import AnswerAct, Severity
from edge_agent.runtime.health import Condition, HealthBoard

AT = Stamp(1, 1)


async def test_acknowledging_ends_what_nothing_else_can_end_and_nothing_more() -> None:
    board = HealthBoard()
    for code, device in (("RECORD_QUARANTINED", ""), ("CAPTURE_FAILED", "rfid-1"), ("CAMERA_NO_PICTURE", "overview")):
        board.raise_condition(Condition(code, Severity.WARNING, "title", "hint", AT, device=device))

    async def taken(act: OfficerAct) -> AnswerAct:
        return AnswerAct(AT, act.request_id, ActResult.OK, "acknowledged", "")

    backend = Backend(cast("Any", SimpleNamespace(board=board, passage=SimpleNamespace(act=taken))))
    for code in ("RECORD_QUARANTINED", "CAPTURE_FAILED", "CAMERA_NO_PICTURE"):
        await backend.act(OfficerAct(ActKind.ACKNOWLEDGE, "r1", "tech-1", Role.TECHNICIAN, condition=code))
    assert [condition.code for condition in board.raised()] == ["CAMERA_NO_PICTURE"]
