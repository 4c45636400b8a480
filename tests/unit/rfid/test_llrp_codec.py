"""The LLRP codec on published messages, on the virtual reader's own encoder, and on bad input."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import ProtocolViolation
from drivers.rfid import llrp_codec as codec
from drivers.rfid import llrp_exchange_codec as exchange
from drivers.rfid.llrp_codec import MAX_MESSAGE, Message, MessageSplitter, encode_message
from drivers.rfid.llrp_report_codec import ReportDecoder, TagReport
from hil.devices import llrp_wire as wire
from hil.devices.llrp_answers import HANDLERS
from hil.devices.llrp_module import Module
from tests.unit.rfid.llrp_messages import BODIES, EVERYTHING, MESSAGES, REPORTS


def split(data: bytes, step: int | None = None) -> list[Message]:
    splitter = MessageSplitter()
    messages: list[Message] = []
    for at in range(0, len(data), step or max(1, len(data))):
        splitter.feed(data[at : at + (step or len(data))])
        while (message := splitter.take()) is not None:
            messages.append(message)
    return messages


@pytest.mark.parametrize("step", [None, 1, 7, 4096])
def test_published_messages_are_cut_out_however_they_arrive(step: int | None) -> None:
    found = split(EVERYTHING, step)
    assert [message.type for message in found] == [61] * 6 + [63] * 4 + [20, 12]
    assert b"".join(encode_message(*message) for message in found) == EVERYTHING


def test_published_reports_of_a_speedway() -> None:
    reports = [report for body in REPORTS for report in ReportDecoder().decode(body)]
    first, long = reports[0], reports[4]
    assert (first.epc.hex(), first.antenna, first.rssi_dbm, first.seen) == ("3005fb63ac1f3841ec880467", 1, -50, 1)
    assert first.first_utc_us == 0x0004EC2EA8354C09
    assert (long.epc.hex(), long.rssi_dbm) == ("1fb41f712ac9c37ab79d618173188324001a", -17)  # 144 bits: EPCData
    assert len(reports) == 6


@pytest.mark.parametrize("name", [name for name in BODIES if name.startswith("report_")])
def test_published_reports_say_what_another_decoder_read(name: str) -> None:
    told = BODIES[name]["told"]
    (report,) = ReportDecoder().decode(BODIES[name]["bytes"])
    assert (report.antenna, report.rssi_dbm, report.first_utc_us) == (
        told["AntennaID"],
        told["PeakRSSI"],
        told["FirstSeenUTC"],
    )


def test_published_capabilities_of_an_r420() -> None:
    can = exchange.decode_capabilities(BODIES["GetReaderCapabilitiesResponse"]["bytes"])
    assert (can.antennas, can.maker, can.model, can.firmware) == (4, codec.IMPINJ, 2001002, "5.14.0.240")
    assert (can.has_utc_clock, can.holds_events) == (True, True)
    assert (len(can.power_cdbm), can.power_cdbm[1], can.power_cdbm[81]) == (81, 1000, 3000)
    assert can.rf_modes == {0, 1, 2, 3, 4, 1000, 1002, 1003, 1004, 1005}
    assert (len(can.hop_tables[1]), can.frequency_khz(1, 1), can.frequency_khz(51, 1)) == (50, 909_250, 0)
    assert can.power_index(2712) == 69
    assert can.power_cdbm[69] == 2700
    assert can.power_index(999) is None
    assert can.power_index(3001) is None


def test_published_configurations() -> None:
    speedway = exchange.decode_identity(MESSAGES["config_speedway"][10:])
    assert speedway == exchange.Identity("001625ffff10ba47", 27)
    assert exchange.decode_identity(BODIES["GetReaderConfigResponse"]["bytes"]).serial == "001625ffff1125d6"
    assert exchange.decode_rospecs(BODIES["GetROSpecsResponse"]["bytes"]) == {}
    assert codec.decode_status(BODIES["CloseConnectionResponse"]["bytes"]).code == 0


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("greeting_")])
def test_published_greetings(name: str) -> None:
    (message,) = split(MESSAGES[name])
    told = exchange.decode_notification(message.body)
    assert told.connection == exchange.CONNECTED
    assert told.utc_us is not None


def test_a_published_event_tells_that_the_reader_closes() -> None:
    assert exchange.decode_notification(BODIES["ReaderEventNotification"]["bytes"]).closed


def test_requests_carry_published_pieces() -> None:
    assert encode_message(1, 1, exchange.GET_ALL_CAPABILITIES).hex() == "04010000000b0000000100"
    assert encode_message(14, 2).hex() == "040e0000000a00000002"
    plain = exchange.Inventory((1, 2), 81, 1, 1, 32)
    spec = exchange.add_rospec(123, plain)
    # The same content as the published request: every field, PC and CRC; ours without the fields a lane has no use for.
    assert b"\x00\xee\x00\x0b\x9f\x80\x01\x5c\x00\x05\xc0" in spec
    assert bytes.fromhex("00ee000bffc0015c0005c0") in MESSAGES["add_rospec_llrpjs"]


def test_a_read_of_tag_numbers_is_what_another_client_would_ask_for() -> None:
    # As sllurp 3.0.5 encodes the same AccessSpec.
    assert exchange.add_tid_read(7, 123, 6).hex() == (
        "00cf003e00000007000001000000007b00d0000700000000d100220152000f0153000b600000000000000155000f0001000000008000000006"
        "00ef000500"
    )


def test_the_virtual_reader_speaks_as_published() -> None:
    content = wire.Content(flags=0x1000 | 0x0400 | 0x0200 | 0x0080)
    sighting = wire.Sighting(bytes.fromhex("3005fb63ac1f3841ec880467"), 1, -5000, 0x0004EC2EA8354C09)
    assert wire.message(61, 0x4095892F, wire.record(sighting, content, 1)) == MESSAGES["report_speedway_1"]
    long = wire.Sighting(bytes.fromhex("1fb41f712ac9c37ab79d618173188324001a"), 1, -1700, 0x0004EC2EA8381F57)
    assert wire.message(61, 0x40958941, wire.record(long, content, 1)) == MESSAGES["report_speedway_5"]
    greeting = wire.event(0x00065C150675CCA3, wire.param(256, b"\0\0"))
    assert greeting == MESSAGES["greeting_r220"]
    assert wire.message(14, 2) == encode_message(14, 2)


def test_the_virtual_reader_is_understood() -> None:
    sent: list[bytes] = []
    module = Module(sent.append, lambda *_args, **_fields: None, HANDLERS)
    inventory = exchange.Inventory((1, 3), 81, 1, 2, 64, rf_mode=1002, search_mode=2, impinj=True, tid=True)
    requests = (
        (codec.GET_READER_CAPABILITIES, exchange.GET_ALL_CAPABILITIES),
        (codec.CUSTOM_MESSAGE, exchange.enable_impinj()),
        (codec.GET_READER_CONFIG, exchange.get_identity(impinj=True)),
        (codec.SET_READER_CONFIG, exchange.set_config(5000, hold_events=True)),
        (codec.DELETE_ROSPEC, exchange.spec_id(0)),
        (codec.ADD_ROSPEC, exchange.add_rospec(9, inventory)),
        (codec.ENABLE_ROSPEC, exchange.spec_id(9)),
        (codec.GET_ROSPECS, b""),
        (codec.ENABLE_EVENTS_AND_REPORTS, b""),
    )
    for number, (kind, body) in enumerate(requests):
        module.request(wire.Request(kind, number, body), 1)
    answers = [message for message in split(b"".join(sent)) if message.type != 63]
    assert [message.id for message in answers] == list(range(8)), "64 has no answer"
    starts = [5 if message.type == codec.CUSTOM_MESSAGE else 0 for message in answers]
    assert not any(codec.decode_status(m.body, at).code for m, at in zip(answers, starts, strict=True))
    can = exchange.decode_capabilities(answers[0].body)
    assert (can.antennas, can.power_cdbm[81], len(can.hop_tables[1])) == (4, 3000, 50)
    assert exchange.is_impinj_enabled(answers[1].body)
    assert exchange.decode_identity(answers[2].body) == exchange.Identity("001625ffff10ba47", 31)
    assert exchange.decode_rospecs(answers[7].body) == {9: exchange.ROSPEC_ACTIVE}
    assert module.state()["keepalive_ms"] == 5000


EVENTS: list[tuple[bytes, Callable[[exchange.Notification], object], object]] = [
    (wire.param(255, b"\0\0\3"), lambda told: told.antennas, ((3, False),)),
    (wire.param(255, b"\1\0\3"), lambda told: told.antennas, ((3, True),)),
    (wire.param(249, b"\1" + bytes(3) + b"\7" + bytes(4)), lambda told: told.rospecs, ((7, 1),)),
    (wire.param(250, b"\x5a"), lambda told: told.fill_percent, 90),
    (wire.param(251), lambda told: told.overflow, True),
    (wire.param(252, b"\0\5hot\n!"), lambda told: told.exception, "hot !"),
    (wire.param(257), lambda told: told.closed, True),
    (wire.param(247, b"\0\1\0\2"), lambda told: told.unknown, 1),
]


@pytest.mark.parametrize(
    ("event", "read", "value"), EVENTS, ids=lambda item: item.hex() if isinstance(item, bytes) else ""
)
def test_events(event: bytes, read: Callable[[exchange.Notification], object], value: object) -> None:
    told = exchange.decode_notification(wire.event(5, event)[10:])
    assert told.utc_us == 5
    assert read(told) == value


SIGHTINGS = st.builds(
    wire.Sighting,
    epc=st.binary(min_size=0, max_size=62).filter(lambda epc: len(epc) % 2 == 0),
    antenna=st.integers(1, 16),
    rssi_cdbm=st.integers(-12_800, 0),
    utc_us=st.integers(0, 2**63),
    channel=st.integers(1, 50),
    seen=st.integers(1, 65_535),
    phase=st.integers(0, 4095),
    doppler=st.integers(-3000, 3000),
    tid=st.binary(max_size=24).filter(lambda tid: len(tid) % 2 == 0),
)
CONTENTS = st.builds(
    wire.Content,
    flags=st.integers(0, 0x3FF).map(lambda flags: flags << 6),
    memory=st.sampled_from((0, 0x40, 0x80, 0xC0)),
    impinj=st.frozensets(st.sampled_from((51, 52, 53, 67))),
)


@given(st.lists(st.tuples(SIGHTINGS, CONTENTS), max_size=12))
def test_records_of_any_content_in_any_order(items: list[tuple[wire.Sighting, wire.Content]]) -> None:
    decoder = ReportDecoder()
    reports = decoder.decode(b"".join(wire.record(sighting, content, 7) for sighting, content in items))
    assert (decoder.malformed, decoder.unknown, len(reports)) == (0, 0, len(items))
    for report, (sighting, content) in zip(reports, items, strict=True):
        agree(report, sighting, content)


def agree(report: TagReport, sighting: wire.Sighting, content: wire.Content) -> None:
    """Every field that was asked for is there, and no other."""
    flags, memory, impinj = content.flags, content.memory, content.impinj
    assert report.epc == sighting.epc
    assert report.rospec == (7 if flags & 0x8000 else None)
    assert report.antenna == (sighting.antenna if flags & 0x1000 else None)
    assert report.channel == (sighting.channel if flags & 0x0800 else None)
    assert report.rssi_dbm == (round(sighting.rssi_cdbm / 100) if flags & 0x0400 else None)
    assert report.first_utc_us == (sighting.utc_us if flags & 0x0200 else None)
    assert report.last_utc_us == (sighting.utc_us if flags & 0x0100 else None)
    assert report.seen == (sighting.seen if flags & 0x0080 else None)
    assert report.tag_crc_ok == (True if memory == 0xC0 else None)
    assert report.rssi_cdbm == (sighting.rssi_cdbm if 53 in impinj else None)
    assert report.phase == (sighting.phase if 52 in impinj else None)
    assert report.doppler == (sighting.doppler if 67 in impinj else None)
    assert report.tid == (sighting.tid if 51 in impinj and sighting.tid else None)


RECORD = REPORTS[0]


def test_a_read_result_is_the_tid_and_a_failed_one_is_not() -> None:
    tid = bytes.fromhex("e2801105000000000000abcd")
    good = wire.param(349, b"\0\0\1\0\6" + tid)
    failed = wire.param(349, b"\3\0\1\0\0")
    short = wire.param(349, b"\0\0\1\0\7" + tid)
    body = b"".join(wire.param(240, RECORD[4:], result) for result in (good, failed, short))
    assert [report.tid for report in ReportDecoder().decode(body)] == [tid, None, None]


def test_a_wrong_tag_crc_is_told() -> None:
    record = wire.param(240, b"\x8d" + bytes(12), b"\x8c\x30\x00", b"\x8b\x12\x34")
    assert [report.tag_crc_ok for report in ReportDecoder().decode(record)] == [False]


def test_unknown_parameters_are_passed_over_and_counted() -> None:
    decoder = ReportDecoder()
    inner = RECORD[4:] + wire.param(999, b"??") + wire.param(1023, bytes(8), b"vendor")
    body = wire.param(242, b"survey") + wire.param(240, inner) * 3 + wire.param(1023, bytes(12))
    reports = decoder.decode(body)
    assert [report.unknown for report in reports] == [2, 2, 2]
    assert (decoder.unknown, decoder.malformed) == (8, 0)


BROKEN = {
    "length zero": bytes.fromhex("00f00000") + RECORD,
    "length three": bytes.fromhex("00f00003") + RECORD,
    "too long": bytes.fromhex("00f0ffff") + RECORD,
    "half a header": RECORD[:2],
    "inner length zero": wire.param(240, RECORD[4:], b"\x03\xe7\x00\x00"),
    "unknown TV": wire.param(240, RECORD[4:], b"\xff\x00"),
    "TV cut": wire.param(240, RECORD[4:-1]),
    "no EPC": wire.param(240, b"\x81\x00\x01"),
    "EPC longer than its parameter": wire.param(240, wire.param(241, b"\x00\x90", bytes(4))),
    "EPC longer than any": wire.param(240, wire.param(241, b"\x02\x00", bytes(64))),
    "custom without vendor": wire.param(240, RECORD[4:], wire.param(1023, b"abc")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_one_counted_drop(name: str) -> None:
    decoder = ReportDecoder()
    reports = decoder.decode(RECORD + BROKEN[name])
    assert len(reports) == 1
    assert decoder.malformed == 1
    # What comes after is read when the broken record told its own length rightly.
    if BROKEN[name][:4] == wire.param(240, BROKEN[name][4:])[:4]:
        assert len(decoder.decode(BROKEN[name] + RECORD)) == 1


def test_a_known_layout_with_other_headers_is_not_believed() -> None:
    decoder = ReportDecoder()
    swapped = RECORD[:17] + b"\x87" + RECORD[18:]  # the antenna's place now says channel
    first, second = decoder.decode(RECORD + swapped)
    assert (first.antenna, first.channel) == (1, None)
    assert (second.antenna, second.channel) == (None, 1)


def test_layouts_are_bounded() -> None:
    decoder = ReportDecoder()
    for size in range(0, 400, 2):
        record = wire.param(240, RECORD[4:], wire.param(999, bytes(size)))
        assert len(decoder.decode(record * 2)) == 2
    assert len(decoder._layouts) <= 64


@pytest.mark.parametrize(
    "header",
    [
        "04010000000900000001",  # shorter than a header
        "0401ffffffff00000001",  # absurd length
        "04010010000100000001",  # one byte over 1 MiB
        "e4010000000a00000001",  # reserved bits
        "00010000000a00000001",  # version 0
        b"HTTP/1.1 4".hex(),
        b"SSH-2.0-Op".hex(),
    ],
)
def test_what_is_no_header_ends_the_stream_after_what_came_before(header: str) -> None:
    splitter = MessageSplitter()
    splitter.feed(MESSAGES["greeting_r220"] + bytes.fromhex(header))
    assert splitter.take() is not None
    with pytest.raises(ProtocolViolation) as caught:
        splitter.take()
    assert caught.value.code == "RFID_GARBLED"


def test_the_longest_message_is_taken() -> None:
    longest = encode_message(61, 1, bytes(MAX_MESSAGE - 10))
    (message,) = split(longest, 65_536)
    assert len(message.body) == MAX_MESSAGE - 10
    with pytest.raises(ValueError, match="cannot be sent"):
        encode_message(61, 1, bytes(MAX_MESSAGE))


def test_nothing_shows_an_identity() -> None:
    (message,) = split(MESSAGES["report_speedway_1"])
    (report,) = ReportDecoder().decode(message.body)
    epc = report.epc.hex()
    for shown in (repr(message), str(message), repr(report), f"{report}"):
        assert epc not in shown
        assert repr(report.epc) not in shown


def read_everything(kind: int, body: bytes) -> None:
    """Decode `body` as every kind of message there is: a result, a counted drop, or ProtocolViolation."""
    for decode in DECODERS.get(kind, list(ALL_DECODERS)):
        with contextlib.suppress(ProtocolViolation):
            decode(body)


DECODERS: dict[int, list[Callable[[bytes], object]]] = {
    61: [lambda body: [(report.tid, report.tag_crc_ok, repr(report)) for report in ReportDecoder().decode(body)]],
    63: [exchange.decode_notification],
    11: [exchange.decode_capabilities],
    12: [exchange.decode_identity, codec.decode_status],
    36: [exchange.decode_rospecs, codec.decode_status],
}
ALL_DECODERS = [decode for decoders in DECODERS.values() for decode in decoders]
CORPUS = [(int.from_bytes(m[:2], "big") & 0x3FF, m[10:]) for m in MESSAGES.values()]
CORPUS += [(item["type"], item["bytes"]) for item in BODIES.values()]


def test_every_prefix_of_every_published_message() -> None:
    for kind, body in CORPUS:
        for end in range(len(body)):
            read_everything(kind, body[:end])


def test_every_single_bit_flip_of_every_published_message() -> None:
    for kind, body in CORPUS:
        for at in range(len(body)):
            for bit in range(8):
                read_everything(kind, body[:at] + bytes((body[at] ^ 1 << bit,)) + body[at + 1 :])


@given(st.binary(max_size=400), st.sampled_from(sorted(DECODERS)))
def test_random_bodies(body: bytes, kind: int) -> None:
    read_everything(kind, body)


@given(st.sampled_from(CORPUS), st.data())
def test_mutated_bodies(item: tuple[int, bytes], data: st.DataObject) -> None:
    kind, body = item
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        cut = data.draw(st.integers(0, 4))
        changed[at : at + cut] = data.draw(st.binary(max_size=6))
    read_everything(kind, bytes(changed))


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_random_streams_never_hold_more_than_they_were_given(chunks: list[bytes]) -> None:
    splitter = MessageSplitter()
    given_bytes = 0
    for chunk in chunks:
        splitter.feed(chunk)
        given_bytes += len(chunk)
        try:
            while splitter.take() is not None:
                pass
        except ProtocolViolation:
            return
        assert splitter.pending <= given_bytes


@given(st.lists(st.tuples(SIGHTINGS, CONTENTS), min_size=1, max_size=4), st.data())
def test_a_decoder_that_knows_layouts_says_the_same_as_a_fresh_one(
    items: list[tuple[wire.Sighting, wire.Content]], data: st.DataObject
) -> None:
    bodies = [wire.record(sighting, content, 7) for sighting, content in items]
    experienced = ReportDecoder()
    for body in bodies:
        experienced.decode(body)
    changed = bytearray(b"".join(bodies))
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    fresh = ReportDecoder()
    before = (experienced.malformed, experienced.unknown)
    assert experienced.decode(bytes(changed)) == fresh.decode(bytes(changed))
    assert (experienced.malformed - before[0], experienced.unknown - before[1]) == (fresh.malformed, fresh.unknown)
