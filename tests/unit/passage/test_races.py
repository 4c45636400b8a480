"""Two officers at once, messages that come twice or in any order, clocks that jump."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model.conveyance import Flag
from edge_agent.model.decision import ActKind, ActResult, Authority, OfficerAct, Role, Verdict
from edge_agent.model.inputs import ClockStepped
from edge_agent.passage.etag import etag_of
from edge_agent.passage.identity_digest import identity_digest

from .story import Lane


def _on_what_is_shown(lane: Lane, kind: ActKind, officer: str) -> OfficerAct:
    shown = lane.first
    digest = identity_digest(shown.assignments)
    return OfficerAct(kind, f"{officer}-1", officer, Role.OFFICER, shown.conveyance_id, etag_of(shown), digest)


def test_of_two_officers_who_act_on_the_same_screen_the_second_is_told_that_it_has_changed() -> None:
    lane = Lane().start()
    lane.arrive()
    first = _on_what_is_shown(lane, ActKind.RELEASE_CONVEYANCE, "bso:p1")
    second = _on_what_is_shown(lane, ActKind.REFER_CONVEYANCE, "bso:p2")
    assert lane.send(first).result is ActResult.OK
    lane.control("bso:p2")
    answer = lane.send(second)
    assert answer.result is ActResult.FAILED_PRECONDITION
    assert "last decision release" in answer.message
    assert lane.green == lane.first.conveyance_id
    notes = [(note.officer, note.act, note.result) for note in lane.first.interventions]
    assert notes == [
        ("bso:p1", "release_conveyance", "OK"),
        ("bso:p2", "take_control", "OK"),
        ("bso:p2", "refer_conveyance", "FAILED_PRECONDITION"),
    ]


def test_a_hold_needs_no_fresh_screen_and_beats_the_release_it_races() -> None:
    lane = Lane().start()
    lane.arrive()
    release = _on_what_is_shown(lane, ActKind.RELEASE_CONVEYANCE, "bso:p1")
    hold = _on_what_is_shown(lane, ActKind.HOLD_CONVEYANCE, "bso:p2")
    assert lane.send(release).result is ActResult.OK
    assert lane.send(hold).result is ActResult.OK
    assert lane.green == ""
    lane.act(ActKind.CLEAR_HOLD, of=lane.first)
    assert lane.green == lane.first.conveyance_id


def test_a_release_sent_again_under_another_id_is_one_for_another_state() -> None:
    lane = Lane().start()
    lane.arrive()
    release = _on_what_is_shown(lane, ActKind.RELEASE_CONVEYANCE, "bso:p1")
    assert lane.send(release).result is ActResult.OK
    again = _on_what_is_shown(lane, ActKind.RELEASE_CONVEYANCE, "bso:p1")
    stale = OfficerAct(
        release.kind, "again", release.officer, release.role, release.conveyance_id, release.etag,
        release.identity_digest,
    )  # fmt: skip
    assert lane.send(stale).result is ActResult.FAILED_PRECONDITION
    assert len([d for d in lane.first.decisions if d.authority is Authority.BSO]) == 1
    assert lane.send(again).result is ActResult.OK


@given(st.permutations([1, 1, 2, 2, 3, 3]), st.lists(st.sampled_from(list(Verdict)), min_size=3, max_size=3))
def test_revisions_in_any_order_and_twice_end_with_the_highest(order: list[int], verdicts: list[Verdict]) -> None:
    lane = Lane().start()
    lane.arrive()
    for revision in order:
        lane.decide(verdicts[revision - 1], revision=revision)
    taken = [decision.revision for decision in lane.first.decisions]
    assert taken == sorted(set(taken)), "never back to an older one"
    assert taken[-1] == 3
    assert (lane.green != "") == (verdicts[2] is Verdict.RELEASE)


def test_clock_steps_change_nothing_but_the_record() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide(ttl_s=30)
    lease = lane.state.lease
    assert lease is not None
    for step_ms in (3_600_000, -7_200_000, 1):
        lane.feed(ClockStepped(lane.at, step_ms))
        assert lane.state.lease == lease
    assert Flag.CLOCK_STEPPED in lane.first.flags
    lane.wait(29)
    assert lane.green == truck.conveyance_id
    lane.wait(2)
    assert lane.green == "", "its time is over by the monotonic clock"
