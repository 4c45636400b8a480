"""What the agent says of a store that it had to set aside."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import apsw

from edge_agent.control.agent import Agent
from edge_agent.control.effects import EffectOutlets
from edge_agent.model.lane import LaneIdentity
from edge_agent.runtime.health import HealthBoard
from edge_agent.store.records import RecordClass
from edge_agent.store.store import Store
from securecorridor.release.v1 import record_pb2
from tests.unit.store.lane_store import LANE, HandClock, bundle, open_store


@dataclass
class _Parts:
    """As much of an agent as this needs."""

    store: Store
    clock: HandClock = field(default_factory=HandClock)
    board: HealthBoard = field(default_factory=HealthBoard)


async def test_central_is_told_of_a_store_that_was_set_aside_and_whose_chain_it_held(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    (sealed,) = await store.commit([b"a"], [bundle("b1")])
    epoch = store.epoch
    await store.close()
    database = apsw.Connection(str(tmp_path / "data" / "lane.db"))
    database.execute("UPDATE journal SET body = 'flipped'")
    database.close()
    again = await open_store(tmp_path, seed=2)
    await _outlets(_Parts(again)).report_opened()
    (record,) = await again.pending(RecordClass.LANE_EVENT, 0, 10)
    told = record_pb2.LaneEvent.FromString(record.payload)
    assert (told.code, told.site.lane) == ("STORE_QUARANTINED", LANE)
    assert dict(told.facts) == {
        "reason": "a journal row fails its SHA-256",
        "previous_epoch": epoch,
        "previous_chain_head": sealed.chain_head.hex(),
        "previous_chain_length": "1",
    }
    await again.close()


async def test_a_store_found_in_order_is_no_news(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    parts = _Parts(store)
    await _outlets(parts).report_opened()
    assert await store.pending(RecordClass.LANE_EVENT, 0, 10) == []
    assert parts.board.raised() == ()
    await store.close()


def _outlets(parts: _Parts) -> EffectOutlets:
    return EffectOutlets(cast(Agent, parts), LaneIdentity(LANE, "0427", "CAFRT", "inbound", "1", "", "", ""))
