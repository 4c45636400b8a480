"""The picture of the sweep shows what the published table says, and nothing else."""

import re

import pytest

from hil.radio.__main__ import PAGE, PICTURE
from hil.radio.chart import chart, points
from hil.radio.sweep import PARAMETERS

TEXT = PAGE.read_text()


def test_the_published_picture_is_of_the_published_table() -> None:
    assert PICTURE.read_text() == chart(points(TEXT)), "the table has changed: python -m hil.radio chart"
    assert f"({PICTURE.name})" in TEXT


def test_every_row_of_the_table_is_a_point() -> None:
    swept = points(TEXT)
    table = TEXT[TEXT.index("| | misassigned of 400 |") :].split("\n\n")[0].splitlines()[2:]
    assert list(swept) == [parameter.name for parameter in PARAMETERS]
    assert sum(not point.default for of in swept.values() for point in of) == len(table) > 30
    assert sum(point.failed for of in swept.values() for point in of) == sum("**fails**" in row for row in table) > 0
    for of in swept.values():
        assert sum(point.default for point in of) == 1
        assert [point.value for point in of] == sorted(point.value for point in of)
    five = next(point for point in swept["spread"] if point.value == 5)
    assert (five.misassigned, five.ambiguous, round(five.incomplete, 1), five.failed) == (0.5, 0.5, 1.0, True)


def test_another_figure_is_another_picture() -> None:
    row = "| spread 5 dB | 2 | 0.50 % | 99.0 % | **fails** |"
    assert TEXT.count(row) == 1
    other = chart(points(TEXT.replace(row, "| spread 5 dB | 40 | 0.50 % | 99.0 % | **fails** |")))
    assert other != PICTURE.read_text()
    assert re.search(r">10</text>", other)


def test_a_table_that_is_not_there_or_not_of_the_sweep_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no table"):
        points("# Drivers")
    with pytest.raises(ValueError, match="knows no colour"):
        points(TEXT.replace("| spread 5 dB |", "| colour 5 dB |"))
