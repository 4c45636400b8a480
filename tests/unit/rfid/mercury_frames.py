"""The published Mercury frames of `tests/captures/mercury`, with where each came from."""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[2] / "captures" / "mercury" / "frames.json"
_DATA = json.loads(_FILE.read_text())

REPLIES: list[dict[str, Any]] = [{**item, "bytes": bytes.fromhex(item["hex"])} for item in _DATA["replies"]]
COMMANDS: dict[str, bytes] = {item["name"]: bytes.fromhex(item["hex"]) for item in _DATA["commands"]}
STARTS: list[dict[str, Any]] = [{**item, "bytes": bytes.fromhex(item["hex"])} for item in _DATA["starts"]]
REPLY: dict[str, bytes] = {item["name"]: item["bytes"] for item in REPLIES}
EVERYTHING = b"".join(item["bytes"] for item in REPLIES)
