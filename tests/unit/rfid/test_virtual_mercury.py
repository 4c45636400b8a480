"""The virtual reader's own encoder makes the published bytes: checked here without the driver's codec."""

from typing import Any

import pytest

from hil.devices import mercury_wire as wire
from hil.devices.mercury_module import Module, Tag
from tests.unit.rfid.mercury_frames import COMMANDS, REPLIES, REPLY, STARTS


@pytest.mark.parametrize("item", REPLIES, ids=lambda item: item["name"])
def test_published_frames_pass_its_check(item: dict[str, bytes]) -> None:
    assert wire.line_crc(item["bytes"][1:-2]).to_bytes(2, "big") == item["bytes"][-2:]


def test_it_makes_the_captured_tag_frame() -> None:
    seen = wire.Sighting(
        epc=bytes(10) + b"\x15\x45", rssi_dbm=-60, antenna=1, frequency_khz=923_200, timestamp_ms=295, gpio=0x0F
    )
    assert wire.tag_frame(seen, 0x01FF, 0x001B) == REPLY["tag_01ff"]


def test_it_makes_the_captured_frame_without_metadata() -> None:
    seen = wire.Sighting(epc=bytes.fromhex("100000000020110304000324"), rssi_dbm=-60, antenna=1)
    assert wire.tag_frame(seen, 0, 0x001B) == REPLY["tag_without_metadata"]


def test_it_makes_the_published_status_frames() -> None:
    assert REPLY["keepalive"] == wire.NO_TAGS
    assert wire.reply(0x22, 0x0504) == REPLY["over_temperature"]
    assert wire.reply(0x22, 0x0505) == REPLY["return_loss"]
    assert wire.temperature_frame(45) == REPLY["temperature_45"]


def test_it_reads_the_published_commands_in_any_pieces() -> None:
    everything = b"".join(COMMANDS.values())
    expected = [(command[2], command[3:-2]) for command in COMMANDS.values()]
    for step in (1, 3, 7, len(everything)):
        reader = wire.CommandReader()
        seen = [item for at in range(0, len(everything), step) for item in reader.feed(everything[at : at + step])]
        assert seen == expected


def module_and_sent() -> tuple[Module, list[bytes]]:
    sent: list[bytes] = []
    return Module(sent.append, lambda *_args, **_fields: None), sent


def play(module: Module, *names: str) -> None:
    for name in names:
        module.command(COMMANDS[name][2], COMMANDS[name][3:-2], 0.0)


def test_reading_without_a_region_is_refused() -> None:
    module, sent = module_and_sent()
    play(module, "protocol_gen2", "start_0057")
    assert sent[-1] == wire.reply(0x2F, 0x0405)
    assert module.stream is None


def test_published_start_and_stop() -> None:
    module, sent = module_and_sent()
    module.tags = (Tag(bytes(12), -50.0, 1),)
    play(module, "region_na", "protocol_gen2", "antennas_1_2", "power_27_dbm", "rssi_in_dbm", "start_0057")
    assert module.stream is not None
    assert (module.stream.metadata, module.stream.search_flags, module.stream.on_ms) == (0x0057, 0x001B, 1000)
    assert module.settings.power_cdbm == 2700
    assert module.readable_tags() == list(module.tags)
    play(module, "stop")
    assert sent[-1] == REPLY["stop_reply"]
    assert module.stream is None


@pytest.mark.parametrize("item", STARTS, ids=lambda item: item["name"])
def test_captured_starts_are_understood(item: dict[str, Any]) -> None:
    module, _ = module_and_sent()
    play(module, "region_na", "protocol_gen2")
    module.command(item["bytes"][2], item["bytes"][3:-2], 0.0)
    stream = module.stream
    assert stream is not None
    seen = (stream.metadata, stream.on_ms, stream.off_ms, stream.statistics)
    assert seen == tuple(item[key] for key in ("metadata", "on_ms", "off_ms", "statistics"))


def test_embedded_read_reports_the_tid_or_why_not() -> None:
    module, sent = module_and_sent()
    play(module, "region_na", "protocol_gen2")
    module.command(0x2F, bytes.fromhex("00000122000005 13 22 10 001F 03E8 00D7 010928000000020000000006"), 0.0)
    assert module.stream is not None
    assert module.stream.tid_words == 6
    tid = bytes.fromhex("E2801160200074CF1D970934")
    module.sight(Tag(bytes(12), -50.0, 1, tid=tid), 0.0)
    assert sent[-1][19:33] == b"\x00\x60" + tid
    module.sight(Tag(bytes(12), -50.0, 1, tid=tid[:8]), 0.0)
    assert sent[-1][19:23] == b"\x80\x00\x04\x23"


def test_it_tells_its_serial_number_in_the_captured_bytes_or_not_at_all() -> None:
    module, sent = module_and_sent()
    module.serial = "16230067927167269+"
    play(module, "serial_number")
    assert sent[-1] == REPLY["serial_number"]
    module.serial = ""
    play(module, "serial_number")
    assert sent[-1] == wire.reply(0x10, 0x0102)


def test_settings_are_read_back() -> None:
    module, sent = module_and_sent()
    play(module, "region_na", "protocol_gen2", "antennas_1_2", "power_27_dbm", "rssi_in_dbm")
    sent.clear()
    for op, data in ((0x67, ""), (0x63, ""), (0x61, "02"), (0x62, "00"), (0x6A, "0109")):
        module.command(op, bytes.fromhex(data), 0.0)
    assert [frame[5:-2].hex() for frame in sent] == ["01", "0005", "0201010202", "000a8c", "010901"]


def test_bootloader_answers_tag_commands_with_bad_opcode() -> None:
    module, sent = module_and_sent()
    module.in_bootloader = True
    play(module, "stop")
    assert sent[-1] == wire.reply(0x2F, 0x0101)
    play(module, "boot")
    assert not module.in_bootloader


def test_reset_forgets_everything_and_says_so() -> None:
    module, sent = module_and_sent()
    play(module, "region_na", "protocol_gen2", "start_0057")
    module.reset()
    assert sent[-1][2] == 0x04
    assert (module.settings.region, module.stream) == (0, None)


def test_unknown_and_broken_commands_are_refused_not_fatal() -> None:
    module, sent = module_and_sent()
    play(module, "region_na", "protocol_gen2")
    sent.clear()
    module.command(0xEE, b"", 0.0)
    module.command(0x9A, b"", 0.0)
    module.command(0x2F, b"\x00\x00\x01\x22", 0.0)
    assert [frame[3:5].hex() for frame in sent] == ["0101", "0100", "0100"]
