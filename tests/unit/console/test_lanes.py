"""States, contact and acts between browsers and lanes."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from tests.unit.console.fake_lane import (
    TOKEN,
    FakeLane,
    Refusal,
    console,
    conveyance,
    decide,
    lane_door,
    quiet_lane,
    until,
)

pytestmark = pytest.mark.real_time


class Events:
    """A page's stream, read as a program would."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self, kind: str) -> Any:
        """The data of the next event of this kind."""
        async with asyncio.timeout(10):
            name = ""
            async for line in self._answer.content:
                text = line.decode().rstrip()
                name = text.removeprefix("event: ") if text.startswith("event: ") else name
                if text.startswith("data: ") and name == kind:
                    return json.loads(text.removeprefix("data: "))
        raise AssertionError(f"the stream ended before {kind}")

    async def until(self, kind: str, **wanted: Any) -> Any:
        """The next event of this kind with these values."""
        while True:
            data = await self.next(kind)
            if all(data.get(name) == value for name, value in wanted.items()):
                return data


def officer(name: str = "bso-7421") -> aiohttp.ClientSession:
    """A program with the token."""
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}", "X-Officer": name})


@asynccontextmanager
async def page(http: aiohttp.ClientSession, url: str, lane: int = 0, query: str = "") -> AsyncIterator[Events]:
    """An open stream."""
    async with http.get(f"{url}/api/lanes/{lane}/events{query}") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Events(answer)


async def act(http: aiohttp.ClientSession, url: str, name: str, **body: Any) -> tuple[int, Any]:
    """Put an act; status and answer."""
    given = {"request_id": str(uuid.uuid4()), **body}
    async with http.post(f"{url}/api/lanes/0/acts/{name}", json=given) as answer:
        return answer.status, await answer.json()


async def test_states_come_as_they_change_and_as_a_sign_of_life(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url, officer() as http, page(http, url) as events:
        first = await events.next("state")
        assert first["name"] == "ports/0453/lanes/07"
        assert first["signal"]["confirmed"] == "ASPECT_RED"
        assert first["corridor_order_known"] is True
        assert first["conveyances"] == []
        link = await events.next("link")
        assert link["connected"] is True
        assert 0 <= link["state_age_s"] < 2.5
        state = quiet_lane()
        truck = conveyance(1)
        decide(truck, types.VERDICT_RELEASE)
        state.conveyances.append(truck)
        lane.show(state)
        while not (seen := await events.next("state"))["conveyances"]:
            pass
        (card,) = seen["conveyances"]
        assert card["decision"]["verdict"] == "VERDICT_RELEASE"
        assert card["identities"][0]["kind"] == "IDENTITY_KIND_DRIVER_CARD"
        assert card["committed"] is False, "false is written out"
        before = lane.state.at.mono_ns
        await events.next("state")
        await until(lambda: lane.state.at.mono_ns > before)


async def test_the_officer_is_present_while_a_browser_watches(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url:
        await until(lambda: lane.watches == [""])
        async with officer("bso-1") as one, officer("bso-2") as two:
            async with page(one, url) as events:
                await events.next("state")
                await until(lambda: lane.watches == ["bso-1"])
                async with page(two, url) as other:
                    await other.next("state")
                    assert lane.watches == ["bso-1"], "one watch per lane"
                    one_left = asyncio.get_running_loop().time()
                    await one.close()
                    await until(lambda: lane.watches == ["bso-2"])
                    assert asyncio.get_running_loop().time() - one_left < 9
            await two.close()
            await until(lambda: lane.watches == [""])


async def test_an_officer_is_never_gone_between_two_watches(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    gaps: list[int] = []
    async with (
        lane_door(lane, door),
        console(tmp_path, door) as url,
        officer("bso-1") as one,
        officer("bso-2") as two,
        page(one, url) as first,
        page(two, url) as second,
    ):
        await first.next("state")
        await until(lambda: lane.watches == ["bso-1"])
        await one.close()
        while lane.watches != ["bso-2"]:
            gaps.append(sum(bool(watch) for watch in lane.watches))
            await asyncio.sleep(0.001)
        await second.next("state")
    assert 0 not in gaps


async def test_an_agent_that_goes_and_comes_back(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with console(tmp_path, door) as url, officer() as http, page(http, url) as events:
        assert (await events.next("link"))["connected"] is False
        async with lane_door(lane, door):
            await events.until("link", connected=True)
            await events.next("state")
        away = await events.until("link", connected=False)
        later = await events.until("link", connected=False)
        assert later["since"] == away["since"]
        assert later["state_age_s"] > away["state_age_s"], "an old state is told as old, not sent again"
        async with lane_door(lane, door):
            back = await events.until("link", connected=True)
            assert back["since"] > away["since"]
            await events.next("state")


async def test_an_agent_that_only_says_nothing_is_away_too(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url, officer() as http, page(http, url) as events:
        await events.until("link", connected=True)
        lane.silent = True
        link = await events.until("link", connected=False)
        assert link["state_age_s"] >= 2
        lane.silent = False
        await events.until("link", connected=True)


async def test_tiles_tell_of_every_lane(tmp_path: Path) -> None:
    held, door = FakeLane(), tmp_path / "a.sock"
    held.state.hold.officer = "bso-1"
    waiting = conveyance(1, -1.0, 0.0)
    waiting.standing_at_line = True
    held.state.conveyances.append(waiting)
    away = tmp_path / "b.sock"
    async with (
        lane_door(held, door),
        console(tmp_path, door, away) as url,
        officer() as http,
        page(http, url, query="?tiles=1") as events,
    ):
        await events.until("link", connected=True)
        first, second = await events.next("lanes")
        while not first["connected"]:
            first, second = await events.next("lanes")
        assert (first["name"], first["hold"], first["waiting"], first["conveyances"]) == ("Lane 07", True, 1, 1)
        assert first["signal"]["confirmed"] == "ASPECT_RED"
        assert second["connected"] is False
        assert "signal" not in second


@pytest.mark.parametrize(("name", "body", "request_type"), [
    ("hold_lane", {"reason": "dog"}, pb.HoldLaneRequest),
    ("hold_conveyance", {"conveyance_id": "c"}, pb.HoldConveyanceRequest),
    ("clear_hold", {}, pb.ClearHoldRequest),
    ("release", {"conveyance_id": "c", "etag": "e", "identity_digest": "d", "lease": "20s"},
     pb.ReleaseConveyanceRequest),
    ("refer", {"conveyance_id": "c", "referral_reason": "REFERRAL_REASON_CUSTOMS"}, pb.ReferConveyanceRequest),
    ("direct", {"conveyance_id": "c", "verdict": "VERDICT_REFUSE_RETURN"}, pb.DirectConveyanceRequest),
    ("confirm_order", {"etag": "e", "conveyance_ids": ["a", "b"]}, pb.ConfirmCorridorOrderRequest),
    ("set_mode", {"mode": "LANE_MODE_CLOSED"}, pb.SetLaneModeRequest),
    ("clear_fault", {}, pb.ClearSignalFaultRequest),
    ("silence", {}, pb.SilenceAlarmsRequest),
    ("acknowledge", {"condition": "RFID_LINK_LOST"}, pb.AcknowledgeConditionRequest),
])  # fmt: skip
async def test_every_act_arrives(tmp_path: Path, name: str, body: dict[str, Any], request_type: Any) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url, officer() as http:
        request_id = str(uuid.uuid4())
        status, answer = await act(http, url, name, request_id=request_id, **body)
    assert (status, answer["ok"], answer["code"], answer["message"]) == (200, True, "OK", "done")
    (request,) = lane.acts
    assert type(request) is request_type
    assert (request.request_id, request.officer) == (request_id, "bso-7421")
    for field, value in body.items():
        if isinstance(value, str) and not value.startswith(("REF", "VERD", "LANE", "20s")):
            assert getattr(request, field) == value


@pytest.mark.parametrize(("code", "status"), [
    (grpc.StatusCode.FAILED_PRECONDITION, 409),
    (grpc.StatusCode.PERMISSION_DENIED, 403),
    (grpc.StatusCode.NOT_FOUND, 404),
    (grpc.StatusCode.INVALID_ARGUMENT, 400),
    (grpc.StatusCode.UNAVAILABLE, 503),
    (grpc.StatusCode.INTERNAL, 502),
])  # fmt: skip
async def test_a_refusal_keeps_its_reason(tmp_path: Path, code: grpc.StatusCode, status: int) -> None:
    lane, door = FakeLane(refuse=Refusal(code, "look again", "STATE_CHANGED")), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url, officer() as http:
        given, answer = await act(http, url, "release", conveyance_id="c")
    assert given == status
    assert (answer["ok"], answer["code"], answer["reason"]) == (False, code.name, "STATE_CHANGED")
    assert (answer["message"], answer["known"]) == ("look again", True)


@pytest.mark.parametrize("body", [
    {"request_id": "not a uuid"},
    {"officer": "somebody else"},
    {"speed": 3},
    {"lease": "soon"},
    {"conveyance_id": 3},
])  # fmt: skip
async def test_a_body_that_is_no_act_goes_nowhere(tmp_path: Path, body: dict[str, Any]) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url, officer() as http:
        status, answer = await act(http, url, "release", **body)
        assert (status, answer["code"]) == (400, "INVALID_ARGUMENT")
        async with http.post(
            f"{url}/api/lanes/0/acts/release", data=b"{", headers={"Content-Type": "application/json"}
        ) as raw:
            assert raw.status == 400
        async with http.post(f"{url}/api/lanes/0/acts/release", data=b"request_id=1") as raw:
            assert raw.status == 415
        async with http.post(f"{url}/api/lanes/0/acts/open_barrier", json={}) as raw:
            assert raw.status == 404
        async with http.post(f"{url}/api/lanes/7/acts/hold_lane", json={}) as raw:
            assert raw.status == 404
    assert lane.acts == []


async def test_a_hold_is_tried_while_the_agent_is_away_and_says_whether_it_arrived(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with console(tmp_path, door) as url, officer() as http:
        status, answer = await act(http, url, "release", conveyance_id="c")
        assert (status, answer["code"], answer["known"]) == (503, "UNAVAILABLE", True)
        assert "nothing was done" in answer["message"]
        async with asyncio.TaskGroup() as group:
            hold = group.create_task(act(http, url, "hold_lane"))
            await asyncio.sleep(0.2)  # the hold is on its way before the agent is
            async with lane_door(lane, door):
                status, answer = await hold
        assert (status, answer["ok"]) == (200, True)
        status, answer = await act(http, url, "hold_lane")
        # Which of the two depends on what gRPC was at when the time was over: connecting, or waiting to.
        assert status in (503, 504)
        assert not answer["ok"]
    assert len(lane.acts) == 1


async def test_an_answer_that_was_lost_is_not_called_a_refusal(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with console(tmp_path, door) as url, officer() as http, asyncio.TaskGroup() as group:
        async with lane_door(lane, door):
            await until(lambda: lane.watches)
            lane.answer_after_s = 60
            release = group.create_task(act(http, url, "release", conveyance_id="c"))
            await until(lambda: lane.acts)
        status, answer = await release
        assert (status, answer["known"]) == (503, False)
        assert "not known" in answer["message"]


async def test_passages_come_newest_first_and_at_most_twenty(tmp_path: Path) -> None:
    made = [pb.Passage(bundle_id=f"b{n}", outcome=types.OUTCOME_RELEASED_ROLLING, seq=n) for n in range(30)]
    lane, door = FakeLane(passages=made), tmp_path / "officer.sock"
    async with (
        lane_door(lane, door),
        console(tmp_path, door) as url,
        officer() as http,
        http.get(f"{url}/api/lanes/0/passages") as answer,
    ):
        passages = (await answer.json())["passages"]
    assert [passage["bundle_id"] for passage in passages] == [f"b{n}" for n in range(20)]
    assert passages[0]["outcome"] == "OUTCOME_RELEASED_ROLLING"
