"""The message sign of a lane whose sign has a controller of its own: its session, kept running, and what it shows."""

import random
from typing import TYPE_CHECKING

from drivers.api import DeviceError, DeviceRefused, EdgeError, Grade, Observation
from drivers.sign.dms_sign import DmsSign, SignSeen
from drivers.sign.settings import default_sign_dir, load_sign
from edge_agent.config.schema import SignSection
from edge_agent.model.actuators import SignShown, SignText
from edge_agent.model.effects import Severity
from edge_agent.runtime.health import Condition
from edge_agent.runtime.supervise import LOCAL_CAP_S, Backoff, keep_running

from .notices import sign_text
from .sign_conditions import NOT_AS_TOLD, tell_of_sign

if TYPE_CHECKING:
    from .agent import Agent

DEVICE = "sign"
ERRORS = "SIGN_ERRORS"


class SignKeeper:
    """Keeps the sign saying what the lane's state allows. Its durations are counted in minutes, so that it is never
    told PROCEED: with a green it is blank."""

    def __init__(self, agent: "Agent", section: SignSection) -> None:
        self._agent = agent
        self._section = section
        self._wants = SignText.STOP
        self._since = agent.clock.stamp()
        self._seen: SignSeen | None = None

    def shown(self) -> SignShown:
        """What is wanted, and what its controller says it shows."""
        seen = self._seen
        known = SignText(seen.text) if seen is not None and seen.text else None
        well = known is not None and seen is not None and not seen.errors
        return SignShown(self._wants, self._since, known if well else None, Grade.CONTACT if well else Grade.NONE)

    async def run(self) -> None:
        """Until cancelled; the sign goes to STOP / ARRÊT by itself."""
        agent = self._agent
        agent.devices.add(DEVICE, "ntcip_sign", agent.clock.stamp(), required=False)
        backoff = Backoff(LOCAL_CAP_S, random.Random())  # noqa: S311 - jitter
        await keep_running(self._session, self._observe, backoff, self._failed)

    def _session(self) -> DmsSign:
        section = self._section
        try:
            profile = load_sign(default_sign_dir() / f"{section.profile}.yaml")
            community = section.community_file.read_bytes().strip()
        except EdgeError as error:
            raise DeviceRefused(error.code, error.message, error.hint) from error
        except OSError as error:
            hint = "put the sign's community into that file, readable for the agent's user"
            raise DeviceRefused("SIGN_REFUSES", f"{section.community_file}: {error.strerror}", hint) from error
        return DmsSign(DEVICE, section, profile, community, self._agent.clock, self._wanted, self._saw)

    def _wanted(self) -> str:
        agent = self._agent
        text = sign_text(agent.passage.state, agent.signal.state())
        text = SignText.BLANK if text is SignText.PROCEED else text
        if text is not self._wants:
            self._wants, self._since = text, agent.clock.stamp()
            self._tell()
        return text.value

    def _observe(self, observation: Observation) -> None:
        self._agent.devices.observe(observation)

    def _saw(self, seen: SignSeen) -> None:
        if seen == self._seen:
            return
        self._seen = seen
        board, now = self._agent.board, self._agent.clock.stamp()
        if seen.errors:
            title = f"the message sign tells of errors: {', '.join(seen.errors)}"
            hint = "have the sign looked after; what it shows counts as not known"
            board.raise_condition(Condition(ERRORS, Severity.WARNING, title, hint, now, device=DEVICE))
        else:
            board.clear(ERRORS, DEVICE)
        self._tell()

    def _tell(self) -> None:
        if self._seen is not None and not self._seen.errors:
            tell_of_sign(self._agent.board, DEVICE, self.shown(), self._agent.clock.stamp())
        else:
            self._agent.board.clear(NOT_AS_TOLD, DEVICE)  # why is told already
        self._agent.backend.changed()

    def _failed(self, error: DeviceError) -> None:
        self._seen = None
        self._agent.devices.fail(DEVICE, error, self._agent.clock.stamp())
        self._tell()
