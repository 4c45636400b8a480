"""The fault catalogue: what may go wrong around a lane, what then has to happen, and the tests that show it."""

import ast
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from hil.rig.target import CAPABILITIES

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "hil" / "faults.yaml"

PROVIDERS = {
    "device control": "a verb of the virtual device (hil/devices)",
    "pty splice": "a program between the agent's port and the device (hil/devices/pty_splice.py)",
    "TCP proxy": "a program between the agent and the device's address (hil/devices/tcp_proxy.py)",
    "lossy network": "a network of its own that loses packets (hil/devices/lossy_network.py)",
    "memory link": "the device's bytes without a line, altered on the way",
    "scripted server": "a server that answers byte for byte as a test says",
    "scripted store": "a store as slow as a test says",
    "small file system": "a tmpfs of a few megabytes",
    "file system": "something else in the port's place",
    "another program": "another device or service in the device's place",
    "another client": "another Modbus stack beside the agent",
    "another sign": "net-snmp's agent with a sign behind it that was written apart from the virtual one",
    "process signal": "SIGKILL, SIGSTOP, SIGCONT",
    "busy processor": "programs that compute without end on the agent's processor",
    "wall clock shim": "the agent's interpreter is started with another time.time",
    "blocking callback": "a callback that does not return",
}
"""How a fault is made without hardware."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(_Strict):
    """What has to happen. `codes`: conditions or device faults of which one is told; `aspect` of the head, empty where
    the fault does not concern it; `bound`: within what, as a limit of the target or in words."""

    behaviour: Annotated[str, Field(min_length=10)]
    codes: tuple[str, ...] = ()
    aspect: str = ""
    bound: Annotated[str, Field(min_length=1)]


class Fault(_Strict):
    """One row. `providers` say how it is made without hardware; `capabilities` what a bench must be able to do;
    `shown_by` are tests, as `path::function`."""

    fault: Annotated[str, Field(min_length=3)]
    providers: Annotated[tuple[str, ...], Field(min_length=1)]
    expected: Expected
    capabilities: tuple[str, ...] = ()
    shown_by: Annotated[tuple[str, ...], Field(min_length=1)]


def load_catalogue(path: Path = CATALOGUE) -> dict[str, Fault]:
    """The rows by their ids. ValueError: unknown, missing or wrong keys, or a row without a test."""
    rows: dict[str, object] = yaml.safe_load(path.read_text())
    return {name: Fault.model_validate(row) for name, row in rows.items()}


def untrue(rows: Mapping[str, Fault], codes: AbstractSet[str]) -> list[str]:
    """What the catalogue names and nothing has: tests, capabilities, providers, or codes that are none of these."""
    wrong = []
    for name, row in rows.items():
        wrong += [f"{name}: no test {test}" for test in row.shown_by if not is_a_test(test)]
        wrong += [f"{name}: no capability {one}" for one in row.capabilities if one not in CAPABILITIES]
        wrong += [f"{name}: no code {code} in the runbook" for code in row.expected.codes if code not in codes]
        wrong += [f"{name}: no provider {one}" for one in row.providers if one not in PROVIDERS]
    return wrong


def is_a_test(test: str) -> bool:
    """Whether `path::function` names a test function of this checkout."""
    path, _, function = test.partition("::")
    return function.startswith("test_") and function in _functions(path)


@cache
def _functions(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(file.read_text()).body if isinstance(node, found))
