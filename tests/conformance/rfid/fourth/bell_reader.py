"""Driver of a Bell reader: lines of text over TCP. `HELLO number`, the password, the start word; then `TAG antenna epc
level`, and `ALIVE` when there is nothing to say."""

import asyncio
from collections.abc import Awaitable, Callable

from drivers.api import Clock, DeviceInfo, DeviceTimeout, Emit, ProtocolViolation, ReaderEventCode, Secret, TagRead
from drivers.link.tape import DIRECT, Splice
from drivers.link.tcp import Stream, open_tcp
from drivers.rfid.identity import verify_identity
from drivers.rfid.reporter import Reporter
from tests.conformance.rfid.fourth.bell_settings import BellProfile, BellSettings, load_bell_profile

_LINE_MAX = 120


class BellReader:
    """One session."""

    def __init__(
        self,
        device: str,
        settings: BellSettings,
        profile: BellProfile,
        clock: Clock,
        open_link: Callable[[], Awaitable[Stream]],
    ) -> None:
        self._device, self._settings, self._profile = device, settings, profile
        self._clock, self._open_link = clock, open_link
        self._rest = b""

    async def run(self, emit: Emit) -> None:
        """Greet, start, read until a fault."""
        link = await self._open_link()
        tell = Reporter(self._device, self._clock, emit)
        try:
            number = (await self._line(link)).removeprefix("HELLO ")
            identity = verify_identity(number, *self._settings.named)
            password = self._settings.password_file.read_text().strip()
            await link.write(f"{password}\n{self._profile.start}\n".encode())
            details = {"identity": identity, "profile_evidence": self._profile.evidence}
            profile = self._profile
            info = DeviceInfo("bell", profile.model, "1", number, profile.profile, profile.digest, details)
            if await self._line(link) != "READING":
                raise ProtocolViolation("RFID_BAD_REPLY", "the reader did not start", "check its password")
            tell.identified(info)
            while True:
                self._report(tell, await self._line(link))
        finally:
            await link.close()

    async def _line(self, link: Stream) -> str:
        while b"\n" not in self._rest:
            if len(self._rest) > _LINE_MAX:
                raise ProtocolViolation("RFID_GARBLED", "the reader sends no lines", "check host and port")
            try:
                async with asyncio.timeout(3 * self._settings.keepalive_ms / 1000):
                    self._rest += await link.read(_LINE_MAX)
            except TimeoutError:
                raise DeviceTimeout("RFID_SILENT", "no sign of life from the reader", "check its power") from None
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("ascii", "replace")

    def _report(self, tell: Reporter, line: str) -> None:
        word, *fields = line.split()
        if word != "TAG":
            tell.event(ReaderEventCode.KEEPALIVE)
            return
        antenna, epc, level = fields
        stamp = self._clock.stamp()
        tell.read(
            TagRead(stamp, self._device, int(antenna), Secret(bytes.fromhex(epc)), 0x3000, round(float(level) * 100), 1)
        )


def make_bell(device: str, settings: BellSettings, clock: Clock, splice: Splice = DIRECT) -> BellReader:
    """A reader at the address of `settings`. DeviceRefused when its profile is missing or invalid."""
    profile = load_bell_profile(settings.profile)
    open_link = splice.stream(lambda: open_tcp(settings.host, settings.port, 2.0))
    return BellReader(device, settings, profile, clock, open_link)
