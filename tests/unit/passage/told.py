"""Stories for the words: each gives what the lane told, line by line. `python -m tests.unit.passage.told` writes the
texts of `told/` anew; the difference is for a person to read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from drivers.api import Aspect, Grade
from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import ActKind, OfficerAct, Role, Verdict
from edge_agent.model.inputs import (
    BarrierChanged,
    CaptureEnded,
    CentreLink,
    ClockStepped,
    ConsolePresence,
    ControlLost,
    DeviceChanged,
    HeadCommissioned,
    HeadTested,
    SeenElsewhere,
    SignalChanged,
    Started,
    StoreHealth,
    VehicleUnread,
    ZonesLost,
)
from edge_agent.model.lane import LaneMode, Zone
from edge_agent.passage.views import view

from .chronicle import chronicle, why
from .story import CONFIG, UTC0, Lane
from .told_sensors import SENSORS

FOLDER = Path(__file__).parent / "told"


def seen(lane: Lane) -> list[str]:
    """The vehicles as the officer's page has them."""
    shown = view(lane.state, lane.at)
    head = (
        f"-- {lane.now:.1f} {shown.mode.value} of {shown.wanted_mode.value}, fault {shown.fault or 'none'}, order "
        f"{shown.order_known} {shown.order_reason}, centre {shown.centre_up}, console {shown.console_present}, control "
        f"{shown.control.officer or 'nobody'}, store {shown.store_ok}, zones {shown.zones_known}, "
        f"detected {shown.counts.detected}, sealed {shown.counts.sealed}, released {shown.counts.released}, "
        f"violations {shown.counts.violations}"
    )
    lines = [head, f"   conditions {', '.join(shown.conditions) or 'none'}"]
    for it in shown.conveyances:
        place = "unknown" if it.position is None else f"{it.position.earliest_m:.1f} to {it.position.latest_m:.1f} m"
        eta = "unknown" if it.eta_to_commit_s is None else f"{it.eta_to_commit_s:.1f} s"
        legs = ", ".join(
            f"{leg.leg.value} {'needed' if leg.required else 'free'} {leg.complete} {leg.claims} {leg.confidence:.2f}"
            for leg in it.legs
        )
        lines += [
            f"   {it.place} #{it.conveyance.order} {it.phase.value} at {place}, commit in {eta}, waiting {it.waiting}, "
            f"crossed {it.crossed}, decision {it.decision.verdict.value if it.decision else 'none'}, lease "
            f"{it.lease.seq if it.lease else 'none'}, held {it.hold is not None}, flags {' '.join(it.flags) or 'none'}",
            f"      {legs}; {', '.join(cause.code.value for cause in it.causes) or 'nothing against it'}",
        ]
    return lines


def rolling() -> list[str]:
    """A truck is released on the way and rolls through; its answer comes late, revisions come later still."""
    lane = Lane().start()
    lane.arrive()
    lines = [*seen(lane), *why(lane)]
    lane.decide(ttl_s=600)
    lines += seen(lane)
    lane.drive_to_line()
    lines += seen(lane)
    lane.pass_line()
    record = lane.bundles[0]
    lane.decide(Verdict.REFER_SECONDARY, of=record, revision=2)
    lane.decide(of=record, revision=2)
    lane.decide(of=record, revision=3)
    lane.decide(of=replace(record, conveyance_id="nobody"))
    return [*chronicle(lane), *lines, *seen(lane)]


STARTING = 13
"""What every start tells; `rolling` shows it."""


def decisions() -> list[str]:
    """Everything the release service may say of a vehicle on the way."""
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide(digest="sha256:other", revision=7)
    lane.decide(Verdict.HOLD_AT_LINE, revision=2)
    lines = why(lane)
    lane.decide(revision=1)
    lane.decide(revision=2)
    lane.decide(revision=3, ttl_s=0.0)
    lane.decide(revision=3, cargo=False)
    lines += why(lane)
    lane.decide(revision=4)
    lane.decide(Verdict.REFUSE_RETURN, revision=5)
    lane.drive_to_line()
    lane.wait(8)
    lines += [*why(lane), *seen(lane)]
    lane.decide(revision=6)
    lane.wait(15)
    lines += why(lane)
    lane.decide(revision=7, ttl_s=4.0)
    lane.wait(5)
    lines += why(lane)
    lane.decide(revision=7, echoed=lane.now - 1)
    lane.on(Zone.BEAM)
    lines += why(lane)
    lane.decide(Verdict.REFER_SECONDARY, of=truck, revision=8)
    return [*chronicle(lane, STARTING), *lines]


def unanswered() -> list[str]:
    """The service does not answer, the link goes, and comes back."""
    lane = Lane().start()
    lane.arrive(None)
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(300, pace=0.5)
    lane.feed(CentreLink(lane.at, False))
    lane.feed(CentreLink(lane.at, False))
    lines = why(lane)
    lane.wait(2)
    lane.feed(CentreLink(lane.at, True))
    lane.wait(6)
    lane.see("t1-card")
    lane.wait(1)
    lane.decide(ttl_s=20)
    lane.feed(CentreLink(lane.at, False))
    lines += why(lane)
    lane.wait(3)
    lane.feed(CentreLink(lane.at, True))
    lane.wait(30)
    return [*chronicle(lane, STARTING), *lines]


def officers() -> list[str]:
    """Who may do what, and the words of every refusal."""
    lane = Lane().start(order_known=False)
    lines = why(lane)
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=("nobody",))
    lane.act(ActKind.CONFIRM_ORDER, etag="0" * 16)
    lane.act(ActKind.CONFIRM_ORDER)
    lane.act(ActKind.SET_MODE, mode="fast")
    lane.act(ActKind.SET_MODE, Role.TECHNICIAN, mode="attended")
    lane.act(ActKind.DIRECT_CONVEYANCE, verdict=Verdict.RELEASE)
    lane.act(ActKind.DIRECT_CONVEYANCE, verdict=Verdict.REFUSE_RETURN, conveyance_id="nobody")
    for kind in (ActKind.RELEASE_CONVEYANCE, ActKind.REFER_CONVEYANCE, ActKind.HOLD_CONVEYANCE, ActKind.CLEAR_HOLD):
        lane.act(kind, conveyance_id="nobody")
    lane.act(ActKind.RELEASE_CONVEYANCE, Role.VIEWER)
    lane.act(ActKind.ACKNOWLEDGE)
    lane.act(ActKind.ACKNOWLEDGE, condition="CENTRE_LOST")
    lane.act(ActKind.SILENCE)
    lane.act(ActKind.CLEAR_HOLD)
    lane.act(ActKind.CLEAR_FAULT)
    lane.send(OfficerAct(ActKind.HOLD_LANE, "", "bso:p1", Role.OFFICER))
    first, second = lane.arrive(), lane.arrive("t2")
    lane.act(ActKind.HOLD_CONVEYANCE, Role.MEDIA, of=_now(lane, first), officer="media:1", reason="smoke")
    lane.act(ActKind.HOLD_CONVEYANCE, of=_now(lane, first), officer="bso:p2")
    lines += [*why(lane), *seen(lane)]
    lane.act(ActKind.RELEASE_CONVEYANCE, of=_now(lane, first))
    lane.act(ActKind.CLEAR_HOLD, Role.TECHNICIAN, of=_now(lane, first))
    lane.act(ActKind.CLEAR_HOLD, of=_now(lane, first))
    lane.act(ActKind.HOLD_LANE, Role.TECHNICIAN, officer="tech:7", reason="lamp")
    lines += why(lane)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=_now(lane, first))
    lane.act(ActKind.CLEAR_HOLD, Role.TECHNICIAN)
    lane.act(ActKind.CLEAR_HOLD)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=first)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=_now(lane, first), identity_digest="sha256:0")
    lane.act(ActKind.RELEASE_CONVEYANCE, of=_now(lane, second))
    lane.act(ActKind.RELEASE_CONVEYANCE, of=_now(lane, first), lease_s=5.0)
    lane.wait(6)
    lines += why(lane)
    lane.act(ActKind.REFER_CONVEYANCE, of=_now(lane, first), reason="documents")
    lines += [*why(lane), *seen(lane)]
    lane.act(ActKind.DIRECT_CONVEYANCE, of=first, verdict=Verdict.MANUAL_LANE)
    lane.act(ActKind.DIRECT_CONVEYANCE, of=_now(lane, first), verdict=Verdict.MANUAL_LANE)
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(first.conveyance_id, first.conveyance_id))
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(first.conveyance_id,))
    lane.zones((Zone.A, True), (Zone.D, True))
    lane.act(ActKind.CONFIRM_ORDER)
    lane.on(Zone.BEAM)
    lane.act(ActKind.CONFIRM_ORDER)
    lane.act(ActKind.TAKE_CONTROL, duration_s=151.0)
    lane.act(ActKind.TAKE_CONTROL, officer="bso:p2", reason="shift")
    lane.act(ActKind.TAKE_CONTROL, officer="bso:p2", displaces="bso:p1")
    lane.act(ActKind.TAKE_CONTROL, officer="bso:p2", displaces="bso:p1", reason="shift")
    lane.act(ActKind.GIVE_CONTROL)
    lane.act(ActKind.GIVE_CONTROL, officer="bso:p2", reason="over")
    lane.send(OfficerAct(ActKind.TAKE_CONTROL, "late", "bso:p3", Role.OFFICER, displaces="bso:p2"))
    lane.act(ActKind.SET_MODE, Role.TECHNICIAN, officer="tech:7", mode="fast")
    return [*chronicle(lane, STARTING), *lines, *seen(lane)]


def _now(lane: Lane, before: Conveyance) -> Conveyance:
    return next(c for c in lane.state.conveyances if c.conveyance_id == before.conveyance_id)


def links() -> list[str]:
    """What the world around the lane does to it, and back."""
    lane = Lane().start()
    lane.arrive()
    for event in (
        ConsolePresence(lane.at, True),
        ConsolePresence(lane.at, True),
        StoreHealth(lane.at, False, "STORE_FULL"),
        StoreHealth(lane.at, False, "STORE_FULL"),
        DeviceChanged(lane.at, "rfid-1", False, "LINK_LOST", False),
        DeviceChanged(lane.at, "rfid-1", False, "LINK_LOST", False),
        DeviceChanged(lane.at, "camera-1", False, "NO_PICTURE", True),
        DeviceChanged(lane.at, "camera-2", True, "", True),
        ClockStepped(lane.at, -1500),
        VehicleUnread(lane.at, "rfid-1", 1),
        VehicleUnread(lane.at, "rfid-1", 0),
        HeadCommissioned(lane.at, False, "no kill test of io-1 is on record"),
        BarrierChanged(lane.at, "down", "raise", ""),
        BarrierChanged(lane.at, "between", "raise", ""),
        BarrierChanged(lane.at, "between", "raise", "BARRIER_NOT_MOVED"),
    ):
        lane.feed(event)
    lane.act(ActKind.SET_MODE, mode="remote")
    lines = [*why(lane), *seen(lane)]
    lane.wait(1)
    lane.act(ActKind.CLEAR_FAULT)
    lane.act(ActKind.CLEAR_FAULT)
    for back in (
        BarrierChanged(lane.at, "up", "none", ""),
        StoreHealth(lane.at, True, ""),
        DeviceChanged(lane.at, "camera-1", True, "", True),
        DeviceChanged(lane.at, "rfid-1", True, "", False),
        ZonesLost(lane.at, "INPUTS_STALE"),
    ):
        lane.feed(back)
    lane.act(ActKind.SET_MODE, mode="remote")
    lines += [*why(lane), *seen(lane)]
    lane.act(ActKind.CONFIRM_ORDER)
    lane.wait(1)
    lane.zones()
    lane.feed(HeadCommissioned(lane.at, True, ""))
    lane.feed(ControlLost(lane.at, "bso:p9"))
    lane.feed(ControlLost(lane.at, "bso:p1"))
    lane.act(ActKind.CONFIRM_ORDER, of=None, confirmed_order=tuple(c.conveyance_id for c in lane.state.conveyances))
    lane.decide()
    lane.feed(ConsolePresence(lane.at, False))
    lines += seen(lane)
    lane.now += 2.0
    lane.feed(Started(lane.at, "boot-2", b"seed"))
    return [*chronicle(lane, STARTING), *lines, *why(lane), *seen(lane)]


def faults() -> list[str]:
    """A fault of the head, the way out of it, and work at the lane."""
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.feed(SignalChanged(lane.at, Aspect.RED, None, Grade.NONE, "readback_disagrees", "SIGNAL_DARK", 1))
    lane.act(ActKind.CLEAR_FAULT)
    lines = why(lane)
    lane.act(ActKind.SET_MODE, mode="remote")
    lane.act(ActKind.TEST_SIGNAL)
    lane.act(ActKind.TEST_SIGNAL, lane_empty=True)
    lane.act(ActKind.SET_MODE, mode="closed")
    lane.act(ActKind.TEST_SIGNAL, lane_empty=True)
    lane.act(ActKind.CONFIRM_ORDER)
    lane.act(ActKind.HOLD_LANE)
    lane.act(ActKind.TEST_SIGNAL, lane_empty=True)
    lane.act(ActKind.CLEAR_HOLD)
    lane.on(Zone.X)
    lane.act(ActKind.TEST_SIGNAL, lane_empty=True)
    lane.off(Zone.X)
    lane.wait(400, pace=2.0)
    lane.act(ActKind.CONFIRM_ORDER)
    lane.act(ActKind.CLEAR_FAULT)
    lane.feed(HeadTested(lane.at, "signal_test", True, "io-1", "ab12", "tech:7", (("1_red", "red (lamp)"),)))
    lane.act(ActKind.START_CAPTURE, Role.TECHNICIAN, capture="c-1", device="rfid-1", duration_s=60)
    lane.act(ActKind.SET_MODE, mode="maintenance", duration_s=7201.0)
    lane.act(ActKind.SET_MODE, mode="maintenance", duration_s=90.0, reason="lamp")
    lines += [*why(lane), *seen(lane)]
    for name in ("c-1", "c-2"):
        lane.act(ActKind.START_CAPTURE, Role.TECHNICIAN, capture=name, device="rfid-1", duration_s=60, reason="reads")
    lane.act(ActKind.START_CAPTURE, Role.TECHNICIAN, capture="c-3", device="io-1", duration_s=600)
    lane.act(ActKind.DELETE_CAPTURE, Role.TECHNICIAN, capture="c-1")
    lane.act(ActKind.STOP_CAPTURE, Role.TECHNICIAN, capture="c-9")
    lane.act(ActKind.STOP_CAPTURE, Role.TECHNICIAN, capture="c-1", officer="tech:7", reason="enough")
    lane.act(ActKind.DELETE_CAPTURE, Role.TECHNICIAN, capture="c-1", officer="tech:7", reason="done")
    lane.act(ActKind.START_CAPTURE, Role.TECHNICIAN, capture="c-4", device="rfid-1", duration_s=5)
    lane.feed(CaptureEnded(lane.at, "c-4", "size", 4096))
    lane.act(ActKind.CLEAR_FAULT)
    lane.act(ActKind.SET_MODE, mode="attended")
    lane.wait(91)
    lane.act(ActKind.SET_MODE, mode="all_hold")
    lines += why(lane)
    lane.act(ActKind.SET_MODE, mode="attended")
    return [*chronicle(lane, STARTING), *lines, *why(lane)]


def against_the_light() -> list[str]:
    """Who crosses without being entitled, or with a light that nobody can vouch for."""
    lines = []
    for told in (
        _tailgater, _revoked_late, _revoked_behind, _unconfirmed, _unlit, _overtaken, _joined, _aside, _turns_back,
        _two_lanes, _order_comes_back,
    ):  # fmt: skip
        lines += [f"== {told.__name__.strip('_')}", *chronicle(told(), STARTING)]
    return lines


def _order_comes_back() -> Lane:
    lane = Lane().start(order_known=False)
    lane.arrive()
    lane.drive_to_line()
    lane.wait(12.0)
    lane.decide()
    lane.pass_line()
    return lane


def _tailgater() -> Lane:
    lane = Lane().start()
    lane.arrive()
    lane.arrive("t2")
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    lane.drive_to_line()
    lane.pass_line()
    return lane


def _revoked_late() -> Lane:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(6.5)
    lane.off(Zone.D)
    lane.wait(3.0)
    lane.decide(Verdict.REFER_SECONDARY, revision=2)
    lane.on(Zone.S)
    lane.pass_line()
    return lane


def _revoked_behind() -> Lane:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(1.0)
    lane.decide(Verdict.REFER_SECONDARY, of=truck, revision=2)
    return lane


def _unlit() -> Lane:
    lane = Lane(shows=lambda _: None).start()
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "no_lease", "", 0))
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    return lane


def _overtaken() -> Lane:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.on(Zone.S)
    return lane


def _joined() -> Lane:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.decide()
    lane.on(Zone.D)
    return lane


def _unconfirmed() -> Lane:
    lane = Lane(signal_lies=lambda aspect: (None, Grade.COIL)).start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    return lane


def _aside() -> Lane:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(10)
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.REFUSE_RETURN)
    lane.off(Zone.S)
    lane.wait(3)
    return lane


def _turns_back() -> Lane:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(10)
    lane.off(Zone.S)
    lane.wait(1000, pace=5)
    return lane


def _two_lanes() -> Lane:
    lane = Lane(replace(CONFIG, mode_at_start=LaneMode.ATTENDED)).start()
    truck = lane.arrive()
    elsewhere = SeenElsewhere(lane.at, truck.conveyance_id, "t1-card", "lanes/08", UTC0, -5100)
    lane.feed(elsewhere)
    lane.feed(elsewhere)
    lane.feed(replace(elsewhere, token="t9-card"))
    lane.feed(replace(elsewhere, conveyance_id="nobody"))
    lane.decide()
    lane.drive_to_line()
    lane.wait(10)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    lane.feed(replace(elsewhere, lane="lanes/09"))
    lane.arrive()
    return lane


STORIES: tuple[Callable[[], list[str]], ...] = (
    rolling,
    decisions,
    unanswered,
    officers,
    links,
    faults,
    against_the_light,
    *SENSORS,
)


def main() -> None:
    """Write every text anew."""
    FOLDER.mkdir(exist_ok=True)
    for story in STORIES:
        (FOLDER / f"{story.__name__}.txt").write_text("\n".join(story()) + "\n")


if __name__ == "__main__":
    main()
