"""EPC decoding beside epcpy 0.1.8, in one process on the published examples of the common schemes."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from epcpy.utils.parsers import hex_to_tag_encodable

from drivers.rfid.epc_codec import describe_epc

pytestmark = pytest.mark.bench

_FILE = Path(__file__).parents[1] / "captures" / "epc" / "tds_examples.json"
_LEGACY = json.loads(_FILE.read_text())["editions"][0]["examples"]
_COMMON = ("sgtin-96", "sscc-96", "sgln-96", "grai-96", "giai-96", "gid-96", "sgtin-198")


def _rate(work: Callable[[], object], decodes: int) -> float:
    began = time.process_time()
    work()
    return decodes / (time.process_time() - began)


@pytest.mark.parametrize("scheme", [*_COMMON, "common"])
def test_rate_against_the_peer(scheme: str) -> None:
    wanted = _COMMON if scheme == "common" else (scheme,)
    hexes = [str(e["hex"]) + "0" * (-len(e["hex"]) % 4) for e in _LEGACY if e["scheme"] in wanted]
    epcs = [(len(text) // 4 << 11, bytes.fromhex(text)) for text in hexes]
    rounds = 6_000 // len(hexes)

    def peer() -> None:
        for _ in range(rounds):
            for text in hexes:
                hex_to_tag_encodable(text).epc_uri  # noqa: B018

    def ours() -> None:
        for _ in range(rounds * 5):
            for pc, epc in epcs:
                describe_epc(pc, epc).uri  # noqa: B018

    best_peer = best_ours = 0.0
    for _ in range(5):  # side by side, so that a busy machine slows both
        best_peer = max(best_peer, _rate(peer, rounds * len(hexes)))
        best_ours = max(best_ours, _rate(ours, rounds * len(hexes) * 5))
    ratio = best_ours / best_peer
    print(f"\nEPC decode, {scheme}: {best_ours:,.0f}/s, epcpy {best_peer:,.0f}/s, ratio {ratio:.1f}")  # noqa: T201

    assert ratio >= 5.0
