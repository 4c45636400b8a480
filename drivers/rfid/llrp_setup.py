"""Greeting an LLRP reader and bringing it to the configured state, whatever an earlier client left in it."""

import asyncio
from dataclasses import dataclass

from drivers.api import DeviceRefused, DeviceTimeout, LinkLost, ProtocolViolation, Stamp
from drivers.rfid import llrp_codec as codec
from drivers.rfid import llrp_exchange_codec as exchange
from drivers.rfid.identity import verify_identity
from drivers.rfid.llrp_codec import IMPINJ, Status
from drivers.rfid.llrp_dialogue import Dialogue, refusal
from drivers.rfid.llrp_exchange_codec import Capabilities, Identity, Inventory, Notification
from drivers.rfid.settings.llrp import LlrpProfile, LlrpSettings

_WRONG_HINT = "another kind of device listens there: check host and port in lane.yaml"
_TAKEN_HINT = (
    "close the other client; a connection that broke without a word is given up by the reader after a while, or at once"
    " by its restart"
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """The reader's first words: its clock (µs UTC, or since its start; None when not told) at `stamp`."""

    stamp: Stamp
    utc_us: int | None
    uptime_us: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """A reader as it describes itself, and whether it was verified to be the one meant. `impinj`: its extensions are
    on."""

    capabilities: Capabilities
    identity: Identity
    verified: str
    impinj: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """What the reader was told to do under the number `rospec`, how it was brought to read (by itself or by a start
    request), and where the chip's own number comes from ("not asked for", "not offered: ..." when from nowhere)."""

    rospec: int
    inventory: Inventory
    power_cdbm: int
    started: str
    tid: str


async def greet(talk: Dialogue, timeout_s: float) -> Greeting:
    """Wait for the reader to accept the connection. LinkLost RFID_TAKEN when it has another client; DeviceRefused
    WRONG_DEVICE when something answers that is no LLRP reader; DeviceTimeout RFID_NO_ANSWER when nothing does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            arrived = await talk.next_message(deadline - loop.time())
        except ProtocolViolation as error:
            if talk.messages:
                raise
            raise DeviceRefused("WRONG_DEVICE", "what answers is no LLRP reader", _WRONG_HINT) from error
        if arrived is None:
            raise DeviceTimeout(
                "RFID_NO_ANSWER", f"no greeting from the reader within {timeout_s:g} s", "power-cycle the reader"
            )
        stamp, message = arrived
        if message.type != codec.READER_EVENT_NOTIFICATION:
            continue
        told = exchange.decode_notification(message.body)
        if told.connection is None:
            continue
        _check_accepted(told)
        talk.version = message.version
        return Greeting(stamp, told.utc_us, told.uptime_us)


def _check_accepted(told: Notification) -> None:
    if told.connection in (exchange.HELD_BY_READER, exchange.HELD_BY_CLIENT):
        raise LinkLost("RFID_TAKEN", "the reader has a connection already", _TAKEN_HINT)
    if told.connection != exchange.CONNECTED:
        raise LinkLost("RFID_TAKEN", f"the reader turned the connection away (status {told.connection})", _TAKEN_HINT)


async def find_reader(talk: Dialogue, settings: LlrpSettings, profile: LlrpProfile) -> Found:
    """Capabilities and identity, with the maker's extensions on. DeviceRefused WRONG_DEVICE when the configuration
    names another reader."""
    answer = await talk.order("the capabilities request", codec.GET_READER_CAPABILITIES, exchange.GET_ALL_CAPABILITIES)
    capabilities = exchange.decode_capabilities(answer.body)
    impinj = profile.extensions == "impinj" and capabilities.maker == IMPINJ and await _enable_impinj(talk)
    identity = await identify(talk, impinj=impinj)
    return Found(capabilities, identity, verify_identity(identity.serial, *settings.named), impinj)


async def identify(talk: Dialogue, *, impinj: bool) -> Identity:
    """Reader id and temperature; empty when it does not tell."""
    try:
        answer = await talk.ask("the identity request", codec.GET_READER_CONFIG, exchange.get_identity(impinj=impinj))
    except DeviceRefused:
        return Identity("", None)
    return Identity("", None) if codec.decode_status(answer.body).code else exchange.decode_identity(answer.body)


async def _enable_impinj(talk: Dialogue) -> bool:
    try:
        answer = await talk.ask("the vendor extensions", codec.CUSTOM_MESSAGE, exchange.enable_impinj())
    except DeviceRefused:
        return False
    return exchange.is_impinj_enabled(answer.body) and not codec.decode_status(answer.body, 5).code


async def configure(
    talk: Dialogue, settings: LlrpSettings, profile: LlrpProfile, found: Found, rospec: int
) -> Configured:
    """Events, keepalive and one ROSpec that reads for ever; what another client left is deleted first. `rospec` is a
    number no earlier session used, so that what they left behind is told apart.

    DeviceRefused RFID_ANTENNA_UNKNOWN, RFID_POWER_OUT_OF_RANGE, RFID_SETTING_REFUSED.
    """
    inventory = plan(settings, profile, found)
    holds = found.capabilities.holds_events
    config = exchange.set_config(settings.keepalive_ms, hold_events=holds)
    await talk.order("the events and keepalive", codec.SET_READER_CONFIG, config)
    await _clear(talk)
    await talk.order("the inventory", codec.ADD_ROSPEC, exchange.add_rospec(rospec, inventory))
    tid = await _read_tids(talk, settings, profile, found, rospec)
    await talk.order("the start of the inventory", codec.ENABLE_ROSPEC, exchange.spec_id(rospec))
    started = await _start(talk, rospec, immediate=inventory.immediate)
    await talk.send(codec.ENABLE_EVENTS_AND_REPORTS)
    return Configured(rospec, inventory, found.capabilities.power_cdbm[inventory.power_index], started, tid)


async def _read_tids(talk: Dialogue, settings: LlrpSettings, profile: LlrpProfile, found: Found, number: int) -> str:
    """See to it that the chip's own number comes with each tag: by the maker's extension, or by a read operation that
    the standard has and not every reader. It costs no tag where it is not offered."""
    if not settings.read_tid:
        return "not asked for"
    if found.impinj:
        return "impinj"
    body = exchange.add_tid_read(number, number, profile.tid_words)
    status = await _try(talk, "the read of tag numbers", codec.ADD_ACCESSSPEC, body)
    if not status.code:
        status = await _try(talk, "the start of reading tag numbers", codec.ENABLE_ACCESSSPEC, exchange.spec_id(number))
    return f"not offered: {status}" if status.code else "read operation"


def plan(settings: LlrpSettings, profile: LlrpProfile, found: Found) -> Inventory:
    """The inventory within what the reader can do. DeviceRefused as in `configure`."""
    can = found.capabilities
    unknown = [port for port in settings.antennas if port > can.antennas]
    if unknown:
        raise DeviceRefused(
            "RFID_ANTENNA_UNKNOWN",
            f"the reader has no antenna port {', '.join(map(str, unknown))}",
            f"it has 1 to {can.antennas}",
        )
    power = can.power_index(settings.power_cdbm)
    if power is None:
        levels = sorted(can.power_cdbm.values())
        raise DeviceRefused(
            "RFID_POWER_OUT_OF_RANGE",
            f"power_cdbm {settings.power_cdbm} is outside what this reader can do",
            f"give {levels[0]} to {levels[-1]}" if levels else "it lists no power levels: update its firmware",
        )
    if settings.rf_mode is not None and settings.rf_mode not in can.rf_modes:
        raise DeviceRefused(
            "RFID_SETTING_REFUSED",
            f"the reader has no rf_mode {settings.rf_mode}",
            f"it offers: {', '.join(map(str, sorted(can.rf_modes))) or 'none told'}",
        )
    mode = settings.rf_mode if settings.rf_mode is not None else profile.rf_mode
    return Inventory(
        antennas=settings.antennas,
        power_index=power,
        hop_table=min(can.hop_tables, default=0),
        session=settings.session,
        population=settings.population,
        immediate=profile.start == "immediate",
        rf_mode=mode if mode in can.rf_modes else None,
        search_mode=profile.search_mode if found.impinj else None,
        impinj=found.impinj,
        tid=settings.read_tid and found.impinj,
    )


async def _clear(talk: Dialogue) -> None:
    """Delete every ROSpec and AccessSpec. Zero means all; for readers that take no zero, one by one."""
    everything = await _try(
        talk, "the deletion of old inventories", codec.DELETE_ROSPEC, exchange.spec_id(exchange.ALL)
    )
    if everything.code:
        for number in await _rospecs(talk):
            await talk.order("the deletion of an old inventory", codec.DELETE_ROSPEC, exchange.spec_id(number))
    # Readers without access operations refuse this, which is as good.
    await _try(talk, "the deletion of old access operations", codec.DELETE_ACCESSSPEC, exchange.spec_id(exchange.ALL))


async def _start(talk: Dialogue, rospec: int, *, immediate: bool) -> str:
    """Make sure the inventory runs: some readers take the immediate start trigger for none."""
    if immediate and (await _rospecs(talk)).get(rospec) == exchange.ROSPEC_ACTIVE:
        return "by itself"
    status = await talk.status_of("the start request", codec.START_ROSPEC, exchange.spec_id(rospec))
    # It may have started in between; then the request is the mistake.
    if status.code and not (immediate and (await _rospecs(talk)).get(rospec) == exchange.ROSPEC_ACTIVE):
        raise refusal("the start request", status)
    return "on request"


async def _rospecs(talk: Dialogue) -> dict[int, int]:
    answer = await talk.order("the list of inventories", codec.GET_ROSPECS)
    return exchange.decode_rospecs(answer.body)


async def _try(talk: Dialogue, what: str, kind: int, body: bytes) -> Status:
    """A request that may be refused."""
    try:
        return await talk.status_of(what, kind, body)
    except DeviceRefused as refused:
        return Status(-1, refused.message)
