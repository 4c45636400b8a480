"""One session with an NTCIP 1203 sign: load its messages, set what it falls back to, keep it saying what is wanted.

A text is activated with a duration and renewed long before it ends; when nobody renews it the sign goes to STOP / ARRÊT
by itself, and so it does when nobody speaks to it (dmsTimeCommLoss), after a power failure and after a reset. Durations
are counted in minutes: so this sign is never told PROCEED, which must end within two seconds. With a green it is blank.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from drivers.api import (
    Clock,
    DeviceInfo,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    Emit,
    LinkLost,
)

from . import dms_codec as dms
from .settings import TEXTS, SignProfile, SignSettings
from .snmp_codec import GET, RESPONSE, SET, Binding, Message, Oid, Value, decode, encode, named

BLANK = "blank"
PERIOD_S = 0.1
LOOK_NS = 1_000_000_000
_TRIES = 3
_VALIDATE_TRIES = 50


@dataclass(frozen=True, slots=True)
class SignSeen:
    """What the sign says of itself: the text it shows (stop, secondary, closed, blank; "" for anything else), and its
    errors in words."""

    text: str
    errors: tuple[str, ...]


class DmsSign:
    """Source of one sign (`drivers.api`). One object is one session. `wanted` gives the text wanted now, `seen` hears
    what was read back."""

    def __init__(
        self,
        device: str,
        settings: SignSettings,
        profile: SignProfile,
        community: bytes,
        clock: Clock,
        wanted: Callable[[], str],
        seen: Callable[[SignSeen], None],
    ) -> None:
        self._device = device
        self._settings = settings
        self._profile = profile
        self._community = community
        self._clock = clock
        self._wanted = wanted
        self._seen = seen
        self._link = _Link()
        self._source = b"\0\0\0\0"
        self._request_id = 0
        self._ids: dict[str, dms.MessageId] = {BLANK: dms.BLANK}

    async def run(self, emit: Emit) -> None:
        """Until it ends with a DeviceError. DeviceRefused SIGN_REFUSES tells what the sign would not take."""
        loop = asyncio.get_running_loop()
        try:
            address = (self._settings.host, self._settings.port)
            transport, _ = await loop.create_datagram_endpoint(lambda: self._link, remote_addr=address)
        except (OSError, UnicodeError) as error:  # a name that is none raises the latter
            raise LinkLost("SIGN_UNREACHABLE", f"{self._device}: {error}", "look at the sign's address") from error
        try:
            local = ipaddress.ip_address(transport.get_extra_info("sockname")[0])
            self._source = local.packed if local.version == 4 else b"\0\0\0\0"
            emit(DeviceUp(self._clock.stamp(), self._device, await self._set_up()))
            await self._keep()
        finally:
            transport.close()

    async def _set_up(self) -> DeviceInfo:
        (described,) = await self._get(dms.SYS_DESCR)
        await self._set(Binding(dms.CONTROL_MODE, dms.CENTRAL))
        for number, name in enumerate(TEXTS, start=self._profile.first_message):
            self._ids[name] = await self._load(number, self._profile.texts[name].encode("latin-1"))
        stop = self._ids["stop"].encode()
        for default in dms.DEFAULTS:
            await self._set(Binding(default, stop))
        await self._set(Binding(dms.COMM_LOSS_TIME, self._profile.comm_loss_min))
        model = described.decode("latin-1")[:120] if isinstance(described, bytes) else ""
        details = {"described": model, "cannot_confirm": "; ".join(self._profile.cannot_confirm)}
        return DeviceInfo("ntcip_sign", self._profile.model, profile=self._settings.profile, details=details)

    async def _load(self, number: int, multi: bytes) -> dms.MessageId:
        """Put a message into the sign's memory, unless it is there; the sign must have it as it was meant."""
        cells = [dms.message_object(c, number) for c in (dms.Column.MULTI, dms.Column.STATUS, dms.Column.CRC)]
        crc = dms.message_crc(multi)
        if await self._get(*cells) != [multi, dms.VALID, crc]:
            status = dms.message_object(dms.Column.STATUS, number)
            await self._set(Binding(status, dms.MODIFY_REQ))
            for column, value in (
                (dms.Column.MULTI, multi),
                (dms.Column.OWNER, b"lane"),
                (dms.Column.PRIORITY, self._profile.priority),
            ):
                await self._set(Binding(dms.message_object(column, number), value))
            for column in (dms.Column.BEACON, dms.Column.PIXEL_SERVICE):
                cell = dms.message_object(column, number)
                if await self._has(cell):  # a sign without these counts them as 0
                    await self._set(Binding(cell, 0))
            await self._set(Binding(status, dms.VALIDATE_REQ))
            await self._validated(status, number)
            if await self._get(*cells) != [multi, dms.VALID, crc]:
                raise self._refuses(f"message {number} is not in it as it was written")
        return dms.MessageId(dms.Memory.CHANGEABLE, number, crc)

    async def _validated(self, status: Oid, number: int) -> None:
        (found,) = await self._get(status)
        for _ in range(_VALIDATE_TRIES):
            if found not in dms.VALIDATING:
                break
            await asyncio.sleep(PERIOD_S)
            (found,) = await self._get(status)
        if found != dms.VALID:
            raise self._refuses(f"message {number} does not validate (dmsMessageStatus {found!r})")

    async def _keep(self) -> None:
        """Renewed at half its time; looked at every second and after each change."""
        shown, renew_ns, look_ns = "", 0, 0
        renewed_ns = self._profile.duration_min * 30 * LOOK_NS
        while True:
            wanted, now_ns = self._wanted(), self._clock.stamp().mono_ns
            if wanted != shown or now_ns >= renew_ns:
                await self._activate(self._ids[wanted])
                shown, renew_ns, look_ns = wanted, now_ns + renewed_ns, 0
            if now_ns >= look_ns:
                look_ns = now_ns + LOOK_NS
                seen = await self._look()
                self._seen(seen)
                if seen.text != shown:
                    renew_ns = 0  # somebody else told it something, or its time is over: tell it again
            await asyncio.sleep(PERIOD_S)

    async def _activate(self, message: dms.MessageId) -> None:
        code = dms.activation(message, self._profile.duration_min, self._profile.priority, self._source)
        try:
            await self._set(Binding(dms.ACTIVATE, code))
        except DeviceRefused as refused:
            (error,) = await self._get(dms.ACTIVATE_ERROR)
            why = dms.refusal_of(error) if isinstance(error, int) else ""
            raise self._refuses(f"it does not show message {message.number}: {why}") if why else refused from refused

    async def _look(self) -> SignSeen:
        source, status = await self._get(dms.TABLE_SOURCE, dms.SHORT_ERROR_STATUS)
        code = dms.decode_message_id(source) if isinstance(source, bytes) else None
        text = next((name for name, known in self._ids.items() if _same(known, code)), "")
        return SignSeen(text, dms.errors_of(status) if isinstance(status, int) else ())

    async def _get(self, *oids: Oid) -> list[Value]:
        """Their values. v1 tells that an object is not there by an error, v2c in its value's place."""
        answer = await self._ask(GET, tuple(Binding(oid) for oid in oids))
        values: list[Value] = [None] if answer.error else named(answer, oids)
        if None in values:
            at = answer.index - 1 if answer.error else values.index(None)
            absent = oids[at] if 0 <= at < len(oids) else oids[0]
            raise self._refuses(f"it has no object {'.'.join(map(str, absent))}")
        return values

    async def _has(self, oid: Oid) -> bool:
        answer = await self._ask(GET, (Binding(oid),))
        return not answer.error and named(answer, (oid,)) != [None]

    async def _set(self, binding: Binding) -> None:
        answer = await self._ask(SET, (binding,))
        if answer.error:
            oid = ".".join(map(str, binding.oid))
            raise self._refuses(f"it does not take {oid} (SNMP error {answer.error})")
        named(answer, (binding.oid,))

    async def _ask(self, kind: int, bindings: Sequence[Binding]) -> Message:
        """One exchange; a datagram may be lost. An answer to another request is none."""
        self._request_id = self._request_id % 0x7FFFFFFF + 1
        version = 0 if self._profile.snmp == "v1" else 1
        request = encode(Message(version, self._community, kind, self._request_id, tuple(bindings)))
        for _ in range(_TRIES):
            self._link.send(request)
            try:
                async with asyncio.timeout(self._settings.timeout_ms / 1000):
                    while True:
                        answer = decode(await self._link.receive())
                        if answer.kind == RESPONSE and answer.request_id == self._request_id:
                            return answer
            except TimeoutError:
                continue
        what = f"{self._device}: no answer from {self._settings.host}"
        raise DeviceTimeout("SIGN_TIMEOUT", what, "look at the sign's power, network, SNMP port and community")

    def _refuses(self, what: str) -> DeviceRefused:
        hint = "compare the sign's manual with its profile, and the community's right to write"
        return DeviceRefused("SIGN_REFUSES", f"{self._device}: {what}", hint)


def _same(known: dms.MessageId, code: dms.MessageId | None) -> bool:
    """A blank message of any number is blank."""
    if code is None:
        return False
    return known == code or (known.memory == code.memory == dms.Memory.BLANK)


class _Link(asyncio.DatagramProtocol):
    """The socket: the newest datagram, or the fault that the network told."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._heard: list[bytes] = []
        self._fault: Exception | None = None
        self._bell = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        # Of Python 3.11 the real one is no subclass of it.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One datagram; what nobody waits for is dropped at the next question."""
        if len(self._heard) < _TRIES:
            self._heard.append(data)
        self._bell.set()

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there, say."""
        self._fault = exc
        self._bell.set()

    def send(self, datagram: bytes) -> None:
        """Ask; what came for earlier questions is forgotten."""
        assert self._transport is not None, "the session has begun"
        self._heard.clear()
        self._fault = None
        self._bell.clear()
        self._transport.sendto(datagram)

    async def receive(self) -> bytes:
        """The next datagram. LinkLost."""
        while not self._heard:
            if self._fault is not None:
                raise LinkLost("SIGN_UNREACHABLE", f"the sign cannot be reached: {self._fault}")
            self._bell.clear()
            await self._bell.wait()
        return self._heard.pop(0)
