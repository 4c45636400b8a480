"""Decisions from the wire: what they say of time is believed within bounds only."""

import pytest

from drivers.api import Stamp
from edge_agent.model.decision import Verdict
from edge_agent.wire import types
from securecorridor.lane.v1 import types_pb2 as pb

NOW = Stamp(50_000_000_000, 1_790_000_000_000_000_000)
ASKED_NS = 49_000_000_000


def decision(ttl_ms: int = 30_000, echoed_ns: int = ASKED_NS) -> pb.Decision:
    return pb.Decision(
        decision_id="d", conveyance_id="c", revision=1, verdict=pb.VERDICT_RELEASE, authority=pb.AUTHORITY_SYSTEM,
        identity_digest="sha256:0", echoed_stamp_mono_ns=echoed_ns, ttl_ms=ttl_ms,
    )  # fmt: skip


def test_a_decision_lives_from_the_stamp_of_its_request() -> None:
    for ttl_ms in (1, 30_000, types.TTL_MAX_MS):
        taken = types.decision_record(decision(ttl_ms), NOW)
        assert (taken.verdict, taken.deadline_mono_ns) == (Verdict.RELEASE, ASKED_NS + ttl_ms * 1_000_000)


@pytest.mark.parametrize(
    ("ttl_ms", "echoed_ns"),
    [
        (0, ASKED_NS),
        (-1, ASKED_NS),
        (types.TTL_MAX_MS + 1, ASKED_NS),
        (2**31 - 1, ASKED_NS),
        (30_000, NOW.mono_ns + 1),
        (30_000, 10 * 86_400_000_000_000),
        (30_000, 2**63 - 1),
        (30_000, 0),
        (30_000, -(2**63)),
    ],
)
def test_a_decision_whose_times_make_no_sense_is_never_live(ttl_ms: int, echoed_ns: int) -> None:
    taken = types.decision_record(decision(ttl_ms, echoed_ns), NOW)
    assert taken.deadline_mono_ns <= NOW.mono_ns
