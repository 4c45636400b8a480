"""One passage as text for a person. Identities only as the first characters of their tokens."""

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from securecorridor.lane.v1 import types_pb2 as pb
from securecorridor.lane.v1.lane_service_pb2 import ConveyanceState, Passage
from securecorridor.release.v1.record_pb2 import Bundle

from .exits import Exit, Stop
from .times import in_seconds, length, local
from .words import decision, legs, word


def parse(data: bytes) -> Bundle:
    """The bundle of its bytes; Stop when they are none."""
    try:
        return Bundle.FromString(data)
    except DecodeError as error:
        hint = "the record was written by another version, or is damaged: edge-agent store dump"
        raise Stop(Exit.REFUSED, "the record cannot be read", hint, "BUNDLE_UNREADABLE") from error


def live(conveyance: ConveyanceState) -> str:
    """A passage that is still going on."""
    rows = [
        ("conveyance", conveyance.conveyance_id),
        ("in the lane", f"{word(pb.Phase, conveyance.phase)}, detected {local(conveyance.detected.time, millis=True)}"),
        ("legs", legs(conveyance)),
        ("decision", decision(conveyance)),
        ("flags", ", ".join(conveyance.flags) or "-"),
    ]
    return "\n".join([*_rows(rows), *_times(conveyance.times, conveyance.detected)])


def summary(passage: Passage) -> str:
    """A sealed passage in short."""
    rolled = "without stopping" if passage.released_without_stopping else "not rolling"
    central = "central has it" if passage.delivered else "waiting for central"
    rows = [
        ("bundle", f"{passage.bundle_id} (number {passage.seq}, {central})"),
        ("conveyance", passage.conveyance_id),
        ("outcome", f"{word(pb.Outcome, passage.outcome)}, {rolled}"),
        ("sealed", local(passage.seal_time, millis=True)),
        ("flags", ", ".join(passage.flags) or "-"),
        ("took", ", ".join(_took(passage)) or "-"),
    ]
    return "\n".join(_rows(rows))


def _took(passage: Passage) -> Iterator[str]:
    """The same durations as in the list of passages, by the same names."""
    if passage.HasField("transit"):
        yield f"transit {length(in_seconds(passage.transit))}"
    if passage.HasField("decision_latency"):
        yield f"first request to decision {length(in_seconds(passage.decision_latency))}"
    if passage.HasField("green_latency"):
        yield f"decision to green {length(in_seconds(passage.green_latency))}"


def bundle(data: bytes) -> str:
    """The whole record."""
    record = parse(data)
    start = record.detected
    lines = _rows(_facts(record))
    lines += _times(record.times, start)
    for title, section in (
        ("identity", _identity(record)),
        ("requests", _requests(record)),
        ("decisions", _decisions(record)),
        ("signal", _signals(record)),
        ("acts", _acts(record)),
        ("evidence", _evidence(record)),
    ):
        rows = list(section)
        if rows:
            lines += ["", title, *(f"  {row}" for row in rows)]
    return "\n".join(lines)


def _facts(record: Bundle) -> list[tuple[str, str]]:
    vehicle, movement = record.vehicle, record.movement
    legs_shown = ", ".join(
        f"{word(pb.Leg, leg.leg)} {'yes' if leg.complete else 'no'}{'' if leg.required else ' (not required)'}"
        for leg in record.identity.legs
    )
    return [
        ("lane", f"{record.site.lane}, mode {word(pb.LaneMode, record.mode)}"),
        ("vehicle", f"{vehicle.length_m:.1f} m, {vehicle.speed_a_d_kmh:.0f} then {vehicle.speed_d_s_kmh:.0f} km/h"),
        ("movement", f"{movement.stops} stops, {length(in_seconds(movement.dwell))} standing"),
        ("legs", legs_shown or "-"),
    ]


def _times(times: pb.ZoneTimes, start: pb.Moment) -> list[str]:
    """Zone times as seconds after the first sensor event."""
    known = [f"{field.name} {_after(moment, start)}" for field, moment in times.ListFields()]
    return _rows([("zones", ", ".join(known) or "-")])


def _identity(record: Bundle) -> Iterator[str]:
    for given in record.identity.assignments:
        yield _given(given, record.detected)
    for doubtful in record.identity.doubtful:
        yield f"doubtful, given to nobody: {_given(doubtful, record.detected)}"
    for conflict in record.identity.conflicts:
        yield f"conflict: {conflict}"


def _given(given: pb.Assignment, start: pb.Moment) -> str:
    claim = given.claim
    kind = word(pb.IdentityKind, claim.kind) + (f" ({claim.scheme})" if claim.scheme else "")
    if not given.HasField("first"):
        return f"by central, with the decision  {kind} token {claim.token[:8]}..."
    rivals = "".join(f", against {rival.conveyance_id[-8:]} {rival.score:.2f}" for rival in given.rivals)
    return (
        f"{_after(given.first, start)}  {kind} token {claim.token[:8]}... at {claim.source}, "
        f"{given.reads} reads, peak {given.rssi_peak_cdbm / 100:.1f} dBm, score {given.score:.2f}{rivals}"
    )


def _requests(record: Bundle) -> Iterator[str]:
    for made in record.requests:
        complete = "all legs" if made.complete else "legs missing"
        yield f"{_after(made.at, record.detected)}  revision {made.revision}, {complete}"


def _decisions(record: Bundle) -> Iterator[str]:
    for taken in record.decisions:
        made = taken.decision
        by = made.officer or word(pb.Authority, made.authority)
        ignored = f", ignored: {taken.ignored}" if taken.ignored else ""
        latency = f", {length(in_seconds(taken.latency))} after the request it answers"
        answered = latency if taken.HasField("latency") else ""
        yield (
            f"{_after(taken.received, record.detected)}  {word(pb.Verdict, made.verdict)} by {by}, revision "
            f"{made.revision}{answered}{ignored}"
        )


def _signals(record: Bundle) -> Iterator[str]:
    for event in record.signals:
        confirmed = word(pb.Aspect, event.confirmed)
        grade = word(pb.Grade, event.grade)
        because = f" ({event.reason})" if event.reason else ""
        commanded = word(pb.Aspect, event.commanded)
        yield f"{_after(event.at, record.detected)}  commanded {commanded}, confirmed {confirmed} by {grade}{because}"


def _acts(record: Bundle) -> Iterator[str]:
    for act in record.interventions:
        because = f": {act.reason}" if act.reason else ""
        yield f"{_after(act.at, record.detected)}  {act.act} by {act.officer} ({act.role}), {act.result}{because}"


def _evidence(record: Bundle) -> Iterator[str]:
    for item in record.evidence:
        yield f"{item.evidence_id} {item.kind} {item.view}, {item.size_bytes / 1000:.0f} kB, kept {item.retain or '-'}"


def _after(moment: pb.Moment, start: pb.Moment) -> str:
    return f"+{(moment.mono_ns - start.mono_ns) / 1e9:.3f} s"


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    return [f"{name:<12}{text}" for name, text in rows]
