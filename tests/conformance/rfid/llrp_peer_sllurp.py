"""An unmodified sllurp client as a program of its own (it is GPL: nothing of ours imports it).

`python -m ... PORT`: connect, take an inventory, disconnect; prints what it saw as JSON.
"""

import json
import logging
import sys
import threading
from typing import Any

from sllurp.llrp import LLRPReaderClient, LLRPReaderConfig  # type: ignore[import-untyped]

ENOUGH = 20


def main(port: int) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    seen: list[dict[str, Any]] = []
    enough = threading.Event()

    def take(reader: LLRPReaderClient, reports: list[dict[str, Any]]) -> None:
        seen.extend(reports)
        if len(seen) >= ENOUGH and not enough.is_set():
            enough.set()
            # Here, on the client's own thread: from another one it may miss the answer it then waits for without end,
            # because it sends the request before it notes whom to tell.
            reader.disconnect()

    config = LLRPReaderConfig(
        {
            "antennas": [1, 2],
            "report_every_n_tags": 1,
            "session": 1,
            "keepalive_interval": 200,
            "impinj_tag_content_selector": {
                "EnableRFPhaseAngle": True,
                "EnablePeakRSSI": True,
                "EnableRFDopplerFrequency": True,
            },
            "tag_content_selector": {
                "EnableROSpecID": False,
                "EnableSpecIndex": False,
                "EnableInventoryParameterSpecID": False,
                "EnableAntennaID": True,
                "EnableChannelIndex": True,
                "EnablePeakRSSI": True,
                "EnableFirstSeenTimestamp": False,
                "EnableLastSeenTimestamp": True,
                "EnableTagSeenCount": True,
                "EnableAccessSpecID": False,
            },
        }
    )
    reader = LLRPReaderClient("127.0.0.1", port, config)
    reader.add_tag_report_callback(take)
    reader.connect()
    in_time = enough.wait(10)
    if not in_time:
        reader.disconnect()
    reader.join(5)
    first = (
        {name: value.hex() if isinstance(value, bytes) else value for name, value in seen[0].items()} if seen else {}
    )
    sys.stdout.write(
        json.dumps({"in_time": in_time, "reports": len(seen), "first": first, "alive": reader.is_alive()}, default=str)
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
