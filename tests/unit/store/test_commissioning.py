"""The kill test's record on disk."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.model.errors import StoreError
from edge_agent.store.commissioning import FILE, KillTestRecord, read_record, write_record

RECORD = KillTestRecord(
    device="io-1", module="ab12", model="WAGO 750-352", firmware="263", serial="00:30:de:00:00:01",
    profile="wago_750_352", profile_digest="cd34", watchdog_ms="1000", red_ms=1_043, sign="watchdog", by="tech-7",
    utc_ns=1_790_000_000_000_000_000,
)  # fmt: skip


def test_a_record_comes_back_and_a_newer_one_replaces_it(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    newer = replace(RECORD, module="ef56")
    write_record(tmp_path, newer)
    assert read_record(tmp_path) == newer
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("1043", "43"),
        lambda text: text.replace("ab12", "ab13"),
        lambda text: text[:40],
        lambda _text: "",
        lambda _text: "[]",
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "sha256"}),
        lambda text: json.dumps({**json.loads(text), "more": 1}),
    ],
)
def test_a_record_that_is_not_as_it_was_written_is_none(tmp_path: Path, damage: object) -> None:
    write_record(tmp_path, RECORD)
    path = tmp_path / FILE
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(StoreError) as told:
        read_record(tmp_path)
    assert told.value.code == "COMMISSIONING_DAMAGED"


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as told:
        write_record(tmp_path / "gone", RECORD)
    assert told.value.code == "COMMISSIONING_UNWRITTEN"
