"""LLRP RFID reader as a source of tag reads. The wire format is in the `llrp_*_codec` modules."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from drivers.api import (
    RSSI_UNKNOWN_CDBM,
    Clock,
    DeviceError,
    DeviceInfo,
    DeviceTimeout,
    Emit,
    LinkLost,
    ProtocolViolation,
    ReaderEventCode,
    Secret,
    Source,
    Stamp,
    TagRead,
)
from drivers.link.tape import DIRECT, Splice
from drivers.link.tcp import Stream, TlsFiles, client_tls, open_tcp
from drivers.rfid import llrp_codec as codec
from drivers.rfid import llrp_exchange_codec as exchange
from drivers.rfid.llrp_codec import Message
from drivers.rfid.llrp_dialogue import Dialogue
from drivers.rfid.llrp_report_codec import ReportDecoder, TagReport
from drivers.rfid.llrp_setup import Configured, Found, Greeting, configure, find_reader, greet, identify
from drivers.rfid.reporter import Reporter
from drivers.rfid.settings.llrp import LlrpProfile, LlrpSettings, load_llrp_profile

_LEAVE_S = 0.3
_ROSPECS = 0x7FFFFFFF
_MAKERS = {codec.IMPINJ: "Impinj", 161: "Zebra"}
_CLIENT_HINT = "another client or the reader's own page may control it"
_POWER_HINT = "check the reader's power supply (PoE class) and its network cable"

# Events that have no code of their own are told as DEVICE_STATUS with the number of their LLRP parameter.
BUFFER_FILLING = 250
READER_EXCEPTION = 252


class _Ended(Exception):
    """The inventory ended though nobody asked: configure it again."""


class LlrpReader:
    """One session with one reader: connects, configures, reads until a fault or cancellation.

    Emits DeviceUp, then TagRead per record, and ReaderEvents: KEEPALIVE, ANTENNA_NOT_CONNECTED, TEMPERATURE, RESTARTED
    (the inventory ended and was begun again), DROPPED_RECORD (value None: the reader's own buffer overflowed),
    DEVICE_STATUS (250 its buffer fills, 252 it reports an exception). DeviceError codes: TCP_* from the connection,
    RFID_TAKEN, RFID_NO_ANSWER, RFID_SILENT, RFID_GARBLED, RFID_RESTARTING, RFID_BAD_REPLY, RFID_COMMAND_FAILED;
    refused: WRONG_DEVICE, RFID_POWER_OUT_OF_RANGE, RFID_ANTENNA_UNKNOWN, RFID_SETTING_REFUSED.
    """

    def __init__(
        self,
        device_id: str,
        settings: LlrpSettings,
        profile: LlrpProfile,
        clock: Clock,
        open_link: Callable[[], Awaitable[Stream]],
    ) -> None:
        self._device = device_id
        self._settings = settings
        self._profile = profile
        self._clock = clock
        self._open_link = open_link
        self._session: _Session | None = None

    def counters(self) -> Mapping[str, float]:
        """Plain numbers of this session: messages, answers to nothing that was asked, records dropped for a broken
        layout or because an earlier inventory made them, parameters passed over."""
        return self._session.counters() if self._session is not None else {}

    async def run(self, emit: Emit) -> None:
        """One session; see the class. Cancellation stops the inventory, closes the connection and ends within 1 s."""
        link = await self._open_link()
        talk = Dialogue(link, self._clock, self._profile.answer_s)
        report = Reporter(self._device, self._clock, emit)
        session = self._session = _Session(self._settings, self._profile, self._clock, talk, report)
        silent = False
        try:
            await session.run()
        except DeviceTimeout:
            silent = True  # it will not answer: nobody need wait to learn of the silence
            raise
        finally:
            # A reader that has another client must not be told anything.
            await (_leave(talk, link) if session.accepted and not silent else link.close())


def make_llrp_reader(device_id: str, settings: LlrpSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """A reader at the address of `settings`. DeviceRefused when its profile is missing or invalid; its session also
    refuses with TLS_FILES_UNUSABLE and TLS_UNTRUSTED."""
    profile = load_llrp_profile(settings.profile)

    async def connect() -> Stream:
        tls = settings.tls
        secure = None
        if tls is not None:
            secure = client_tls(TlsFiles(tls.ca_file, tls.cert_file, tls.key_file), tls.server_name)
        return await open_tcp(settings.host, settings.port, profile.connect_s, secure)

    return LlrpReader(device_id, settings, profile, clock, splice.stream(connect))


async def _leave(talk: Dialogue, link: Stream) -> None:
    """Stop the inventory and say goodbye, so that the transmitter is off and the next session finds the reader free."""
    talk.on_unasked = None
    try:
        async with asyncio.timeout(_LEAVE_S):
            await talk.send(codec.DELETE_ROSPEC, exchange.spec_id(exchange.ALL))
            await talk.send(codec.DELETE_ACCESSSPEC, exchange.spec_id(exchange.ALL))
            await talk.ask("the goodbye", codec.CLOSE_CONNECTION)
    except (DeviceError, TimeoutError):
        pass
    finally:
        await link.close()


class _Session:
    """State of one session: what was found and configured, what is wrong."""

    def __init__(
        self,
        settings: LlrpSettings,
        profile: LlrpProfile,
        clock: Clock,
        talk: Dialogue,
        report: Reporter,
    ) -> None:
        self._settings = settings
        self._profile = profile
        self._talk = talk
        self._tell = report
        self._reports = ReportDecoder()
        self._ended = False
        self._epoch_us = 0
        self._temperature_at = 0.0
        self._found: Found | None = None
        self._hop_table = 0
        # No number of an earlier session: what that one left in the reader's buffers is known by it.
        self._rospec = clock.stamp().mono_ns // 1_000_000 % _ROSPECS
        self._stale = 0
        self.accepted = False

    def counters(self) -> Mapping[str, float]:
        """See `LlrpReader.counters`."""
        return {
            "messages": float(self._talk.messages),
            "strays": float(self._talk.strays),
            "malformed_records": float(self._reports.malformed),
            "stale_records": float(self._stale),
            "unknown_parameters": float(self._reports.unknown),
        }

    async def run(self) -> None:
        """Greet, find out, configure, read; configure again when the inventory ends."""
        greeting = await greet(self._talk, self._profile.connect_s)
        self.accepted = True
        self._epoch_us = greeting.utc_us or greeting.uptime_us or 0
        found = self._found = await find_reader(self._talk, self._settings, self._profile)
        self._talk.on_unasked = self._report
        while True:
            try:
                self._ended = False
                self._rospec = self._rospec % _ROSPECS + 1
                configured = await configure(self._talk, self._settings, self._profile, found, self._rospec)
                self._hop_table = configured.inventory.hop_table
                self._announce(greeting, found, configured)
                await self._read()
            except _Ended:
                self._tell.restarted("the reader ended its inventory", _CLIENT_HINT)

    def _announce(self, greeting: Greeting, found: Found, configured: Configured) -> None:
        if self._tell.identified(self._info(greeting, found, configured)):
            self._tell_temperature(found.identity.temperature_c)

    def _info(self, greeting: Greeting, found: Found, configured: Configured) -> DeviceInfo:
        can = found.capabilities
        listed = not self._profile.makers or can.maker in self._profile.makers
        details = {
            "maker": str(can.maker),
            "identity": found.verified,
            "antennas": " ".join(map(str, configured.inventory.antennas)),
            "power_cdbm": str(configured.power_cdbm),
            "rf_mode": "the reader's own"
            if configured.inventory.rf_mode is None
            else str(configured.inventory.rf_mode),
            "extensions": "impinj" if found.impinj else "none",
            "started": configured.started,
            "tid": configured.tid,
            "profile_evidence": self._profile.evidence,
            "hardware_listed": "yes" if listed else "no",
        }
        if greeting.utc_us is not None:
            offset_us = greeting.utc_us - greeting.stamp.utc_ns // 1000
            details["reader_clock_offset_ms"] = str(offset_us // 1000)
        maker = _MAKERS.get(can.maker, f"LLRP reader of maker {can.maker}")
        return DeviceInfo(
            kind="llrp",
            model=f"{maker} {self._profile.models.get(can.model, can.model)}",
            firmware=can.firmware,
            serial=found.identity.serial,
            profile=self._profile.profile,
            profile_digest=self._profile.digest,
            details=details,
        )

    async def _read(self) -> None:
        """Take messages until the reader is silent, garbled, gone, or has ended the inventory."""
        silence_s = self._settings.keepalive_ms / 1000 * self._profile.silent_periods
        self._temperature_at = self._tell.now_s()
        while not self._ended:
            arrived = await self._talk.next_message(silence_s)
            if arrived is None:
                self._give_up(silence_s)
            else:
                self._report(*arrived)
                if self._temperature_due(arrived[0]):
                    await self._ask_temperature()
        raise _Ended

    def _give_up(self, silence_s: float) -> None:
        self._tell.event(ReaderEventCode.GAP, value=silence_s)
        if self._talk.unfinished:
            raise ProtocolViolation(
                "RFID_GARBLED",
                f"{self._talk.unfinished} bytes of a message that did not end in {silence_s:g} s",
                "check the network between lane and reader; restart the reader",
            )
        raise DeviceTimeout("RFID_SILENT", f"no sign of life from the reader for {silence_s:g} s", _POWER_HINT)

    def _temperature_due(self, now: Stamp) -> bool:
        told = self._found is not None and self._found.identity.temperature_c is not None
        return told and now.mono_ns / 1e9 - self._temperature_at >= self._profile.temperature_s

    async def _ask_temperature(self) -> None:
        self._temperature_at = self._tell.now_s()
        self._tell_temperature((await identify(self._talk, impinj=True)).temperature_c)

    def _tell_temperature(self, celsius: int | None) -> None:
        if celsius is not None:
            self._tell.event(ReaderEventCode.TEMPERATURE, value=float(celsius))

    def _report(self, stamp: Stamp, message: Message) -> None:
        """Emit what one unasked message says."""
        if message.type == codec.RO_ACCESS_REPORT:
            for report in self._reports.decode(message.body):
                if report.rospec in (None, self._rospec):
                    self._tell.read(self._tag(stamp, report))
                else:
                    self._stale += 1
            self._tell.losses(self._reports.malformed + self._stale, stamp)
        elif message.type == codec.KEEPALIVE:
            self._tell.event(ReaderEventCode.KEEPALIVE, stamp=stamp)
        elif message.type == codec.READER_EVENT_NOTIFICATION:
            self._report_notification(stamp, message.body)

    def _report_notification(self, stamp: Stamp, body: bytes) -> None:
        told = exchange.decode_notification(body)
        for port, connected in told.antennas:
            if port in self._settings.antennas:
                code = ReaderEventCode.ANTENNA_CONNECTED if connected else ReaderEventCode.ANTENNA_NOT_CONNECTED
                self._tell.event(code, antenna=port, stamp=stamp)
        if told.overflow:
            self._tell.event(ReaderEventCode.DROPPED_RECORD, stamp=stamp)
        if told.fill_percent is not None:
            self._tell.event(ReaderEventCode.DEVICE_STATUS, value=BUFFER_FILLING, stamp=stamp)
        if told.exception is not None:
            self._tell.event(ReaderEventCode.DEVICE_STATUS, value=READER_EXCEPTION, stamp=stamp)
        if told.closed:
            raise LinkLost("TCP_LINK_LOST", "the reader closed the LLRP connection", _POWER_HINT)
        if any(number == self._rospec and kind != 0 for number, kind in told.rospecs):
            self._ended = True

    def _tag(self, stamp: Stamp, report: TagReport) -> TagRead:
        rssi_cdbm = report.rssi_cdbm
        if rssi_cdbm is None:
            rssi_cdbm = RSSI_UNKNOWN_CDBM if report.rssi_dbm is None else report.rssi_dbm * 100
        tid = report.tid
        frequency = 0
        if self._found is not None:
            frequency = self._found.capabilities.frequency_khz(report.channel, self._hop_table)
        return TagRead(
            stamp=stamp,
            device=self._tell.device,
            antenna=report.antenna or 0,
            epc=Secret(report.epc),
            pc=report.pc or 0,
            rssi_cdbm=rssi_cdbm,
            reads=report.seen or 1,
            frequency_khz=frequency,
            # The phase of a backscatter link repeats every half turn.
            phase_deg=0 if report.phase is None else (report.phase % 4096 * 360 >> 12) % 180,
            reader_ms=self._reader_ms(report),
            tag_crc_ok=report.tag_crc_ok,
            tid=None if tid is None else Secret(tid),
        )

    def _reader_ms(self, report: TagReport) -> int:
        """Milliseconds of the reader's clock since its greeting; 0 when it tells no time or its clock was set back."""
        told = (report.last_utc_us, report.first_utc_us, report.last_uptime_us, report.first_uptime_us)
        at = next((value for value in told if value is not None), self._epoch_us)
        return max(0, at - self._epoch_us) // 1000
