"""What an officer does at the page arrives at the lane, bound to what was on the screen."""

import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from playwright.async_api import Page, expect

from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from tests.browser.console_page import OFFICER, at, officers_page
from tests.unit.console.fake_lane import FakeLane, Refusal, ago, conveyance, decide, quiet_lane, until

pytestmark = [pytest.mark.real_time, pytest.mark.needs("chromium")]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _two_trucks() -> pb.LaneState:
    state = quiet_lane()
    state.conveyances.extend([conveyance(1, -18.0), conveyance(2, -45.0)])
    return state


async def _arm(page: Page) -> None:
    """The first conveyance, RELEASE, and the moment that a bouncing key does not get past."""
    await page.keyboard.press("1")
    await page.keyboard.press("r")
    await expect(at(page, "confirm")).to_be_visible()
    await page.wait_for_timeout(400)


async def test_hold_by_one_key_reaches_the_lane(tmp_path: Path) -> None:
    lane = FakeLane()

    def held(_: Any) -> None:
        state = quiet_lane()
        state.hold.officer = OFFICER
        state.hold.since.CopyFrom(ago(0))
        state.hold.may_clear.append("officer")
        state.hold.etag = f"hold-{len(lane.acts)}"
        lane.show(state)

    lane.on_act = held
    async with officers_page(tmp_path, lane) as page:
        await page.keyboard.press("h")
        await expect(at(page, "act-result")).to_contain_text("HOLD arrived")
        await expect(at(page, "held")).to_contain_text(f"LANE HELD by {OFFICER}")
        (act,) = lane.acts
        assert isinstance(act, pb.HoldLaneRequest)
        assert act.officer == OFFICER
        assert _UUID.fullmatch(act.request_id)
        await page.keyboard.press("c")
        await expect(at(page, "confirm-words")).to_have_text("CLEAR HOLD of the lane?")
        lane.state.hold.etag = "hold-again"
        lane.show(lane.state)
        await expect(at(page, "act-result")).to_contain_text("the hold has changed: look again")
        await expect(at(page, "confirm")).to_be_hidden()
        await page.keyboard.press("c")
        await expect(at(page, "confirm")).to_be_visible()
        await page.wait_for_timeout(400)
        await page.keyboard.press("Enter")
        await until(lambda: len(lane.acts) == 2)
        cleared = lane.acts[1]
        assert isinstance(cleared, pb.ClearHoldRequest)
        assert cleared.etag == "hold-again"


async def test_hold_stays_in_reach_behind_any_panel(tmp_path: Path) -> None:
    lane = FakeLane(state=_two_trucks())
    async with officers_page(tmp_path, lane) as page:
        await page.keyboard.press("2")
        await page.keyboard.press("f")
        await expect(at(page, "panel")).to_be_visible()
        await page.keyboard.press("h")
        await until(lambda: len(lane.acts) == 1)
        await at(page, "hold").click()
        await until(lambda: len(lane.acts) == 2)
        assert {type(act) for act in lane.acts} == {pb.HoldLaneRequest}
        assert lane.acts[0].request_id != lane.acts[1].request_id


async def test_release_names_what_was_on_the_screen(tmp_path: Path) -> None:
    lane = FakeLane(state=_two_trucks())
    async with officers_page(tmp_path, lane) as page:
        await page.keyboard.press("r")
        await expect(at(page, "act-result")).to_contain_text("select a conveyance first")
        await page.keyboard.press("ArrowDown")
        await expect(at(page, "conveyance").first).to_have_attribute("aria-current", "true")
        await page.keyboard.press("r")
        await page.keyboard.press("Enter")
        assert lane.acts == [], "a bouncing key is no confirmation"
        await page.wait_for_timeout(400)
        await page.keyboard.press("Enter")
        await expect(at(page, "act-result")).to_contain_text("RELEASE arrived")
        (act,) = lane.acts
        assert isinstance(act, pb.ReleaseConveyanceRequest)
        seen = lane.state.conveyances[0]
        assert (act.conveyance_id, act.etag) == (seen.conveyance_id, seen.etag)
        assert act.identity_digest == seen.identity_digest


async def test_release_lapses_without_a_confirmation(tmp_path: Path) -> None:
    lane = FakeLane(state=_two_trucks())
    async with officers_page(tmp_path, lane) as page:
        await _arm(page)
        await expect(at(page, "confirm")).to_be_hidden(timeout=5000)
        await page.keyboard.press("Enter")
        await _arm(page)
        await page.keyboard.press("Escape")
        await page.keyboard.press("Enter")
        await at(page, "conveyance").nth(1).click()
        await page.wait_for_timeout(300)
        assert lane.acts == []


async def test_release_is_dropped_when_the_vehicle_changes_under_the_hand(tmp_path: Path) -> None:
    lane = FakeLane(state=_two_trucks())
    async with officers_page(tmp_path, lane) as page:
        await _arm(page)
        changed = _two_trucks()
        decide(changed.conveyances[0], types.VERDICT_REFER_SECONDARY)
        changed.conveyances[0].etag = "etag-1b"
        lane.show(changed)
        await expect(at(page, "changed")).to_contain_text("what you saw has changed")
        await expect(at(page, "changed")).to_contain_text("REFER by central")
        await page.keyboard.press("Enter")
        assert lane.acts == []
        await page.keyboard.press("Escape")
        await expect(at(page, "changed")).to_be_hidden()


async def test_a_refused_release_shows_what_changed(tmp_path: Path) -> None:
    lane = FakeLane(state=_two_trucks())
    lane.refuse = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "the identity has changed", "STATE_CHANGED")
    async with officers_page(tmp_path, lane) as page:
        await _arm(page)
        await page.keyboard.press("Enter")
        await expect(at(page, "act-result")).to_contain_text("RELEASE NOT DONE: the identity has changed")
        await expect(at(page, "changed")).to_contain_text("Look again")
        later = _two_trucks()
        later.conveyances[0].flags.append("multiple_cards")
        later.conveyances[0].etag = "etag-1b"
        lane.show(later)
        await expect(at(page, "changed")).to_contain_text("several driver cards")


async def test_refer_gives_a_reason(tmp_path: Path) -> None:
    lane = FakeLane(state=_two_trucks())
    async with officers_page(tmp_path, lane) as page:
        await page.keyboard.press("2")
        await page.keyboard.press("f")
        await expect(at(page, "panel")).to_contain_text("ALLEZ À L'INSPECTION SECONDAIRE")
        await page.keyboard.press("Enter")
        await expect(at(page, "panel-go")).to_be_disabled()
        await page.keyboard.press("3")
        await page.keyboard.press("Enter")
        await until(lambda: lane.acts)
        (act,) = lane.acts
        assert isinstance(act, pb.ReferConveyanceRequest)
        assert act.referral_reason == types.REFERRAL_REASON_CUSTOMS
        assert act.etag == lane.state.conveyances[1].etag


async def test_the_order_is_confirmed_by_ticking_what_the_camera_shows(tmp_path: Path) -> None:
    state = _two_trucks()
    state.corridor_order_known = False
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        await expect(at(page, "order-banner")).to_be_visible()
        await page.keyboard.press("o")
        await expect(at(page, "panel-go")).to_have_text("The corridor is EMPTY; 2 listed not there")
        await page.keyboard.press("2")
        await page.keyboard.press("1")
        await expect(at(page, "panel-go")).to_have_text("I see exactly 2, in this order")
        await at(page, "panel-go").click()
        await until(lambda: lane.acts)
        (act,) = lane.acts
        assert isinstance(act, pb.ConfirmCorridorOrderRequest)
        assert act.etag == "lane-1"
        assert list(act.conveyance_ids) == [each.conveyance_id for each in state.conveyances]
