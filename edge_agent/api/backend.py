"""What the doors need of the agent. The composition root implements it in protobuf: api itself has no logic."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from edge_agent.model.decision import OfficerAct, Role
from edge_agent.model.effects import AnswerAct
from edge_agent.runtime.channel import Channel
from securecorridor.lane.v1 import capture_service_pb2 as capture_pb
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import sighting_service_pb2 as sighting_pb
from securecorridor.lane.v1 import types_pb2 as types_pb

from .feeds import Watch


@dataclass(frozen=True, slots=True)
class PassageFound:
    """A passage by id: sealed (`passage`, and `bundle` bytes while held), or still in the lane (`live`)."""

    passage: lane_pb.Passage | None
    live: lane_pb.ConveyanceState | None
    bundle: bytes


class LaneBackend(Protocol):
    """The agent as its doors see it. Synchronous members are quick and never raise."""

    def lane_state(self, role: Role) -> lane_pb.LaneState:
        """The lane now; identities in clear only for the officer."""
        ...

    def lane_changes(self) -> AbstractContextManager[Watch]:
        """Notice of every change of `lane_state`."""
        ...

    async def act(self, act: OfficerAct) -> AnswerAct:
        """Put an act to the core; the answer comes when it is recorded."""
        ...

    def keep_control(self, officer: str) -> float | None:
        """This officer's console sees the lane and is in control: seconds until that ends. None when it is not."""
        ...

    async def capture(self, act: OfficerAct) -> AnswerAct:
        """Start, stop or delete a capture; the answer comes when it is recorded and done."""
        ...

    async def captures(self) -> list[capture_pb.Capture]:
        """Captures at the lane, newest first."""
        ...

    async def test_signal(self, act: OfficerAct) -> tuple[AnswerAct, lane_pb.TestSignalResponse]:
        """Test the head for a person at the lane; the response has no outcome yet, and means nothing when refused."""
        ...

    async def commission_head(self, act: OfficerAct) -> tuple[AnswerAct, lane_pb.CommissionHeadResponse]:
        """Do the kill test; the response as in `test_signal`."""
        ...

    async def list_passages(self, page_size: int, before_seq: int | None) -> list[lane_pb.Passage]:
        """Sealed passages, newest first."""
        ...

    async def get_passage(self, passage_id: str) -> PassageFound | None:
        """By bundle or conveyance id or a unique beginning of one; None when there is none or several."""
        ...

    def passages(self) -> AbstractContextManager[Channel[lane_pb.Passage]]:
        """Each passage as it is sealed."""
        ...

    def devices(self) -> list[diagnostics_pb.Device]:
        """Every device with its last sign of life."""
        ...

    def readers(self) -> list[diagnostics_pb.Reader]:
        """Every RFID reader with its health."""
        ...

    def conditions(self) -> list[types_pb.Condition]:
        """Conditions in force, worst first."""
        ...

    def outbox(self) -> diagnostics_pb.GetOutboxResponse:
        """Records waiting for central."""
        ...

    def recent_events(self, backlog: int) -> list[diagnostics_pb.TailEvent]:
        """The last lane events, oldest first."""
        ...

    def events(self) -> AbstractContextManager[Channel[diagnostics_pb.TailEvent]]:
        """Each lane event as it happens."""
        ...

    def report_plate(self, plate: sighting_pb.PlateSighting) -> None:
        """A plate or code was read from a picture."""
        ...

    def report_view(self, view: sighting_pb.ViewState) -> None:
        """A camera view went live or stale."""
        ...

    def views_gone(self, views: Sequence[str]) -> None:
        """The stream that reported these views has ended."""
        ...

    def console_watch(self, officer: str) -> AbstractContextManager[None]:
        """An officer's console watches the lane while the context lasts."""
        ...
