"""The decision stream over real gRPC: order on the stream, heartbeats, decisions, and faults in the agent's words."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from drivers.api import EdgeError
from edge_agent.central import connection, decide
from edge_agent.central.decide import DecideSession, LaneSide, outgoing_channel
from edge_agent.model.decision import Authority, Decision, Verdict
from edge_agent.model.errors import CentralError, CentralRejected, CentralUnavailable
from edge_agent.model.inputs import SeenElsewhere
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.supervise import Backoff, keep_running
from hil.release_service.service import _abort
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import release_service_pb2 as pb

from .scripted import ScriptedService, channel_to, never, running, scripted, served

pytestmark = pytest.mark.real_time
LANE = "ports/0427/lanes/1"


class Lane:
    """The lane's side, recording."""

    def __init__(self, current: tuple[pb.ReleaseRequest, ...] = ()) -> None:
        self.decisions: list[Decision] = []
        self.links: list[bool] = []
        self.elsewhere: list[SeenElsewhere] = []
        self.news = asyncio.Event()
        self.outgoing = outgoing_channel()
        self.side = LaneSide(
            hello=lambda: pb.DecideHello(lane=LANE, epoch="e1", chain_length=7),
            current=lambda: current,
            heartbeat=lambda: pb.LaneHeartbeat(conveyances=2),
            on_decision=self._decided,
            on_link=self._linked,
            on_seen_elsewhere=self._told,
        )

    def _decided(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self.news.set()

    def _told(self, told: SeenElsewhere) -> None:
        self.elsewhere.append(told)
        self.news.set()

    def _linked(self, up: bool) -> None:
        self.links.append(up)
        self.news.set()

    async def run(self, channel: grpc.aio.Channel) -> None:
        await DecideSession(channel, self.outgoing, self.side, SystemClock()).run(lambda _: None)

    async def until_links(self, *links: bool) -> None:
        while tuple(self.links) != links:
            self.news.clear()
            await self.news.wait()


async def _welcome(requests: AsyncIterator[pb.DecideRequest], context: Any) -> pb.DecideHello:
    hello = (await anext(requests)).hello
    await context.write(pb.DecideResponse(welcome=pb.DecideWelcome(request_watermark=3)))
    return hello


async def _answer(request: pb.DecideRequest, context: Any) -> None:
    beat = request.heartbeat
    await context.write(
        pb.DecideResponse(heartbeat=pb.CentralHeartbeat(seq=beat.seq, echoed_stamp_mono_ns=beat.stamp_mono_ns))
    )


async def test_hello_first_then_the_current_requests_then_what_else_waited() -> None:
    got: list[str] = []
    done = asyncio.Event()

    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        hello = await _welcome(requests, context)
        got.append(f"{hello.lane} {hello.epoch} {hello.chain_length}")
        async for request in requests:
            if request.HasField("heartbeat"):
                assert (request.heartbeat.conveyances, request.heartbeat.seq > 0) == (2, True)
                await _answer(request, context)
            else:
                got.append(request.request.conveyance_id or f"gone {request.withdrawal.conveyance_id}")
            if "later" in got:
                done.set()

    lane = Lane((pb.ReleaseRequest(conveyance_id="c1"), pb.ReleaseRequest(conveyance_id="c2")))
    lane.outgoing.put(pb.DecideRequest(request=pb.ReleaseRequest(conveyance_id="stale")))
    lane.outgoing.put(pb.DecideRequest(withdrawal=pb.Withdrawal(conveyance_id="c0")))
    async with scripted(serve) as channel, running(lane.run(channel)):
        await lane.until_links(True)
        lane.outgoing.put(pb.DecideRequest(request=pb.ReleaseRequest(conveyance_id="later")))
        await done.wait()
    assert got == [f"{LANE} e1 7", "c1", "c2", "gone c0", "later"]
    assert lane.links == [True, False]


async def test_decisions_become_records_and_unknown_verdicts_are_never_green() -> None:
    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await _welcome(requests, context)
        for revision, verdict in enumerate((lane_pb.VERDICT_RELEASE, 99), start=1):
            decision = lane_pb.Decision(
                decision_id="d",
                conveyance_id="c1",
                revision=revision,
                authority=lane_pb.AUTHORITY_SYSTEM,
                identity_digest="sha256:0",
                echoed_stamp_mono_ns=5,
                ttl_ms=1000,
                programmes=["FAST"],
            )
            # An open enum: a newer service may send a number this version has no name for.
            decision.verdict = verdict  # type: ignore[assignment]
            await context.write(pb.DecideResponse(decision=decision))
        await never()

    lane = Lane()
    async with scripted(serve) as channel, running(lane.run(channel)):
        while len(lane.decisions) < 2:
            lane.news.clear()
            await lane.news.wait()
    first, second = lane.decisions
    assert (first.verdict, first.authority, first.deadline_mono_ns) == (
        Verdict.RELEASE,
        Authority.SYSTEM,
        1_000_000_005,
    )
    assert first.programmes == ("FAST",)
    assert second.verdict is Verdict.NO_DECISION


async def test_three_heartbeats_without_answer_end_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "HEARTBEAT_S", 0.05)
    beats: list[int] = []

    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await _welcome(requests, context)
        async for request in requests:
            beats.append(request.heartbeat.seq)
            if request.heartbeat.seq <= 2:
                await _answer(request, context)

    lane = Lane()
    async with scripted(serve) as channel:
        with pytest.raises(CentralUnavailable) as silent:
            await lane.run(channel)
    assert silent.value.code == "CENTRAL_SILENT"
    assert lane.links == [True, False]
    assert beats[:5] == [1, 2, 3, 4, 5]


async def test_a_service_that_answers_no_heartbeat_is_never_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "HEARTBEAT_S", 0.02)

    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await _welcome(requests, context)
        await never()

    lane = Lane()
    async with scripted(serve) as channel:
        with pytest.raises(CentralUnavailable):
            await lane.run(channel)
    assert lane.links == []


async def test_no_welcome_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "ANSWER_S", 0.1)
    async with scripted(never) as channel:
        with pytest.raises(CentralUnavailable) as silent:
            await Lane().run(channel)
    assert silent.value.code == "CENTRAL_NO_ANSWER"


async def test_nobody_listening_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "ANSWER_S", 0.1)
    async with served(ScriptedService(never, never)) as target:
        pass
    async with channel_to(target) as channel:
        with pytest.raises(CentralUnavailable):
            await Lane().run(channel)


async def test_a_refusal_names_the_services_reason() -> None:
    async def refuse(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await anext(requests)
        await _abort(context, grpc.StatusCode.FAILED_PRECONDITION, "LANE_UNKNOWN", "no such lane")

    async with scripted(refuse) as channel:
        with pytest.raises(CentralRejected) as refused:
            await Lane().run(channel)
    assert refused.value.code == "CENTRAL_LANE_UNKNOWN"
    assert "no such lane" in refused.value.message


async def test_a_service_that_goes_away_is_found_again_with_the_current_requests() -> None:
    requests_seen: list[str] = []

    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await _welcome(requests, context)
        async for request in requests:
            if request.HasField("heartbeat"):
                await _answer(request, context)
            else:
                requests_seen.append(request.request.conveyance_id)

    lane = Lane((pb.ReleaseRequest(conveyance_id="c1"),))
    faults: list[CentralError] = []
    async with served(ScriptedService(serve, None)) as target:
        channel = connection.connect(target)
        session = keep_running(
            lambda: DecideSession(channel, lane.outgoing, lane.side, SystemClock()),
            lambda _: None,
            Backoff(0.1, random.Random(1)),
            faults.append,
            CentralError,
        )
        task = asyncio.ensure_future(session)
        await lane.until_links(True)
    await lane.until_links(True, False)
    async with served(ScriptedService(serve, None), target):
        await lane.until_links(True, False, True)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await channel.close()
    assert requests_seen == ["c1", "c1"]
    assert faults
    assert all(isinstance(fault, CentralUnavailable) for fault in faults)


async def test_a_bug_of_the_lane_is_not_taken_for_a_fault_of_the_line() -> None:
    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await _welcome(requests, context)
        await never()

    def broken() -> pb.LaneHeartbeat:
        raise KeyError("bug")

    lane = Lane()
    side = LaneSide(lane.side.hello, lane.side.current, broken, lane.side.on_decision, lane.side.on_link)
    async with scripted(serve) as channel:
        with pytest.raises(BaseExceptionGroup) as escaped:
            await DecideSession(channel, lane.outgoing, side, SystemClock()).run(lambda _: None)
    assert not isinstance(escaped.value, EdgeError)
    assert escaped.group_contains(KeyError)


async def test_what_central_saw_at_another_lane_reaches_the_lane() -> None:
    async def serve(requests: AsyncIterator[pb.DecideRequest], context: Any) -> None:
        await _welcome(requests, context)
        notice = pb.SeenElsewhere(conveyance_id="c1", token="t", lane="ports/0427/lanes/2", rssi_peak_cdbm=-5500)
        notice.seen_time.FromNanoseconds(1_790_000_000_123_000_000)
        await context.write(pb.DecideResponse(seen_elsewhere=notice))
        await never()

    lane = Lane()
    async with scripted(serve) as channel, running(lane.run(channel)):
        while not lane.elsewhere:
            lane.news.clear()
            await lane.news.wait()
    (told,) = lane.elsewhere
    assert (told.conveyance_id, told.token, told.lane) == ("c1", "t", "ports/0427/lanes/2")
    assert (told.seen_utc_ns, told.rssi_peak_cdbm) == (1_790_000_000_123_000_000, -5500)
