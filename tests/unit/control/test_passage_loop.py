"""Towards red nothing waits; towards green the journal comes first, and in time."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from drivers.api import Stamp
from edge_agent.control.passage_loop import GRANT_DEADLINE_S, Outlets, PassageLoop
from edge_agent.model.decision import ActKind, ActResult, OfficerAct, Role
from edge_agent.model.effects import AddSupplement, Effect, EmitEvent, SealBundle
from edge_agent.model.errors import StoreError
from edge_agent.model.inputs import CoreInput, SignalChanged, Started
from edge_agent.passage.corridor import CoreConfig, fold, initial_state
from edge_agent.store.records import BundleDraft, RecordClass, RecordDraft, Sealed
from edge_agent.wire.journal import decode_input
from tests.unit.passage.story import Lane, stamp


class SlowLedger:
    """Keeps what is committed; a commit takes `commit_s`, or fails while `failing`; so many checkpoints fail."""

    def __init__(self, commit_s: float = 0.002) -> None:
        self.commit_s = commit_s
        self.failing = False
        self.failing_checkpoints = 0
        self.checkpoints_tried = 0
        self.journal: list[bytes] = []
        self.records: list[str] = []
        self.bundles: list[str] = []
        self.checkpoints: list[bytes] = []

    async def commit(
        self, journal: Sequence[bytes], bundles: Sequence[BundleDraft] = (), records: Sequence[RecordDraft] = ()
    ) -> tuple[Sealed, ...]:
        await asyncio.sleep(self.commit_s)
        if self.failing:
            raise StoreError("STORE_FAILED", "disk gone")
        self.journal += journal
        self.records += [record.record_id for record in records]
        self.bundles += [draft.bundle_id for draft in bundles]
        return tuple(Sealed(d.bundle_id, i, d.build(bytes(32)), b"", b"", i) for i, d in enumerate(bundles, 1))

    async def checkpoint(self, state: bytes) -> None:
        self.checkpoints_tried += 1
        if self.failing_checkpoints:
            self.failing_checkpoints -= 1
            raise StoreError("STORE_FULL", "no room")
        self.checkpoints.append(state)


class StoryClock:
    """Goes on from where a story ended, with the loop's time."""

    def __init__(self, story: Lane) -> None:
        self._story_s = story.now
        self._began_s = asyncio.get_running_loop().time()

    def stamp(self) -> Stamp:
        return stamp(self._story_s + asyncio.get_running_loop().time() - self._began_s)


class Rig:
    """A passage loop with its outlets in lists."""

    def __init__(self, story: Lane, ledger: SlowLedger) -> None:
        self.ledger = ledger
        self.done: list[Effect] = []
        self.order_changes = 0
        self.clock = StoryClock(story)
        self.loop = PassageLoop(initial_state(story.config), ledger, self.clock, self._outlets())

    def _outlets(self) -> Outlets:
        def note(effect: Effect) -> None:
            self.done.append(effect)

        def orders() -> None:
            self.order_changes += 1

        def record(effect: EmitEvent | AddSupplement) -> RecordDraft:
            return RecordDraft(RecordClass.LANE_EVENT, f"e{len(self.done)}-{id(effect)}", "t", b"")

        def nothing(*_: object) -> None:
            return

        def bundle(effect: SealBundle) -> BundleDraft:
            return BundleDraft(effect.conveyance.bundle_id, lambda prev: prev)

        return Outlets(orders, note, note, note, nothing, nothing, nothing, bundle, record, record)

    def feed(self, inputs: Sequence[CoreInput]) -> None:
        for event in inputs:
            self.loop.submit(event)


def inputs_of(tell: Callable[[Lane], object]) -> tuple[Lane, list[CoreInput]]:
    """A story and the inputs that tell it, without the signal loop's own (there is none here)."""
    heard: list[CoreInput] = []

    class Recorded(Lane):
        def feed(self, event: CoreInput) -> tuple[Effect, ...]:
            if not isinstance(event, SignalChanged):
                heard.append(event)
            return super().feed(event)

    lane = Recorded()
    tell(lane)
    return lane, heard


def released(lane: Lane) -> None:
    lane.start()
    lane.arrive()
    lane.decide()


def _leases(config: CoreConfig, inputs: Sequence[CoreInput]) -> bool:
    return fold(initial_state(config), inputs).lease is not None


def published(rig: Rig) -> bool:
    """Whether the signal loop may see a lease."""
    return rig.loop.lease is not None


async def committed(rig: Rig, seconds: float = 0.1) -> None:
    """Run the committer alone for a while (virtual time)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await rig.loop._commit_forever()


async def test_a_lease_is_published_only_after_its_commit() -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger(GRANT_DEADLINE_S / 2))
    rig.feed(inputs)
    assert rig.loop.state.lease is not None
    assert not published(rig)
    await committed(rig)
    assert rig.loop.lease == rig.loop.state.lease
    assert len(rig.ledger.journal) == len([row for row in rig.ledger.journal if row])


async def test_a_commit_over_the_deadline_withholds_the_lease_and_the_lane_stays_red() -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger(GRANT_DEADLINE_S * 2))
    rig.feed(inputs)
    await committed(rig, GRANT_DEADLINE_S * 3)
    assert rig.loop.lease is None
    assert rig.loop.withheld_leases == 1
    assert not rig.loop.state.store.up
    assert rig.loop.state.lease is None


@pytest.mark.parametrize("recovers_s", [GRANT_DEADLINE_S * 2.5, 3.0])
async def test_a_disk_that_is_quick_again_gives_green_again_with_a_new_lease(recovers_s: float) -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger(GRANT_DEADLINE_S * 2))
    rig.feed(inputs)
    first = rig.loop.state.lease
    assert first is not None
    asyncio.get_running_loop().call_later(recovers_s, setattr, rig.ledger, "commit_s", 0.001)
    await committed(rig, recovers_s + 2.0)
    assert rig.loop.lease is not None
    assert rig.loop.lease.seq > first.seq


async def test_a_slow_commit_of_a_renewal_does_not_take_green_from_a_rolling_vehicle() -> None:
    def renewed(lane: Lane) -> None:
        released(lane)
        lane.wait(16.0)

    story, inputs = inputs_of(renewed)
    granted = next(i for i in range(len(inputs)) if _leases(story.config, inputs[: i + 1]))
    rig = Rig(story, SlowLedger())
    rig.feed(inputs[: granted + 1])
    await committed(rig)
    first = rig.loop.lease
    assert first is not None
    rig.ledger.commit_s = GRANT_DEADLINE_S * 3
    rig.feed(inputs[granted + 1 :])
    await committed(rig, 1.0)
    assert rig.loop.lease is not None
    assert rig.loop.lease.seq > first.seq
    assert rig.loop.withheld_leases == 0
    assert rig.loop.state.store.up


@pytest.mark.parametrize(("left_s", "green"), [(0.0, False), (5.0, True)])
async def test_what_renews_a_lease_that_has_run_out_must_be_as_quick_as_a_first_one(left_s: float, green: bool) -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger(GRANT_DEADLINE_S * 2))
    rig.feed(inputs)
    granted = rig.loop.state.lease
    assert granted is not None
    ends = rig.clock.stamp().mono_ns + round(left_s * 1e9)
    rig.loop._lease = replace(granted, seq=granted.seq - 1, deadline_mono_ns=ends)
    await committed(rig, GRANT_DEADLINE_S * 3)
    assert (rig.loop.lease == granted) is green
    assert rig.loop.withheld_leases == (0 if green else 1)


async def test_a_hold_takes_the_lease_away_before_the_disk_is_asked() -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger())
    rig.feed(inputs)
    await committed(rig)
    assert published(rig)
    rig.ledger.failing = True
    act = OfficerAct(ActKind.HOLD_LANE, "r1", "bso-1", Role.OFFICER)
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(rig.loop.act(act))
        await asyncio.sleep(0)
        assert not published(rig)
        assert rig.loop.state.hold is not None
    assert answer.result().result is ActResult.FAILED_PRECONDITION
    assert "not recorded" in answer.result().message


async def test_a_failing_store_loses_nothing_and_everything_is_committed_when_it_is_back() -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger())
    rig.ledger.failing = True
    rig.feed(inputs)
    await committed(rig, 2.0)
    assert rig.ledger.journal == []
    assert rig.loop.lease is None
    rig.ledger.failing = False
    await committed(rig, 2.0)
    told = fold(initial_state(story.config), [decode_input(row) for row in rig.ledger.journal])
    assert told == rig.loop.state


async def test_a_commit_that_is_cancelled_is_not_made_twice() -> None:
    story, inputs = inputs_of(released)
    rig = Rig(story, SlowLedger(10.0))
    rig.feed(inputs)
    rows = len(rig.loop._pending)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await rig.loop.run()
    assert rows > 0
    # What was under way is the store's; only what came after it was committed on the way out.
    assert len(rig.ledger.journal) < rows


async def test_an_empty_lane_is_checkpointed_after_enough_rows() -> None:
    story, inputs = inputs_of(lambda lane: lane.start())
    rig = Rig(story, SlowLedger())
    start = next(event for event in inputs if isinstance(event, Started))
    for _ in range(401):
        rig.loop.submit(start)
    await committed(rig, 5.0)
    assert len(rig.ledger.checkpoints) == 1


async def test_a_checkpoint_that_fails_is_tried_again_later_and_the_loop_lives() -> None:
    story, inputs = inputs_of(lambda lane: lane.start())
    rig = Rig(story, SlowLedger())
    rig.ledger.failing_checkpoints = 2
    start = next(event for event in inputs if isinstance(event, Started))
    for _ in range(401):
        rig.loop.submit(start)
    for _ in range(5):
        await committed(rig, 1.0)
        rig.loop.submit(start)
    assert rig.ledger.checkpoints_tried == 1, "a disk that is full is not asked at every commit"
    for _ in range(4):
        await committed(rig, 9.0)
        rig.loop.submit(start)
    await committed(rig)
    assert rig.ledger.checkpoints
    assert rig.loop.state.store.up
    told = fold(initial_state(story.config), [decode_input(row) for row in rig.ledger.journal])
    assert told == rig.loop.state
