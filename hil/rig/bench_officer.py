"""The officer of a story on a bench: does what the script says through the lane's API, and sees the world on camera."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from hil.rig.owners import Owners
from hil.rig.release_side import ReleaseSide
from hil.rig.run_record import Acted
from hil.world.faults import Verb
from hil.world.world import World
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub

OFFICER = "bso-1"
"""Who acts where the script names nobody else."""
_KEEP_S = 0.9
_FREE_ACTS = frozenset({Verb.HOLD_LANE, Verb.HOLD_CONVEYANCE, Verb.TAKE_CONTROL, Verb.GIVE_CONTROL})
"""Acts that nobody needs control of the lane for, or that are about it."""
_ACT_S = 30.0
_AGAIN_S = 0.1
_TRIES = 5
"""What was displayed may change while he clicks: then he looks again."""
_BACK_OFF_S = 0.2
Args = Mapping[str, str | float | bool]


class BenchOfficer:
    """`now` gives world seconds. `acts` has every act with its answer."""

    def __init__(
        self, socket: Path, world: World, owners: Owners, releases: ReleaseSide, now: Callable[[], float]
    ) -> None:
        self.acts: list[Acted] = []
        self.silent = False
        """No console sends a sign of life."""
        self._controlled_by = ""
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=[("grpc.max_reconnect_backoff_ms", 300)])
        self._stub: Any = LaneServiceStub(self._channel)
        self._world = world
        self._owners = owners
        self._releases = releases
        self._now = now

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def watch(self) -> None:
        """Sit at the console until cancelled."""
        while True:
            request = pb.WatchLaneRequest(officer_present=True, officer=OFFICER)
            request.min_interval.FromMilliseconds(500)
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for answer in self._stub.WatchLane(request, wait_for_ready=True):
                    self._controlled_by = answer.lane.control.officer
            await asyncio.sleep(_BACK_OFF_S)

    async def keep_control(self) -> None:
        """Until cancelled: the console of whoever controls the lane sends its signs of life."""
        while True:
            await asyncio.sleep(_KEEP_S)
            if self._controlled_by and not self.silent:
                with contextlib.suppress(grpc.aio.AioRpcError):  # lost or taken over: the next state says so
                    request = control_pb.KeepControlRequest(officer=self._controlled_by)
                    await self._stub.KeepControl(request, timeout=_KEEP_S)

    async def confirm_order(self) -> None:
        """Before the story begins: the corridor is seen empty. AssertionError when the lane does not believe it."""
        result, message = await self._patiently(Verb.CONFIRM_ORDER, {})
        assert result == "OK", message

    async def play(self, verb: Verb, args: Args) -> None:
        """One act, taken back where the agent refuses it."""
        t, truck = self._now(), str(args.get("truck", ""))
        undo = self._releases.act(verb, args)
        result, message = await self._patiently(verb, args)
        if verb is Verb.GIVE_CONTROL and result == "OK":
            self._releases.control_ended()
        if verb is Verb.TEST_SIGNAL:
            self._releases.test_over()
        if result != "OK":
            undo()
        self.acts.append(Acted(t, verb, truck, result, message))

    async def _patiently(self, verb: Verb, args: Args) -> tuple[str, str]:
        for number in range(_TRIES):
            try:
                lane = (await self._stub.GetLane(pb.GetLaneRequest(), timeout=_ACT_S)).lane
                if not lane.control.officer and verb not in _FREE_ACTS:
                    await self._stub.TakeControl(control_pb.TakeControlRequest(**_who(args)), timeout=_ACT_S)
                    self._controlled_by = str(args.get("officer", OFFICER))
                for name, request in self._requests(lane, verb, args):
                    await getattr(self._stub, name)(request, timeout=_ACT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return "", "nobody is there"
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION or number == _TRIES - 1:
                    return error.code().name, error.details() or ""
                await asyncio.sleep(_AGAIN_S)
            except KeyError as error:
                return "NOT_FOUND", f"no record of {error}"
            else:
                break
        return "OK", ""

    def _requests(self, lane: pb.LaneState, verb: Verb, args: Args) -> list[tuple[str, Any]]:
        """RPC and request of an act, for a cleared hold those that clear every one in force."""
        match verb:
            case Verb.CLEAR_HOLD:
                held = [c.conveyance_id for c in lane.conveyances if c.HasField("hold")]
                names = ([""] if lane.HasField("hold") else []) + held
                return [("ClearHold", pb.ClearHoldRequest(conveyance_id=name, **_who(args))) for name in names or [""]]
            case Verb.CONFIRM_ORDER:
                seen = [c.conveyance_id for c in self._seen(lane)]
                order = pb.ConfirmCorridorOrderRequest(etag=lane.etag, conveyance_ids=seen, **_who(args))
                return [("ConfirmCorridorOrder", order)]
            case Verb.SET_MODE:
                mode = types.LaneMode.Value(f"LANE_MODE_{str(args['mode']).upper()}")
                return [("SetLaneMode", pb.SetLaneModeRequest(mode=mode, **_who(args)))]
            case Verb.TEST_SIGNAL:
                return [("TestSignal", pb.TestSignalRequest(lane_empty=True, **_who(args)))]
            case Verb.CLEAR_FAULT:
                return [("ClearSignalFault", pb.ClearSignalFaultRequest(**_who(args)))]
            case Verb.TAKE_CONTROL:
                taken = control_pb.TakeControlRequest(displaces=lane.control.officer, **_who(args))
                return [("TakeControl", taken)]
            case Verb.GIVE_CONTROL:
                return [("GiveControl", control_pb.GiveControlRequest(**_who(args)))]
            case Verb.ACKNOWLEDGE:
                known = pb.AcknowledgeConditionRequest(condition=str(args["condition"]), **_who(args))
                return [("AcknowledgeCondition", known)]
            case Verb.HOLD_LANE:
                return [("HoldLane", pb.HoldLaneRequest(**_who(args)))]
            case _:
                return [self._about(self._record(lane, str(args["truck"])), verb, args)]

    @staticmethod
    def _about(record: pb.ConveyanceState, verb: Verb, args: Args) -> tuple[str, Any]:
        mine = {"conveyance_id": record.conveyance_id, **_who(args)}
        shown = {**mine, "etag": record.etag}
        match verb:
            case Verb.HOLD_CONVEYANCE:
                return "HoldConveyance", pb.HoldConveyanceRequest(**mine)
            case Verb.RELEASE_CONVEYANCE:
                release = pb.ReleaseConveyanceRequest(**shown, identity_digest=record.identity_digest)
                return "ReleaseConveyance", release
            case Verb.REFER_CONVEYANCE | Verb.DIRECT_CONVEYANCE if args.get("verdict") in (None, "refer_secondary"):
                reason = str(args.get("reason", "unspecified"))
                why = types.ReferralReason.Value(f"REFERRAL_REASON_{reason.upper()}")
                digest = record.identity_digest
                refer = pb.ReferConveyanceRequest(**shown, identity_digest=digest, referral_reason=why)
                return "ReferConveyance", refer
            case Verb.DIRECT_CONVEYANCE:
                verdict = types.Verdict.Value(f"VERDICT_{str(args['verdict']).upper()}")
                return "DirectConveyance", pb.DirectConveyanceRequest(**shown, verdict=verdict)
            case _:
                raise ValueError(f"{verb} is not an officer's act on a vehicle")

    def _record(self, lane: pb.LaneState, truck: str) -> pb.ConveyanceState:
        """The record shown for this truck, first the one still upstream of the line. KeyError: there is none."""
        mine = self._mine(lane).get(truck, [])
        if not mine:
            raise KeyError(truck)
        return next((c for c in mine if c.order), mine[0])

    def _seen(self, lane: pb.LaneState) -> list[pb.ConveyanceState]:
        """Records of the trucks between A and the line, from the line upstream, as one sees them."""
        a_m, mine = self._world.geometry.a_m, self._mine(lane)
        views = [view for view in self._world.trucks() if a_m < view.nose_m <= 0.0]
        return [c for view in views for c in mine.get(view.id, [])[:1] if c.order]

    def _mine(self, lane: pb.LaneState) -> dict[str, list[pb.ConveyanceState]]:
        owners = self._owners.match((c.conveyance_id, c.times, c.detected) for c in lane.conveyances)
        found: dict[str, list[pb.ConveyanceState]] = {}
        for conveyance in sorted(lane.conveyances, key=_upstream_first):
            found.setdefault(owners[conveyance.conveyance_id], []).append(conveyance)
        return found


def _upstream_first(record: pb.ConveyanceState) -> tuple[bool, int]:
    return record.order == 0, record.order


def _who(args: Args) -> dict[str, Any]:
    officer = str(args.get("officer", OFFICER))
    return {"request_id": str(uuid.uuid4()), "officer": officer, "reason": "seen on camera"}
