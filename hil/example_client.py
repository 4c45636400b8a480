"""A central team's first client: watch one lane, hold it, clear the hold. Nothing but grpc and the generated stubs.

python -m hil.example_client unix:/run/lane-edge-agent/officer.sock
python -m hil.example_client unix:/run/lane-edge-agent/officer.sock --hold "look at the trailer"
python -m hil.example_client unix:/run/lane-edge-agent/officer.sock --clear-hold "looked"
"""

import argparse
import sys
import uuid

import grpc

from securecorridor.lane.v1 import control_pb2 as control
from securecorridor.lane.v1 import lane_service_pb2 as lane
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub

# A stream has no deadline of its own: ask for a sign of life, and count its absence as loss of the lane.
OPTIONS = (
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


def print_lane(state: lane.LaneState) -> None:
    """One line for the lane, one for each conveyance. Only the confirmed aspect is what the driver sees."""
    confirmed = types.Aspect.Name(state.signal.confirmed).removeprefix("ASPECT_")
    held = f" HELD by {state.hold.officer}" if state.HasField("hold") else ""
    held += f" controlled by {state.control.officer or 'nobody'}"
    why = f" because {state.red_causes[0].text}" if state.red_causes else ""
    print(f"{state.name} {types.LaneMode.Name(state.mode)} confirmed={confirmed}{held}{why}", flush=True)
    for conveyance in state.conveyances:
        decision = "none"
        if conveyance.HasField("decision"):
            decision = types.Verdict.Name(conveyance.decision.verdict).removeprefix("VERDICT_")
            decision += "" if conveyance.decision_live else " (not live)"
        phase = types.Phase.Name(conveyance.phase).removeprefix("PHASE_")
        green = " GREEN" if conveyance.green else ""
        print(f"  {conveyance.order} {conveyance.conveyance_id} {phase} decision={decision}{green}", flush=True)


def watch(stub: LaneServiceStub, count: int) -> None:
    """Print the lane now and at every change; `count` times, or for ever when it is 0."""
    request = lane.WatchLaneRequest()
    request.min_interval.FromMilliseconds(1000)
    stream = stub.WatchLane(request)
    last_etag = ""
    for number, message in enumerate(stream, 1):
        # The same etag again is a sign of life: nothing an officer would act on has changed.
        if message.lane.etag != last_etag:
            print_lane(message.lane)
            last_etag = message.lane.etag
        if number == count:
            stream.cancel()
            return


def main() -> int:
    """Parse the arguments, do what they ask."""
    parser = argparse.ArgumentParser(description="Watch one lane; hold it; clear the hold.")
    parser.add_argument("target", help="the agent's door: unix:/path/officer.sock or host:port")
    parser.add_argument("--hold", metavar="REASON", help="red at once for the whole lane")
    parser.add_argument("--clear-hold", metavar="REASON", help="end the lane's hold")
    parser.add_argument("--officer", default="example-client", help="pseudonym of the person acting")
    parser.add_argument("--count", type=int, default=0, help="end after so many messages; 0: never")
    given = parser.parse_args()
    with grpc.insecure_channel(given.target, options=OPTIONS) as channel:
        stub = LaneServiceStub(channel)
        try:
            # request_id makes an act safe to repeat: after a broken connection send the same one again.
            if given.hold is not None:
                act = lane.HoldLaneRequest(request_id=str(uuid.uuid4()), officer=given.officer, reason=given.hold)
                outcome = stub.HoldLane(act, timeout=8).outcome
                print(f"held; may be cleared by {', '.join(outcome.may_clear)}")
            elif given.clear_hold is not None:
                # Needs control of the lane: taken here from nobody, refused when another officer has it.
                who = {"officer": given.officer, "reason": given.clear_hold}
                stub.TakeControl(control.TakeControlRequest(request_id=str(uuid.uuid4()), **who), timeout=8)
                end = lane.ClearHoldRequest(request_id=str(uuid.uuid4()), **who)
                print(stub.ClearHold(end, timeout=8).outcome.message)
            else:
                watch(stub, given.count)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
