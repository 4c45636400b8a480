"""The page never shows more than is known: an unconfirmed green is not green, an old state is not the lane."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from securecorridor.lane.v1 import actuators_pb2 as pb_act
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from tests.browser.console_page import at, free_port, officers_page, sign_in
from tests.browser.media_page import browser_page
from tests.conformance.camera.peers import virtual_camera
from tests.unit.console.fake_lane import (
    TOKEN,
    FakeLane,
    ago,
    console,
    conveyance,
    decide,
    lane_door,
    quiet_lane,
    set_signal,
    until,
)
from tests.unit.media.lane import camera_settings, media_process

pytestmark = [pytest.mark.real_time, pytest.mark.needs("chromium")]

# The colours the page paints anywhere inside an element, as r, g, b.
_PAINTED = """
node => [node, ...node.querySelectorAll('*')].flatMap(each => {
  const style = getComputedStyle(each);
  return [style.color, style.backgroundColor, style.fill, style.stroke, style.borderTopColor]
    .map(colour => (colour.match(/[0-9.]+/g) ?? []).map(Number))
    .filter(([r, g, b, a]) => r !== undefined && a !== 0);
})
"""

# How often the page took what it shows for the lane as it is.
_COUNT_FRESH = """
window.fresh = 0;
addEventListener('DOMContentLoaded', () =>
  new MutationObserver(() => { if (document.body.dataset.stale === 'false') window.fresh += 1; })
    .observe(document.body, { attributes: true, attributeFilter: ['data-stale'] }));
"""

# Whether a state is old: just seen; after a sleep in which the steady clock stood still; seen anew.
_SLEEP = """
async () => {
  const { View } = await import('/static/stream.js');
  const view = new View({ index: 0 });
  const see = () => {
    view.take('state', {});
    view.take('link', { connected: true, state_age_s: 0.1 });
    return view.stale;
  };
  const seen = see(), wall = Date.now;
  Date.now = () => wall() + 60_000;
  const slept = view.stale;
  const again = see();
  Date.now = wall;
  return [seen, slept, again];
}
"""


async def _greenish(page: Page, name: str) -> bool:
    painted = await at(page, name).evaluate(_PAINTED)
    return any(g > r + 30 and g > b + 30 for r, g, b, *_ in painted)


async def test_only_a_confirmed_green_is_green(tmp_path: Path) -> None:
    lane = FakeLane()
    async with officers_page(tmp_path, lane) as page:
        await expect(at(page, "signal-word")).to_have_text("RED")
        await expect(at(page, "signal-driver")).to_have_text("STOP · ARRÊT")
        not_green = (
            (types.ASPECT_UNSPECIFIED, types.GRADE_UNSPECIFIED, "NOT CONFIRMED"),
            (types.ASPECT_GREEN, types.GRADE_COIL, "NOT CONFIRMED"),
            (types.ASPECT_RED, types.GRADE_LAMP, "RED"),
            (types.ASPECT_DARK, types.GRADE_LAMP, "DARK"),
        )
        for confirmed, grade, word in not_green:
            state = quiet_lane()
            truck = conveyance(1)
            truck.green = True
            state.conveyances.append(truck)
            set_signal(state, types.ASPECT_GREEN, confirmed, grade)
            lane.show(state)
            await expect(at(page, "signal-word")).to_have_text(word)
            await expect(at(page, "signal-detail")).to_contain_text("GREEN commanded, not confirmed")
            await expect(at(page, "conveyance-grant")).to_contain_text("not confirmed")
            assert not await _greenish(page, "signal")
            assert not await _greenish(page, "queue")
        state = quiet_lane()
        truck = conveyance(1)
        truck.green = True
        state.conveyances.append(truck)
        set_signal(state, types.ASPECT_GREEN, types.ASPECT_GREEN)
        lane.show(state)
        await expect(at(page, "signal-word")).to_have_text("GREEN")
        await expect(at(page, "signal-driver")).to_have_text("PROCEED SLOWLY · AVANCEZ LENTEMENT")
        await expect(at(page, "conveyance-grant")).to_have_text("▲ the green is for this one")
        assert await _greenish(page, "signal")
        state.signal.readback_age.FromMilliseconds(4000)
        lane.show(state)
        await expect(at(page, "signal-word")).to_have_text("UNKNOWN")
        assert not await _greenish(page, "signal")


async def test_arm_sign_beacon_and_tone_are_told_as_they_are_known(tmp_path: Path) -> None:
    lane = FakeLane()
    async with officers_page(tmp_path, lane) as page:
        await expect(at(page, "actuators").locator("li")).to_have_count(0)
        state = quiet_lane()
        state.arm.position, state.arm.asked = pb_act.ArmState.POSITION_DOWN, pb_act.ArmState.MOVEMENT_RAISE
        state.arm.position_since.CopyFrom(ago(14))
        state.sign.wanted = state.sign.shown = pb_act.SignState.TEXT_STOP
        for alarm in (state.beacon, state.tone):
            alarm.wanted = alarm.shown = pb_act.AlarmState.LEVEL_OFF
        lane.show(state)
        await expect(at(page, "actuator-arm")).to_contain_text("Arm down · asked up")
        await expect(at(page, "actuator-arm")).to_contain_text("14 s")
        await expect(at(page, "actuator-sign")).to_contain_text("Sign: STOP · ARRÊT · commanded only")
        state.sign.grade = types.GRADE_CONTACT
        lane.show(state)
        await expect(at(page, "actuator-sign")).not_to_contain_text("commanded only")
        await expect(at(page, "actuator-sign")).to_contain_text("Sign: STOP · ARRÊT")
        await expect(at(page, "actuators").locator("li")).to_have_count(2)
        state.arm.position, state.arm.fault = pb_act.ArmState.POSITION_BETWEEN, "BARRIER_NOT_MOVED"
        state.sign.wanted = pb_act.SignState.TEXT_PROCEED
        state.sign.shown = pb_act.SignState.TEXT_UNSPECIFIED
        state.beacon.wanted = state.beacon.shown = pb_act.AlarmState.LEVEL_ON
        state.tone.shown = pb_act.AlarmState.LEVEL_ON
        lane.show(state)
        await expect(at(page, "actuator-arm")).to_contain_text("FAULT: it did not move")
        await expect(at(page, "actuator-arm")).to_have_attribute("data-bad", "true")
        await expect(at(page, "actuator-sign")).to_contain_text("Sign not confirmed: PROCEED SLOWLY")
        await expect(at(page, "actuator-beacon")).to_contain_text("Beacon on")
        await expect(at(page, "actuator-tone")).to_contain_text("Tone: not confirmed")
        state.tone.wanted = pb_act.AlarmState.LEVEL_ON
        lane.show(state)
        await expect(at(page, "actuator-tone")).to_contain_text("Tone on")
        await expect(at(page, "silence-beacon")).to_be_hidden()
        await at(page, "silence-tone").click()
        await expect(at(page, "act-result")).to_contain_text("SILENCE arrived")
        assert [type(act).__name__ for act in lane.acts] == ["SilenceAlarmsRequest"]
        state.tone.wanted = state.tone.shown = pb_act.AlarmState.LEVEL_OFF
        state.tone.silenced_by = "bso-7421"
        lane.show(state)
        await expect(at(page, "actuator-tone")).to_contain_text("Tone off · silenced by bso-7421")
        await expect(at(page, "silence-tone")).to_be_hidden()
        state.sign.shown = pb_act.SignState.TEXT_CLOSED
        lane.show(state)
        await expect(at(page, "actuator-sign")).to_contain_text("Sign says LANE CLOSED · VOIE FERMÉE, not PROCEED")
        lane.silent = True
        await expect(at(page, "contact-banner")).to_be_visible(timeout=5000)
        await expect(at(page, "actuators").locator("li")).to_have_count(0)
        lane.silent = False


async def test_lost_contact_is_unmistakable_and_only_hold_is_left(tmp_path: Path) -> None:
    state = quiet_lane()
    truck = conveyance(1)
    decide(truck, types.VERDICT_RELEASE)
    truck.green = True
    state.conveyances.append(truck)
    set_signal(state, types.ASPECT_GREEN, types.ASPECT_GREEN)
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        await expect(at(page, "signal-word")).to_have_text("GREEN")
        await page.keyboard.press("1")
        lane.silent = True
        banner = at(page, "contact-banner")
        await expect(banner).to_be_visible(timeout=5000)
        await expect(banner).to_contain_text("NO CONTACT WITH LANE SINCE")
        await expect(banner).to_contain_text("WHAT YOU SEE IS OLD")
        await expect(at(page, "signal-word")).to_have_text("UNKNOWN")
        assert not await _greenish(page, "signal")
        for act in ("release", "refer", "hold-conveyance", "direct", "set-mode", "clear-hold"):
            await expect(at(page, act)).to_be_disabled()
        await expect(at(page, "hold")).to_be_enabled()
        await page.keyboard.press("r")
        await expect(at(page, "act-result")).to_contain_text("only HOLD is tried")
        await page.keyboard.press("h")
        await expect(at(page, "act-result")).to_contain_text("HOLD arrived")
        assert [type(act).__name__ for act in lane.acts] == ["HoldLaneRequest"]
        await page.add_init_script(_COUNT_FRESH)
        await page.reload()
        await expect(banner).to_contain_text("WHAT YOU SEE IS OLD")
        assert await page.evaluate("window.fresh") == 0, "the old state was shown as the lane's, if for a moment only"
        assert await page.evaluate(_SLEEP) == [False, True, False]
        lane.silent = False
        await expect(banner).to_be_hidden()
        await expect(at(page, "signal-word")).to_have_text("GREEN")


async def test_a_link_with_the_token_behind_its_mark_signs_in(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url, browser_page(tmp_path / "profile") as page:
        await page.goto(f"{url}/login#officer=demo&token={quote(TOKEN)}")
        await expect(at(page, "officer")).to_have_text("demo")
        assert TOKEN.split()[-1] not in page.url


async def test_a_hold_that_did_not_arrive_says_so(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with console(tmp_path, door) as url, browser_page(tmp_path / "profile") as page:
        async with lane_door(lane, door):
            await sign_in(page, url)
        await expect(at(page, "contact-banner")).to_be_visible(timeout=5000)
        await page.keyboard.press("h")
        result = at(page, "act-result")
        await expect(result).to_contain_text("✗", timeout=8000)
        await expect(result).to_have_attribute("data-kind", "failed")
        assert lane.acts == []


async def test_the_page_knows_when_its_console_is_gone(tmp_path: Path) -> None:
    lane, door, port = FakeLane(), tmp_path / "officer.sock", free_port()
    async with lane_door(lane, door), browser_page(tmp_path / "profile") as page:
        async with console(tmp_path, door, listen_port=port) as url:
            await sign_in(page, url)
        await expect(at(page, "contact-banner")).to_contain_text("this page has lost its console", timeout=8000)
        await page.keyboard.press("h")
        await expect(at(page, "act-result")).to_contain_text("HOLD NOT DONE: the console could not be reached")
        async with console(tmp_path, door, listen_port=port):
            await expect(at(page, "contact-banner")).to_be_hidden(timeout=10_000)
            await expect(at(page, "signal-word")).to_have_text("RED")


async def test_a_card_says_what_is_known_of_a_conveyance(tmp_path: Path) -> None:
    state = quiet_lane()
    first, second = conveyance(1, -3.0, 0.0), conveyance(2, -40.0, 12.0)
    first.standing_at_line = True
    first.flags.append("no_tag")
    first.hold.officer = "bso-9"
    first.hold.since.CopyFrom(ago(5))
    decide(second, types.VERDICT_RELEASE)
    state.conveyances.extend([first, second])
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        cards = at(page, "conveyance")
        await expect(cards).to_have_count(2)
        one, two = cards.nth(0), cards.nth(1)
        await expect(one).to_contain_text("stands at line")
        await expect(one).to_contain_text("no tag read")
        await expect(one).to_contain_text("HELD by bso-9")
        await expect(one.get_by_test_id("leg-cargo")).to_have_text("✗\u00a0Cargo\nmissing")
        await expect(one.get_by_test_id("conveyance-identities")).to_contain_text("CA-ON AB 123 CD")
        await expect(two).to_contain_text("✓\u00a0Cargo")
        await expect(two.get_by_test_id("conveyance-decision")).to_contain_text("RELEASEcentral · FLE")
        await expect(two.get_by_test_id("conveyance-commit")).to_have_text("≈ 9 s")
        await expect(at(page, "why-red")).to_contain_text("No conveyance has permission")
        await page.reload()
        await expect(cards).to_have_count(2)


@contextlib.asynccontextmanager
async def _filmed(folder: Path, lane: FakeLane) -> AsyncIterator[Page]:
    port = free_port()
    door = folder / "officer.sock"
    async with (
        virtual_camera(folder, "--barcode") as (camera, _),
        media_process(camera_settings(camera), allowed_origins=(f"http://127.0.0.1:{port}",)) as media,
        lane_door(lane, door),
        console(folder, door, listen_port=port, media_url=media.url) as url,
        browser_page(folder / "profile") as page,
    ):
        await sign_in(page, url)
        yield page


async def test_the_lanes_picture_plays_and_tells_when_it_is_old(tmp_path: Path) -> None:
    lane = FakeLane()
    async with contextlib.AsyncExitStack() as stack:
        page = await stack.enter_async_context(_filmed(tmp_path, lane))
        await expect(at(page, "picture")).to_have_attribute("data-live", "true", timeout=20_000)
        await expect(at(page, "picture-status")).to_be_hidden()
        assert await at(page, "video").evaluate("video => video.videoWidth") == 640
        await page.evaluate("document.querySelector('video').srcObject.getTracks().forEach(track => track.stop())")
        await expect(at(page, "picture-status")).to_contain_text("NO PICTURE SINCE", timeout=8000)
        await expect(at(page, "picture")).to_have_attribute("data-live", "true", timeout=20_000)


async def test_tiles_lead_to_every_lane(tmp_path: Path) -> None:
    lanes = [FakeLane(), FakeLane()]
    set_signal(lanes[1].state, types.ASPECT_GREEN, types.ASPECT_GREEN)
    doors = [tmp_path / "a.sock", tmp_path / "b.sock"]
    async with (
        lane_door(lanes[0], doors[0]),
        lane_door(lanes[1], doors[1]),
        console(tmp_path, *doors) as url,
        browser_page(tmp_path / "profile") as page,
    ):
        await sign_in(page, url)
        tiles = at(page, "tile")
        await expect(tiles).to_have_count(2)
        await expect(tiles.nth(1)).to_contain_text("GREEN")
        await until(lambda: lanes[0].watches == lanes[1].watches == ["bso-7421"])
        await page.keyboard.press("]")
        await expect(at(page, "lane-name")).to_have_text("Lane 08")
        await page.go_back()
        await expect(at(page, "lane-name")).to_have_text("Lane 07")
        await page.go_forward()
        await expect(at(page, "lane-name")).to_have_text("Lane 08")
        await expect(at(page, "signal-word")).to_have_text("GREEN")
        await page.keyboard.press("h")
        await until(lambda: lanes[1].acts)
        assert lanes[0].acts == []
        lanes[0].silent = True
        await expect(tiles.nth(0)).to_contain_text("NO CONTACT", timeout=6000)
        await expect(at(page, "contact-banner")).to_be_hidden()
        await asyncio.sleep(0)


async def test_causes_of_one_code_stay_as_many_as_they_are(tmp_path: Path) -> None:
    """Two legs are waited for, one cause even comes twice: after many states the list has what the lane says."""
    state = quiet_lane()
    del state.red_causes[:]
    for leg in ("driver", "conveyance", "conveyance"):
        cause = state.red_causes.add(code="WAITING_IDENTITY", text=f"waiting for identity: {leg}", hint="ask")
        cause.since.CopyFrom(ago(4))
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        causes = at(page, "why-red").locator("li")
        await expect(causes).to_have_count(3)
        for turn in range(12):
            state.etag = f"lane-{turn}"
            lane.show(state)
            await page.wait_for_timeout(120)
        await expect(causes).to_have_count(3)
        await expect(causes.nth(0)).to_contain_text("driver", ignore_case=True)
        del state.red_causes[1:]
        lane.show(state)
        await expect(causes).to_have_count(1)


def _module_gone() -> pb.LaneState:
    """What a lane says when its I/O module has gone in the middle of a passage."""
    state = quiet_lane()
    del state.red_causes[:]
    for zone in state.zones:
        zone.level = pb.ZoneState.LEVEL_UNKNOWN
    set_signal(state, types.ASPECT_UNSPECIFIED, types.ASPECT_UNSPECIFIED, types.GRADE_UNSPECIFIED)
    causes = [
        ("ZONES_LOST", "zone inputs are not known", ""),
        ("REQUIRED_DEVICE_DOWN", "io-1 is down: MODBUS_LINK_LOST", ""),
        ("STOP_LINE_OCCUPIED", "the vehicle ahead has not cleared the stop line", ""),
        ("NOT_RELEASED", "decision is hold_at_line", "system"),
        *(
            (code, f"interlock: {code}", "interlock")
            for code in ("module_not_ready", "readback_unknown", "minimum_red")
        ),
    ]
    for code, text, by in causes:
        state.red_causes.add(code=code, text=text, by=by, hint="look (lanectl devices)", since=ago(6))
    alarms = [
        ("MODBUS_LINK_LOST", "io-1: io-1 at 127.0.0.1:43751: Connection refused", "io-1"),
        ("REQUIRED_DEVICE_DOWN", "A device that policy requires is down", ""),
        ("ZONES_LOST", "Zone inputs are lost", ""),
        ("CENTRE_LOST", "Central does not answer", ""),
    ]
    for code, title, device in alarms:
        state.conditions.add(
            code=code, severity=types.SEVERITY_ALARM, title=title, hint="lanectl devices", device=device, since=ago(6)
        )
    return state


async def test_a_lost_module_is_told_above_all_and_nothing_stays_live(tmp_path: Path) -> None:
    lane = FakeLane()
    lane.state.conveyances.append(conveyance(1, -20.0))
    async with officers_page(tmp_path, lane) as page:
        place, trouble = at(page, "conveyance-place"), at(page, "trouble-banner")
        await expect(place).to_have_text("20 m before · 14 km/h")
        await expect(trouble).to_be_hidden()
        gone = _module_gone()
        gone.conveyances.append(conveyance(1, -20.0))
        lane.show(gone)
        await expect(trouble).to_contain_text("I/O MODULE DOWN — SIGNAL NOT CONFIRMED")
        await expect(trouble).to_contain_text("Connection refused")
        await expect(at(page, "signal-detail")).to_have_text("The signal cannot be read: look at it on camera")
        await expect(place).to_have_text("place ? · speed ?")
        await expect(at(page, "conveyance-commit")).to_have_text("≈ ?")
        await expect(at(page, "corridor")).to_contain_text("positions are not known")
        await expect(at(page, "corridor").locator(".truck")).to_be_hidden()
        lane.silent = True
        await expect(at(page, "contact-banner")).to_be_visible(timeout=5000)
        await expect(trouble).to_be_hidden()


async def test_a_short_gap_of_the_feedback_raises_no_banner_and_a_longer_one_does(tmp_path: Path) -> None:
    lane = FakeLane()
    async with officers_page(tmp_path, lane) as page:
        state = quiet_lane()
        set_signal(state, types.ASPECT_RED, types.ASPECT_UNSPECIFIED, types.GRADE_UNSPECIFIED)
        lane.show(state)
        await expect(at(page, "signal-detail")).to_have_text("RED commanded, not confirmed")
        await expect(at(page, "trouble-banner")).to_be_hidden()
        await expect(at(page, "trouble-banner")).to_have_text("SIGNAL NOT CONFIRMED")
        lane.show(quiet_lane())
        await expect(at(page, "trouble-banner")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
async def test_lists_that_do_not_fit_say_how_much_more_there_is(tmp_path: Path, width: int, height: int) -> None:
    lane = FakeLane(state=_module_gone())
    async with officers_page(tmp_path, lane) as page:
        await page.set_viewport_size({"width": width, "height": height})
        for name in ("why-red", "conditions"):
            more = at(page, "why-more" if name == "why-red" else "conditions-more")
            await expect(more).to_be_in_viewport(ratio=1)
            await expect(more).to_have_text(re.compile(r"\+\d+ more"))
            while await more.is_visible():
                await more.click()
                await page.wait_for_timeout(150)
            await expect(at(page, name).locator("li").last).to_be_in_viewport(ratio=0.9)


async def test_an_officer_reads_words_and_not_codes(tmp_path: Path) -> None:
    state = _module_gone()
    state.red_causes.add(code="REQUIRED_DEVICE_DOWN", text="rfid-1 is down: SERIAL_LINK_LOST", hint="(lanectl devices)")
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        why = at(page, "why-red")
        for said in (
            "Vehicle sensors out of contact",
            "I/O module out of contact",
            "Reader out of contact",
            "Decision: hold at the line",
            "The signal cannot be read",
            "Call the technician.",
        ):
            await expect(why).to_contain_text(said)
        titles = await page.locator("#why b, #conditions b").all_inner_texts()
        hints = await page.locator("#why p > span, #conditions p > span").all_inner_texts()
        assert not [said for said in titles + hints if "_" in said or "lanectl" in said]


async def test_a_card_never_guesses_place_or_speed(tmp_path: Path) -> None:
    state = quiet_lane()
    waits, nowhere, slow, gone_by = (conveyance(n, -30.0, 9.0) for n in (1, 2, 3, 4))
    waits.standing_at_line, waits.position_earliest_m, waits.position_latest_m = True, 0.0, 0.0
    nowhere.position_earliest_m = nowhere.position_latest_m = 0.0
    slow.speed_kmh = 0.0
    gone_by.committed = gone_by.green = True
    state.conveyances.extend([waits, nowhere, slow, gone_by])
    async with officers_page(tmp_path, FakeLane(state=state)) as page:
        places, commits = at(page, "conveyance-place"), at(page, "conveyance-commit")
        await expect(places).to_have_text(
            ["at the line", "place ? · speed ?", "30 m before · speed ?", "30 m before · 9 km/h"]
        )
        await expect(commits).to_have_text(["stands at line", "≈ ?", re.compile("≈ "), "too late to stop"])
        await page.set_viewport_size({"width": 1440, "height": 900})
        for card in await at(page, "conveyance").all():
            chips = card.get_by_test_id(re.compile("^leg-"))
            inside = await chips.evaluate_all(
                "chips => chips.every(c => c.scrollWidth <= c.clientWidth && c.getBoundingClientRect().right"
                " <= c.closest('.card').getBoundingClientRect().right)"
            )
            assert inside
