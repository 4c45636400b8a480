"""Channel: bounded, counted, and nothing lost by cancellation."""

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.channel import Channel, ChannelClosed, Overflow


async def test_items_come_out_in_order() -> None:
    channel: Channel[int] = Channel("c", 3, Overflow.REFUSE)
    assert [channel.put(n) for n in range(4)] == [True, True, True, False]
    assert [await channel.get() for _ in range(3)] == [0, 1, 2]
    stats = channel.stats
    assert (stats.accepted, stats.dropped, stats.depth, stats.depth_max) == (3, 1, 0, 3)


async def test_drop_oldest_keeps_the_newest_and_counts() -> None:
    channel: Channel[int] = Channel("c", 2, Overflow.DROP_OLDEST)
    assert all(channel.put(n) for n in range(5))
    assert [await channel.get(), await channel.get()] == [3, 4]
    assert channel.stats.dropped == 3


async def test_latest_wins_holds_one() -> None:
    channel: Channel[str] = Channel("c", 1, Overflow.LATEST_WINS)
    channel.put("old")
    channel.put("new")
    assert channel.take() == "new"
    assert channel.take() is None


@pytest.mark.parametrize(("capacity", "overflow"), [(0, Overflow.REFUSE), (2, Overflow.LATEST_WINS)])
def test_a_capacity_that_does_not_fit_is_refused(capacity: int, overflow: Overflow) -> None:
    with pytest.raises(ValueError, match="capacity"):
        Channel("c", capacity, overflow)


async def test_close_lets_readers_drain_then_ends_them() -> None:
    channel: Channel[int] = Channel("c", 4, Overflow.REFUSE)
    channel.put(1)
    seen: list[int] = []

    async def read() -> None:
        seen.extend([item async for item in channel])

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        group.create_task(read())
        await asyncio.sleep(1)
        channel.put(2)
        channel.close()
    assert seen == [1, 2]
    assert channel.put(3) is False
    with pytest.raises(ChannelClosed):
        await channel.get()


async def test_a_reader_cancelled_while_woken_passes_the_item_on() -> None:
    channel: Channel[int] = Channel("c", 4, Overflow.REFUSE)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(channel.get())
        second = group.create_task(channel.get())
        await asyncio.sleep(1)
        channel.put(7)
        first.cancel()
    assert first.cancelled()
    assert second.result() == 7


@given(
    st.sampled_from([Overflow.REFUSE, Overflow.DROP_OLDEST]),
    st.integers(1, 4),
    st.lists(st.booleans(), max_size=60),
)
def test_behaves_like_the_obvious_model(overflow: Overflow, capacity: int, puts: list[bool]) -> None:
    channel: Channel[int] = Channel("c", capacity, overflow)
    model: deque[int] = deque(maxlen=capacity)
    for number, is_put in enumerate(puts):
        if not is_put:
            assert channel.take() == (model.popleft() if model else None)
        elif overflow is Overflow.REFUSE and len(model) == capacity:
            assert not channel.put(number)
        else:
            model.append(number)
            assert channel.put(number)
    stats = channel.stats
    assert stats.depth == len(model) <= capacity
    assert stats.depth_max <= capacity
