"""What a bench is: its devices, what it can do to them, and the limits a test holds the lane to. Read from one file."""

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hil.rig.bench_arm import ARM_INPUTS, ARM_OUTPUTS
from hil.rig.lane_bench import Present
from hil.rig.world_driver import INPUT_BITS

TARGETS = Path(__file__).resolve().parents[1] / "targets"

CAPABILITIES = {
    "device_clock": "events of the devices carry this machine's CLOCK_MONOTONIC",
    "set_inputs": "set the module's inputs: vehicles over the zones",
    "set_tags": "put tags into the reader's field and take them out",
    "script_centre": "the release service answers as a test says",
    "kill_centre": "end the release service, and start it again on its data",
    "delay_centre": "let the release service answer late, and its answers overtake each other",
    "freeze_centre": "stop the release service without closing its connections, and let it go on",
    "kill_agent": "end the agent with SIGKILL or SIGTERM, and start it again",
    "freeze_agent": "stop the agent's process, and let it go on",
    "starve_agent": "load the agent's processor",
    "step_clock": "step the wall clock the agent sees",
    "reconfigure": "start the agent with another configuration",
    "cut_link": "take the module's cable or network away, and give it back",
    "mute_device": "keep a device powered and connected but silent",
    "power_cycle": "switch the module's power off and on",
    "lamp_faults": "break a lamp's circuit, bridge a relay, and cut the feedback of the lamps",
    "barrier_arm": "a barrier arm with its operator, limit switches and presence input at the stop line",
    "arm_faults": "jam the barrier arm, cut a limit switch of it, and move it by its own switch",
    "second_master": "write to the module beside the agent",
    "wrong_device": "put another device on a port or address",
    "line_noise": "put bytes on a reader's serial line",
    "cut_reader": "take a reader's cable away, and give it back",
}
"""What a bench may be able to do, and what each word means."""

WIRING = {
    "green": "output 0",
    "red_feedback": "input 8",
    "green_feedback": "input 10",
    **{zone: f"input {bit}" for zone, bit in INPUT_BITS.items()},
}
"""Where the module's points go on every bench."""

ARM_WIRING = {
    **{role: f"output {point}" for role, point in ARM_OUTPUTS.items()},
    **{role: f"input {bit}" for role, bit in ARM_INPUTS.items()},
}
"""And on one with a barrier arm."""

Positive = Annotated[float, Field(gt=0)]


def _known(capability: str) -> str:
    if capability not in CAPABILITIES:
        raise ValueError(f"unknown capability {capability}; known: {', '.join(CAPABILITIES)}")
    return capability


Capability = Annotated[str, AfterValidator(_known)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Device(_Strict):
    """One device of the bench. `wiring` maps a role to a point of it. `baud`: bits/s of its serial line, 0 for none;
    `settings` differ from those of the bench's own lane configuration. `control`: socket of a program that speaks for a
    device which stands there already, reached `at` (`host` and `port`, or `link`, and for a module `baud`); without it
    the bench starts a virtual one. `barrier`: the profile of the arm's operator that is wired to it."""

    profile: str
    address: str
    wiring: dict[str, str] = {}
    baud: Annotated[int, Field(ge=0)] = 0
    settings: dict[str, int] = {}
    barrier: str = ""
    control: Path | None = None
    at: dict[str, str | int] = {}

    @model_validator(mode="after")
    def _is_reached(self) -> Self:
        if self.control is not None and not ({"host", "port"} <= self.at.keys() or "link" in self.at):
            raise ValueError("a device with `control` says where it is: at: {host, port} or {link}")
        return self


class Limits(_Strict):
    """T values, in the unit that ends each name: milliseconds, seconds, megabytes, or a share."""

    hold_to_red_ms: Positive
    nose_to_red_ms: Positive
    watchdog_ms: Positive
    transaction_ms: Positive
    kill_to_red_s: Positive
    readback_fault_to_red_ms: Positive
    conflict_to_red_ms: Positive
    recovery_s: Positive
    decision_to_green_wire_ms: Positive
    decision_to_green_confirmed_ms: Positive
    identity_to_request_ms: Positive
    sealed_s: Positive
    ready_s: Positive
    term_s: Positive
    rss_mb: Positive
    heartbeat_loss_s: Positive
    heartbeat_period_s: Positive
    restart_to_ready_s: Positive
    no_contact_s: Positive
    interrupt_s: Positive
    waiting_cpu_share: Positive
    reader_loss_s: Positive
    reader_silence_periods: Positive
    reader_again_s: Positive


class Tolerances(_Strict):
    """What the bench itself may add to a single sample."""

    scheduling_ms: Annotated[float, Field(ge=0)]


class Safety(_Strict):
    """What must never be moved without a person's word."""

    moves_barrier: bool
    public_head: bool


class Target(_Strict):
    """A whole target file. `virtual`: nothing of it is hardware, so that nothing excuses a test that is left out."""

    name: str
    virtual: bool
    devices: dict[str, Device]
    capabilities: frozenset[Capability]
    limits: Limits
    tolerances: Tolerances
    safety: Safety

    @model_validator(mode="after")
    def _is_wired(self) -> Self:
        missing = {"io-1", "rfid-1"} - self.devices.keys()
        if missing:
            raise ValueError(f"no device {', '.join(sorted(missing))}")
        module, arm = self.devices["io-1"], "barrier_arm" in self.capabilities
        wanted = WIRING | (ARM_WIRING if arm else {})
        wrong = [f"{role}: {point}" for role, point in wanted.items() if module.wiring.get(role) != point]
        if wrong:
            raise ValueError(f"io-1 is not wired as the tests expect; needed are {', '.join(wrong)}")
        if arm != bool(module.barrier):
            raise ValueError("the capability barrier_arm and the profile `barrier` of io-1 go together")
        return self

    def bench_options(self) -> dict[str, Any]:
        """What a bench needs to know of this target's module and reader (`lane_bench.BenchOptions`)."""
        module, reader = self.devices["io-1"], self.devices["rfid-1"]
        present = {"module": module, "reader": reader}
        return {
            "reader": reader.profile,
            "present": {name: Present(d.control, d.at) for name, d in present.items() if d.control is not None},
            "module_profile": module.profile,
            "module_baud": module.baud,
            "module_settings": module.settings,
            "barrier": module.barrier,
        }


def target_path(name: str) -> Path:
    """The file of a target that is given by its name in `hil/targets`, or as a path that ends with `.yaml`."""
    return Path(name) if name.endswith(".yaml") else TARGETS / f"{name}.yaml"


def load_target(name: str) -> Target:
    """The target of this name or path. OSError: no such file; ValueError: unknown, missing or wrong keys."""
    return Target.model_validate(yaml.safe_load(target_path(name).read_text()))
