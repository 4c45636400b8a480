"""What one kind of Modbus I/O module looks like, as validated data: `firmware_configs/modbus/*.yaml`.

Two rules come before all others. Red must need no energy: a profile that would have a coil on for red is refused. Green
needs a way to end by itself when this computer dies: a watchdog in the module that releases the outputs, or a timed
pulse; a profile without either is loaded for inputs and red, and refused for green. What a module cannot confirm stands
in its profile, for whoever commissions it.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StrictInt, model_validator

from drivers.api import DeviceRefused, EdgeError
from drivers.modbus.pdu_codec import Request, read_bits, read_registers
from drivers.profiles import ProfileFileError, parse_profile_file

Address = Annotated[StrictInt, Field(ge=0, le=0xFFFF)]
Word = Address
Milliseconds = Annotated[StrictInt, Field(gt=0, le=600_000)]

LONGEST_HOST_LOST_MS = 2000
"""Longest time green may outlive this computer."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=False)


class Outputs(_Part):
    """Coils. `write_base`: first coil for writes; `readback_base`: where function 1 reads them back. `block_reads`: the
    module answers only reads of all outputs at once. `at_power_on`: what they do when the module gets power."""

    count: Annotated[StrictInt, Field(ge=1, le=512)]
    write_base: Address
    readback_base: Address
    block_reads: bool = False
    at_power_on: Literal["released", "last_state", "energised"]


class Inputs(_Part):
    """Inputs as bits: function 2 (discrete inputs) or 1 (coils)."""

    count: Annotated[StrictInt, Field(ge=1, le=512)]
    base: Address
    function: Literal[1, 2] = 2


class RegisterWrite(_Part):
    """One step of a register sequence."""

    register_: Address = Field(alias="register")
    value: Word


class Watchdog(_Part):
    """The module's host-lost timer.

    `stop`: writes that switch it off and clear a trip. `function_mask_register`: None when the module's feed rule is
    fixed; else the mask is set to function 15 only (bit n-1 = function n) and starts the timer. `fed_by`: what keeps it
    alive; only `writes` counts, because a foreign poller must not keep green lit. `exception_while_tripped`: what
    process data is refused with.
    """

    time_register: Address
    unit_ms: Milliseconds
    min_ms: Milliseconds
    max_ms: Milliseconds
    function_mask_register: Address | None = None
    state_register: Address
    state_running: Word
    state_tripped: Word
    stop: tuple[RegisterWrite, ...] = ()
    fed_by: Literal["writes", "any_request"]
    exception_while_tripped: Annotated[StrictInt, Field(ge=1, le=11)] | None = None
    outputs_when_tripped: Literal["released", "unchanged", "energised"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_ms > self.max_ms:
            raise ValueError("watchdog.min_ms is over watchdog.max_ms")
        if self.min_ms < self.unit_ms:
            raise ValueError("watchdog.min_ms is under watchdog.unit_ms: the shortest time would be none")
        if self.state_running == self.state_tripped:
            raise ValueError("watchdog.state_running and state_tripped are the same value")
        if len({self.time_register, self.state_register, self.function_mask_register}) < 3:
            raise ValueError("watchdog registers overlap")
        return self


class Pulse(_Part):
    """A coil command with a duration: function 5 at `base` + point, value = duration / `unit_ms`; a new command
    restarts the time."""

    base: Address
    unit_ms: Annotated[StrictInt, Field(gt=0, le=500)]
    max_ms: Annotated[StrictInt, Field(ge=1000)]


class IdentityRegister(_Part):
    """Registers that tell what the module is, or how it fares: `words` of them, shown as `format`; functions 1 and 2
    read one bit instead. `expected` None: only reported (a firmware version). `unique`: no other module has this value
    (a serial number, a MAC address)."""

    name: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    register_: Address = Field(alias="register")
    function: Literal[1, 2, 3, 4] = 3
    words: Annotated[StrictInt, Field(ge=1, le=32)] = 1
    format: Literal["number", "hex", "text"] = "number"
    expected: Word | None = None
    unique: bool = False

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{'bit' if self.function <= 2 else 'register'} {self.register_:#06x}"

    def request(self) -> Request:
        """The request that reads it."""
        return (read_bits if self.function <= 2 else read_registers)(self.function, self.register_, self.words)

    @model_validator(mode="after")
    def _check_expected(self) -> Self:
        if self.expected is not None and (self.words != 1 or self.format != "number"):
            raise ValueError("expected is for one word that is a number")
        if self.function <= 2 and self.words != 1:
            raise ValueError("functions 1 and 2 read one bit")
        return self


class Connections(_Part):
    """A register that counts the connections to the module, this computer's own among them."""

    register_: Address = Field(alias="register")
    function: Literal[3, 4] = 3


class Timeouts(_Part):
    """`reply_ms`: bound of an exchange. `quiet_ms`: the module's worst reply time (RTU rests that long after a miss).
    `gap_ms`: least pause before a request."""

    reply_ms: Annotated[StrictInt, Field(ge=20, le=1000)] = 200
    quiet_ms: Annotated[StrictInt, Field(ge=0, le=2000)] = 250
    gap_ms: Annotated[StrictInt, Field(ge=0, le=500)] = 0
    connect_ms: Annotated[StrictInt, Field(ge=50, le=10_000)] = 1000


class Profile(_Part):
    """One kind of module. `energise_to`: what energy at the outputs means; only `proceed` is safe. `evidence`: where
    the figures come from: the manual, a bench, or a site. `links`: how it is reached. `confirms`, `cannot_confirm`:
    what can be read back from it and what cannot, in words. `no_green`: why it must not be asked for green although
    nothing else here forbids it; it forbids, and never allows. `reports`: read once like `identity`, but free to change
    (a count of resets). `connections`: the register that counts who is connected."""

    model: Annotated[str, Field(min_length=1)]
    version: Annotated[StrictInt, Field(ge=1)]
    evidence: Literal["manual", "bench", "site"]
    energise_to: Literal["proceed", "stop"]
    links: Annotated[tuple[Literal["tcp", "rtu"], ...], Field(min_length=1)]
    confirms: Annotated[tuple[str, ...], Field(min_length=1)]
    cannot_confirm: Annotated[tuple[str, ...], Field(min_length=1)]
    no_green: str = ""
    outputs: Outputs | None = None
    inputs: Inputs | None = None
    watchdog: Watchdog | None = None
    pulse: Pulse | None = None
    identity: tuple[IdentityRegister, ...] = ()
    reports: tuple[IdentityRegister, ...] = ()
    connections: Connections | None = None
    timeouts: Timeouts = Timeouts()

    _name: str = PrivateAttr(default="")
    _digest: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self._name

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        return self._digest

    @property
    def unsafe_for_red(self) -> tuple[tuple[str | int, ...], str] | None:
        """Where and why red would need energy; None when it does not."""
        if self.energise_to != "proceed":
            return (
                "energise_to",
            ), "red would need a coil on: a cut cable would not show red; wire energise to proceed"
        if self.outputs is not None and self.outputs.at_power_on != "released":
            return ("outputs", "at_power_on"), "outputs are not released at power-on: green could light by itself"
        if self.watchdog is not None and self.watchdog.outputs_when_tripped == "energised":
            return (
                "watchdog",
                "outputs_when_tripped",
            ), "the watchdog would switch outputs on: red would need it not to"
        return None

    @property
    def green_refusal(self) -> str:
        """Why this module must not be asked for green; empty when it may."""
        if self.outputs is None:
            return "it has no outputs"
        if self.no_green:
            return self.no_green
        if self.pulse is not None:
            return ""
        if self.watchdog is None:
            return "it has neither a watchdog nor a timed pulse: green would stay when this computer dies"
        if self.watchdog.fed_by != "writes":
            return "its watchdog is fed by any request: a foreign poller would keep green alive"
        if self.watchdog.outputs_when_tripped != "released":
            return "its watchdog does not release the outputs"
        if self.watchdog.min_ms > LONGEST_HOST_LOST_MS:
            return f"its shortest watchdog time is {self.watchdog.min_ms} ms, over {LONGEST_HOST_LOST_MS} ms"
        return ""

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        outputs, inputs, pulse = self.outputs, self.inputs, self.pulse
        if outputs is None and inputs is None:
            raise ValueError("neither outputs nor inputs")
        if outputs is not None:
            read = _run("outputs.readback_base", outputs.readback_base, outputs.count)
            written = _run("outputs.write_base", outputs.write_base, outputs.count)
            if pulse is not None:
                _check_apart(_run("pulse.base", pulse.base, outputs.count), written)
            if inputs is not None and inputs.function == 1:
                _check_apart(_run("inputs.base", inputs.base, inputs.count), read)
        if inputs is not None:
            _run("inputs.base", inputs.base, inputs.count)
        for register in (*self.identity, *self.reports):
            _run(register.name, register.register_, register.words)
        return self


class _Run(NamedTuple):
    """Addresses from `first` to before `end`."""

    key: str
    first: int
    end: int


def _run(key: str, first: int, count: int) -> _Run:
    if first + count > 0x10000:
        raise ValueError(f"{key} {first}: {count} of them do not end within address 65535")
    return _Run(key, first, first + count)


def _check_apart(one: _Run, other: _Run) -> None:
    if one.first < other.end and other.first < one.end:
        raise ValueError(f"{one.key} {one.first} and {other.key} {other.first} overlap")


def load_profile(path: Path) -> Profile:
    """Read, validate and judge one profile.

    EdgeError PROFILE_INVALID with every fault as file:line:column, DeviceRefused PROFILE_UNSAFE when red would need
    energy.
    """
    try:
        content = path.read_bytes()
        profile, document = parse_profile_file(content, path.name, Profile)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise EdgeError("PROFILE_INVALID", f"no profile {path.stem}", f"known: {known}") from None
    except OSError as error:
        raise EdgeError("PROFILE_INVALID", f"{path.name}: {error}") from error
    except ProfileFileError as error:
        raise EdgeError("PROFILE_INVALID", str(error), "see firmware_configs/modbus/README.md") from error
    unsafe = profile.unsafe_for_red
    if unsafe is not None:
        where, why = unsafe
        raise DeviceRefused("PROFILE_UNSAFE", f"{document.place(where)}: {why}", "use a module wired fail-safe")
    profile._name, profile._digest = path.stem, hashlib.sha256(content).hexdigest()  # noqa: SLF001 - private to this file
    return profile
