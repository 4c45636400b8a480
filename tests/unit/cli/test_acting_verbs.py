"""The acting verbs: what they put to the lane, when they ask, how a refusal ends."""

import asyncio
import os
import pty
import sys
from pathlib import Path

import pytest

from edge_agent.model.decision import ActKind, ReferralReason, Role
from edge_agent.model.lane import LaneMode
from securecorridor.lane.v1.types_pb2 import Condition
from tests.unit.api.fake_lane import CONVEYANCE, DIGEST
from tests.unit.api.live_lane import live_lane
from tests.unit.cli.running import lanectl, run

SAID = ("--reason", "seen", "--yes")


@pytest.mark.real_time
async def test_hold_needs_nothing_and_goes_through_the_technicians_door(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("hold", LANE_OFFICER="")
        assert (ran.code, ran.out) == (0, "hold_lane (may be cleared by: officer)\n")
        ran = await ctl("hold", "--conveyance", CONVEYANCE[:13], "--reason", "trailer", "--door", "officer", "--json")
        assert set(ran.json["outcome"]) == {"etag", "message", "may_clear", "at"}
        first, second = ctl.lane.acts
        assert (first.kind, first.role, first.officer) == (ActKind.HOLD_LANE, Role.TECHNICIAN, f"uid-{os.getuid()}")
        assert (second.kind, second.role, second.conveyance_id, second.reason) == (
            ActKind.HOLD_CONVEYANCE, Role.OFFICER, CONVEYANCE, "trailer",
        )  # fmt: skip
        assert first.request_id != second.request_id


@pytest.mark.real_time
async def test_acts_are_bound_to_what_was_shown(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        assert (await ctl("release", CONVEYANCE, *SAID, "--lease", "7.5")).code == 0
        assert (await ctl("refer", CONVEYANCE, *SAID, "--for", "customs")).code == 0
        assert (await ctl("confirm-order", CONVEYANCE, *SAID)).code == 0
        assert (await ctl("confirm-order", "--empty", *SAID)).code == 0
        assert (await ctl("mode", "degraded", *SAID)).code == 0
        ctl.lane.held = True
        assert (await ctl("clear-hold", *SAID)).code == 0
        assert (await ctl("clear-fault", *SAID)).code == 0
        assert (await ctl("silence", "--reason", "heard")).code == 0
        ctl.lane.conditions_now = [Condition(code="RECORD_QUARANTINED")]
        ran = await ctl("acknowledge", "RECORD_QARANTINED")
        assert (ran.code, "in force: RECORD_QUARANTINED" in ran.err) == (6, True)
        assert (await ctl("acknowledge", "RECORD_QUARANTINED", LANE_OFFICER="")).code == 0
        release, refer, order, empty, mode, clear, fault, silence, seen = ctl.lane.acts
        assert (release.conveyance_id, release.etag, release.identity_digest, release.lease_s, release.officer) == (
            CONVEYANCE, "conveyance-1", DIGEST, 7.5, "bso-4711",
        )  # fmt: skip
        assert (refer.etag, refer.referral) == ("conveyance-2", ReferralReason.CUSTOMS)
        assert (order.etag, order.confirmed_order) == ("lane-3", (CONVEYANCE,))
        assert (empty.kind, empty.confirmed_order) == (ActKind.CONFIRM_ORDER, ())
        assert mode.mode == "degraded"
        assert (clear.kind, clear.role, clear.etag) == (ActKind.CLEAR_HOLD, Role.OFFICER, "hold-1")
        assert (fault.kind, fault.role) == (ActKind.CLEAR_FAULT, Role.TECHNICIAN)
        assert (silence.kind, silence.role, silence.reason) == (ActKind.SILENCE, Role.TECHNICIAN, "heard")
        assert (seen.kind, seen.role, seen.condition) == (ActKind.ACKNOWLEDGE, Role.TECHNICIAN, "RECORD_QUARANTINED")


@pytest.mark.real_time
async def test_a_mode_that_lets_more_pass_takes_control_where_nobody_has_it(tmp_path: Path) -> None:
    async with live_lane(tmp_path) as lane:
        for mode in ("closed", "degraded"):
            ran = await asyncio.to_thread(run, tmp_path, "mode", mode, *SAID)
            assert (ran.code, lane.loop.state.wanted_mode) == (0, LaneMode(mode)), ran.err
            officer = "bso-4711" if mode == "degraded" else ""
            assert lane.loop.state.control.officer == officer, "closing needs no control"
        ran = await asyncio.to_thread(run, tmp_path, "mode", "remote", *SAID, LANE_OFFICER="bso-2")
        assert (ran.code, "bso-4711 controls the lane" in ran.err, "take-control" in ran.err) == (5, True, True)


@pytest.mark.real_time
async def test_nothing_is_done_when_nobody_can_be_asked(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        for verb in (
            ("release", CONVEYANCE), ("refer", CONVEYANCE, "--for", "customs"), ("confirm-order", "--empty"),
            ("mode", "remote"), ("clear-hold",), ("clear-fault",),
        ):  # fmt: skip
            ran = await ctl(*verb, "--reason", "seen")
            assert (ran.code, "--yes" in ran.err) == (2, True), verb
        assert ctl.lane.acts == []


@pytest.mark.real_time
async def test_usage_errors_end_with_2(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        for verb in (
            ("release", CONVEYANCE, "--yes"),
            ("release", "1", *SAID),
            ("acknowledge",),
            ("refer", CONVEYANCE, *SAID),
            ("confirm-order", *SAID),
            ("confirm-order", CONVEYANCE, "--empty", *SAID),
            ("mode", "fault", *SAID),
            ("no-such-verb",),
        ):
            assert (await ctl(*verb)).code == 2, verb
        assert (await ctl("release", CONVEYANCE, *SAID, LANE_OFFICER="")).code == 2
        assert ctl.lane.acts == []


@pytest.mark.real_time
async def test_refusals_end_with_5_and_absence_with_6(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("release", CONVEYANCE, *SAID, "--door", "technician")
        assert (ran.code, "doors: officer" in ran.err, "[WRONG_DOOR]" in ran.err) == (5, True, True)
        ran = await ctl("mode", "remote", *SAID, "--door", "technician", "--json")
        assert ran.code == 5
        assert '"code": "ROLE_NOT_ALLOWED"' in ran.err
        for verb in ("release", "hold"):
            arguments = ("0190ffff", *SAID) if verb == "release" else ("--conveyance", "0190ffff")
            ran = await ctl(verb, *arguments)
            assert (ran.code, CONVEYANCE in ran.err) == (6, True)
        real, shown = ctl.lane._judge, ctl.lane.change

        def changed_meanwhile(act: object) -> object:
            shown()
            return real(act)  # type: ignore[arg-type]

        ctl.lane._judge = changed_meanwhile  # type: ignore[method-assign,assignment]
        ran = await ctl("release", CONVEYANCE, *SAID)
        assert (ran.code, "look again" in ran.err) == (5, True)
        assert ctl.lane.acts == []


@pytest.mark.real_time
@pytest.mark.parametrize(("answer", "code", "acts"), [("y", 0, 1), ("n", 5, 0)])
async def test_a_person_is_shown_the_vehicle_and_asked(tmp_path: Path, answer: str, code: int, acts: int) -> None:
    async with lanectl(tmp_path) as ctl:
        person, terminal = pty.openpty()
        with os.fdopen(person, "wb", buffering=0) as typing:
            arguments = ("release", "1", "--reason", "seen", "--officer", "bso-4711", "--socket-dir", str(tmp_path))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "from edge_agent.cli.lanectl import main; main()", *arguments,
                stdin=terminal, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            os.close(terminal)
            typing.write(f"{answer}\n".encode())
            out, _ = await process.communicate()
        assert process.returncode == code, out
        assert f"conveyance  {CONVEYANCE}, place 1, requested".encode() in out
        assert b"driver yes, cargo no" in out
        assert len(ctl.lane.acts) == acts


@pytest.mark.real_time
async def test_the_head_is_tested_by_somebody_who_says_that_the_lane_is_empty(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        for verb, kind in (("signal-test", ActKind.TEST_SIGNAL), ("commission", ActKind.TEST_KILL)):
            asked = await ctl(verb, "--reason", "new lamp", "--officer", "tech-7")
            assert (asked.code, "--lane-empty" in asked.err) == (2, True)
            ctl.lane.head_well = True
            passed = await ctl(verb, "--reason", "new lamp", "--officer", "tech-7", "--lane-empty")
            assert (passed.code, "passed" in passed.out) == (0, True), passed
            assert (ctl.lane.acts[-1].kind, ctl.lane.acts[-1].role, ctl.lane.acts[-1].lane_empty) == (
                kind, Role.TECHNICIAN, True,
            )  # fmt: skip
            ctl.lane.head_well = False
            failed = await ctl(verb, "--reason", "new lamp", "--officer", "tech-7", "--lane-empty", "--json")
            assert failed.code == 3
            assert "_FAILED" in failed.err
