"""What an Encompass reader does with commands, tags and inputs: modes, settings, acknowledgement. No I/O.

Time comes in as seconds; bytes go out through `send`. Settings survive a restart, as in the device's battery-backed
memory. Tags are not read in command mode: `rf_off_s` adds up how long that was.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hil.devices import encompass_wire as wire

VERSION = "Model E4 Series Ver 1.30 SN012345"
_COPYRIGHT = b"Copyright 2009 TransCore\r\n"
_QUEUE_LIMIT = 64  # messages of tags read while the host does not acknowledge; the oldest waits, newer ones are lost
_RESENDS_NEVER = 0xFF

Send = Callable[[bytes], None]
Publish = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag in the field of one antenna (from 1)."""

    text: str
    antenna: int = 1


@dataclass(slots=True)
class Settings:
    """What the reader remembers."""

    ecp: bool = False
    ecp_timeout: int = 0xFE
    flow: int = 1
    echo: bool = False
    reader_id: int = 0
    auxiliary: bool = False
    filter: str = "U0"
    acquisitions: str = "V0"
    presence_reports: bool = False
    input_reports: int = 0
    rf_reports: bool = False
    frequency: str = "0DC"
    refused: frozenset[str] = field(default_factory=frozenset)


class Module:
    """One reader. `line` takes a host's message, `sight` reads a tag, `tick` lets time pass."""

    def __init__(self, send: Send, publish: Publish, presence_text: str = "NOTAG", input_text: str = "INPUT") -> None:
        self._send = send
        self.publish = publish
        self._presence_text = presence_text
        self._input_text = input_text
        self.settings = Settings()
        self.command_mode = False
        self.inputs = 0
        self.tags: tuple[Tag, ...] = ()
        self.tag_count = 0
        self.lost = 0
        self.resends = 0
        self.acks = 0
        self.naks = 0
        self.commands: dict[str, int] = {}
        self.rf_off_s = 0.0
        self.rf_off_longest_s = 0.0
        self.visits = 0
        self.lose_acks = 0
        self._entered_s = 0.0
        self._queue: deque[str] = deque()
        self._sequence = 0
        self._sent_s: float | None = None
        self._said_s = 0.0
        self._last: tuple[int, str] | None = None
        self._previous_reads = 0
        self._read_text = ""
        self._reads = 0
        self._felt_unread = False

    def line(self, text: str, now_s: float) -> None:
        """Take one host message (without `#` and CR)."""
        if not self.settings.ecp:
            if self.settings.echo:
                self._send(f"#{text}\r\n".encode("latin-1"))
            self._send(wire.basic(self._execute(text, now_s)))
            return
        message = wire.read_ecp(text)
        if message is None:
            self.publish("bad_command")
            self._send(wire.ecp(int(text[0], 16) if text[:1] in set("0123456789ABCDEF") else 1, "?"))
            return
        sequence, said = message
        if said in ("@", "?"):
            self._acknowledged(sequence, said == "@", now_s)
        else:
            self._command(sequence, said, now_s)

    def tick(self, now_s: float) -> None:
        """Send again what was not acknowledged in time, and a sign of life every three minutes."""
        wait = self.settings.ecp_timeout * 0.05
        due = self._sent_s is not None and now_s - self._sent_s >= wait and self.settings.ecp_timeout != _RESENDS_NEVER
        if due and not self.command_mode:
            self.resends += 1
            self._transmit(now_s)
        if self.settings.rf_reports and not self.command_mode and now_s - self._said_s >= 180.0:
            self.say(self._rf_status(), now_s)

    def say(self, text: str, now_s: float) -> None:
        """A message of the reader's own."""
        self._said_s = now_s
        if not self.settings.ecp:
            self._send(wire.basic(text))
            return
        if len(self._queue) >= _QUEUE_LIMIT:
            self.lost += 1
            return
        self._queue.append(text)
        if self._sent_s is None:
            self._transmit(now_s)

    def sight(self, tag: Tag, now_s: float) -> None:
        """Read a tag once, if the radio is on."""
        if self.command_mode or self.settings.frequency == "XXX":
            return
        self._felt_unread = False
        if tag.text != self._read_text:
            self._previous_reads, self._read_text, self._reads = self._reads, tag.text, 0
        elif self.settings.filter != "U4":
            self._reads = min(0xFF, self._reads + 1)
            return
        self._reads = min(0xFF, self._reads + 1)
        self.tag_count += 1
        self.say(tag.text + self._auxiliary(tag.antenna), now_s)
        self.publish("tag", count=self.tag_count)

    def set_inputs(self, inputs: int, now_s: float) -> None:
        """Change the sense inputs (bits); input 0 is the presence detector."""
        changed, self.inputs = self.inputs ^ inputs, inputs
        if self.command_mode:
            return
        if changed & self.settings.input_reports:
            self.say(self._input_text + self._auxiliary(1), now_s)
        if changed & 1 and inputs & 1:
            self._felt_unread = True
        elif changed & 1 and self._felt_unread and self.settings.presence_reports:
            self._felt_unread = False
            self.say(self._presence_text + self._auxiliary(1), now_s)

    def restart(self, now_s: float) -> None:
        """Power up: data mode, sequence from the beginning, sign-on."""
        if self.command_mode:
            self._leave(now_s)
        self._queue.clear()
        self._sequence = 0
        self._sent_s = None
        self._last = None
        self.say(VERSION, now_s)
        self._send(_COPYRIGHT)

    def state(self) -> Mapping[str, object]:
        """Plain state for the control channel; tags by count only."""
        s = self.settings
        return {
            "command_mode": self.command_mode,
            "ecp": s.ecp,
            "ecp_timeout_s": s.ecp_timeout * 0.05,
            "flow": s.flow,
            "auxiliary": s.auxiliary,
            "filter": s.filter,
            "presence_reports": s.presence_reports,
            "input_reports": s.input_reports,
            "rf_reports": s.rf_reports,
            "tags_in_field": len(self.tags),
            "tags_reported": self.tag_count,
            "tags_lost": self.lost,
            "resends": self.resends,
            "acks": self.acks,
            "naks": self.naks,
            "unacknowledged": len(self._queue),
            "rf_off_s": self.rf_off_s,
            "rf_off_longest_s": self.rf_off_longest_s,
            "visits": self.visits,
            "commands": dict(self.commands),
        }

    def _command(self, sequence: int, command: str, now_s: float) -> None:
        if self._last is not None and self._last[0] == sequence:
            self._send(wire.ecp(sequence, self._last[1]))
            return
        answer = self._execute(command, now_s)
        self._last = (sequence, answer)
        # The answer to a change of protocol still comes in the old one, which was this.
        self._send(wire.ecp(sequence, answer))

    def _acknowledged(self, sequence: int, good: bool, now_s: float) -> None:
        if good and self.lose_acks:
            self.lose_acks -= 1
            return
        self.acks += good
        self.naks += not good
        if self._sent_s is None:
            return
        if not good or sequence != self._sequence:
            self.resends += 1
            self._transmit(now_s)
            return
        self._queue.popleft()
        self._sequence = (self._sequence + 2) % 16
        self._sent_s = None
        if self._queue and not self.command_mode:
            self._transmit(now_s)

    def _transmit(self, now_s: float) -> None:
        self._sent_s = now_s
        self._send(wire.ecp(self._sequence, self._queue[0]))

    def _execute(self, command: str, now_s: float) -> str:
        self.commands[command] = self.commands.get(command, 0) + 1
        self.publish("command", command=command)
        if command == "01":
            if not self.command_mode:
                self.command_mode, self._entered_s = True, now_s
                self.visits += 1
            return "Done"
        if not self.command_mode or command in self.settings.refused:
            return "Error"
        if command == "00":
            self._leave(now_s)
            if self._queue:
                self._sent_s = now_s - self.settings.ecp_timeout * 0.05
            return "Done"
        if command in ("610", "611"):
            self._queue.clear()
            self._sent_s = None
        if command == "831":
            self._said_s = now_s
        return self._status(command) or ("Done" if _set(self.settings, command) else "Error")

    def _leave(self, now_s: float) -> None:
        self.command_mode = False
        off = now_s - self._entered_s
        self.rf_off_s += off
        self.rf_off_longest_s = max(self.rf_off_longest_s, off)
        self.publish("data_mode", rf_off_s=off)

    def _status(self, command: str) -> str:
        s = self.settings
        protocol = f"ECPS P{int(s.ecp)} T{s.ecp_timeout:02X} X{s.flow} S0"
        return {
            "505": VERSION,
            "521": f"RDID {s.reader_id:02X}",
            "524": f"IDAP T0 D0 X{int(s.auxiliary)}",
            "525": protocol,
            "526": f"IOST C0 O0 I{self.inputs} D0",
            "527": self._rf_status(),
            "529": f"PRST P{int(s.presence_reports)} D0 A2 TF I0",
            "530": f"RF0S {s.filter} {s.acquisitions}",
            "560": f"SSTC E{int(bool(s.input_reports))} M{s.input_reports}",
            "570": "ATA:E eGo:I SeGo:I IAG:D Sort:D TMM0",
        }.get(command, "")

    def _rf_status(self) -> str:
        return f"RFST C0 O{int(not self.command_mode)} T1 F{self.settings.frequency} R1F G1F A00 I04"

    def _auxiliary(self, antenna: int) -> str:
        if not self.settings.auxiliary:
            return ""
        return f"%{self.settings.reader_id:02X}-{antenna - 1:X}-{self._previous_reads:02X}-{self.inputs}"


_SWITCHES: dict[str, tuple[str, object]] = {
    "300": ("", None),
    "310": ("auxiliary", False),
    "311": ("auxiliary", True),
    "320": ("", None),
    "40": ("filter", "U4"),
    "610": ("ecp", False),
    "611": ("ecp", True),
    "6170": ("echo", False),
    "6171": ("echo", True),
    "6900": ("presence_reports", False),
    "6901": ("presence_reports", True),
    "830": ("rf_reports", False),
    "831": ("rf_reports", True),
}


def _set(settings: Settings, command: str) -> bool:
    """Execute a setting; False when there is none of that code."""
    if command in _SWITCHES:
        name, value = _SWITCHES[command]
        if name:
            setattr(settings, name, value)
        return True
    head, last = command[:3], command[3:]
    if head in ("410", "420") and last in ("0", "1", "2", "3"):
        setattr(settings, "filter" if head == "410" else "acquisitions", ("U" if head == "410" else "V") + last)
    elif head == "612" and len(last) == 2 and last != "00":
        settings.ecp_timeout = int(last, 16)
    elif head == "614" and last in ("0", "1", "2"):
        settings.flow = int(last)
    elif command[:2] == "60" and len(command) == 4:
        settings.reader_id = bytes.fromhex(command[2:])[0]
    elif command in ("820", "821", "822", "823"):
        settings.input_reports = int(command[2])
    else:
        return False
    return True
