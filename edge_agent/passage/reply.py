"""What an act came to."""

from dataclasses import dataclass

from edge_agent.model.decision import ActResult, Refused


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one act."""

    result: ActResult
    message: str
    may_clear: tuple[str, ...] = ()
    refused: Refused = Refused.OTHERWISE
    controlled_by: str = ""
