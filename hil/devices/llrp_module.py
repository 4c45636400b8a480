"""What an LLRP reader does with a client's messages: capabilities, configuration, ROSpecs, reports. No I/O.

Time comes in as UTC microseconds; messages go out through `send`. It obeys four points that other emulators break: it
never answers 64, deleting ROSpec 0 succeeds with none there, an immediate start trigger starts, and the content
selector and N of a report are honoured.
"""

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import pack

from hil.devices import llrp_wire as wire
from hil.devices.llrp_wire import Content, Request, Sighting, WireError, param, status

DISABLED, INACTIVE, ACTIVE = 0, 1, 2
CHANNELS = 50
M_FIELD, M_UNKNOWN_PARAMETER, M_UNSUPPORTED = 101, 107, 109
P_FIELD, A_RANGE = 201, 301
_NO_ANSWER = 2

Send = Callable[[bytes], None]
Publish = Callable[..., None]
Handler = Callable[["Module", bytes], list[bytes] | None]


class RefusedError(Exception):
    """A request the reader answers with a status other than success."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag in the field: mean level at one antenna."""

    epc: bytes
    rssi_dbm: float
    antenna: int
    pc: int | None = None
    tid: bytes = b""


@dataclass(slots=True)
class RoSpec:
    """One inventory: what was asked, its state, and the records that wait for the Nth."""

    number: int
    raw: bytes
    immediate: bool
    antennas: frozenset[int]
    trigger: int
    every: int
    content: Content
    state: int = DISABLED
    waiting: dict[tuple[bytes, int], Sighting] = field(default_factory=dict)


@dataclass(slots=True)
class AccessSpec:
    """Operations on every tag that is read: as it was asked for, and its reads (id, bank, first word, words)."""

    raw: bytes
    reads: tuple[tuple[int, int, int, int], ...]
    enabled: bool = False


@dataclass(slots=True)
class Session:
    """What a reader forgets when its client has gone."""

    events: set[int] = field(default_factory=set)
    keepalive_ms: int = 0
    hold: bool = False
    extensions: bool = False
    unheld: bool = True


class Module:
    """One reader: `request` answers, `sight` reports a tag while a ROSpec is active."""

    def __init__(
        self,
        send: Send,
        publish: Publish,
        handlers: Mapping[int, tuple[int, Handler]],
        *,
        ports: int = 4,
        maker: int = wire.IMPINJ,
        seed: int = 1,
    ) -> None:
        self._send = send
        self._handlers = handlers
        self.publish = publish
        self._random = random.Random(seed)
        self.maker = maker
        self.connected = dict.fromkeys(range(1, ports + 1), True)
        self.session = Session()
        self.rospecs: dict[int, RoSpec] = {}
        self.accessspecs: dict[int, AccessSpec] = {}
        self.offers_access = True
        self.tags: tuple[Tag, ...] = ()
        self.temperature_c = 31
        self.serial = bytes.fromhex("001625ffff10ba47")
        self.heed_start_trigger = True
        self.tag_count = 0
        self.now_us = 0
        self.requests: dict[int, int] = {}

    def greet(self, now_us: int, code: int = 0) -> bytes:
        """The first message of a connection."""
        return wire.event(now_us, param(256, pack(">H", code)))

    def begin_session(self) -> None:
        """A client connected. What an earlier one left keeps running and is held back if that one said so."""
        self.session = Session(hold=self.session.hold, unheld=not self.session.hold)

    def request(self, asked: Request, now_us: int) -> None:
        """Execute one message and send its answer."""
        self.now_us = now_us
        self.requests[asked.type] = self.requests.get(asked.type, 0) + 1
        self.publish("command", type=asked.type)
        if asked.type not in self._handlers:
            self._send(wire.message(100, asked.id, status(M_UNSUPPORTED, f"message type {asked.type}")))
            return
        kind, handler = self._handlers[asked.type]
        before = {spec.number for spec in self.active()}
        try:
            answer = handler(self, asked.body)
        except RefusedError as refused:
            answer = [status(refused.code, refused.text)]
        except (WireError, struct.error, IndexError) as error:
            self._send(wire.message(100, asked.id, status(M_FIELD, str(error))))
            return
        if answer is not None:
            self._send(wire.message(kind, asked.id, *answer))
        for spec in self.active():
            if spec.number not in before:
                self.tell(param(249, pack(">BII", 0, spec.number, 0)), kind=2)
                self.publish("started", rospec=spec.number)

    def tell(self, *events: bytes, kind: int | None = None) -> None:
        """Send events, when the client asked for their kind."""
        if kind is None or kind in self.session.events:
            self._send(wire.event(self.now_us, *events))

    def active(self) -> list[RoSpec]:
        """Inventories that run."""
        return [spec for spec in self.rospecs.values() if spec.state == ACTIVE]

    def readable_tags(self) -> list[Tag]:
        """Tags that a connected antenna of a running inventory can read now."""
        wanted: set[int] = set()
        for spec in self.active():
            wanted |= spec.antennas
        return [tag for tag in self.tags if tag.antenna in wanted and self.connected.get(tag.antenna)]

    def sight(self, tag: Tag, now_us: int) -> None:
        """One read of `tag`: a record for every running inventory that covers its antenna."""
        self.now_us = now_us
        level = round(max(-127.0, min(0.0, tag.rssi_dbm + self._random.gauss(0.0, 0.8))) * 100)
        for spec in self.active():
            if tag.antenna not in spec.antennas:
                continue
            held = spec.waiting.get((tag.epc, tag.antenna))
            seen = 1 if held is None else held.seen + 1
            spec.waiting[tag.epc, tag.antenna] = Sighting(
                epc=tag.epc,
                antenna=tag.antenna,
                rssi_cdbm=level,
                utc_us=now_us,
                channel=self._random.randint(1, CHANNELS),
                seen=seen,
                pc=tag.pc,
                phase=self._random.randrange(4096),
                doppler=self._random.randint(-200, 200),
                tid=tag.tid,
                results=self._access(tag),
            )
            if spec.trigger and spec.every and len(spec.waiting) >= spec.every:
                self.flush(spec)

    def _access(self, tag: Tag) -> tuple[tuple[int, int, bytes], ...]:
        """Results of the operations in force on a tag: status, operation, data. Only the TID bank has anything."""
        results = []
        for spec in self.accessspecs.values():
            for number, bank, first, words in spec.reads if spec.enabled else ():
                data = tag.tid[2 * first : 2 * (first + words)] if bank == 2 else b""
                results.append((0, number, data) if len(data) == 2 * words else (_NO_ANSWER, number, b""))
        return tuple(results)

    def flush(self, spec: RoSpec) -> None:
        """Send the records that wait, unless the client has not let go of its hold."""
        if not spec.waiting or not self.session.unheld:
            return
        records = [wire.record(item, spec.content, spec.number) for item in spec.waiting.values()]
        spec.waiting.clear()
        self.tag_count += len(records)
        self._send(wire.message(61, 0, *records))
        self.publish("tag", count=self.tag_count)

    def end_cycle(self) -> None:
        """The antennas were all visited: reports that wait for the end of the AISpec go out."""
        for spec in self.active():
            if spec.trigger == 1:
                self.flush(spec)

    def end(self, spec: RoSpec, state: int = INACTIVE) -> None:
        """Stop an inventory and say so."""
        was_active = spec.state == ACTIVE
        spec.state = state
        if was_active:
            if spec.trigger:
                self.flush(spec)
            self.tell(param(249, pack(">BII", 1, spec.number, 0)), kind=2)
            self.publish("stopped", rospec=spec.number)

    def state(self) -> Mapping[str, object]:
        """For tests: what the reader was brought to."""
        return {
            "streaming": bool(self.active()),
            "rospecs": {str(number): spec.state for number, spec in self.rospecs.items()},
            "accessspecs": sorted(self.accessspecs),
            "keepalive_ms": self.session.keepalive_ms,
            "events": sorted(self.session.events),
            "hold": self.session.hold,
            "extensions": self.session.extensions,
            "tag_count": self.tag_count,
            "requests": {str(kind): count for kind, count in self.requests.items()},
        }
