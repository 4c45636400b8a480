"""What a technician must know of a message sign, whatever it hangs on: conditions on the board."""

from drivers.api import Grade, Stamp
from edge_agent.model.actuators import SignShown
from edge_agent.model.effects import Severity
from edge_agent.runtime.health import Condition, HealthBoard

COMMANDED_ONLY = "SIGN_COMMANDED_ONLY"
NOT_AS_TOLD = "SIGN_NOT_AS_TOLD"
AGREES_S = 3.0
"""A change of text is read back within a second or two; what lasts longer is told."""


def tell_of_sign(board: HealthBoard, device: str, shown: SignShown, now: Stamp) -> None:
    """Of a sign whose session is up: that nothing reads it back, so that its text is commanded only; that it does not
    say what it is told. `device`: the sign's controller, or the module it hangs on."""
    if shown.grade is Grade.COIL:
        title = "the message sign's text is commanded only: its outputs are read back, the sign is not"
        hint = "look at the sign itself or on camera; a sign with a controller (section sign) confirms its text"
        board.raise_condition(Condition(COMMANDED_ONLY, Severity.INFO, title, hint, now, device=device))
    if shown.shown is shown.wanted:
        board.clear(NOT_AS_TOLD, device)
        return
    says = f"says {shown.shown}" if shown.shown is not None else "cannot be read back"
    board.raise_condition(
        Condition(
            NOT_AS_TOLD, Severity.WARNING, f"the message sign is told {shown.wanted} and {says}",
            "does another master tell it, or does an output stick? look at the sign", now,
            device=device, visible_after_s=AGREES_S,
        )
    )  # fmt: skip
