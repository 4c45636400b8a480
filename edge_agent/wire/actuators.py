"""Barrier arm, message sign, beacon and tone as `securecorridor.lane.v1` messages."""

from edge_agent.model.actuators import AlarmShown, ArmShown, NoticesShown, SignShown, SignText
from edge_agent.safety.barrier import Arm, Move
from securecorridor.lane.v1 import actuators_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb

from . import enums
from . import types as wire

POSITION = enums.EnumMap(Arm, pb.ArmState.Position, Arm.UNKNOWN)
MOVEMENT = enums.EnumMap(Move, pb.ArmState.Movement, Move.NONE)
TEXT = enums.EnumMap(SignText, pb.SignState.Text)


def add_actuators(message: lane_pb.LaneState, arm: ArmShown | None, notices: NoticesShown) -> None:
    """Fill in what this lane has; the rest stays absent."""
    if arm is not None:
        message.arm.CopyFrom(_arm(arm))
    if notices.sign is not None:
        message.sign.CopyFrom(_sign(notices.sign))
    if notices.beacon is not None:
        message.beacon.CopyFrom(_alarm(notices.beacon))
    if notices.tone is not None:
        message.tone.CopyFrom(_alarm(notices.tone))


def _arm(shown: ArmShown) -> pb.ArmState:
    return pb.ArmState(
        position=POSITION.to_wire(Arm(shown.position)),
        position_since=wire.moment(shown.since),
        asked=MOVEMENT.to_wire(Move(shown.asked)),
        fault=shown.fault,
        against_lowering=shown.against,
    )


def _sign(shown: SignShown) -> pb.SignState:
    return pb.SignState(
        wanted=TEXT.to_wire(shown.wanted),
        wanted_since=wire.moment(shown.since),
        shown=TEXT.to_wire(shown.shown),
        grade=enums.GRADE.to_wire(shown.grade),
    )


def _alarm(shown: AlarmShown) -> pb.AlarmState:
    return pb.AlarmState(
        wanted=_level(shown.wanted),
        wanted_since=wire.moment(shown.since),
        shown=_level(shown.shown),
        silenced_by=shown.silenced_by,
    )


def _level(on: bool | None) -> pb.AlarmState.Level.ValueType:
    if on is None:
        return pb.AlarmState.LEVEL_UNSPECIFIED
    return pb.AlarmState.LEVEL_ON if on else pb.AlarmState.LEVEL_OFF
