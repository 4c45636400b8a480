"""The Encompass codec against the manual's messages, and against everything that is no message."""

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import ProtocolViolation
from drivers.rfid import encompass_codec as codec
from drivers.rfid.encompass_codec import BadMessage, Message, MessageSplitter, ReportWords
from hil.devices import encompass_wire as wire

_DATA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "captures" / "encompass" / "frames.json").read_text())
ECP: list[dict[str, Any]] = _DATA["ecp"]
TEXTS: list[dict[str, Any]] = _DATA["texts"]
WORDS = codec.report_words(["NOTAG"], ["INPUT"], tag_page=False)
NOTHING = ReportWords()

texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="#"), min_size=1, max_size=72)
tag_texts = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x5F, exclude_characters="#%&"), min_size=1, max_size=20
)


def split(data: bytes, step: int = 0) -> list[bytes]:
    splitter = MessageSplitter()
    if not step:
        return splitter.feed(data, 0.0)
    return [line for at in range(0, len(data), step) for line in splitter.feed(data[at : at + step], 0.0)]


@pytest.mark.parametrize("item", ECP, ids=lambda item: item["name"])
def test_the_manuals_ecp_message(item: dict[str, Any]) -> None:
    line = item["line"].encode()
    (found,) = split(line)
    assert codec.decode_ecp(found) == Message(item["sequence"], item["text"])
    assert codec.encode_ecp(item["sequence"], item["text"]) == line.rstrip(b"\n")
    assert wire.ecp(item["sequence"], item["text"]).rstrip(b"\n") == line.rstrip(b"\n")


@pytest.mark.parametrize("item", TEXTS, ids=lambda item: item["name"])
def test_the_manuals_texts(item: dict[str, Any]) -> None:
    assert type(codec.decode_report(item["text"], WORDS)).__name__ == item["report"]


@given(st.binary(min_size=0, max_size=80))
def test_the_check_is_the_definitions(data: bytes) -> None:
    assert f"{codec.crc16(data):04X}" == wire.check_of(data.decode("latin-1"))


def test_commands_are_what_the_manual_says() -> None:
    assert codec.encode_basic("01") == b"#01\r"
    assert codec.encode_ecp(3, "505", wildcard=True) == b"#3505````\r"
    assert wire.read_ecp(codec.encode_ecp(15, "6901")[1:-1].decode()) == (15, "6901")
    for bad in ("", "#", "a\r", "x" * 25, "é"):
        with pytest.raises(ValueError, match="command"):
            codec.encode_basic(bad)
    with pytest.raises(ValueError, match="sequence"):
        codec.encode_ecp(16, "01")


def test_auxiliary_is_cut_off_and_understood() -> None:
    report = codec.decode_report("KING 1302%7F-2-0A-3", WORDS)
    assert report == codec.TagReport(b"KING 1302", b"", codec.Auxiliary(0x7F, 2, 10, 3))
    with_level = codec.decode_report("KING 1302%00-2-0A-3-1B4", WORDS)
    assert isinstance(with_level, codec.TagReport)
    assert with_level.auxiliary == codec.Auxiliary(0, 2, 10, 3)


def test_a_tag_may_contain_the_marks() -> None:
    for text in ("AB%CD&EF", "50%", "%00-0-00", "A&B"):
        report = codec.decode_report(text + "%00-0-01-0", WORDS)
        assert isinstance(report, codec.TagReport)
        assert report.text == text.encode()


def test_the_application_page_is_apart_when_it_is_on() -> None:
    report = codec.decode_report("KING 1302&0011AABB%00-0-01-0", ReportWords(tag_page=True))
    assert isinstance(report, codec.TagReport)
    assert (report.text, report.page) == (b"KING 1302", b"0011AABB")


def test_the_readers_own_texts() -> None:
    assert codec.decode_report("NOTAG%00-1-00-1", WORDS) == codec.PresenceWithoutTag(codec.Auxiliary(0, 1, 0, 1))
    assert codec.decode_report("INPUT%00-0-00-2", WORDS) == codec.InputChange(2)
    assert codec.decode_report("INPUT", WORDS) == codec.InputChange(None)
    assert codec.decode_report("IOST C0 O0 I3 D0", NOTHING) == codec.InputChange(3)
    assert codec.decode_report("Error08", WORDS) == codec.ReaderFault(8)
    assert codec.decode_report("Done", WORDS) == codec.Other(is_answer=True)
    assert codec.decode_report("Something new", WORDS) == codec.Other(is_answer=False)
    signed = codec.decode_report("Model E4 Series Ver 1.30 SN012345 Copyright 2009", WORDS)
    assert signed == codec.SignOn("E4 Series", "1.30", "012345")


def test_rf_status_tells_the_frequency_or_that_there_is_none() -> None:
    assert codec.decode_rf_status("RFST C0 O1 T1 F0DC R1F G1F A00 I04") == codec.RfStatus(True, 915_000)
    for unset in ("Fxx", "FXXX"):
        assert codec.decode_rf_status(f"RFST C1 O0 T1 {unset} R1F G1F A00 I04") == codec.RfStatus(False, None)


@pytest.mark.parametrize("text", ["", "Error", "Done", "RFST", "Model", "KING 1302"])
def test_answers_of_another_kind_are_violations(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        codec.decode_version(text)
    with pytest.raises(ProtocolViolation):
        codec.decode_rf_status(text)


def test_no_representation_shows_an_identity() -> None:
    message = codec.decode_basic(b"KING 1302")
    assert "KING" not in repr(message)
    assert isinstance(message, Message)
    assert "KING" not in repr(codec.decode_report(message.text, WORDS))


def test_a_second_start_begins_anew() -> None:
    splitter = MessageSplitter()
    assert splitter.feed(b"#KING 1#KING 1302\r\n", 0.0) == [b"KING 1302"]
    assert splitter.dropped_messages == 1


def test_half_a_message_is_dropped_after_its_time() -> None:
    splitter = MessageSplitter()
    assert splitter.feed(b"#KING", 0.0) == []
    assert splitter.feed(b" 13", 0.2) == []
    assert splitter.pending == 8
    splitter.expire(0.31)
    assert (splitter.pending, splitter.dropped_messages) == (0, 1)
    assert splitter.feed(b"02\r\n#A\r\n", 0.4) == [b"A"]
    assert splitter.dropped_bytes == 2


def test_flow_control_characters_are_the_lines() -> None:
    assert split(b"\x13#KI\x11NG\x13 1302\r\x11\n") == [b"KING 1302"]


def test_what_has_no_end_is_bounded() -> None:
    splitter = MessageSplitter()
    splitter.feed(b"#" + b"A" * 10_000, 0.0)
    assert splitter.pending <= codec.MAX_LINE + 1
    assert splitter.feed(b"\r\n#B\r\n", 0.0) == [b"B"]


EVERYTHING = b"".join(wire.ecp(2 * at % 16, item["text"]) for at, item in enumerate(TEXTS))


@pytest.mark.parametrize("cut", range(len(EVERYTHING)))
def test_every_prefix_gives_the_messages_it_holds(cut: int) -> None:
    found = [codec.decode_ecp(line) for line in split(EVERYTHING[:cut])]
    assert found == [Message(2 * at % 16, item["text"]) for at, item in enumerate(TEXTS)][: len(found)]
    assert len(found) == EVERYTHING[:cut].count(b"\r")


def test_every_bit_flip_of_ecp_is_noticed() -> None:
    good = {(2 * at % 16, item["text"]) for at, item in enumerate(TEXTS)}
    for at in range(len(EVERYTHING)):
        for bit in range(8):
            spoiled = bytearray(EVERYTHING)
            spoiled[at] ^= 1 << bit
            for line in split(bytes(spoiled)):
                message = codec.decode_ecp(line)
                # Flipping bit 5 of a digit of the check makes a small letter of a capital: the same number.
                assert isinstance(message, BadMessage) or tuple(message) in good


@given(st.lists(texts, max_size=6), st.integers(1, 7))
def test_one_byte_at_a_time_is_the_same(said: list[str], step: int) -> None:
    data = b"".join(wire.basic(text) for text in said)
    assert split(data) == split(data, step) == [text.encode() for text in said]


@given(texts, st.integers(0, 15))
def test_every_text_survives_ecp(text: str, sequence: int) -> None:
    (line,) = split(wire.ecp(sequence, text))
    assert codec.decode_ecp(line) == Message(sequence, text)


@given(tag_texts, st.integers(0, 255), st.integers(0, 3), st.integers(0, 255), st.integers(0, 3))
def test_every_tag_text_is_a_tag(text: str, reader: int, antenna: int, reads: int, inputs: int) -> None:
    report = codec.decode_report(f"{text}%{reader:02X}-{antenna}-{reads:02X}-{inputs}", NOTHING)
    assert report == codec.TagReport(text.encode(), b"", codec.Auxiliary(reader, antenna, reads, inputs))


@given(st.binary(max_size=400), st.integers(0, 40))
def test_any_bytes_are_messages_or_counted(data: bytes, step: int) -> None:
    for line in split(data, step):
        assert len(line) <= codec.MAX_LINE
        for message in (codec.decode_ecp(line), codec.decode_basic(line)):
            if isinstance(message, Message):
                codec.decode_report(message.text, WORDS)
                for decode in (codec.decode_version, codec.decode_rf_status):
                    with contextlib.suppress(ProtocolViolation):
                        decode(message.text)


def test_many_mutated_messages_never_hurt() -> None:
    chance = random.Random(5)
    base = EVERYTHING * 3
    for _ in range(300):
        data = bytearray(base)
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(len(data))] = chance.choice(b"#\r\n%&-0159AFEz\x00\x11\x13\xff")
        splitter = MessageSplitter()
        for at in range(0, len(data), 13):
            for line in splitter.feed(bytes(data[at : at + 13]), at / 960):
                message = codec.decode_ecp(line)
                if isinstance(message, Message):
                    codec.decode_report(message.text, WORDS)
        assert splitter.pending <= codec.MAX_LINE + 1
