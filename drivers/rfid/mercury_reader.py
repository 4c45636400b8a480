"""Mercury RFID reader (ThingMagic M6e family) as a source of tag reads. The wire format is in
`mercury_codec.py` and `mercury_stream_codec.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto

from drivers.api import (
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
from drivers.rfid import mercury_codec as codec
from drivers.rfid import mercury_stream_codec as stream
from drivers.rfid.mercury_codec import Frame
from drivers.rfid.mercury_dialogue import Dialogue, ModuleRestarted, accepted
from drivers.rfid.mercury_duty import DutyGovernor
from drivers.rfid.mercury_setup import Configured, Found, ask_temperature, configure, find_module, select_antennas
from drivers.rfid.mercury_verify import verify_antennas
from drivers.rfid.reporter import Reporter
from drivers.rfid.settings.mercury import MercuryProfile, MercurySettings, load_mercury_profile

_LEAVE_S = 0.3
_TEMPERATURE_S = 10.0  # an unchanged temperature is told this often
_POWER_HINT = "check the reader's supply voltage and its cable"

_TROUBLE = {
    codec.ANTENNA_NOT_CONNECTED: ReaderEventCode.ANTENNA_NOT_CONNECTED,
    codec.OVER_TEMPERATURE: ReaderEventCode.OVER_TEMPERATURE,
    codec.HIGH_RETURN_LOSS: ReaderEventCode.HIGH_RETURN_LOSS,
}


class _Action(Enum):
    """What a stream frame asks the session to do between frames."""

    RESTART = auto()
    CHANGE_DUTY = auto()
    RESTORE_DUTY = auto()
    CLEAR_BUFFER = auto()
    CHECK_ANTENNAS = auto()


class MercuryReader:
    """One session with one module: finds it, configures it, reads continuously until a fault or cancellation.

    Emits DeviceUp, then TagRead per sighting, and ReaderEvents. DeviceError codes: SERIAL_* from the port,
    RFID_NO_ANSWER, RFID_SILENT, RFID_GARBLED, RFID_RESTARTING, RFID_BAD_REPLY, RFID_COMMAND_FAILED; refused:
    WRONG_DEVICE, RFID_REGION_REFUSED, RFID_POWER_OUT_OF_RANGE, RFID_ANTENNA_UNKNOWN, RFID_SETTING_REFUSED.
    """

    def __init__(
        self,
        device_id: str,
        settings: MercurySettings,
        profile: MercuryProfile,
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
        """Plain numbers of this session: the line (frames, CRC errors, losses of synchronism, bytes dropped), records
        and tag numbers that could not be read, complaints about heat, duty (percent)."""
        return self._session.counters() if self._session is not None else {}

    async def run(self, emit: Emit) -> None:
        """One session; see the class. Cancellation stops the module and ends within 1 s."""
        link = await self._open_link()
        talk = Dialogue(link, self._clock)
        report = Reporter(self._device, self._clock, emit)
        self._session = _Session(self._settings, self._profile, self._clock, talk, report)
        answer_s = _LEAVE_S
        try:
            await self._session.run()
        except DeviceTimeout:
            answer_s = 0.0  # who is silent will not answer: nobody need wait to learn of the silence
            raise
        finally:
            await _leave(talk, link, answer_s)


def make_mercury_reader(device_id: str, settings: MercurySettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """A reader on the serial port of `settings`. DeviceRefused when its profile is missing or invalid."""
    profile = load_mercury_profile(settings.profile)
    open_link = splice.link(lambda: open_serial(settings.port, settings.baud))
    return MercuryReader(device_id, settings, profile, clock, open_link)


async def _leave(talk: Dialogue, link: Link, answer_s: float) -> None:
    """Ask the module to stop, so that the next session finds it quiet, and release the port."""
    talk.on_stream = None
    try:
        async with asyncio.timeout(_LEAVE_S):
            await talk.stop(answer_s)
    except (DeviceError, TimeoutError, ModuleRestarted):
        pass
    finally:
        await link.close()


class _Session:
    """State of one session: what was configured, what is wrong, when the module last gave a sign of life."""

    def __init__(
        self,
        settings: MercurySettings,
        profile: MercuryProfile,
        clock: Clock,
        talk: Dialogue,
        report: Reporter,
    ) -> None:
        self._settings = settings
        self._profile = profile
        self._clock = clock
        self._talk = talk
        self._tell = report
        self._governor = DutyGovernor(settings, profile.derate)
        self._running = self._governor.duty
        self._hot = False
        self._statistics = profile.statistics_flags
        self._told: tuple[int, float] | None = None  # temperature and when
        self._missing: tuple[int, ...] = ()
        self._antennas_checked_at = 0.0
        self._malformed = 0
        self._tid_failures = 0
        self._heat_complaints = 0

    def counters(self) -> Mapping[str, float]:
        """See `MercuryReader.counters`."""
        line = self._talk.splitter
        return {
            "frames": float(line.frames),
            "crc_errors": float(line.crc_errors),
            "resyncs": float(line.resyncs),
            "dropped_bytes": float(line.dropped_bytes),
            "malformed_records": float(self._malformed),
            "tid_failures": float(self._tid_failures),
            "heat_complaints": float(self._heat_complaints),
            "duty_percent": round(100 * self._running.share, 1),
        }

    async def run(self) -> None:
        """Find, configure, read; configure again after every reset notice."""
        found: Found | None = None
        while True:
            try:
                if found is None:
                    found = await find_module(self._talk, self._settings.baud)
                configured = await configure(self._talk, self._settings, self._profile)
                self._announce(found, configured)
                await self._read()
            except ModuleRestarted:
                self._talk.on_stream = None
                self._tell.restarted("the reader restarted", _POWER_HINT)

    def _announce(self, found: Found, configured: Configured) -> None:
        self._tell.identified(self._info(found, configured))
        self._antennas_checked_at = self._tell.now_s()
        self._report_missing(configured.missing)
        if configured.temperature_c is not None:
            self._tell_temperature(configured.temperature_c, self._clock.stamp())

    def _info(self, found: Found, configured: Configured) -> DeviceInfo:
        version = found.version
        details = {
            "baud": str(found.baud),
            "hardware": version.hardware.hex("."),
            "identity": configured.identity,
            "firmware_date": version.firmware_date.hex("."),
            "antennas": " ".join(map(str, configured.antennas)),
            "refused_options": " ".join(configured.refused_options),
            "unverified": ", ".join(configured.unverified),
            "profile_evidence": self._profile.evidence,
            "hardware_listed": "yes" if version.hardware[0] in self._profile.hardware_ids else "no",
        }
        return DeviceInfo(
            kind="mercury",
            model=version.model,
            firmware=version.firmware.hex("."),
            serial=configured.serial,
            profile=self._profile.profile,
            profile_digest=self._profile.digest,
            details=details,
        )

    async def _read(self) -> None:
        """Read continuously until the module is silent, garbled or restarted."""
        await self._start()
        while True:
            seen = self._talk.bytes_seen
            arrived = await self._talk.next_frame(self._silence_s())
            if arrived is None:
                self._give_up(self._talk.bytes_seen - seen)
            else:
                action = self._report(*arrived) or self._due(arrived[0].mono_ns / 1e9)
                if action is not None:
                    await self._act(action)

    def _silence_s(self) -> float:
        bound = self._profile.silent_cycles * self._governor.duty.cycle_ms / 1000
        # A module that has stopped transmitting for heat may be silent: it must not be restarted in a loop.
        return max(bound, self._profile.derate.retry_s) if self._governor.lowered else bound

    def _give_up(self, unframed_bytes: int) -> None:
        silence = self._silence_s()
        self._tell.event(ReaderEventCode.GAP, value=silence)
        if unframed_bytes:
            raise ProtocolViolation(
                "RFID_GARBLED",
                f"{unframed_bytes} bytes in {silence:g} s and no valid frame",
                "check the cable's screen and ground, and that the bit rate is the reader's",
            )
        raise DeviceTimeout("RFID_SILENT", f"no sign of life from the reader for {silence:g} s", _POWER_HINT)

    async def _start(self) -> None:
        """Start the stream at the duty the temperature allows."""
        while True:
            duty = self._governor.duty
            tid_words = self._profile.tid_words if self._settings.read_tid else 0
            request = codec.start_data(
                self._profile.metadata_flags, *duty, statistics=self._statistics, tid_words=tid_words
            )
            self._talk.on_stream = self._report
            reply = await self._talk.ask(codec.MULTI_PROTOCOL, request)
            if reply.status == codec.REGION_NOT_SET:
                raise ModuleRestarted
            if reply.status == codec.OVER_TEMPERATURE:
                self._heat(self._clock.stamp())
                await self._wait_cool(self._profile.derate.retry_s)
            elif self._statistics and reply.status >> 8 == 0x01:
                # Firmware that knows no reports in the stream reads without them.
                self._statistics = 0
                self._tell.event(ReaderEventCode.DEVICE_STATUS, value=float(reply.status))
            else:
                accepted("the start of reading" + (" with tag numbers (read_tid)" if tid_words else ""), reply)
                self._running = duty
                if self._hot and not self._governor.lowered:
                    self._hot = False
                    self._tell.event(ReaderEventCode.COOLED)
                return

    async def _wait_cool(self, duration_s: float) -> None:
        deadline = self._tell.now_s() + duration_s
        while (arrived := await self._talk.next_frame(deadline - self._tell.now_s())) is not None:
            if self._report(*arrived) is _Action.RESTART:
                raise ModuleRestarted
        await self._check_temperature()

    async def _check_temperature(self) -> None:
        celsius = await ask_temperature(self._talk)
        if celsius is not None:
            self._tell_temperature(celsius, self._clock.stamp())

    async def _act(self, action: _Action) -> None:
        """Change something that needs the stream stopped; tags still under way are reported."""
        if action is _Action.RESTART:
            raise ModuleRestarted
        await self._talk.stop()
        if action is _Action.CLEAR_BUFFER:
            await self._talk.order("clearing the tag buffer", codec.CLEAR_BUFFER)
        elif action is _Action.CHECK_ANTENNAS:
            self._antennas_checked_at = self._tell.now_s()
            present, missing = await select_antennas(self._talk, self._settings.antennas)
            await verify_antennas(self._talk, present)
            self._report_missing(missing)
        elif action is _Action.RESTORE_DUTY:
            self._governor.restore(self._tell.now_s())
            await self._check_temperature()
        await self._start()

    def _due(self, now: float) -> _Action | None:
        """Changes that wait for their time."""
        if self._running != self._governor.duty:
            return _Action.CHANGE_DUTY
        if self._governor.may_restore(now):
            return _Action.RESTORE_DUTY
        if self._missing and now - self._antennas_checked_at > self._profile.antenna_recheck_s:
            return _Action.CHECK_ANTENNAS
        return None

    def _report(self, stamp: Stamp, frame: Frame) -> _Action | None:
        """Emit what one frame says; returns what it asks for."""
        if frame.op == codec.BOOT:
            return _Action.RESTART
        if frame.op != codec.READ_MULTIPLE:
            return None
        event = stream.decode_stream(frame)
        self._tell.losses(self._malformed + self._talk.splitter.crc_errors, stamp)
        if isinstance(event, stream.TagRecord):
            if self._settings.read_tid and not event.data:
                self._tid_failures += 1
            self._tell.read(self._tag(stamp, event))
            return None
        if isinstance(event, stream.StreamStatus):
            return self._report_status(stamp, event.status)
        if isinstance(event, stream.StreamEnd):
            return _Action.RESTART
        if isinstance(event, stream.NoTags) or (isinstance(event, stream.CycleEnd) and not event.tags):
            self._tell.event(ReaderEventCode.KEEPALIVE, stamp=stamp)
        elif isinstance(event, stream.Statistics) and event.temperature_c is not None:
            self._tell_temperature(event.temperature_c, stamp)
        elif isinstance(event, stream.Malformed):
            self._malformed += 1
        return None

    def _report_status(self, stamp: Stamp, status: int) -> _Action | None:
        if status == codec.REGION_NOT_SET:
            return _Action.RESTART
        if status == codec.BUFFER_FULL:
            return _Action.CLEAR_BUFFER
        code = _TROUBLE.get(status)
        if code is None:
            self._tell.event(ReaderEventCode.DEVICE_STATUS, value=float(status), stamp=stamp)
            return None
        if code is ReaderEventCode.OVER_TEMPERATURE:
            self._heat(stamp)
            return None
        told = self._tell.notice(code, stamp=stamp)
        if told and code is ReaderEventCode.ANTENNA_NOT_CONNECTED and not self._missing:
            return _Action.CHECK_ANTENNAS
        return None

    def _heat(self, stamp: Stamp) -> None:
        self._heat_complaints += 1
        self._hot = True
        self._tell.notice(ReaderEventCode.OVER_TEMPERATURE, stamp=stamp)
        self._governor.complain(stamp.mono_ns / 1e9)

    def _tell_temperature(self, celsius: int, stamp: Stamp) -> None:
        """Pass a temperature on when it is news."""
        now = stamp.mono_ns / 1e9
        self._governor.report(celsius, now)
        if self._told is not None and self._told[0] == celsius and now - self._told[1] < _TEMPERATURE_S:
            return
        self._told = (celsius, now)
        self._tell.event(ReaderEventCode.TEMPERATURE, value=float(celsius), stamp=stamp)

    def _report_missing(self, missing: tuple[int, ...]) -> None:
        for port in missing:
            self._tell.event(ReaderEventCode.ANTENNA_NOT_CONNECTED, antenna=port)
        for port in set(self._missing).difference(missing):
            self._tell.event(ReaderEventCode.ANTENNA_CONNECTED, antenna=port)
        self._missing = missing

    def _tag(self, stamp: Stamp, record: stream.TagRecord) -> TagRead:
        return TagRead(
            stamp=stamp,
            device=self._tell.device,
            antenna=record.antenna_port,
            epc=Secret(record.epc),
            pc=record.pc,
            rssi_cdbm=record.rssi_dbm * 100,
            reads=record.reads,
            protocol=stream.PROTOCOLS.get(record.protocol, f"{record.protocol:02X}"),
            frequency_khz=record.frequency_khz,
            phase_deg=record.phase_deg,
            reader_ms=record.timestamp_ms,
            tag_crc_ok=record.tag_crc_ok,
            tid=Secret(record.data) if record.data and self._settings.read_tid else None,
        )
