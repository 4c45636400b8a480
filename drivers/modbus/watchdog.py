"""Arms and checks the host-lost timer inside a module, as its profile describes it."""

from collections.abc import Awaitable, Callable

from drivers.api import DeviceError, DeviceRefused, EdgeError
from drivers.modbus.pdu_codec import READ_HOLDING_REGISTERS, WRITE_COILS, Request, read_registers, write_register
from drivers.modbus.plan import LaneIoPlan
from drivers.modbus.settings.profile import Profile, Watchdog

Ask = Callable[[Request], Awaitable[tuple[int, ...]]]

FED_BY_BLOCK_WRITES = 1 << (WRITE_COILS - 1)
"""Mask with one function code: the one the head is written with. Reads of a foreign poller do not feed it."""


class ModuleWatchdog:
    """The watchdog of one module. `ask` is one exchange with it; `time_ms` is rounded down to the module's unit."""

    def __init__(self, device: str, profile: Watchdog, time_ms: int, ask: Ask) -> None:
        self._device = device
        self._profile = profile
        self._units = time_ms // profile.unit_ms
        self._ask = ask
        assert self._units > 0, "profile and settings are validated"
        self._settings = [(profile.state_register, profile.state_running), (profile.time_register, self._units)]
        if profile.function_mask_register is not None:
            self._settings.append((profile.function_mask_register, FED_BY_BLOCK_WRITES))
        self._checked = -1

    @property
    def time_ms(self) -> int:
        """The time it is set to."""
        return self._units * self._profile.unit_ms

    async def is_tripped(self) -> bool:
        """Whether it has dropped the outputs. Works while process data is refused."""
        return await self._read(self._profile.state_register) == self._profile.state_tripped

    async def arm(self) -> None:
        """Stop it (which clears a trip), set time and feed rule, start it, and read all of that back.

        DeviceRefused when the module does not take it.
        """
        profile = self._profile
        for step in profile.stop:
            await self._ask(write_register(step.register_, step.value))
        await self._ask(write_register(profile.time_register, self._units))
        if profile.function_mask_register is not None:
            await self._ask(write_register(profile.function_mask_register, FED_BY_BLOCK_WRITES))
        for register, value in self._settings:
            found = await self._read(register)
            if found != value:
                wrong = _disagreement(register, found, value)
                raise DeviceRefused("WATCHDOG_NOT_ARMED", f"{self._device}: {wrong}", "the outputs stay locked")

    async def check_next(self) -> None:
        """Read one of its registers, another one each time: raise DeviceError when it tripped, or is not as it was set
        because somebody else changed it, or a reboot did."""
        self._checked = (self._checked + 1) % len(self._settings)
        register, value = self._settings[self._checked]
        found = await self._read(register)
        if register == self._profile.state_register and found == self._profile.state_tripped:
            raise self.tripped()
        if found != value:
            wrong = _disagreement(register, found, value)
            raise DeviceError("WATCHDOG_CHANGED", f"{self._device}: {wrong}", "module rebooted, or a second master")

    def tripped(self) -> DeviceError:
        """The fault of a trip."""
        return DeviceError(
            "WATCHDOG_TRIPPED",
            f"{self._device}: no write for {self.time_ms} ms, the module has released its outputs",
            "the control cycle stood still, or the link did",
        )

    async def _read(self, register: int) -> int:
        return (await self._ask(read_registers(READ_HOLDING_REGISTERS, register, 1)))[0]


def fitting_watchdog(device: str, profile: Profile, plan: LaneIoPlan, ask: Ask) -> ModuleWatchdog | None:
    """The watchdog that guards the head of this plan; None without a head, and where timed pulses or a refused green
    take its place. EdgeError SETTINGS_INVALID when it cannot be set to the time of the plan."""
    watchdog = profile.watchdog
    if watchdog is None or plan.head is None:
        return None
    if watchdog.min_ms <= plan.watchdog_ms <= watchdog.max_ms:
        return ModuleWatchdog(device, watchdog, plan.watchdog_ms, ask)
    if profile.pulse is not None or profile.green_refusal:
        return None
    what = f"{device}: watchdog_ms {plan.watchdog_ms} is outside {watchdog.min_ms}-{watchdog.max_ms}"
    raise EdgeError("SETTINGS_INVALID", what)


def _disagreement(register: int, found: int, value: int) -> str:
    return f"watchdog register {register:#06x} holds {found}, not {value}"
