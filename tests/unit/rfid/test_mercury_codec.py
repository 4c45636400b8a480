"""The Mercury codec against published frames, and against everything that is not a frame."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import ProtocolViolation
from drivers.rfid import mercury_codec as codec
from drivers.rfid import mercury_stream_codec as stream
from drivers.rfid.mercury_codec import Frame, FrameSplitter
from drivers.rfid.mercury_stream_codec import TagRecord
from hil.devices import mercury_wire as wire
from tests.unit.rfid.mercury_frames import COMMANDS, EVERYTHING, REPLIES, REPLY, STARTS

_KINDS = {
    "tag": stream.TagRecord,
    "malformed": stream.Malformed,
    "no_tags": stream.NoTags,
    "status": stream.StreamStatus,
    "statistics": stream.Statistics,
}


def split(data: bytes, step: int = 0) -> list[Frame]:
    splitter = FrameSplitter()
    if not step:
        return splitter.feed(data, 0.0)
    return [frame for at in range(0, len(data), step) for frame in splitter.feed(data[at : at + step], 0.0)]


def slow_crc(message: bytes) -> int:
    """The published nibble-wise algorithm, from its definition."""
    crc = 0xFFFF
    for byte in message:
        for nibble in (byte >> 4, byte & 15):
            top = crc >> 12
            crc = (crc << 4 | nibble) & 0xFFFF
            for bit in range(4):
                if top >> bit & 1:
                    crc ^= 0x1021 << bit & 0xFFFF
    return crc


@pytest.mark.parametrize("item", REPLIES, ids=lambda item: item["name"])
def test_published_reply_is_understood(item: dict[str, Any]) -> None:
    (frame,) = split(item["bytes"])
    if item["event"] == "reply":
        expected = {
            "stop_reply": Frame(codec.MULTI_PROTOCOL, codec.OK, codec.STOP_REPLY_DATA),
            "serial_number": Frame(codec.GET_HARDWARE, codec.OK, item["bytes"][5:-2]),
        }
        assert frame == expected[item["name"]]
        return
    event = stream.decode_stream(frame)
    assert isinstance(event, _KINDS[item["event"]])
    if isinstance(event, TagRecord):
        seen = (event.reads, event.rssi_dbm, event.antenna_port, event.frequency_khz, event.timestamp_ms)
        assert seen == tuple(item[key] for key in ("reads", "rssi_dbm", "antenna", "frequency_khz", "reader_ms"))
        assert (len(event.epc), event.tag_crc_ok) == (item["epc_bytes"], item["tag_crc_ok"])
    if isinstance(event, stream.StreamStatus):
        assert event.status == item["status"]
    if isinstance(event, stream.Statistics):
        assert event.temperature_c == item["temperature_c"]


def test_commands_are_the_published_bytes() -> None:
    made = {
        "version": codec.encode_command(codec.GET_VERSION),
        "boot": codec.encode_command(codec.BOOT),
        "region_na": codec.encode_command(codec.SET_REGION, b"\x01"),
        "protocol_gen2": codec.encode_command(codec.SET_PROTOCOL, b"\x00\x05"),
        "antennas_1_2": codec.encode_command(codec.SET_ANTENNA, codec.antenna_list((1, 2))),
        "antenna_detect": codec.encode_command(codec.GET_ANTENNA, b"\x05"),
        "power_27_dbm": codec.encode_command(codec.SET_POWER, (2700).to_bytes(2, "big")),
        "rssi_in_dbm": codec.encode_command(codec.SET_OPTION, b"\x01\x09\x01"),
        "start_0057": codec.encode_command(codec.MULTI_PROTOCOL, codec.start_data(0x0057, 1000)),
        "stop": codec.STOP,
        "serial_number": codec.encode_command(codec.GET_HARDWARE, codec.SERIAL_NUMBER),
    }
    assert made == COMMANDS


def test_duty_cycle_start_carries_the_off_time_after_the_on_time() -> None:
    data = codec.start_data(0x0057, 250, 750)
    assert data == bytes.fromhex("00000122000005 09 22 10 041B 00FA 02EE 0057")


@pytest.mark.parametrize("item", STARTS, ids=lambda item: item["name"])
def test_captured_start_is_made_but_for_its_multi_select_marker(item: dict[str, Any]) -> None:
    made = codec.start_data(item["metadata"], item["on_ms"], item["off_ms"], statistics=item["statistics"])
    captured = bytearray(item["bytes"][3:-2])
    if captured[9] == 0x88:
        del captured[9]
        captured[7] -= 1
    assert made == captured


def test_start_with_tid_embeds_a_read_of_the_tid_bank() -> None:
    # Written out by hand from the MercuryAPI C sources: count, length after the opcode, opcode, timeout, option, bank,
    # word address, words.
    embedded = "01 09 28 0000 00 02 00000000 06"
    data = codec.start_data(0x0057, 1000, tid_words=6)
    assert data == bytes.fromhex("00000122000005 13 22 10 001F 03E8 00D7" + embedded)
    data = codec.start_data(0x0057, 250, 750, statistics=0x0100, tid_words=6)
    assert data == bytes.fromhex("00000122000005 17 22 10 051F 00FA 02EE 00D7 0100" + embedded)


@given(st.binary(min_size=2, max_size=253))
def test_fast_crc_is_the_published_one(message: bytes) -> None:
    assert codec.crc16(message) == slow_crc(message)


def test_ccitt_false_accepts_no_published_frame() -> None:
    from binascii import crc_hqx

    for item in REPLIES:
        body, check = item["bytes"][1:-2], item["bytes"][-2:]
        assert crc_hqx(body, 0xFFFF) != int.from_bytes(check, "big")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_how_bytes_arrive_changes_nothing(steps: list[int]) -> None:
    splitter = FrameSplitter()
    frames: list[Frame] = []
    at = turn = 0
    while at < len(EVERYTHING):
        step = steps[turn % len(steps)]
        frames += splitter.feed(EVERYTHING[at : at + step], turn * 0.001)
        at += step
        turn += 1
    assert frames == split(EVERYTHING)
    assert (splitter.crc_errors, splitter.dropped_bytes) == (0, 0)


@pytest.mark.parametrize("item", REPLIES, ids=lambda item: item["name"])
def test_no_prefix_is_a_frame_and_the_next_frame_survives_it(item: dict[str, Any]) -> None:
    whole = item["bytes"]
    for cut in range(len(whole)):
        splitter = FrameSplitter()
        assert splitter.feed(whole[:cut], 0.0) == []
        frames = splitter.feed(REPLY["keepalive"], 1.0)
        frames += splitter.expire(2.0)
        assert frames[-1] == Frame(0x22, 0x0400, b"")
        assert splitter.dropped_bytes == cut


@pytest.mark.parametrize("item", REPLIES, ids=lambda item: item["name"])
def test_no_single_bit_flip_passes_and_the_next_frame_survives_it(item: dict[str, Any]) -> None:
    whole = item["bytes"]
    for bit in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        splitter = FrameSplitter()
        frames = splitter.feed(bytes(broken) + REPLY["keepalive"] * 2, 0.0) + splitter.expire(1.0)
        assert set(frames) == {Frame(0x22, 0x0400, b"")}
        assert splitter.dropped_bytes > 0 or len(frames) == 2


@given(st.lists(st.binary(max_size=400), max_size=12))
def test_noise_is_bounded_and_the_stream_recovers(chunks: list[bytes]) -> None:
    splitter = FrameSplitter()
    now = 0.0
    for chunk in chunks:
        for frame in splitter.feed(chunk, now):
            stream.decode_stream(frame)
        assert splitter.pending < codec.MAX_FRAME
        now += 0.05
    frames = splitter.feed(REPLY["tag_01ff"], now + 1.0) + splitter.expire(now + 2.0)
    assert split(REPLY["tag_01ff"])[0] in frames


def test_frame_hidden_in_a_broken_one_is_found() -> None:
    # The false start claims 33 data bytes; a true frame begins inside them.
    frames = split(b"\xff\x21\x22" + REPLY["keepalive"] * 6)
    assert len(frames) == 6


def test_every_loss_of_synchronism_is_counted_once() -> None:
    keepalive = REPLY["keepalive"]
    splitter = FrameSplitter()
    for at in range(3):
        for byte in b"\x01\x02\xff\xfe\x03":
            splitter.feed(bytes((byte,)), at * 0.01)
        splitter.feed(keepalive * 2, at * 0.01)
    assert (splitter.resyncs, splitter.dropped_bytes, splitter.frames) == (3, 15, 6)
    splitter.feed(keepalive[:5], 1.0)
    assert len(splitter.feed(keepalive, 3.0)) == 1
    assert (splitter.resyncs, splitter.dropped_bytes, splitter.frames) == (4, 20, 7)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_counts_say_what_was_given_out(chunks: list[bytes]) -> None:
    splitter = FrameSplitter()
    frames = 0
    fed = 0
    for turn, chunk in enumerate([*chunks, EVERYTHING]):
        frames += len(splitter.feed(chunk, turn * 0.15))
        fed += len(chunk)
    assert splitter.frames == frames
    assert splitter.resyncs <= splitter.dropped_bytes <= fed
    assert bool(splitter.resyncs) == bool(splitter.dropped_bytes)


def test_half_frame_waits_for_its_rest_and_no_longer() -> None:
    whole = REPLY["tag_01ff"]
    splitter = FrameSplitter(half_frame_s=0.2)
    assert splitter.feed(whole[:20], 0.0) == []
    assert splitter.expire(0.19) == []
    assert len(splitter.feed(whole[20:], 0.19)) == 1
    splitter.feed(whole[:20], 1.0)
    assert splitter.expire(1.3) == []
    assert splitter.pending == 0


def test_bytes_behind_a_stale_head_get_their_own_time() -> None:
    splitter = FrameSplitter(half_frame_s=0.2)
    splitter.feed(b"\xff\xf0\x01", 0.0)
    splitter.feed(REPLY["tag_01ff"][:30], 0.15)
    assert splitter.expire(0.25) == []
    assert len(splitter.feed(REPLY["tag_01ff"][30:], 0.3)) == 1


@given(st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.binary(max_size=248))
def test_any_content_has_a_meaning(op: int, status: int, data: bytes) -> None:
    event = stream.decode_stream(Frame(op, status, data))
    assert event.__class__ in stream.StreamEvent.__args__


@given(st.binary(max_size=240), st.integers(0, 0x1FFF))
def test_any_record_is_cut_or_dropped(record: bytes, flags: int) -> None:
    data = b"\x10\x00\x1b" + flags.to_bytes(2, "big") + b"\x01" + record
    assert stream.decode_stream(Frame(0x22, 0, data)).__class__ in stream.StreamEvent.__args__


@given(
    epc=st.binary(min_size=2, max_size=62).filter(lambda epc: len(epc) % 2 == 0),
    pc=st.integers(0, 0xFFFF).map(lambda pc: pc & ~0x0200),
    flags=st.integers(0, 0x1FFF),
    values=st.binary(min_size=26, max_size=26),
    marker=st.booleans(),
)
def test_every_combination_of_fields_finds_the_epc(
    epc: bytes, pc: int, flags: int, values: bytes, marker: bool
) -> None:
    sizes = (1, 1, 1, 3, 4, 2, 1, 2, 1, 1, 1, 1, 2)
    fields = b""
    for bit, size in enumerate(sizes):
        if not flags >> bit & 1:
            continue
        value = values[bit : bit + size]
        if bit == 6:
            value = b"\x05"
        elif bit == 7:
            value = b"\x00\x10\xab\xcd"
        fields += value
    block = pc.to_bytes(2, "big") + epc
    bits = (len(block) + 2) * 8
    record = fields + bits.to_bytes(2, "big") + block + stream.tag_crc(block).to_bytes(2, "big")
    data = (b"\x88" if marker else b"") + b"\x10\x00\x1b" + flags.to_bytes(2, "big") + b"\x01" + record
    event = stream.decode_stream(Frame(0x22, 0, data))
    assert isinstance(event, TagRecord)
    assert (event.pc, event.epc, event.tag_crc_ok) == (pc, epc, True)
    assert event.data == (b"\xab\xcd" if flags & 0x80 else None)
    assert event.frequency_khz == (int.from_bytes(values[3:6], "big") if flags & 0x08 else 0)


def tag_data(block: bytes, bits: int, protocol: int = 5) -> bytes:
    return b"\x10\x00\x1b\x00\x40\x01" + bytes((protocol,)) + bits.to_bytes(2, "big") + block


def test_extended_protocol_words_are_cut_off_the_epc() -> None:
    for pc, xpc in ((0x3200, b"\x01\x02"), (0x3200, b"\x81\x02\x03\x04")):
        epc = bytes(range(12))
        block = pc.to_bytes(2, "big") + xpc + epc
        block += stream.tag_crc(block).to_bytes(2, "big")
        event = stream.decode_stream(Frame(0x22, 0, tag_data(block, len(block) * 8)))
        assert isinstance(event, TagRecord)
        assert (event.xpc, event.epc, event.tag_crc_ok) == (xpc, epc, True)


def test_ata_tag_has_neither_pc_nor_crc() -> None:
    event = stream.decode_stream(Frame(0x22, 0, tag_data(b"12345678", 64, 0x1D)))
    assert isinstance(event, TagRecord)
    assert (event.pc, event.epc, event.tag_crc_ok) == (0, b"12345678", None)


def test_embedded_read_is_the_record_s_data() -> None:
    tid = bytes.fromhex("E2801160200074CF1D970934")
    seen = wire.Sighting(bytes(12), -50, 2, data=tid)
    (frame,) = split(wire.tag_frame(seen, 0x00D7, 0x001F))
    event = stream.decode_stream(frame)
    assert isinstance(event, TagRecord)
    assert (event.data, event.data_status, event.tag_crc_ok) == (tid, 0, True)
    assert tid.hex() not in repr(event).lower()


def test_failed_embedded_read_keeps_the_tag() -> None:
    block = b"\x30\x00" + bytes(12)
    block += stream.tag_crc(block).to_bytes(2, "big")
    data = b"\x10\x00\x1b\x00\x80\x01" + b"\x80\x00\x04\x06" + b"\x00\x80" + block
    event = stream.decode_stream(Frame(0x22, 0, data))
    assert isinstance(event, TagRecord)
    assert (event.data, event.data_status, len(event.epc)) == (b"", 0x0406, 12)


def test_air_error_is_told_not_dropped() -> None:
    data = bytearray(split(REPLY["tag_01ff"])[0].data)
    data[-5] ^= 0x10
    event = stream.decode_stream(Frame(0x22, 0, bytes(data)))
    assert isinstance(event, TagRecord)
    assert event.tag_crc_ok is False


def test_cycle_and_stream_ends() -> None:
    assert stream.decode_stream(Frame(0x22, 0, bytes.fromhex("10001B00000005"))) == stream.CycleEnd(5)
    assert stream.decode_stream(Frame(0x22, 0, bytes.fromhex("8810001B00000005"))) == stream.CycleEnd(5)
    assert stream.decode_stream(Frame(0x22, 0, bytes.fromhex("10001B005700"))) == stream.StreamEnd()
    assert stream.decode_stream(Frame(0x22, 0, bytes.fromhex("00001B00"))) == stream.StreamEnd()


def test_nothing_printed_holds_an_epc() -> None:
    (frame,) = split(REPLY["tag_01ff"])
    event = stream.decode_stream(frame)
    for text in (repr(frame), str(frame), f"{frame}", repr(event), str(event), f"{event}"):
        assert "15E" not in text
        assert "x15" not in text


def test_replies_that_break_their_layout_are_violations() -> None:
    for decode, data in (
        (codec.decode_version, bytes(19)),
        (codec.decode_program, b""),
        (codec.decode_power_limits, b"\x01\x0a\x8c\x01\xf4\x0c\x4e"),
        (codec.decode_power_limits, b"\x01\x0a"),
        (codec.decode_antennas, b"\x05\x01"),
        (codec.decode_antennas, b""),
    ):
        with pytest.raises(ProtocolViolation):
            decode(data)


def test_replies_are_decoded() -> None:
    version = codec.decode_version(bytes.fromhex("12120000 18000001 20190826 01090014 00000010"))
    assert (version.model, version.firmware.hex("."), version.protocols) == ("M6e", "01.09.00.14", 0x10)
    odd = codec.decode_version(bytes.fromhex("12120000 A1000001 20190826 01090014 00000010"))
    assert odd.model == "Mercury module A1"
    assert codec.decode_program(b"\x11")
    assert not codec.decode_program(b"\x12")
    assert codec.decode_power_limits(bytes.fromhex("010A8C0C4E01F4")) == (2700, 3150, 500)
    assert codec.decode_antennas(bytes.fromhex("0501010200")) == {1: True, 2: False}


def test_the_captured_serial_number_is_read() -> None:
    (frame,) = split(REPLY["serial_number"])
    assert codec.decode_serial(frame.data) == "16230067927167269+"
    assert codec.decode_serial(b"\x00\x40\x40\x04AB\x00\x00more") == "AB"


@given(st.binary(max_size=40))
def test_a_serial_number_that_cannot_be_read_is_none(data: bytes) -> None:
    for reply in (data, b"\x00\x40\x40" + data):
        told = codec.decode_serial(reply)
        assert told == "" or told.encode() in reply
    assert codec.decode_serial(b"\x00\x40\x40\xff" + data) == ""
    assert codec.decode_serial(b"\x00\x00\x40\x02AB") == ""
    assert codec.decode_serial(b"\x00\x40\x40\x03A B") == ""


def test_command_bounds() -> None:
    assert len(codec.encode_command(0x28, bytes(250))) == codec.MAX_FRAME
    with pytest.raises(ValueError, match="limit 250"):
        codec.encode_command(0x28, bytes(251))


def test_status_words_have_names() -> None:
    assert codec.status_name(0x0504) == "over temperature (0504)"
    assert codec.status_name(0x0BAD) == "unlisted status (0BAD)"
