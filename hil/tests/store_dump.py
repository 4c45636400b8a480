"""What a lane's store says it holds, asked as a technician asks: with the program's own command."""

import subprocess
import sys
from pathlib import Path


def acknowledged(store_dir: Path) -> list[str]:
    """Bundle ids that `edge-agent store dump` acknowledges, in order."""
    command = [sys.executable, "-m", "edge_agent", "store", "dump", "--store", str(store_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return [line.removeprefix("ACK ") for line in done.stdout.splitlines()]
