"""The reference service's decisions over real gRPC, spoken to with the generated stubs alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from drivers.api import Secret
from edge_agent.central.seal_identity import IdentitySealer
from hil.release_service.desk import Step
from hil.release_service.elsewhere import Elsewhere, Seen
from hil.release_service.keys import PUBLIC_KEY
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import release_service_pb2 as pb
from securecorridor.release.v1.release_service_pb2_grpc import ReleaseServiceStub
from tests.unit.central.scripted import Reference, reference

pytestmark = pytest.mark.real_time
LANE = "ports/0427/lanes/1"
CARD, TRANSPONDER = "0FA5000011112222", "0D70000011112222"
RULES = f"""
conveyances:
  - name: T1
    match: {{driver_card: {CARD}}}
    cargo: [{{kind: crn, value: "7ABC0001"}}]
    verdict: release
    delay_s: 0
    ttl_s: 60
    basis: FLE
  - name: T2
    match: {{driver_card: {CARD[:-1]}9, transponder: {TRANSPONDER}}}
    verdict: refer_secondary
    reason: random
    delay_s: 0
  - name: T3
    match: {{driver_card: {CARD[:-1]}8}}
    silent: true
default: {{verdict: hold_at_line, delay_s: 0}}
"""


class Client:
    """A lane made of the stubs."""

    def __init__(self, call: Any, service: Reference, directory: Path, name: str) -> None:
        self._call = call
        self._service = service
        self._sealer = IdentitySealer(directory / "keys" / PUBLIC_KEY, name)
        self._seq = 0

    async def ask(
        self, conveyance_id: str, revision: int, *tags: tuple[int, str], digest: str = "sha256:1", stamp: int = 7
    ) -> None:
        self._seq += 1
        request = pb.ReleaseRequest(
            seq=self._seq, conveyance_id=conveyance_id, revision=revision, identity_digest=digest, stamp_mono_ns=stamp
        )
        for kind, epc in tags:
            value = bytes.fromhex(epc)
            token = self._service.keys.token(value)
            claim = request.identities.add().claim
            claim.kind = kind  # type: ignore[assignment]
            claim.binding = True
            claim.token = token
            claim.sealed.ciphertext = self._sealer.seal(Secret(value), token)
        await self._call.write(pb.DecideRequest(request=request))

    async def withdraw(self, conveyance_id: str) -> None:
        await self._call.write(pb.DecideRequest(withdrawal=pb.Withdrawal(conveyance_id=conveyance_id)))

    async def elsewhere(self) -> pb.SeenElsewhere:
        answer = await self._call.read()
        assert isinstance(answer, pb.DecideResponse)
        assert answer.HasField("seen_elsewhere")
        return answer.seen_elsewhere

    async def decision(self) -> lane_pb.Decision:
        answer = await self._call.read()
        assert isinstance(answer, pb.DecideResponse)
        return answer.decision


@contextlib.asynccontextmanager
async def lane(tmp_path: Path, epoch: str = "e1") -> AsyncIterator[tuple[Client, Reference]]:
    async with reference(tmp_path, RULES) as (service, channel), stream(service, channel, tmp_path, epoch) as client:
        yield client, service


@contextlib.asynccontextmanager
async def stream(
    service: Reference, channel: grpc.aio.Channel, tmp_path: Path, epoch: str = "e1", name: str = LANE
) -> AsyncIterator[Client]:
    call = ReleaseServiceStub(channel).Decide()
    await call.write(pb.DecideRequest(hello=pb.DecideHello(lane=name, epoch=epoch)))
    answer = await call.read()
    assert isinstance(answer, pb.DecideResponse)
    assert answer.HasField("welcome")
    try:
        yield Client(call, service, tmp_path, name)
    finally:
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass


_CARD = (lane_pb.IDENTITY_KIND_DRIVER_CARD, CARD)


async def test_a_known_card_is_released_with_its_cargo_and_the_echoed_stamp(tmp_path: Path) -> None:
    async with lane(tmp_path) as (client, service):
        await client.ask("c1", 1, _CARD, digest="sha256:abc", stamp=77)
        decision = await client.decision()
        assert (decision.verdict, decision.revision, decision.basis) == (lane_pb.VERDICT_RELEASE, 1, "FLE")
        assert (decision.identity_digest, decision.echoed_stamp_mono_ns) == ("sha256:abc", 77)
        assert 59_900 <= decision.ttl_ms <= 60_100
        (cargo,) = decision.cargo
        assert (cargo.kind, cargo.leg, cargo.source) == (lane_pb.IDENTITY_KIND_CRN, lane_pb.LEG_CARGO, "central")
        assert service.keys.unseal(cargo.sealed.ciphertext, LANE, cargo.token) == b"7ABC0001"
        assert service.seen("request")[0]["name"] == "T1"
        assert service.seen("decision")[0]["verdict"] == "release"


async def test_a_repeated_request_gets_the_same_decision_also_after_a_restart(tmp_path: Path) -> None:
    async with lane(tmp_path) as (client, _):
        await client.ask("c1", 1, _CARD)
        first = await client.decision()
        await client.ask("c1", 1, _CARD)
        assert await client.decision() == first
    async with lane(tmp_path) as (client, _):
        await client.ask("c1", 1, _CARD)
        assert await client.decision() == first


async def test_added_evidence_is_answered_with_the_next_revision_and_changed_identity_decided_anew(
    tmp_path: Path,
) -> None:
    async with lane(tmp_path) as (client, _):
        await client.ask("c1", 1, _CARD, stamp=1)
        await client.decision()
        await client.ask("c1", 2, _CARD, (lane_pb.IDENTITY_KIND_OTHER_TAG, "30AA"), stamp=2)
        again = await client.decision()
        assert (again.verdict, again.revision, again.echoed_stamp_mono_ns) == (lane_pb.VERDICT_RELEASE, 2, 2)
        other = (lane_pb.IDENTITY_KIND_TRANSPONDER, TRANSPONDER), (lane_pb.IDENTITY_KIND_DRIVER_CARD, CARD[:-1] + "9")
        await client.ask("c1", 3, *other, digest="sha256:2", stamp=3)
        changed = await client.decision()
        assert (changed.verdict, changed.revision) == (lane_pb.VERDICT_REFER_SECONDARY, 3)
        assert changed.referral_reason == lane_pb.REFERRAL_REASON_RANDOM
        assert changed.identity_digest == "sha256:2"


async def test_unknown_unreadable_or_no_identity_gets_the_default(tmp_path: Path) -> None:
    async with lane(tmp_path) as (client, service):
        await client.ask("c1", 1)
        assert (await client.decision()).verdict == lane_pb.VERDICT_HOLD_AT_LINE
        await client.ask("c2", 1, (lane_pb.IDENTITY_KIND_DRIVER_CARD, "0FA5999999999999"))
        assert (await client.decision()).verdict == lane_pb.VERDICT_HOLD_AT_LINE
        assert service.seen("unreadable_identity") == []


async def test_silence_holds_answers_back_until_resume(tmp_path: Path) -> None:
    async with lane(tmp_path) as (client, service):
        service.switches.silent.add("T1")
        await client.ask("c1", 1, _CARD)
        await client.ask("c2", 1)
        assert (await client.decision()).conveyance_id == "c2"
        service.switches.silent.clear()
        service.service.desks[LANE].flush()
        assert (await client.decision()).conveyance_id == "c1"


async def test_a_silent_rule_never_answers_and_a_revision_can_be_made_by_hand(tmp_path: Path) -> None:
    async with lane(tmp_path) as (client, service):
        await client.ask("c1", 1, (lane_pb.IDENTITY_KIND_DRIVER_CARD, CARD[:-1] + "8"))
        await client.ask("c2", 1, _CARD)
        assert (await client.decision()).conveyance_id == "c2"
        desk = service.service.desks[LANE]
        step = Step(0.0, "refuse_return", 30.0, "documents")
        assert desk.revise(lambda name, _: name == "T1", step) == 1
        revised = await client.decision()
        assert (revised.conveyance_id, revised.revision) == ("c2", 2)
        assert revised.verdict == lane_pb.VERDICT_REFUSE_RETURN


async def test_a_withdrawn_conveyance_is_not_answered_any_more(tmp_path: Path) -> None:
    async with lane(tmp_path) as (client, service):
        service.switches.silent.add("T1")
        await client.ask("c1", 1, _CARD)
        await client.withdraw("c1")
        await service.until("withdrawal", 1)
        service.switches.silent.clear()
        service.service.desks[LANE].flush()
        await client.ask("c2", 1, _CARD)
        assert (await client.decision()).conveyance_id == "c2"


async def test_answers_go_to_the_newest_stream_of_the_lane(tmp_path: Path) -> None:
    async with reference(tmp_path, RULES) as (service, channel), stream(service, channel, tmp_path) as old:
        await old.ask("c1", 1, _CARD)
        first = await old.decision()
        async with stream(service, channel, tmp_path) as new:
            await new.ask("c1", 1, _CARD)
            assert await new.decision() == first
            service.service.desks[LANE].revise(lambda *_: True, Step(0.0, "hold_at_line", 5.0, "unspecified"))
            assert (await new.decision()).revision == 2


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (pb.DecideRequest(heartbeat=pb.LaneHeartbeat()), "HELLO_EXPECTED"),
        (pb.DecideRequest(hello=pb.DecideHello(lane="lane 1")), "LANE_NAME_INVALID"),
    ],
)
async def test_a_stream_that_begins_wrong_is_refused(tmp_path: Path, first: pb.DecideRequest, reason: str) -> None:
    from grpc_status import rpc_status

    async with reference(tmp_path, RULES) as (_, channel):
        call = ReleaseServiceStub(channel).Decide()
        await call.write(first)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        status = await rpc_status.aio.from_call(call)
        assert status is not None
        assert reason.encode() in status.details[0].value
        await asyncio.sleep(0)


async def test_one_card_at_two_lanes_is_told_to_both(tmp_path: Path) -> None:
    other_name = "ports/0427/lanes/2"
    async with (
        reference(tmp_path, RULES) as (service, channel),
        stream(service, channel, tmp_path) as here,
        stream(service, channel, tmp_path, name=other_name) as there,
    ):
        await here.ask("c1", 1, _CARD)
        assert (await here.decision()).verdict == lane_pb.VERDICT_RELEASE
        await here.ask("c1", 2, _CARD)
        assert (await here.decision()).revision == 2, "asked again by the same lane: nothing to tell"
        await there.ask("c9", 1, _CARD)
        told_there = await there.elsewhere()
        assert (await there.decision()).verdict == lane_pb.VERDICT_RELEASE
        told_here = await here.elsewhere()
    token = service.keys.token(bytes.fromhex(CARD))
    assert (told_there.conveyance_id, told_there.lane, told_there.token) == ("c9", LANE, token)
    assert (told_here.conveyance_id, told_here.lane, told_here.token) == ("c1", other_name, token)
    assert told_here.seen_time.ToNanoseconds() >= told_there.seen_time.ToNanoseconds() > 0


def test_a_card_seen_later_than_a_truck_needs_is_nothing_to_tell() -> None:
    elsewhere = Elsewhere()
    first = Seen("lane 1", "c1", "t", 100.0, 0, -6000)
    assert elsewhere.saw("card", "1", first) is None
    assert elsewhere.saw("card", "2", replace(first, lane="lane 2")) is None
    assert elsewhere.saw("card", "1", replace(first, lane="lane 2", conveyance_id="c2", at_s=999.0)) == first
    assert elsewhere.saw("card", "1", replace(first, lane="lane 1", conveyance_id="c3", at_s=1899.0)) is None
