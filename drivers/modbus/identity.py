"""Who answers on the port: the identity registers of a profile, read at the start of every session and compared."""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from drivers.api import DeviceRefused
from drivers.modbus.pdu_codec import Request
from drivers.modbus.settings.profile import IdentityRegister, Profile

Ask = Callable[[Request], Awaitable[tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class ModuleIdentity:
    """What a module told of itself. `values` by register name; `serial` what only this one module has ("" when its
    profile knows no such register); `digest` over all of it, hex: equal for the same module with the same firmware."""

    values: tuple[tuple[str, str], ...]
    serial: str
    digest: str


async def identify(device: str, line: str, unit: int, profile: Profile, ask: Ask) -> ModuleIdentity:
    """Read all identity registers. DeviceRefused WRONG_DEVICE when one is missing or not what the profile expects."""
    found: list[tuple[str, str]] = []
    wrong: list[str] = []
    for register in profile.identity:
        try:
            words = await ask(register.request())
        except DeviceRefused as error:
            what = f"no {register.name} in {register.place}: {error.message}"
            raise DeviceRefused("WRONG_DEVICE", what, f"it is no {profile.model}") from error
        found.append((register.name, _text(register, words)))
        if register.expected is not None and words[0] != register.expected:
            wrong.append(f"{register.name} is {words[0]}, not {register.expected}")
    if wrong:
        what = f"{device} at {line} unit {unit}: {', '.join(wrong)}"
        raise DeviceRefused("WRONG_DEVICE", what, f"expected {profile.model}; the outputs stay locked")
    serial = next((text for register, (_, text) in zip(profile.identity, found, strict=True) if register.unique), "")
    # Without a number of its own, one module is told from its like by nothing but its place.
    place = "" if serial else f"{line} unit {unit}"
    told = "\n".join((profile.model, *(f"{name}={text}" for name, text in found), place))
    return ModuleIdentity(tuple(found), serial, hashlib.sha256(told.encode()).hexdigest())


async def report(profile: Profile, ask: Ask) -> tuple[tuple[str, str], ...]:
    """What else the profile has to tell, by name; a register that this firmware has not is left out."""
    found = []
    for register in profile.reports:
        with suppress(DeviceRefused):
            found.append((register.name, _text(register, await ask(register.request()))))
    return tuple(found)


def _text(register: IdentityRegister, words: tuple[int, ...]) -> str:
    raw = b"".join(word.to_bytes(2, "big") for word in words)
    if register.format == "text":
        return raw.decode("ascii", errors="replace").strip("\0 ")
    if register.format == "hex":
        return raw.hex(":")
    return str(int.from_bytes(raw, "big"))
