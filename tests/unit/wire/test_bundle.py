"""What a bundle says on the wire of which request a decision answered."""

from dataclasses import replace

from edge_agent.model.decision import Authority
from edge_agent.wire.bundle import bundle_message
from tests.unit.bundle.test_record import passage, record_of


def test_a_decision_names_the_request_it_answers_and_an_officers_names_none() -> None:
    record = replace(record_of(passage()), evidence=())
    (told,) = bundle_message(record, bytes(32)).decisions
    assert told.decision.echoed_stamp_mono_ns == record.requests[0].at.mono_ns
    # After a restart of the computer the request has no offset any more, and an officer's decision never had one.
    earlier = replace(record.requests[0], at_ms=None)
    officers = replace(record.decisions[0], authority=Authority.BSO, requested_ms=None)
    (told,) = bundle_message(replace(record, requests=(earlier,), decisions=(officers,)), bytes(32)).decisions
    assert told.decision.echoed_stamp_mono_ns == 0
