"""Who may have green, as those know who gave it: central, officers, the link. Tells the oracle, whatever the run.

An act is told when it is made and taken back when the agent refuses it.
"""

from collections.abc import Callable, Iterable, Mapping

from hil.oracles.wrong_green import WrongGreenOracle
from hil.world.faults import Verb

OFFICER_LEASE_S = 20.0
_RED_MODES = ("closed", "all_hold", "maintenance")

Undo = Callable[[], None]


class ReleaseSide:
    """`now` gives world seconds. `testing`: whether the head is tested now."""

    def __init__(self, oracle: WrongGreenOracle, now: Callable[[], float]) -> None:
        self.testing = False
        self._oracle = oracle
        self._now = now
        self._by_centre: dict[str, float] = {}
        self._by_officer: dict[str, float] = {}
        self._given: dict[str, dict[int, float]] = {}
        """The releases that `_by_officer` stands on, by the number of the act: two officers may act at once."""
        self._acts = 0
        self._held: dict[str, str] = {}
        """Why the lane is closed by holds, and for which truck ("" for all)."""

    def answered(self, truck: str, release: bool, until: float) -> None:
        """Central's answer has reached the lane; a release is good `until` a world second."""
        now = self._now()
        if release:
            self._by_centre[truck] = until
            self._oracle.released(now, truck, max(until, self._by_officer.get(truck, 0.0)))
            return
        self._by_centre.pop(truck, None)
        self._by_officer.pop(truck, None)
        self._given.pop(truck, None)
        self._oracle.revoked(now, truck)

    def linked(self, up: bool) -> None:
        """Without a link nothing that central released may show green; with it, what it has not taken back may again.
        An officer's release needs the console only."""
        now = self._now()
        for truck, until in self._by_centre.items():
            if up and until > now:
                self._oracle.released(now, truck, max(until, self._by_officer.get(truck, 0.0)))
            elif not up and self._by_officer.get(truck, 0.0) <= now:
                self._oracle.revoked(now, truck, "link lost")
            elif not up:
                self._oracle.released(now, truck, self._by_officer[truck])

    def act(self, verb: Verb, args: Mapping[str, str | float | bool]) -> Undo:
        """An officer acts. Returns what takes it back, should the agent refuse."""
        oracle, now, truck = self._oracle, self._now(), str(args.get("truck", ""))
        match verb:
            case Verb.HOLD_LANE | Verb.HOLD_CONVEYANCE:
                why = f"hold {truck}".strip()
                self._hold({why: truck})
                return lambda: self._let_go([why])
            case Verb.CLEAR_HOLD:
                held = dict(self._held)
                self._let_go(held)
                return lambda: self._hold(held)
            case Verb.RELEASE_CONVEYANCE:
                return self._release(truck)
            case Verb.REFER_CONVEYANCE | Verb.DIRECT_CONVEYANCE:
                return self._revoke(truck)
            case Verb.SET_MODE if str(args["mode"]) in _RED_MODES:
                oracle.lane_closed(now, "mode")
                return lambda: oracle.lane_opened(self._now(), "mode")
            case Verb.SET_MODE:
                oracle.lane_opened(now, "mode")
            case Verb.TEST_SIGNAL:
                self.testing = True
                oracle.signal_test(now, on=True)
            case _:
                pass
        return lambda: None

    def test_over(self) -> None:
        """The signal test has ended, one way or the other."""
        self.testing = False
        self._oracle.signal_test(self._now(), on=False)

    def control_ended(self) -> None:
        """Nobody controls the lane any more: no officer's release is live."""
        self._given.clear()
        for truck in list(self._by_officer):
            self._as_before(truck, 0.0, self._by_centre.get(truck, 0.0))

    def _hold(self, held: Mapping[str, str]) -> None:
        self._held |= held
        for why, truck in held.items():
            self._oracle.lane_closed(self._now(), why, truck=truck)

    def _let_go(self, held: Iterable[str]) -> None:
        for why in list(held):
            self._held.pop(why, None)
            self._oracle.lane_opened(self._now(), why)

    def _release(self, truck: str) -> Undo:
        now = self._now()
        self._acts += 1
        number, until = self._acts, now + OFFICER_LEASE_S
        self._by_officer[truck] = self._given.setdefault(truck, {})[number] = until
        self._oracle.released(now, truck, max(until, self._by_centre.get(truck, 0.0)))
        return lambda: self._not_released(truck, number)

    def _not_released(self, truck: str, number: int) -> None:
        """This release was refused; another one made meanwhile may stand."""
        given = self._given.get(truck, {})
        if given.pop(number, None) is not None:
            self._as_before(truck, max(given.values(), default=0.0), self._by_centre.get(truck, 0.0))

    def _revoke(self, truck: str) -> Undo:
        """Sent elsewhere: whatever central says, it is not released any more."""
        officer, centre = self._by_officer.pop(truck, 0.0), self._by_centre.pop(truck, 0.0)
        self._given.pop(truck, None)
        self._oracle.revoked(self._now(), truck)
        return lambda: self._as_before(truck, officer, centre)

    def _as_before(self, truck: str, officer_s: float, centre_s: float) -> None:
        now = self._now()
        for until, kept in ((officer_s, self._by_officer), (centre_s, self._by_centre)):
            kept.pop(truck, None)
            if until > now:
                kept[truck] = until
        if max(officer_s, centre_s) > now:
            self._oracle.released(now, truck, max(officer_s, centre_s))
        else:
            self._oracle.revoked(now, truck)
