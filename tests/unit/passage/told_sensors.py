"""More stories for the words: sensors that are blind, lie or disagree, and tags that are nobody's or of another."""

from dataclasses import replace

from edge_agent.model.decision import ActKind
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import ConsolePresence, ControlLost, SightingChanged, ZonesChanged
from edge_agent.model.lane import LanePolicy, Zone, ZoneSpan
from edge_agent.model.presence import PresenceLayout

from .chronicle import chronicle, why
from .story import CONFIG, GEOMETRY, Lane, stamp

STARTING = 13


def _told(name: str, lane: Lane) -> list[str]:
    strays = " ".join(f"{antenna} {count}" for antenna, count in lane.state.strays)
    return [f"== {name}", *chronicle(lane, STARTING), *why(lane), f"-- strays: {strays or 'none'}"]


def _over_the_line(lane: Lane) -> None:
    """Over the sensor at the line, and no more is seen of it."""
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.wait(1.0)
    lane.off(Zone.BEAM)


def blind_exits() -> list[str]:
    """X is dead, and sees again; a lane that has none."""
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    _over_the_line(lane)
    lane.wait(90)
    lane.on(Zone.X)
    lane.wait(5)
    lane.off(Zone.X)
    lane.arrive("t2")
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    lines = _told("dead", lane)
    lane = Lane(replace(CONFIG, geometry=replace(GEOMETRY, x=ZoneSpan(37.0, 37.0), exit_sensed=False)))
    del lane.levels[Zone.X], lane.edges[Zone.X]
    lane.start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    _over_the_line(lane)
    lane.wait(60)
    return [*lines, *_told("none", lane)]


def lying_beams() -> list[str]:
    """The beam lies about a standing truck, breaks for a person, looks over a drawbar, outlasts the loop; a curtain's
    outputs disagree."""
    lines = []
    lane = Lane().start()
    truck = lane.arrive()
    lane.drive_to_line()
    lane.wait(8)
    lane.on(Zone.BEAM)
    lane.wait(3)
    lane.off(Zone.BEAM)
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,))
    lane.wait(8)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    lines += _told("broken at a standing truck", lane)
    lane = Lane().start()
    lane.on(Zone.BEAM)
    lane.wait(2)
    lane.off(Zone.BEAM)
    lines += _told("a person", lane)
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(2)
    lane.off(Zone.BEAM)
    lane.wait(0.4)
    lane.pass_line()
    lines += _told("a drawbar", lane)
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(5)
    lane.off(Zone.S)
    lane.wait(60)
    lane.off(Zone.BEAM)
    lane.wait(60)
    lines += _told("outlasts the loop", lane)
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.wait(3)
    lane.off(Zone.S)
    lane.wait(10)
    lane.on(Zone.X)
    lane.wait(6)
    lane.off(Zone.X)
    lane.wait(60)
    lines += _told("blind", lane)
    lane = Lane(replace(CONFIG, geometry=replace(GEOMETRY, layout=PresenceLayout.LIGHT_CURTAIN))).start()
    lane.arrive()
    lane.feed(ZonesChanged(lane.at, lane.session, dict(lane.levels), dict(lane.edges), line_disagrees=True))
    lane.decide()
    lines += _told("a curtain", lane)
    lane.drive_to_line()
    lane.wait(10)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    return [*lines, *_told("a curtain, after", lane)]


def _sighting(lane: Lane, name: str, since: float, **more: object) -> SightingChanged:
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, name, b"", "", "rfid-1/1")
    first = stamp(since)
    it = Sighting(f"{name}-{since}", claim, "rfid-1", 1, 40, -5800, first, first, lane.at, False, -6000)
    return SightingChanged(lane.at, replace(it, **more))  # type: ignore[arg-type]


def loose_tags() -> list[str]:
    """Tags of no vehicle: one that stays, many that pass, goods, an antenna that nobody knows."""
    lane = Lane(replace(CONFIG, policy=LanePolicy(stray_alarm=3))).start()
    for _ in range(65):
        lane.wait(2.0, pace=1.0)
        lane.feed(_sighting(lane, "litter", 0.0))
    lane.wait(70, pace=1.0)
    for number in range(4):
        since = lane.now
        lane.wait(1.0)
        lane.feed(_sighting(lane, f"passing-{number}", since, closed=True))
        lane.wait(70, pace=1.0)
    lane.feed(_sighting(lane, "far", lane.now, device="rfid-9", antenna=2, closed=True))
    lines = _told("strays", lane)
    lane.wait(3600, pace=10.0)
    lines += _told("an hour later", lane)
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    for number in range(200):
        lane.see(f"box-{number}", IdentityKind.OTHER_TAG)
    lane.wait(7)
    lane.off(Zone.A)
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    lane.wait(5)
    return [*lines, *_told("goods", lane)]


def doubtful_identities() -> list[str]:
    """The same card soon again, another chip, the same tag on two, two cards, a late card, vehicles too long."""
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    lane.wait(120, pace=1.0)
    lane.on(Zone.A)
    lane.wait(0.4)
    for name, kind in (("t1-card", IdentityKind.DRIVER_CARD), ("t1-tag", IdentityKind.TRANSPONDER)):
        claim = IdentityClaim(kind, name, b"", "", "rfid-1/1", tid_token="chip-1")
        lane.feed(
            SightingChanged(lane.at, Sighting(f"{name}-2", claim, "rfid-1", 1, 5, -5200, lane.at, lane.at, lane.at))
        )
    lane.wait(6.8)
    lane.off(Zone.A)
    lane.wait(5)
    lane.on(Zone.A)
    lane.wait(0.4)
    claim = IdentityClaim(IdentityKind.TRANSPONDER, "t1-tag", b"", "", "rfid-1/1", tid_token="chip-2")
    lane.feed(SightingChanged(lane.at, Sighting("copy", claim, "rfid-1", 1, 50, -4200, lane.at, lane.at, lane.at)))
    lane.wait(6.8)
    lane.off(Zone.A)
    lane.wait(2)
    lines = _told("again", lane)
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(3.5)
    lane.on(Zone.D)
    lane.wait(8.0)
    lane.see("other-card", ago=18.0)
    lane.wait(0.5)
    lines += _told("a late card", lane)
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(20)
    lane.off(Zone.A)
    lane.wait(5)
    lane.off(Zone.D)
    lane.wait(2)
    lane.on(Zone.S)
    lines += _told("too long", lane)
    lane = Lane().start()
    lane.on(Zone.D)
    lane.wait(3)
    lane.on(Zone.S)
    lane.wait(1)
    lane.off(Zone.D)
    lane.wait(20)
    return [*lines, *_told("from nowhere", lane)]


def why_not() -> list[str]:
    """What keeps green away where no other story has it."""
    lane = Lane(replace(CONFIG, geometry=replace(GEOMETRY, layout=PresenceLayout.LOOPS_ONLY, beam_m=0.0))).start()
    lines = why(lane)
    lane.arrive()
    lines += why(lane)
    lane = Lane().start(order_known=False)
    lane.arrive()
    second = lane.arrive("t2")
    lane.act(ActKind.HOLD_CONVEYANCE, of=second, reason="smoke")
    lines += why(lane)
    lane = Lane().start()
    lane.act(ActKind.SET_MODE, mode="closed")
    lane.act(ActKind.SET_MODE, mode="maintenance")
    lines += why(lane)
    for gone in (ConsolePresence(stamp(9.0), False), ControlLost(stamp(9.0), "bso:p1")):
        lane = Lane().start()
        lane.feed(ConsolePresence(lane.at, True))
        lane.arrive()
        lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
        lane.now = 9.0
        lane.feed(gone)
        lines += why(lane)
    lane = Lane().start()
    lane.arrive()
    lane.arrive("t2")
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lines += why(lane)
    return lines


SENSORS = (blind_exits, lying_beams, loose_tags, doubtful_identities, why_not)
