"""Observations as lines of JSON: the form in which a session and its replay are compared and shown. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum

from drivers.api import Observation, Secret, Stamp


def encode_observation(observation: Observation, name: Callable[[Secret], str]) -> bytes:
    """One observation as canonical JSON without a line end; `name` says what stands for an identity value."""
    body = {"observation": type(observation).__name__} | _plain_fields(observation, name)
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def clear(secret: Secret) -> str:
    """The value itself, in hex."""
    return secret.reveal().hex().upper()


class Numbered:
    """Names identity values by their first appearance: `id-1`, `id-2`, ... so that equal ones are seen to be equal."""

    def __init__(self) -> None:
        self._numbers: dict[Secret, int] = {}

    def __call__(self, secret: Secret) -> str:
        """The number of this value."""
        return f"id-{self._numbers.setdefault(secret, len(self._numbers) + 1)}"


def _plain_fields(record: object, name: Callable[[Secret], str]) -> dict[str, object]:
    return {field.name: _plain(getattr(record, field.name), name) for field in fields(record)}  # type: ignore[arg-type]


def _plain(value: object, name: Callable[[Secret], str]) -> object:
    if isinstance(value, Secret):
        return name(value)
    if isinstance(value, Stamp):
        return [value.mono_ns, value.utc_ns]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, name) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _plain_fields(value, name)
