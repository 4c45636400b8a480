"""sllurp's decoder as a program of its own (it is GPL: nothing of ours imports it): tags per second for a message.

`python -m ... HEX MESSAGES ROUNDS` prints the best of ROUNDS.
"""

import sys
import time

from sllurp.llrp import LLRPMessage  # type: ignore[import-untyped]


def main(message: bytes, messages: int, rounds: int) -> None:
    best = 0.0
    for _ in range(rounds):
        tags = 0
        began = time.perf_counter()
        for _ in range(messages):
            tags += len(LLRPMessage(msgbytes=message).msgdict["RO_ACCESS_REPORT"]["TagReportData"])
        best = max(best, tags / (time.perf_counter() - began))
    sys.stdout.write(f"{best}\n")


if __name__ == "__main__":
    main(bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
