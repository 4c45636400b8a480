"""llrpkit as programs of their own: its client against a reader, and its emulated reader.

`python -m ... client PORT`: inventory, prints what it saw. `python -m ... emulator`: serves until stdin closes.
"""

import asyncio
import json
import sys

from llrpkit.emulator.core import EmulatedTag, LLRPEmulator
from llrpkit.reader import Reader

ENOUGH = 20


async def client(port: int) -> None:
    async with Reader("127.0.0.1", port) as reader:
        await reader.set_keepalive(200)
        temperature = await reader.get_temperature()
        tags = [
            tag
            async for tag in reader.inventory(
                antennas=[1, 2],
                tx_power_dbm=27.0,
                mode_index=1002,
                include_phase=True,
                include_tid=True,
                max_tags=ENOUGH,
            )
        ]
        first = tags[0]
        sys.stdout.write(
            json.dumps(
                {
                    "firmware": reader.firmware,
                    "antennas": reader.max_antennas,
                    "modes": len(reader.capabilities.modes),
                    "temperature": temperature,
                    "reports": len(tags),
                    "epc": first.epc_hex,
                    "tid": first.tid.hex() if first.tid else None,
                    "rssi": first.rssi_dbm,
                    "phase": first.phase_deg,
                    "dropped": reader.client.dropped_reports,
                }
            )
        )


async def emulator() -> None:
    tags = [
        EmulatedTag(epc=bytes.fromhex("300833B2DDD9014000000001"), antennas=(1,), rssi_dbm=-54.0),
        EmulatedTag(epc=bytes.fromhex("E20000170101"), antennas=(2,), rssi_dbm=-60.0),
    ]
    async with LLRPEmulator(tags=tags, reads_per_sec=100.0) as reader:
        sys.stdout.write(json.dumps({"port": reader.port}) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(client(int(sys.argv[2])) if sys.argv[1] == "client" else emulator())
