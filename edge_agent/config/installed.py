"""What a configuration needs of the computer it is for: the profiles and files that it names. For `check-config` alone:
the programs themselves find out when they start, each about its own."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from drivers import registry
from drivers.api import Clock, EdgeError, Source
from drivers.sign.settings import default_sign_dir, load_sign

from .checks import Finding
from .marks import Loc
from .schema import (
    ConsoleConfig,
    ConsoleSection,
    LaneConfig,
    LaneIoDevice,
    MediaSection,
    ReaderDevice,
    TlsSection,
)

_SITE_KEY_BYTES = range(16, 4096)
_HPKE_KEY_BYTES = range(32, 33)
_TOKEN_BYTES = range(16, 4096)
_ANY_BYTES = range(1, 1 << 20)
_POWER_DOUBTFUL_CDBM = 500
"""5 dBm: no reader at a lane works with so little, and 27 was meant as dBm more often than as 0.27 dBm."""


def findings(config: LaneConfig | ConsoleConfig, clock: Clock, *, files: bool) -> list[Finding]:
    """Everything that is missing here or looks doubtful, in the order of the sections; without `files` no key, token,
    password or certificate is looked for."""
    found: list[Finding] = []
    if isinstance(config, LaneConfig):
        found = [*_floors(config), *_swaps(config), *_devices(config, clock), *_sign(config)]
    return found + list(_files(config)) if files else found


def _floors(config: LaneConfig) -> Iterator[Finding]:
    # Nothing else in the file tells whether there is a next lane, and its tags are what goes wrong first.
    for index, antenna in enumerate(config.geometry.antennas):
        if antenna.floor_dbm is None:
            text = "no floor_dbm: tags of the next lane can end on this lane's vehicles; where there is none, say -100"
            yield Finding(("geometry", "antennas", index), text, warning=True)


def _files(config: LaneConfig | ConsoleConfig) -> Iterator[Finding]:
    if isinstance(config, LaneConfig):
        for index, device in enumerate(config.devices):
            yield from _named_files(("devices", index), device)
        yield from _central(config)
        if config.sign is not None:
            yield from _file(("sign", "community_file"), config.sign.community_file, _ANY_BYTES)
        if config.capture.public_key_file is not None:
            yield from _file(("capture", "public_key_file"), config.capture.public_key_file, _HPKE_KEY_BYTES)
        if config.media is not None:
            yield from _media(config.media)
    if config.console is not None:
        yield from _console(config.console)


def _swaps(config: LaneConfig) -> Iterator[Finding]:
    readers = [(index, d) for index, d in enumerate(config.devices) if isinstance(d, ReaderDevice)]
    for index, device in readers if len(readers) > 1 else ():
        expected, key = device.named
        if key and expected is None:
            text = f"several readers, and no {key} here: two of them swapped would not be noticed"
            yield Finding(("devices", index), text, warning=True)


def _devices(config: LaneConfig, clock: Clock) -> Iterator[Finding]:
    for index, device in enumerate(config.devices):
        here: Loc = ("devices", index)
        try:
            _make(device, clock)
        except EdgeError as error:
            key = "profile" if error.code.startswith("PROFILE_") else "roles" if "ROLE" in error.code else "id"
            hint = f"; {error.hint}" if error.hint else ""
            yield Finding((*here, key), f"{error.message}{hint}")
        power = getattr(device, "power_cdbm", 0)  # not every family has one
        if 0 < power < _POWER_DOUBTFUL_CDBM:
            text = f"{power} centi-dBm is {power / 100:g} dBm; 2700 is 27 dBm"
            yield Finding((*here, "power_cdbm"), text, warning=True)


def _named_files(path: Loc, settings: BaseModel) -> Iterator[Finding]:
    """Secrets and certificates that a device's settings name, wherever they stand in them."""
    for name, value in settings:
        if isinstance(value, Path):
            yield from _file((*path, name), value, _ANY_BYTES)
        elif isinstance(value, BaseModel):
            yield from _named_files((*path, name), value)


def _sign(config: LaneConfig) -> Iterator[Finding]:
    if config.sign is None:
        return
    try:
        load_sign(default_sign_dir() / f"{config.sign.profile}.yaml")
    except EdgeError as error:
        hint = f"; {error.hint}" if error.hint else ""
        yield Finding(("sign", "profile"), f"{error.message}{hint}")


def _make(device: ReaderDevice | LaneIoDevice, clock: Clock) -> Source:
    """The driver as the agent would make it: it reads the profile and judges the settings by it, and opens nothing."""
    if isinstance(device, LaneIoDevice):
        return registry.make_lane_io(device.id, device, clock)
    return registry.make_reader(device.id, device, clock)


def _central(config: LaneConfig) -> Iterator[Finding]:
    central = config.central
    yield from _tls(("central", "tls"), central.tls)
    yield from _file(("central", "lane_key_file"), central.lane_key_file, _SITE_KEY_BYTES)
    yield from _file(("central", "central_public_key_file"), central.central_public_key_file, _HPKE_KEY_BYTES)


def _media(media: MediaSection) -> Iterator[Finding]:
    if media.token_file is not None:
        yield from _file(("media", "token_file"), media.token_file, _TOKEN_BYTES)
    for index, camera in enumerate(media.cameras):
        if camera.password_file is not None:
            yield from _file(("media", "cameras", index, "password_file"), camera.password_file, _ANY_BYTES)


def _console(console: ConsoleSection) -> Iterator[Finding]:
    yield from _file(("console", "token_file"), console.token_file, _TOKEN_BYTES)
    for index, lane in enumerate(console.lanes):
        yield from _tls(("console", "lanes", index, "tls"), lane.tls)


def _tls(path: Loc, tls: TlsSection | None) -> Iterator[Finding]:
    if tls is not None:
        for name, file in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
            yield from _file((*path, name), file, _ANY_BYTES)


def _file(path: Loc, file: Path, size: range) -> Iterator[Finding]:
    """Whether it can be read and has so many bytes; a text's white space at its ends does not count."""
    try:
        content = file.read_bytes()
    except PermissionError:
        # Right for a secret: each program has a user of its own. Only that one can be told for certain.
        text = f"{file} cannot be read by this user; check as the user of the program that needs it"
        yield Finding(path, text, warning=True)
        return
    except OSError as error:
        yield Finding(path, f"{file}: {error.strerror or error}")
        return
    length = len(content.strip()) if size is _TOKEN_BYTES or size is _ANY_BYTES else len(content)
    if length not in size:
        exactly = f"exactly {size.start}" if len(size) == 1 else f"at least {size.start}"
        yield Finding(path, f"{file} has {length} bytes, {exactly} are needed")
