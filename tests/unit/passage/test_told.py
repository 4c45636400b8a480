"""Every word that officers, technicians and the centre read: whole stories, as they were told before."""

from collections.abc import Callable

import pytest

from .told import FOLDER, STORIES


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_it_is_told_in_the_same_words(story: Callable[[], list[str]]) -> None:
    assert story() == (FOLDER / f"{story.__name__}.txt").read_text().splitlines()
