"""TransCore Encompass reader as a source of tag reads. The wire format is in `encompass_codec.py`.

The reader tells no signal level: every TagRead has `RSSI_UNKNOWN_CDBM`. It reads no tags in command mode, so the driver
goes there to configure and, after a silence, to ask whether the reader lives; both as briefly as the line allows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from drivers.api import (
    RSSI_UNKNOWN_CDBM,
    Clock,
    DeviceError,
    DeviceInfo,
    DeviceTimeout,
    Emit,
    ProtocolViolation,
    ReaderEventCode,
    Secret,
    Source,
    Stamp,
    TagRead,
)
from drivers.link.link import Link
from drivers.link.serial import open_serial
from drivers.link.tape import DIRECT, Splice
from drivers.rfid import encompass_codec as codec
from drivers.rfid.encompass_codec import Auxiliary, Message
from drivers.rfid.encompass_dialogue import Dialogue
from drivers.rfid.encompass_setup import Configured, configure, find_reader, frequency_not_set
from drivers.rfid.reporter import Reporter
from drivers.rfid.settings.encompass import EncompassProfile, EncompassSettings, load_encompass_profile

PROTOCOL = "ata"
"""The reader does not say which air protocol a tag spoke; its texts are those of ATA and eGo tags."""

_LEAVE_S = 0.3
_GARBLED_BYTES = 32  # fewer may be the end of a message the line was cut in
_POWER_HINT = "check the reader's supply voltage and its cable"


class EncompassReader:
    """One session with one reader: finds it, configures it, listens until a fault or cancellation.

    Emits DeviceUp, then TagRead per report, and ReaderEvents (UNREAD_VEHICLE for presence without tag, INPUT_CHANGED).
    DeviceError codes: SERIAL_* from the port, RFID_NO_ANSWER, RFID_SILENT, RFID_GARBLED, RFID_RESTARTING,
    RFID_BAD_REPLY, RFID_COMMAND_FAILED; refused: WRONG_DEVICE, RFID_SETTING_REFUSED.
    """

    def __init__(
        self,
        device_id: str,
        settings: EncompassSettings,
        profile: EncompassProfile,
        clock: Clock,
        open_link: Callable[[], Awaitable[Link]],
    ) -> None:
        self._device = device_id
        self._settings = settings
        self._profile = profile
        self._clock = clock
        self._open_link = open_link
        self._session: _Session | None = None

    def counters(self) -> Mapping[str, float]:
        """Plain numbers of this session: the line (messages, damaged and unfinished ones, bytes dropped), messages the
        reader sent again, and those no list knows."""
        return self._session.counters() if self._session is not None else {}

    async def run(self, emit: Emit) -> None:
        """One session; see the class. Cancellation leaves the reader in data mode and ends within 1 s."""
        link = await self._open_link()
        talk = Dialogue(link, self._clock)
        report = Reporter(self._device, self._clock, emit)
        self._session = _Session(self._settings, self._profile, talk, report)
        try:
            await self._session.run()
        finally:
            await _leave(talk, link)


def make_encompass_reader(device_id: str, settings: EncompassSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """A reader on the serial port of `settings`. DeviceRefused when its profile is missing or invalid."""
    profile = load_encompass_profile(settings.profile)
    open_link = splice.link(lambda: open_serial(settings.port, settings.baud))
    return EncompassReader(device_id, settings, profile, clock, open_link)


async def _leave(talk: Dialogue, link: Link) -> None:
    """Never leave the reader where it does not read, and release the port."""
    talk.on_message = None
    try:
        if talk.command_mode:
            async with asyncio.timeout(_LEAVE_S):
                await talk.leave(_LEAVE_S)
    except (DeviceError, TimeoutError):
        pass
    finally:
        await link.close()


class _Session:
    """State of one session: what was configured, what is wrong, what the reader asked for between messages."""

    def __init__(
        self, settings: EncompassSettings, profile: EncompassProfile, talk: Dialogue, report: Reporter
    ) -> None:
        self._settings = settings
        self._profile = profile
        self._talk = talk
        self._tell = report
        reports = profile.reports
        self._words = codec.report_words(reports.presence_without_tag, reports.input_change, tag_page=profile.tag_page)
        self._restarted = False
        self._no_frequency = False
        self._unlisted = 0

    def counters(self) -> Mapping[str, float]:
        """See `EncompassReader.counters`."""
        line = self._talk.splitter
        return {
            "messages": float(self._talk.heard),
            "crc_errors": float(self._talk.bad),
            "resyncs": float(line.dropped_messages),
            "dropped_bytes": float(line.dropped_bytes),
            "repeats": float(self._talk.repeats),
            "unlisted_messages": float(self._unlisted),
        }

    async def run(self) -> None:
        """Find, configure, listen; configure again after every restart of the reader."""
        talk = self._talk
        baud = await find_reader(talk, self._settings.baud)
        while True:
            self._restarted = False
            configured = await configure(talk, self._settings, self._profile, baud)
            self._announce(configured)
            await self._listen()
            self._tell.restarted("the reader restarted", _POWER_HINT)
            await talk.to_command_mode()

    async def _listen(self) -> None:
        """Listen until the reader has restarted. DeviceError when it is silent, garbled or of no use."""
        talk = self._talk
        while not self._restarted:
            seen = talk.bytes_seen
            if not await talk.listen(self._settings.keepalive_s):
                await self._probe(seen)
            self._tell.losses(self._unlisted + talk.lost)
            if self._no_frequency:
                raise frequency_not_set()

    async def _probe(self, seen: int) -> None:
        """Ask a silent reader whether it lives: a look into command mode and back."""
        began = self._tell.now_s() - self._settings.keepalive_s
        talk = self._talk
        try:
            await talk.to_command_mode()
            await talk.to_data_mode()
        except DeviceTimeout as error:
            if self._restarted:
                return
            silence = self._tell.now_s() - began
            self._tell.event(ReaderEventCode.GAP, value=silence)
            if (unframed := talk.bytes_seen - seen) > _GARBLED_BYTES:
                raise ProtocolViolation(
                    "RFID_GARBLED",
                    f"{unframed} bytes in {silence:.1f} s and no valid message",
                    "check the cable's screen and ground, and that the bit rate is the reader's",
                ) from error
            text = f"no sign of life from the reader for {silence:.1f} s"
            raise DeviceTimeout("RFID_SILENT", text, _POWER_HINT) from error
        self._tell.event(ReaderEventCode.KEEPALIVE)

    def _announce(self, configured: Configured) -> None:
        if self._tell.identified(self._info(configured)):
            # Not before: an observation ahead of DeviceUp would have no device.
            self._talk.on_message = self._report

    def _info(self, configured: Configured) -> DeviceInfo:
        version = configured.version
        details = {
            "baud": str(configured.baud),
            "identity": configured.identity,
            "protocol": self._settings.protocol,
            "flow": self._settings.flow,
            "antennas": " ".join(map(str, self._settings.antennas)),
            "frequency_khz": str(configured.frequency_khz or ""),
            "refused_settings": " ".join(configured.refused),
            "profile_evidence": self._profile.evidence,
            "model_listed": "yes" if version.model.startswith(self._profile.models) else "no",
            "rssi": "not measured",
        }
        return DeviceInfo(
            kind="encompass",
            model=version.model,
            firmware=version.firmware,
            serial=version.serial,
            profile=self._profile.profile,
            profile_digest=self._profile.digest,
            details=details,
        )

    def _report(self, stamp: Stamp, message: Message) -> None:
        """Emit what one message says."""
        report = codec.decode_report(message.text, self._words)
        if isinstance(report, codec.SignOn):
            self._restarted = True
        elif isinstance(report, codec.TagReport):
            self._tell.read(self._tag(stamp, report))
        elif isinstance(report, codec.PresenceWithoutTag):
            antenna = self._antenna(report.auxiliary)
            self._tell.event(ReaderEventCode.UNREAD_VEHICLE, antenna=antenna, stamp=stamp)
        elif isinstance(report, codec.InputChange):
            inputs = None if report.inputs is None else float(report.inputs)
            self._tell.event(ReaderEventCode.INPUT_CHANGED, value=inputs, stamp=stamp)
        elif isinstance(report, codec.RfStatus):
            self._tell.event(ReaderEventCode.KEEPALIVE, stamp=stamp)
        elif isinstance(report, codec.ReaderFault):
            self._tell.event(ReaderEventCode.DEVICE_STATUS, value=float(report.number), stamp=stamp)
            self._no_frequency = report.number == codec.FREQUENCY_NOT_SET
        elif not report.is_answer:
            self._unlisted += 1

    def _tag(self, stamp: Stamp, report: codec.TagReport) -> TagRead:
        # The auxiliary's count is of the tag before this one: this report is one read.
        return TagRead(
            stamp=stamp,
            device=self._tell.device,
            antenna=self._antenna(report.auxiliary),
            epc=Secret(report.text),
            pc=0,
            rssi_cdbm=RSSI_UNKNOWN_CDBM,
            reads=1,
            protocol=PROTOCOL,
        )

    def _antenna(self, auxiliary: Auxiliary | None) -> int:
        """Port from 1, as everywhere in a lane; the reader counts from 0."""
        return self._settings.antennas[0] if auxiliary is None else auxiliary.antenna + 1
