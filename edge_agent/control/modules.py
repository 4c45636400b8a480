"""The lane's I/O modules between their sessions: which one answered, who else is on it, whether it may show green."""

from drivers.api import Clock, DeviceUp
from drivers.modbus.lane_io import LaneIo
from edge_agent.model.effects import Severity
from edge_agent.runtime.health import Condition, HealthBoard


class Modules:
    """Knows the live session of each I/O module, and the identity that each had before. `head`: the signal's module."""

    def __init__(self, board: HealthBoard, clock: Clock, head: str) -> None:
        self._board = board
        self._clock = clock
        self._head = head
        self._sessions: dict[str, LaneIo] = {}
        self._identities: dict[str, str] = {}

    def session(self, device: str) -> LaneIo | None:
        """The newest session, live or beginning; None after it ended."""
        return self._sessions.get(device)

    def made(self, device: str, session: LaneIo) -> None:
        """A session begins: it must meet the module that the last one had."""
        session.expected_identity = self._identities.get(device, "")
        self._sessions[device] = session

    def up(self, up: DeviceUp) -> None:
        """A module was identified. One that serves, but may never be asked for green, is told as a condition."""
        self._identities[up.device] = up.info.details.get("identity", "")
        refusal = self._sessions[up.device].green_refusal
        if up.device == self._head and refusal:
            title = f"{up.device} may not show green: {refusal}"
            hint = "use a module whose profile turns red by itself, and wire the feedback of the head"
            self._raise("GREEN_REFUSED", Severity.ALARM, title, hint, up.device)

    def ended(self, device: str) -> bool:
        """A session is over; False when the device is no I/O module."""
        return self._sessions.pop(device, None) is not None

    def watch(self) -> None:
        """Tell of other masters, as far as the modules say; called about once a second."""
        for device, session in self._sessions.items():
            if session.other_masters:
                title = f"{device} has {session.other_masters} more connection(s) than this computer's"
                hint = "find who else is connected; writing to the head's outputs is a fault (SIGNAL_FOREIGN_WRITE)"
                self._raise("MODULE_SHARED", Severity.WARNING, title, hint, device)
            else:
                self._board.clear("MODULE_SHARED", device)

    def _raise(self, code: str, severity: Severity, title: str, hint: str, device: str) -> None:
        self._board.raise_condition(Condition(code, severity, title, hint, self._clock.stamp(), device=device))
