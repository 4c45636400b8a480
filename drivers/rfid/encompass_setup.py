"""Finding an Encompass reader on its port and bringing it to the configured state, in one visit to command mode."""

import asyncio
from dataclasses import dataclass

from drivers.api import DeviceRefused, DeviceTimeout
from drivers.rfid import encompass_codec as codec
from drivers.rfid.encompass_codec import BadMessage, SignOn
from drivers.rfid.encompass_dialogue import Dialogue
from drivers.rfid.identity import verify_identity
from drivers.rfid.rate_search import find_rate
from drivers.rfid.settings.encompass import EncompassProfile, EncompassSettings, ReaderCommand

# The factory rate, then the others by how often they are met.
PROBE_RATES = (9600, 19200, 115200, 38400, 57600, 4800, 2400, 1200)

VISIT_MAX_S = 8.0
_PROBE_WAIT_S = 0.25
_PROBE_CHARACTERS = 120
_QUIET_S = 0.06
_BITS_PER_CHARACTER = 10
_STRANGE_BYTES = 32
# Both protocols are asked at once: each kind of reader answers its own question and calls the other an error. The first
# CR ends what an earlier session may have left half said.
_PROBE_ECP = codec.encode_ecp(1, codec.ENTER_COMMAND_MODE)
_PROBE = b"\r" + _PROBE_ECP + codec.encode_basic(codec.ENTER_COMMAND_MODE)


@dataclass(frozen=True, slots=True)
class Configured:
    """A reader ready to read: who it is and whether that was verified, the rate it answered at (bits/s), whether it
    transmits and where, and the optional settings it refused."""

    version: SignOn
    identity: str
    baud: int
    frequency_khz: int | None
    refused: tuple[str, ...]


async def find_reader(talk: Dialogue, baud: int) -> int:
    """The rate at which a reader answers, `baud` or any other; `talk` is in its protocol, it is in command mode.

    DeviceRefused WRONG_DEVICE when something answers that is no Encompass reader; DeviceTimeout RFID_NO_ANSWER when
    nothing does.
    """

    async def answers(_attempt: int, rate: int) -> bool:
        return await _answers(talk, rate)

    return await find_rate(talk, baud, PROBE_RATES, answers, what="an Encompass answer", strange_bytes=_STRANGE_BYTES)


async def configure(talk: Dialogue, settings: EncompassSettings, profile: EncompassProfile, baud: int) -> Configured:
    """From command mode: identify, set and read back everything the profile names, and return to data mode.

    DeviceRefused WRONG_DEVICE, RFID_SETTING_REFUSED; DeviceTimeout RFID_NO_ANSWER, also when it takes more than 8 s.
    """
    try:
        async with asyncio.timeout(VISIT_MAX_S):
            version = await _identify(talk)
            identity = verify_identity(version.serial, *settings.named)
            await _select_protocol(talk, settings, profile)
            refused = [command.name for command in profile.settings if not await _set(talk, command)]
            status = await talk.ask(codec.GET_RF_STATUS)
            frequency = None if status == codec.ERROR else codec.decode_rf_status(status).frequency_khz
            await talk.to_data_mode()
    except TimeoutError:
        text = f"the reader took more than {VISIT_MAX_S:g} s to configure"
        raise DeviceTimeout("RFID_NO_ANSWER", text, "the line loses characters: check the cable") from None
    if status != codec.ERROR and frequency is None:
        raise frequency_not_set()
    return Configured(version, identity, baud, frequency, tuple(refused))


def frequency_not_set() -> DeviceRefused:
    """A reader that never transmits must not pass for one that sees no tags."""
    return DeviceRefused(
        "RFID_SETTING_REFUSED",
        "the reader's radio frequency is not set, so it reads nothing",
        "have it set for the site licence by who may (command 647)",
    )


async def _answers(talk: Dialogue, rate: int) -> bool:
    """True when a reader spoke at this rate; `talk` is set to its protocol then and the reader is in command mode."""
    talk.command_mode = True  # perhaps: whoever ends the session must see to it
    await talk.send_raw(_PROBE)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PROBE_WAIT_S + _PROBE_CHARACTERS * _BITS_PER_CHARACTER / rate
    while (arrived := await talk.next_line(deadline - loop.time())) is not None:
        # A reader that echoes commands sends the question back, with its right check.
        echo = arrived[1] == _PROBE_ECP[1:-1]
        in_ecp = not echo and not isinstance(codec.decode_ecp(arrived[1]), BadMessage)
        if in_ecp or arrived[1] == codec.DONE.encode():
            talk.ecp = in_ecp
            return await _settled(talk)
    return False


async def _settled(talk: Dialogue) -> bool:
    """Let late answers to the probe pass, so that none is taken for a later command's, and make sure of command mode:
    the probe's sequence may have been the last session's, whose answer a reader repeats without doing anything."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 1.0
    while loop.time() < deadline and await talk.next_line(_QUIET_S) is not None:
        pass
    try:
        await talk.to_command_mode()
    except DeviceTimeout:
        return False
    return True


async def _identify(talk: Dialogue) -> SignOn:
    version = codec.decode_version(await talk.ask(codec.GET_VERSION))
    if version.firmware.startswith("0.00"):
        raise DeviceRefused("WRONG_DEVICE", "the reader has no program, only its boot ROM", "load its firmware")
    return version


async def _select_protocol(talk: Dialogue, settings: EncompassSettings, profile: EncompassProfile) -> None:
    wanted = settings.protocol == "ecp"
    if wanted != talk.ecp:
        # The answer still comes in the old protocol.
        await talk.order(codec.SELECT_ECP if wanted else codec.SELECT_BASIC)
        talk.ecp = wanted
    if wanted:
        await _must(talk, f"{codec.SET_ECP_TIMEOUT}{round(profile.ecp_timeout_ms / 50):02X}", "the ECP time")
    await _must(talk, codec.FLOW_COMMANDS[settings.flow], f"flow control {settings.flow}")


async def _set(talk: Dialogue, command: ReaderCommand) -> bool:
    """Whether the reader took a setting. DeviceRefused RFID_SETTING_REFUSED when it did not and must."""
    taken = await talk.ask(command.command) == codec.DONE
    if taken and command.readback is not None:
        answer = await talk.ask(command.readback.command)
        taken = command.readback.field in codec.status_fields(answer)
    if not taken and command.required:
        raise _refused(command.command, command.name)
    return taken


async def _must(talk: Dialogue, command: str, what: str) -> None:
    if await talk.ask(command) != codec.DONE:
        raise _refused(command, what)


def _refused(command: str, what: str) -> DeviceRefused:
    return DeviceRefused(
        "RFID_SETTING_REFUSED",
        f"the reader refused {what} (command {command})",
        "check the reader's settings in lane.yaml and its profile",
    )
