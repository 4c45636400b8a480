"""Requests as published, replies matched strictly, MBAP judged, aspects and inputs translated."""

from contextlib import suppress

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pymodbus.pdu import bit_message, register_message

from drivers.api import Aspect, Grade
from drivers.modbus.head_codec import HeadWiring, lamps_shown, wired_grade
from drivers.modbus.input_codec import Continuity, InputPoint, levels_of, span_of
from drivers.modbus.mbap_codec import Verdict, judge
from drivers.modbus.pdu_codec import (
    ExceptionReplyError,
    ReplyMismatchError,
    Request,
    match_reply,
    pulse_bit,
    read_bits,
    read_registers,
    write_bits,
    write_register,
)

addresses = st.integers(0, 0xFF00)
requests = st.one_of(
    st.builds(read_bits, st.sampled_from([1, 2]), addresses, st.integers(1, 40)),
    st.builds(read_registers, st.sampled_from([3, 4]), addresses, st.integers(1, 20)),
    st.builds(write_bits, addresses, st.lists(st.booleans(), min_size=1, max_size=40).map(tuple)),
    st.builds(write_register, addresses, st.integers(0, 0xFFFF)),
)


def answer_to(request: Request, filler: int = 0xA5) -> bytes:
    """A right answer, written here from the standard."""
    if request.is_write:
        return request.pdu()[:5]
    if request.function in (1, 2):
        bits = filler * 0x0101010101 & (1 << request.quantity) - 1
        size = (request.quantity + 7) // 8
        return bytes([request.function, size]) + bits.to_bytes(size, "little")
    return bytes([request.function, 2 * request.quantity]) + bytes([filler]) * 2 * request.quantity


def test_published_frames() -> None:
    # Modbus Application Protocol 1.1b3, examples of 6.1, 6.2, 6.3, 6.6, 6.11
    assert read_bits(1, 0x13, 19).pdu() == bytes.fromhex("01 0013 0013")
    assert match_reply(read_bits(1, 0x13, 19), bytes.fromhex("01 03 CD 6B 05")) == tuple(
        int(bit) for bit in "1011001111010110101"
    )
    assert read_bits(2, 0xC4, 22).pdu() == bytes.fromhex("02 00C4 0016")
    assert len(match_reply(read_bits(2, 0xC4, 22), bytes.fromhex("02 03 AC DB 35"))) == 22
    assert match_reply(read_registers(3, 0x6B, 3), bytes.fromhex("03 06 022B 0000 0064")) == (555, 0, 100)
    assert write_register(1, 3).pdu() == bytes.fromhex("06 0001 0003")
    levels = tuple(bit == "1" for bit in "1011001110")
    assert write_bits(0x13, levels).pdu() == bytes.fromhex("0F 0013 000A 02 CD 01")
    assert match_reply(write_bits(0x13, levels), bytes.fromhex("0F 0013 000A")) == ()


def test_timed_pulse_frame() -> None:
    # flash-on of the common relay boards: function 5 at 0x0200 + relay, value x 100 ms
    assert pulse_bit(0x0200, 7).pdu() == bytes.fromhex("05 0200 0007")


@given(addresses, st.lists(st.booleans(), min_size=1, max_size=100), st.integers(0, 0xFFFF), st.integers(1, 100))
def test_requests_are_what_another_stack_writes(address: int, bits: list[bool], word: int, count: int) -> None:
    pairs = [
        (read_bits(1, address, count), bit_message.ReadCoilsRequest(address=address, count=count)),
        (read_bits(2, address, count), bit_message.ReadDiscreteInputsRequest(address=address, count=count)),
        (read_registers(3, address, count), register_message.ReadHoldingRegistersRequest(address=address, count=count)),
        (read_registers(4, address, count), register_message.ReadInputRegistersRequest(address=address, count=count)),
        (write_bits(address, tuple(bits)), bit_message.WriteMultipleCoilsRequest(address=address, bits=bits)),
        (write_register(address, word), register_message.WriteSingleRegisterRequest(address=address, registers=[word])),
    ]
    for ours, theirs in pairs:
        assert ours.pdu() == bytes([theirs.function_code]) + theirs.encode()


@given(requests)
def test_a_right_answer_matches(request_: Request) -> None:
    values = match_reply(request_, answer_to(request_))
    assert len(values) == (0 if request_.is_write else request_.quantity)


@given(requests, requests)
def test_the_answer_to_another_request_never_matches(asked: Request, other: Request) -> None:
    """Row 1: a late reply acknowledged a newer command. Reads of one length and kind carry nothing to tell them by."""
    same_shape = asked.function == other.function and (
        asked.pdu()[:5] == other.pdu()[:5]
        if asked.is_write
        else len(answer_to(asked)) == len(answer_to(other)) and asked.quantity >= other.quantity
    )
    assume(not same_shape)
    reply = answer_to(other, filler=0xFF)
    with pytest.raises(ReplyMismatchError):
        match_reply(asked, reply)


@given(requests, st.binary(max_size=20))
def test_any_bytes_match_or_are_refused_by_name(request_: Request, reply: bytes) -> None:
    with suppress(ReplyMismatchError, ExceptionReplyError):
        match_reply(request_, reply)


@given(requests, st.data())
def test_a_changed_echo_never_acknowledges(request_: Request, data: st.DataObject) -> None:
    assume(request_.is_write)
    reply = bytearray(answer_to(request_))
    reply[data.draw(st.integers(0, 4))] ^= data.draw(st.integers(1, 0x7F))
    with pytest.raises((ReplyMismatchError, ExceptionReplyError)):
        match_reply(request_, bytes(reply))


def test_a_long_reply_does_not_answer_a_short_read() -> None:
    with pytest.raises(ReplyMismatchError):
        match_reply(read_bits(1, 0, 4), bytes.fromhex("01 02 0F 00"))
    with pytest.raises(ReplyMismatchError, match="padding"):
        match_reply(read_bits(1, 0, 4), bytes.fromhex("01 01 FF"))


def test_exceptions_are_told_by_code() -> None:
    with pytest.raises(ExceptionReplyError) as refused:
        match_reply(read_bits(1, 0, 4), bytes.fromhex("81 02"))
    assert refused.value.code == 2
    with pytest.raises(ReplyMismatchError):
        match_reply(read_bits(1, 0, 4), bytes.fromhex("82 02"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: read_bits(1, 0, 0),
        lambda: read_bits(3, 0, 1),
        lambda: read_registers(3, 0xFFFF, 2),
        lambda: read_registers(1, 0, 1),
        lambda: write_bits(0, ()),
        lambda: write_register(0, 0x10000),
        lambda: pulse_bit(0, 0),
        lambda: read_bits(1, -1, 1),
    ],
)
def test_requests_out_of_range_are_not_made(make: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the bound differs by request
        make()  # type: ignore[operator]


def frame(transaction: int, unit: int = 1, pdu: bytes = b"\x01\x01\x00", protocol: int = 0) -> bytes:
    return transaction.to_bytes(2, "big") + protocol.to_bytes(2, "big") + bytes([0, len(pdu) + 1, unit]) + pdu


def test_a_right_frame_is_not_judged_wrong() -> None:
    assert judge(frame(7), 7, 1) == Verdict()
    for size in range(len(frame(7))):
        assert judge(frame(7)[:size], 7, 1) == Verdict()


def test_late_frames_are_counted_and_passed_over() -> None:
    assert judge(frame(5) + frame(6) + frame(7), 7, 1) == Verdict(late=2)


@pytest.mark.parametrize("wrong", [frame(0), frame(8), frame(7, unit=2)])
def test_frames_of_nobody_are_faults_but_keep_the_connection(wrong: bytes) -> None:
    verdict = judge(wrong, 7, 1)
    assert verdict.fault
    assert not verdict.lost_framing


@pytest.mark.parametrize(
    "text", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 ready\r\n", frame(7, protocol=1)]
)
def test_other_protocols_are_named(text: bytes) -> None:
    verdict = judge(text, 7, 1)
    assert verdict.lost_framing
    assert verdict.hint


def test_a_reader_on_the_port_is_told_without_what_it_reads() -> None:
    verdict = judge(b"#4KING 1302%00-0-01-09A91\r\n", 7, 1)
    assert verdict.fault == "a text protocol answers"


@given(st.binary(max_size=600), st.integers(1, 65000), st.integers(0, 255))
@example(b"\x00\x01\x00\x00\x00\x00\x01", 1, 1)
def test_any_bytes_are_judged(data: bytes, transaction: int, unit: int) -> None:
    assert judge(data, transaction, unit).late >= 0


def test_red_is_no_coil_at_all() -> None:
    for head in (HeadWiring(0), HeadWiring(3, 1), HeadWiring(2, 7)):
        assert not any(head.block(Aspect.RED))
        assert head.commanded(head.block(Aspect.RED)) is Aspect.RED


@given(st.integers(0, 15), st.one_of(st.none(), st.integers(0, 15)))
def test_each_aspect_lights_one_point_and_reads_back(green: int, amber: int | None) -> None:
    assume(green != amber)
    head = HeadWiring(green, amber)
    for aspect in [Aspect.GREEN] + ([Aspect.AMBER] if amber is not None else []):
        block = head.block(aspect)
        assert sum(block) == 1
        assert head.commanded(block) is aspect
    if amber is not None:
        assert head.commanded([1] * head.count) is None


@pytest.mark.parametrize("aspect", [Aspect.AMBER, Aspect.DARK, Aspect.FLASHING_RED])
def test_a_head_is_not_told_what_it_cannot_show(aspect: Aspect) -> None:
    with pytest.raises(ValueError, match="has no"):
        HeadWiring(0).block(aspect)


def test_lamps_are_read_without_guessing() -> None:
    both = {"red_feedback": False, "green_feedback": False}
    assert lamps_shown(both).aspect is Aspect.DARK
    assert lamps_shown({**both, "red_feedback": True}).aspect is Aspect.RED
    assert lamps_shown({"red_feedback": True, "green_feedback": True}).conflict
    assert lamps_shown({"green_feedback": False}).aspect is None
    assert lamps_shown({"zone_a": True}).aspect is None


def test_the_grade_needs_red_and_green_felt() -> None:
    assert wired_grade({"green_feedback": 1}, lamp_feedback=True) is Grade.COIL
    assert wired_grade({"green_feedback": 1, "red_feedback": 1}, lamp_feedback=False) is Grade.CONTACT
    assert wired_grade({"green_feedback": 1, "red_feedback": 1}, lamp_feedback=True) is Grade.LAMP


def test_inputs_follow_polarity_and_place() -> None:
    points = {"zone_a": InputPoint(4), "stop_line_beam": InputPoint(6, active_high=False)}
    assert span_of(points) == (4, 3)
    assert levels_of(points, 4, (1, 0, 1)) == {"zone_a": True, "stop_line_beam": False}


@given(st.lists(st.tuples(st.integers(1, 500), st.booleans()), min_size=1, max_size=30))
def test_edges_count_within_a_session_only(polls: list[tuple[int, bool]]) -> None:
    continuity = Continuity({"zone_a": 1}, stale_ns=300)
    now, before, last = 0, None, None
    for gap, level in polls:
        now += gap
        seen = continuity.take(now, {"zone_a": level})
        if last is None or gap > 300:
            assert (seen.session, seen.edges["zone_a"]) == (now, 0)
        else:
            assert before is not None
            assert seen.session == before.session
            assert seen.edges["zone_a"] == before.edges["zone_a"] + (level != last)
        before, last = seen, level
