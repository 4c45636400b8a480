"""The record of the kill test of the head's module: one file in the store's folder, durable, with its own hash.

The hash tells damage and careless editing; it is no signature. Central has the same facts as a lane event.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge_agent.model.errors import StoreError

from .quarantine import sync_directory

FILE = "commissioning.json"


@dataclass(frozen=True, slots=True)
class KillTestRecord:
    """A passed kill test. `module` is the digest of the module's identity (model, firmware, serial number) as it told
    it, `profile_digest` its profile's, `watchdog_ms` the time it was set to, `red_ms` from the last write that fed it
    to red, seen by `sign`; `by` a pseudonym; `utc_ns` when."""

    device: str
    module: str
    model: str
    firmware: str
    serial: str
    profile: str
    profile_digest: str
    watchdog_ms: str
    red_ms: int
    sign: str
    by: str
    utc_ns: int


def write_record(folder: Path, record: KillTestRecord) -> None:
    """Replace the record on disk; durable on return. Blocks. StoreError when it cannot be."""
    body = asdict(record)
    text = json.dumps({**body, "sha256": _digest(body)}, indent=1)
    try:
        making = folder / f"{FILE}.new"
        with making.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        making.rename(folder / FILE)
        sync_directory(folder)
    except OSError as error:
        raise StoreError("COMMISSIONING_UNWRITTEN", f"{folder / FILE}: {error.strerror}", "check the disk") from error


def read_record(folder: Path) -> KillTestRecord | None:
    """The record on disk, None without one. StoreError COMMISSIONING_DAMAGED when it is not as it was written."""
    path = folder / FILE
    hint = "do the kill test again (lanectl commission)"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        written = body.pop("sha256")
        known = {field.name for field in fields(KillTestRecord)}
        if written != _digest(body) or body.keys() != known:
            raise StoreError("COMMISSIONING_DAMAGED", f"{path.name} is not as it was written", hint)
        return KillTestRecord(**body)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise StoreError(
            "COMMISSIONING_DAMAGED", f"{path.name} cannot be read: {type(error).__name__}", hint
        ) from error


def _digest(body: dict[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
