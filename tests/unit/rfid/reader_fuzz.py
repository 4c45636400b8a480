"""Random and mutated bytes through the codecs of a reader family: any amount of them, from one seed.

    python -m tests.unit.rfid.reader_fuzz mercury 10000000

A third of the bytes is noise, a third is captured traffic damaged anywhere, a third is damaged inside with its check or
length put right again, so that the damage reaches the decoders behind the check. What comes out must be a record, a
counted drop or `ProtocolViolation`; a buffer over its bound or any other exception ends the run.
"""

import argparse
import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from drivers.api import ProtocolViolation
from drivers.rfid import encompass_codec, llrp_codec, mercury_codec
from drivers.rfid import llrp_exchange_codec as exchange
from drivers.rfid import mercury_stream_codec as stream
from drivers.rfid.epc_codec import describe_epc
from drivers.rfid.epc_tid_codec import describe_tid
from drivers.rfid.llrp_report_codec import ReportDecoder
from hil.devices import encompass_wire
from tests.unit.rfid import llrp_messages, mercury_frames

_PIECE = 4096
_CAPTURES = Path(__file__).parents[2] / "captures"
_ENCOMPASS = _CAPTURES / "encompass" / "frames.json"
_EPC = _CAPTURES / "epc" / "tds_examples.json"
_EPC_PIECE = 14


class Victim(Protocol):
    """The codecs of one family behind one door."""

    seeds: list[bytes]

    def begin(self) -> None:
        """What comes next comes after a pause in which a link without a way back into step was made anew."""
        ...

    def feed(self, data: bytes, now_s: float) -> int:
        """Decode everything that comes out; how many records did. AssertionError when a bound is broken."""
        ...

    def repaired(self, message: bytes) -> bytes:
        """`message` with its check and length put right."""
        ...


class Mercury:
    """Frames, every kind of stream event, and the replies that have a layout."""

    def __init__(self) -> None:
        self.seeds = [reply["bytes"] for reply in mercury_frames.REPLIES]
        self._splitter = mercury_codec.FrameSplitter()

    def begin(self) -> None:
        """Nothing: noise is behind it in the same stream."""

    def feed(self, data: bytes, now_s: float) -> int:
        frames = self._splitter.feed(data, now_s)
        for frame in frames:
            assert stream.decode_stream(frame).__class__ in stream.StreamEvent.__args__
            for decode in (
                mercury_codec.decode_version,
                mercury_codec.decode_antennas,
                mercury_codec.decode_power_limits,
                mercury_codec.decode_program,
                mercury_codec.decode_serial,
            ):
                with contextlib.suppress(ProtocolViolation):
                    decode(frame.data)
        assert self._splitter.pending < mercury_codec.MAX_FRAME
        return len(frames)

    def repaired(self, message: bytes) -> bytes:
        body = message[1:-2][: mercury_codec.MAX_FRAME - 3]
        if len(body) < 4:
            return message
        body = bytes((len(body) - 4,)) + body[1:]
        return b"\xff" + body + mercury_codec.crc16(body).to_bytes(2, "big")


class Llrp:
    """Messages, and each body as every kind of message there is; a broken header ends a connection."""

    def __init__(self) -> None:
        self.seeds = list(llrp_messages.MESSAGES.values())
        self.seeds += [
            llrp_codec.encode_message(item["type"], 1, item["bytes"]) for item in llrp_messages.BODIES.values()
        ]
        self._reports = ReportDecoder()
        self.begin()

    def begin(self) -> None:
        """A new connection."""
        self._splitter = llrp_codec.MessageSplitter()

    def feed(self, data: bytes, now_s: float) -> int:
        found = 0
        self._splitter.feed(data)
        try:
            while (message := self._splitter.take()) is not None:
                found += 1
                self._decode(message.body)
        except ProtocolViolation:
            self.begin()
        assert self._splitter.pending <= llrp_codec.MAX_MESSAGE
        return found

    def _decode(self, body: bytes) -> None:
        for report in self._reports.decode(body):
            assert len(report.epc) <= 62
            assert report.tag_crc_ok in (True, False, None)
            assert report.tid is None or len(report.tid) >= 2
        for decode in (
            exchange.decode_notification,
            exchange.decode_capabilities,
            exchange.decode_identity,
            exchange.decode_rospecs,
            llrp_codec.decode_status,
        ):
            with contextlib.suppress(ProtocolViolation):
                decode(body)

    def repaired(self, message: bytes) -> bytes:
        body = message[llrp_codec.HEADER_SIZE :]
        kind = int.from_bytes(message[:2], "big") & 0x3FF
        return llrp_codec.encode_message(kind, 1, body)


class Encompass:
    """Lines in both protocols, and the reports and answers they hold."""

    _WORDS = encompass_codec.report_words(("NOTAG",), ("INPUT",), tag_page=True)
    _TEXTS = (
        *(item["text"] for item in json.loads(_ENCOMPASS.read_text())["texts"]),
        *("KING 1302&AB%00-1-0A-2", "NOTAG", "INPUT", "Error06", "Done", "IOST C1 O2 I3 D0"),
        *("RFST C0 O1 T0 F1A0 R0", "Model E4 Ver 1.23 SN 0042 Copyright"),
    )

    def __init__(self) -> None:
        self.seeds = [encompass_wire.ecp(2 * at % 16, text) for at, text in enumerate(self._TEXTS)]
        self._splitter = encompass_codec.MessageSplitter()

    def begin(self) -> None:
        """Nothing: noise is behind it in the same stream."""

    def feed(self, data: bytes, now_s: float) -> int:
        lines = self._splitter.feed(data, now_s)
        for line in lines:
            for message in (encompass_codec.decode_ecp(line), encompass_codec.decode_basic(line)):
                if isinstance(message, encompass_codec.Message):
                    encompass_codec.decode_report(message.text, self._WORDS)
                    for decode in (encompass_codec.decode_version, encompass_codec.decode_rf_status):
                        with contextlib.suppress(ProtocolViolation):
                            decode(message.text)
        assert self._splitter.pending <= encompass_codec.MAX_LINE + 1
        return len(lines)

    def repaired(self, message: bytes) -> bytes:
        body = message[1:].rstrip(b"\r\n")[:-4]
        return b"#" + body + b"%04X" % encompass_codec.crc16(body) + b"\r\n"


class Epc:
    """EPC and TID banks of tags, as any reader hands them over: two bytes of protocol control, then the number."""

    def __init__(self) -> None:
        self.seeds = [
            (len(epc) // 2 << 11).to_bytes(2, "big") + epc
            for edition in json.loads(_EPC.read_text())["editions"]
            for epc in (bytes.fromhex(one["hex"] + "0" * (-len(one["hex"]) % 4)) for one in edition["examples"])
        ]

    def begin(self) -> None:
        """Nothing: every read stands for itself."""

    def feed(self, data: bytes, now_s: float) -> int:
        found = 0
        for at in range(0, len(data), _EPC_PIECE):
            pc, epc = int.from_bytes(data[at : at + 2], "big"), data[at + 2 : at + _EPC_PIECE]
            described = describe_epc(pc, epc)
            assert (described.uri is None) is (described.reason is not None or described.scheme == "iso15961")
            assert described.scheme != "raw" or described.filter_value is None
            assert describe_tid(epc).serial_bits <= 8 * len(epc)
            found += described.uri is not None
        return found

    def repaired(self, message: bytes) -> bytes:
        epc = (message[2:] + bytes(-len(message) % 2))[: _EPC_PIECE - 2]
        whole = (len(epc) // 2 << 11).to_bytes(2, "big") + epc
        return whole + bytes(_EPC_PIECE - len(whole))


FAMILIES: dict[str, Callable[[], Victim]] = {"mercury": Mercury, "llrp": Llrp, "encompass": Encompass, "epc": Epc}


def run(family: str, total: int, seed: int) -> tuple[int, int]:
    """Feed at least `total` bytes; how many bytes were fed and how many records came out of them."""
    chance = random.Random(seed)
    victim = FAMILIES[family]()
    fed = found = 0
    now_s = 0.0
    for piece in _pieces(victim, chance):
        # As a line delivers it: in parts of any size, with pauses that let half a frame grow old now and then.
        at = 0
        victim.begin()
        while at < len(piece):
            size = chance.choice((1, 7, 64, 512, _PIECE))
            now_s += chance.choice((0.0, 0.001, 0.05, 0.5))
            found += victim.feed(piece[at : at + size], now_s)
            at += size
        fed += len(piece)
        if fed >= total:
            return fed, found
    raise AssertionError("the supply of bytes has no end")


def _pieces(victim: Victim, chance: random.Random) -> Iterator[bytes]:
    while True:
        yield chance.randbytes(chance.randrange(1, _PIECE))
        yield b"".join(_damaged(chance.choice(victim.seeds), chance) for _ in range(chance.randrange(1, 40)))
        yield b"".join(
            victim.repaired(_damaged(chance.choice(victim.seeds), chance)) for _ in range(chance.randrange(1, 40))
        )


def _damaged(message: bytes, chance: random.Random) -> bytes:
    changed = bytearray(message)
    for _ in range(chance.randrange(0, 6)):
        at = chance.randrange(len(changed)) if changed else 0
        changed[at : at + chance.randrange(0, 4)] = chance.randbytes(chance.randrange(0, 4))
    return bytes(changed)


def main() -> None:
    """One run, with its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("bytes", type=int)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.process_time()
    fed, found = run(given.family, given.bytes, given.seed)
    print(f"{given.family}: {fed:,} bytes, {found:,} records, {time.process_time() - began:.0f} s of processor time")  # noqa: T201


if __name__ == "__main__":
    main()
