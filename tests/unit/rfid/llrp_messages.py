"""The published LLRP messages of `tests/captures/llrp`, with where each came from."""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[2] / "captures" / "llrp" / "messages.json"
_DATA = json.loads(_FILE.read_text())

MESSAGES: dict[str, bytes] = {item["name"]: bytes.fromhex(item["hex"]) for item in _DATA["messages"]}
BODIES: dict[str, dict[str, Any]] = {
    item["name"]: {**item, "bytes": bytes.fromhex(item["hex"])} for item in _DATA["bodies"]
}
REPORTS = [message[10:] for name, message in MESSAGES.items() if name.startswith("report_")]
EVERYTHING = b"".join(MESSAGES.values())
