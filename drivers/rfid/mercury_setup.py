"""Finding a Mercury module on its port and bringing it to the configured state, from whatever state it was left in."""

import asyncio
from dataclasses import dataclass

from drivers.api import DeviceRefused, DeviceTimeout
from drivers.rfid import mercury_codec as codec
from drivers.rfid.identity import verify_identity
from drivers.rfid.mercury_codec import Version
from drivers.rfid.mercury_dialogue import STOP_TIMEOUT_S, Dialogue, accepted, is_stop_reply
from drivers.rfid.mercury_verify import verify_settings
from drivers.rfid.rate_search import find_rate
from drivers.rfid.settings.mercury import REGION_CODES, MercuryProfile, MercurySettings

# The factory rate first, then the vendor library's order.
PROBE_RATES = (115200, 9600, 921600, 19200, 38400, 57600, 230400, 460800)

_PROBE_WAIT_S = 0.3
# A module that streams without tags answers a stop at the end of its cycle only: the first rate is asked for longer,
# and again and again, for one that comes back meanwhile.
_FIRST_PROBES = 4
_BOOT_TIMEOUT_S = 1.5
_QUIET_S = 0.05
_WAKE = b"\xff" * 8
_WAKE_REPEATS = 25
_WAKE_PAUSE_S = 0.009


@dataclass(frozen=True, slots=True)
class Found:
    """A module that answered, and the rate it answered at (bits/s)."""

    baud: int
    version: Version


@dataclass(frozen=True, slots=True)
class Configured:
    """State of a module ready to read: its serial number ("" when it tells none) and whether that was verified, ports
    in the search list, configured ports without an antenna, optional settings it refused, settings it cannot read back,
    its temperature when it told."""

    serial: str
    identity: str
    antennas: tuple[int, ...]
    missing: tuple[int, ...]
    refused_options: tuple[str, ...]
    unverified: tuple[str, ...]
    temperature_c: int | None


async def find_module(talk: Dialogue, baud: int) -> Found:
    """Stop whatever a previous session left running and identify the module, at `baud` or any other rate; leaves the
    bootloader and moves the module to `baud`.

    DeviceRefused WRONG_DEVICE when something answers that is no Mercury module; DeviceTimeout RFID_NO_ANSWER when
    nothing does.
    """

    async def answers(attempt: int, _rate: int) -> bool:
        if attempt == 1:
            await _wake(talk)
        for _ in range(_FIRST_PROBES if attempt == 0 else 1):
            if await _answers(talk):
                return True
        return False

    rate = await find_rate(talk, baud, PROBE_RATES, answers, what="a Mercury frame", strange_bytes=codec.MAX_FRAME)
    return await _identify(talk, rate, baud)


async def configure(talk: Dialogue, settings: MercurySettings, profile: MercuryProfile) -> Configured:
    """Make sure which module it is, then region, protocol, power, antennas and options: everything a module forgets at
    a reset; set, then read back.

    DeviceRefused WRONG_DEVICE, RFID_REGION_REFUSED, RFID_POWER_OUT_OF_RANGE, RFID_ANTENNA_UNKNOWN,
    RFID_SETTING_REFUSED.
    """
    await leave_bootloader(talk)
    serial = await _serial_number(talk, needed=settings.serial is not None)
    identity = verify_identity(serial, *settings.named)
    await _set_region(talk, settings.region)
    await talk.order("the tag protocol", codec.SET_PROTOCOL, profile.protocol.to_bytes(2, "big"))
    await _set_power(talk, settings.power_cdbm)
    present, missing = await select_antennas(talk, settings.antennas)
    refused = await _set_options(talk, profile)
    unverified = await verify_settings(talk, settings, profile, present, refused)
    return Configured(serial, identity, present, missing, refused, unverified, await ask_temperature(talk))


async def _serial_number(talk: Dialogue, *, needed: bool) -> str:
    try:
        reply = await talk.ask(codec.GET_HARDWARE, codec.SERIAL_NUMBER)
    except DeviceTimeout:
        if needed:
            raise
        return ""  # a clone that is mute where it knows no answer can read all the same
    return codec.decode_serial(reply.data) if reply.status == codec.OK else ""


async def ask_temperature(talk: Dialogue) -> int | None:
    """Degrees Celsius of a module that is not streaming; None when it does not tell."""
    heat = await talk.ask(codec.GET_TEMPERATURE)
    return int.from_bytes(heat.data[:1], "big", signed=True) if heat.status == codec.OK and heat.data else None


async def select_antennas(talk: Dialogue, wanted: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Search the wanted ports that have an antenna; returns (searched, missing). With none detected all are searched:
    detection sees only antennas with a direct-current path. DeviceRefused RFID_ANTENNA_UNKNOWN."""
    reply = await talk.ask(codec.GET_ANTENNA, b"\x05")
    present = wanted
    if reply.status == codec.OK:
        detected = codec.decode_antennas(reply.data)
        unknown = [port for port in wanted if port not in detected]
        if unknown:
            raise DeviceRefused(
                "RFID_ANTENNA_UNKNOWN",
                f"the reader has no antenna port {', '.join(map(str, unknown))}",
                f"it has {', '.join(map(str, sorted(detected)))}",
            )
        present = tuple(port for port in wanted if detected[port]) or wanted
        missing = tuple(port for port in wanted if not detected[port])
    else:
        missing = ()
    await talk.order("the antenna list", codec.SET_ANTENNA, codec.antenna_list(present))
    return present, missing


async def leave_bootloader(talk: Dialogue) -> None:
    """Start the application firmware when the module waits in its bootloader."""
    program = await talk.ask(codec.GET_PROGRAM)
    if program.status == codec.OK and codec.decode_program(program.data):
        accepted("start of the application firmware", await talk.ask(codec.BOOT, timeout_s=_BOOT_TIMEOUT_S))


async def _answers(talk: Dialogue) -> bool:
    """True when a Mercury module spoke at this rate; its stream is stopped then."""
    await talk.send_raw(codec.STOP)
    await talk.send(codec.GET_VERSION)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PROBE_WAIT_S
    heard = False
    while (arrived := await talk.next_frame(deadline - loop.time())) is not None:
        frame = arrived[1]
        if is_stop_reply(frame) or frame.op == codec.GET_VERSION:
            return True
        if not heard:
            # It streams, and may have done so while nobody heard the stop: a module that has just come back.
            heard = True
            deadline = loop.time() + STOP_TIMEOUT_S
            await talk.send_raw(codec.STOP)
    return heard


async def _identify(talk: Dialogue, rate: int, wanted: int) -> Found:
    await _settle(talk)
    await leave_bootloader(talk)
    version = await _version(talk)
    if rate == wanted:
        return Found(rate, version)
    reply = await talk.ask(codec.SET_BAUD, wanted.to_bytes(4, "big"))
    if reply.status != codec.OK:
        return Found(rate, version)
    await asyncio.sleep(_QUIET_S)  # the module acknowledges at the old rate and switches after that
    talk.set_baud(wanted)
    return Found(wanted, await _version(talk))


async def _settle(talk: Dialogue) -> None:
    """Make sure the stream has ended (a stop reply can be lost to noise) and let answers to the probe that are still
    under way pass, so that none is taken for a later command's."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STOP_TIMEOUT_S
    while loop.time() < deadline and await talk.next_frame(_QUIET_S) is not None:
        pass
    try:
        await talk.stop()
    except DeviceTimeout:
        await talk.stop()


async def _version(talk: Dialogue) -> Version:
    reply = await talk.order("the version request", codec.GET_VERSION)
    return codec.decode_version(reply.data)


async def _wake(talk: Dialogue) -> None:
    for _ in range(_WAKE_REPEATS):
        await talk.send_raw(_WAKE)
        await asyncio.sleep(_WAKE_PAUSE_S)


async def _set_region(talk: Dialogue, region: str) -> None:
    reply = await talk.ask(codec.SET_REGION, bytes((REGION_CODES[region],)))
    if reply.status == codec.OK:
        return
    offered = await talk.ask(codec.LIST_REGIONS)
    names = {code: name for name, code in REGION_CODES.items()}
    known = ", ".join(names.get(code, f"{code:02X}") for code in offered.data)
    raise DeviceRefused(
        "RFID_REGION_REFUSED",
        f"the reader refused region {region}: {codec.status_name(reply.status)}",
        f"it offers: {known or 'none told'}",
    )


async def _set_power(talk: Dialogue, power_cdbm: int) -> None:
    reply = await talk.order("the power limits", codec.GET_POWER, b"\x01")
    limits = codec.decode_power_limits(reply.data)
    if not limits.min_cdbm <= power_cdbm <= limits.max_cdbm:
        raise DeviceRefused(
            "RFID_POWER_OUT_OF_RANGE",
            f"power_cdbm {power_cdbm} is outside what this reader can do",
            f"give {limits.min_cdbm} to {limits.max_cdbm}",
        )
    await talk.order("the read power", codec.SET_POWER, power_cdbm.to_bytes(2, "big", signed=True))


async def _set_options(talk: Dialogue, profile: MercuryProfile) -> tuple[str, ...]:
    refused = []
    for option in profile.options:
        reply = await talk.ask(codec.SET_OPTION, bytes((1, option.key, option.value)))
        if option.required:
            accepted(f"option {option.name}", reply)
        elif reply.status != codec.OK:
            refused.append(option.name)
    return tuple(refused)
