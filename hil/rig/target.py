"""What a bench is: its devices, what it can do to them, and the limits a test holds the lane to. Read from one file."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

TARGETS = Path(__file__).resolve().parents[1] / "targets"

Positive = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Device(_Strict):
    """One device of the bench. `wiring` maps a role to a point of it. `baud`: bits/s of its serial line, 0 for none;
    `settings` differ from those of the bench's own lane configuration."""

    profile: str
    address: str
    wiring: dict[str, str] = {}
    baud: Annotated[int, Field(ge=0)] = 0
    settings: dict[str, int] = {}


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
    """A whole target file."""

    name: str
    devices: dict[str, Device]
    capabilities: frozenset[str]
    limits: Limits
    tolerances: Tolerances
    safety: Safety

    def bench_options(self) -> dict[str, Any]:
        """What a bench needs to know of this target's I/O module (`lane_bench.BenchOptions`)."""
        module = self.devices["io-1"]
        return {
            "module_profile": module.profile,
            "module_baud": module.baud,
            "module_settings": module.settings,
        }


def load_target(name: str) -> Target:
    """The target of this name from `hil/targets`. OSError: no such file; ValueError: unknown, missing or wrong keys."""
    return Target.model_validate(yaml.safe_load((TARGETS / f"{name}.yaml").read_text()))
