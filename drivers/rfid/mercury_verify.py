"""Reading back what was set on a Mercury module: a module may acknowledge a setting and not take it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from drivers.api import DeviceRefused
from drivers.rfid import mercury_codec as codec
from drivers.rfid.mercury_codec import Frame
from drivers.rfid.mercury_dialogue import Dialogue
from drivers.rfid.settings.mercury import REGION_CODES, MercuryProfile, MercurySettings, ReaderOption


class _Setting(NamedTuple):
    """A question, the answer that says the setting is in force, and how to tell a person about another one."""

    name: str
    op: int
    data: bytes
    expected: bytes
    show: Callable[[bytes], str]
    whole: bool = False  # nothing may follow the expected bytes

    def holds(self, answer: bytes) -> bool:
        return answer == self.expected if self.whole else answer.startswith(self.expected)

    def difference(self, answer: bytes) -> str:
        return f"{self.name} is {self.show(answer)}, not {self.show(self.expected)}"


async def verify_settings(
    talk: Dialogue,
    settings: MercurySettings,
    profile: MercuryProfile,
    antennas: tuple[int, ...],
    refused_options: tuple[str, ...],
) -> tuple[str, ...]:
    """Compare region, protocol, power, antenna list and options with what was set; returns the names of settings the
    module cannot tell.

    Options it refused before are left out; one that is not required and not in force counts as one it cannot tell.
    DeviceRefused RFID_SETTING_REFUSED with everything that differs.
    """
    options = [option for option in profile.options if option.name not in refused_options]
    optional = {_name(option) for option in options if not option.required}
    wrong, untold = await _compare(
        talk, (*_radio(settings, profile), _antenna_list(antennas), *(_option(option) for option in options))
    )
    differences = [text for name, text in wrong.items() if name not in optional]
    if differences:
        _refuse(differences)
    return (*untold, *(name for name in wrong if name in optional))


async def verify_antennas(talk: Dialogue, antennas: tuple[int, ...]) -> None:
    """Compare the antenna list alone. DeviceRefused RFID_SETTING_REFUSED."""
    wrong, _ = await _compare(talk, (_antenna_list(antennas),))
    if wrong:
        _refuse(wrong.values())


async def _compare(talk: Dialogue, wanted: Iterable[_Setting]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Differences by name of the setting, and the settings it does not tell."""
    wrong: dict[str, str] = {}
    untold = []
    for setting in wanted:
        reply: Frame = await talk.ask(setting.op, setting.data)
        if reply.status != codec.OK:
            untold.append(setting.name)
        elif not setting.holds(reply.data):
            wrong[setting.name] = setting.difference(reply.data)
    return wrong, tuple(untold)


def _refuse(differences: Iterable[str]) -> None:
    raise DeviceRefused(
        "RFID_SETTING_REFUSED",
        f"the reader acknowledged settings it did not take: {'; '.join(differences)}",
        "check its firmware and region licence, and the settings in lane.yaml and the profile",
    )


def _radio(settings: MercurySettings, profile: MercuryProfile) -> tuple[_Setting, ...]:
    power = settings.power_cdbm.to_bytes(2, "big", signed=True)
    return (
        _Setting("region", codec.GET_REGION, b"", bytes((REGION_CODES[settings.region],)), _show_region),
        _Setting("protocol", codec.GET_PROTOCOL, b"", profile.protocol.to_bytes(2, "big"), _show_hex),
        _Setting("power_cdbm", codec.GET_POWER, b"\x00", b"\x00" + power, _show_power),
    )


def _antenna_list(antennas: tuple[int, ...]) -> _Setting:
    return _Setting("antennas", codec.GET_ANTENNA, b"\x02", codec.antenna_list(antennas), _show_antennas, whole=True)


def _name(option: ReaderOption) -> str:
    return f"option {option.name}"


def _option(option: ReaderOption) -> _Setting:
    head = bytes((1, option.key))
    return _Setting(_name(option), codec.GET_OPTION, head, head + bytes((option.value,)), _show_option)


def _show_hex(answer: bytes) -> str:
    return answer[:8].hex(" ") or "empty"


def _show_region(answer: bytes) -> str:
    names = {code: name for name, code in REGION_CODES.items()}
    return names.get(answer[0], f"{answer[0]:02X}") if answer else "empty"


def _show_power(answer: bytes) -> str:
    return str(int.from_bytes(answer[1:3], "big", signed=True)) if len(answer) >= 3 else _show_hex(answer)


def _show_antennas(answer: bytes) -> str:
    return " ".join(map(str, answer[1::2])) or "empty"


def _show_option(answer: bytes) -> str:
    return str(answer[2]) if len(answer) >= 3 else _show_hex(answer)
