"""The journal's codec: core inputs and checkpoints to bytes and back, driven by the records' own type annotations.

JSON, one object per input, `t` naming its class. The journal is read only by the version family that wrote it; a field
that is new takes its default, a class that is unknown raises StoreError (a downgrade must not guess).
"""

import base64
import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from edge_agent.model.errors import StoreError
from edge_agent.model.inputs import CoreInput

R = TypeVar("R")

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(CoreInput)}


def encode_input(event: CoreInput) -> bytes:
    """The journal bytes of one core input."""
    return _ENCODER.encode({"t": type(event).__name__, **_fields(event)}).encode()


def decode_input(data: bytes) -> CoreInput:
    """The core input back; StoreError when the bytes are not one this version knows."""
    try:
        body = json.loads(data)
        kind = _KINDS[body.pop("t")]
        return cast("CoreInput", _record(kind, body))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            "JOURNAL_UNREADABLE",
            f"journal record of an unknown kind or shape: {type(error).__name__}",
            "the store was written by a newer version, or is damaged: see the runbook",
        ) from error


def encode_record(record: object) -> bytes:
    """The bytes of any frozen record (a checkpoint of the core's state)."""
    return _ENCODER.encode(_fields(record)).encode()


def decode_record(kind: type[R], data: bytes) -> R:
    """A record of this kind back; StoreError when the bytes do not fit it."""
    try:
        return cast("R", _record(kind, json.loads(data)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            "CHECKPOINT_UNREADABLE",
            f"checkpoint of another shape than {kind.__name__}: {type(error).__name__}",
            "the store was written by another version: see the runbook",
        ) from error


_fields_by_kind: dict[type[Any], tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {}


def _fields(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    kind = type(record)
    known = _fields_by_kind.get(kind)
    if known is None:
        known = _fields_by_kind[kind] = _reader(tuple(field.name for field in dataclasses.fields(kind)))
    names, values_of = known
    return dict(zip(names, values_of(record), strict=True))


def _reader(names: tuple[str, ...]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The fields and what reads all of them at once."""
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda record: tuple(getattr(record, name) for name in names)


def _plain(value: Any) -> Any:  # noqa: ANN401 - one return per shape
    """What JSON has no form for. Strings, numbers, tuples and dicts never come here, so enumerations must be StrEnum or
    IntEnum where they are keys."""
    known = _fields_by_kind.get(type(value))
    if known is not None:  # nearly always, and the tests below are slow
        names, values_of = known
        return dict(zip(names, values_of(value), strict=True))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return list(value)
    return _fields(value)


_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_plain)


_Decoder = Callable[[Any], Any]
_decoders_by_kind: dict[type[Any], dict[str, _Decoder]] = {}


def _record(kind: type[Any], body: dict[str, Any]) -> Any:  # noqa: ANN401 - any dataclass
    decoders = _decoders_by_kind.get(kind)
    if decoders is None:
        hints = get_type_hints(kind)
        decoders = _decoders_by_kind[kind] = {name: _decoder(hint) for name, hint in hints.items()}
    return kind(**{name: None if value is None else decoders[name](value) for name, value in body.items()})


@cache
def _decoder(hint: Any) -> _Decoder:  # noqa: ANN401 - any annotation
    """What makes a value of this annotation from JSON that is not null. Worked out once: a restart reads thousands."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decoder(next(a for a in get_args(hint) if a is not type(None)))
    if origin is tuple:
        return _tuple_decoder(get_args(hint))
    if origin is not None and issubclass(origin, Mapping):
        key, item = map(_decoder, get_args(hint))
        return lambda value: {key(k): None if v is None else item(v) for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return partial(_record, cast("type[Any]", hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return _LEAVES.get(hint, _as_it_is)


_LEAVES: Mapping[Any, _Decoder] = {bytes: base64.b64decode, float: float}


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return value


def _tuple_decoder(items: tuple[Any, ...]) -> _Decoder:
    if len(items) == 2 and items[1] is Ellipsis:
        item = _decoder(items[0])
        return lambda value: tuple([None if v is None else item(v) for v in value])
    decoders = tuple(map(_decoder, items))
    return lambda value: tuple([None if v is None else d(v) for d, v in zip(decoders, value, strict=True)])
