"""Arm, sign, beacon and tone as messages: every word has its counterpart, and what a lane has not stays absent."""

import pytest

from drivers.api import Grade, Stamp
from edge_agent.model.actuators import AlarmShown, ArmShown, NoticesShown, SignShown, SignText
from edge_agent.safety.barrier import Arm, Move
from edge_agent.wire.actuators import add_actuators
from securecorridor.lane.v1 import actuators_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import types_pb2 as types

AT = Stamp(7, 1_767_225_600_000_000_000)


def test_a_lane_without_any_says_nothing_of_them() -> None:
    message = lane_pb.LaneState()
    add_actuators(message, None, NoticesShown())
    assert [field.name for field, _ in message.ListFields()] == []


def test_everything_is_told() -> None:
    message = lane_pb.LaneState()
    notices = NoticesShown(
        SignShown(SignText.PROCEED, AT, None, Grade.NONE), AlarmShown(True, AT, False), AlarmShown(False, AT, None)
    )
    add_actuators(message, ArmShown("up", AT, "lower", "BARRIER_NOT_MOVED", ("fault", "presence")), notices)
    arm, sign = message.arm, message.sign
    assert (arm.position, arm.asked) == (pb.ArmState.POSITION_UP, pb.ArmState.MOVEMENT_LOWER)
    assert (arm.fault, list(arm.against_lowering)) == ("BARRIER_NOT_MOVED", ["fault", "presence"])
    assert arm.position_since.mono_ns == 7
    assert (sign.wanted, sign.shown) == (pb.SignState.TEXT_PROCEED, pb.SignState.TEXT_UNSPECIFIED)
    assert sign.grade == types.GRADE_UNSPECIFIED
    assert (message.beacon.wanted, message.beacon.shown) == (pb.AlarmState.LEVEL_ON, pb.AlarmState.LEVEL_OFF)
    assert (message.tone.wanted, message.tone.shown) == (pb.AlarmState.LEVEL_OFF, pb.AlarmState.LEVEL_UNSPECIFIED)


@pytest.mark.parametrize("arm", list(Arm))
@pytest.mark.parametrize("move", list(Move))
def test_every_place_and_movement_has_a_number_of_its_own(arm: Arm, move: Move) -> None:
    message = lane_pb.LaneState()
    add_actuators(message, ArmShown(arm.value, AT, move.value, "", ()), NoticesShown())
    assert (message.arm.position == 0) == (arm is Arm.UNKNOWN)
    assert (message.arm.asked == 0) == (move is Move.NONE)
