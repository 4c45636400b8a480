"""A libmodbus server as a process: `python -m tests.conformance.modbus.libmodbus_server PATH BAUD` on a serial line as
unit 1, or without arguments over TCP. Prints `{"ready": true}` with the TCP port; ends when its stdin closes."""

import json
import os
import sys
import threading

from tests.conformance.modbus.libmodbus import Slave, generic, serve_rtu


def _ready(port: int = 0) -> None:
    sys.stdout.write(json.dumps({"ready": True, "port": port}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until told to end."""
    if len(sys.argv) > 2:
        threading.Thread(target=serve_rtu, args=(sys.argv[1], int(sys.argv[2]), 1, _ready), daemon=True).start()
        sys.stdin.read()
        os._exit(0)  # libmodbus waits in C for a frame that never comes
    with Slave(generic) as slave:
        _ready(slave.port)
        sys.stdin.read()


if __name__ == "__main__":
    main()
