"""Runs on record: what may be put there, how a record goes on, and that those that are kept add up."""

import json
from pathlib import Path
from typing import Any

import pytest

from hil.days import runner
from hil.days.__main__ import main
from hil.days.publish import NotForTheRecord, problems, publish
from hil.days.runner import Wanted, run

RECORDS = Path(__file__).parents[2] / "hil" / "records"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER", "tests.days.quick_worker")
    _by(monkeypatch, "0123456789ab")


def _by(monkeypatch: pytest.MonkeyPatch, *versions: str) -> None:
    """The checkout is of these versions, one after another; the last one stays."""
    left = list(versions)
    monkeypatch.setattr(runner, "version", lambda: left.pop(0) if len(left) > 1 else left[0])


def _ran(folder: Path, passages: int = 40, seed: int = 0) -> Path:
    run(Wanted(passages, first_seed=seed, workers=1, folder=folder))
    return folder


def test_every_record_that_is_kept_is_well_formed() -> None:
    kept = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in RECORDS.glob("*.json")}
    assert {name: wrong for name, record in kept.items() if (wrong := list(problems(record)))} == {}


def test_a_run_is_published_with_everything_that_was_found(tmp_path: Path) -> None:
    made = publish(_ran(tmp_path / "run", 100), tmp_path / "record.json")
    assert made == json.loads((tmp_path / "record.json").read_text())
    (part,) = made["parts"]
    assert (part["version"], part["first_seed"], part["last_seed"], part["days"]) == ("0123456789ab", 0, 9, 10)
    assert (part["passages"], part["cpu_s"], part["days_by_kind"]) == (109, 5.0, {"calm": 10})
    assert part["found"]["wrong_green"] == 1
    assert part["failing"] == [
        {"seed": 7, "kind": "calm", "found": ["wrong green at 12.000: no_live_decision: green for T3"]}
    ]
    assert made["totals"]["failing_days"] == 1


def test_a_record_goes_on_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "record.json"
    publish(_ran(tmp_path / "one"), file)
    _by(monkeypatch, "ba9876543210")
    made = publish(_ran(tmp_path / "two", 30, seed=4), file)
    assert made["totals"]["passages_by_version"] == {"0123456789ab": 43, "ba9876543210": 33}
    assert (made["totals"]["passages"], made["totals"]["days"]) == (76, 7)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_seeds_that_are_there_already_or_leave_a_gap_are_refused(tmp_path: Path, seed: int) -> None:
    file = tmp_path / "record.json"
    publish(_ran(tmp_path / "one"), file)
    before = file.read_bytes()
    with pytest.raises(NotForTheRecord, match="--seed 4"):
        publish(_ran(tmp_path / "two", 20, seed=seed), file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("version", ["0123456789ab-dirty", "unknown"])
def test_what_nobody_can_have_again_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    _by(monkeypatch, version)
    with pytest.raises(NotForTheRecord, match=version):
        publish(_ran(tmp_path / "run"), tmp_path / "record.json")
    assert not (tmp_path / "record.json").exists()


def test_several_versions_in_one_run_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _by(monkeypatch, "0123456789ab", "0123456789ab", "ba9876543210")  # files change while it runs
    with pytest.raises(NotForTheRecord, match="several versions"):
        publish(_ran(tmp_path / "moved"), tmp_path / "record.json")
    _by(monkeypatch, "0123456789ab")
    _ran(tmp_path / "resumed", 20)
    _by(monkeypatch, "ba9876543210")
    run(Wanted(60, workers=1, folder=tmp_path / "resumed", resume=True))
    with pytest.raises(NotForTheRecord, match="several versions"):
        publish(tmp_path / "resumed", tmp_path / "record.json")


def test_a_folder_without_days_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(tmp_path), str(tmp_path / "record.json")]) == 2
    assert "days.jsonl" in capsys.readouterr().err
    (tmp_path / "days.jsonl").write_text('{"day_s": 1800.0, "first_seed": 0}\n')
    assert main(["publish", str(tmp_path), str(tmp_path / "record.json")]) == 2
    assert "no whole day" in capsys.readouterr().err


def test_the_command_tells_the_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(_ran(tmp_path / "run")), str(tmp_path / "record.json")]) == 0
    assert "passages             43\n" in capsys.readouterr().out


def _without(record: dict[str, Any]) -> None:
    del record["parts"][0]["digest"]


def _dirty(record: dict[str, Any]) -> None:
    record["parts"][0]["version"] += "-dirty"


def _more(record: dict[str, Any]) -> None:
    record["parts"][0]["passages"] += 1


def _longer(record: dict[str, Any]) -> None:
    record["parts"][0]["last_seed"] += 1


def _hidden(record: dict[str, Any]) -> None:
    record["parts"][0]["failing"] = []


def _twice(record: dict[str, Any]) -> None:
    record["parts"] *= 2


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_without, "fields of a part"),
        (_dirty, "no version"),
        (_more, "not the sums"),
        (_longer, "do not add up"),
        (_hidden, "findings without days"),
        (_twice, "part 2 begins with seed 0"),
    ],
)
def test_a_record_that_was_edited_is_noticed(tmp_path: Path, edit: Any, says: str) -> None:
    record = json.loads(json.dumps(publish(_ran(tmp_path / "run", 100), tmp_path / "record.json")))
    edit(record)
    assert any(says in words for words in problems(record))
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(NotForTheRecord, match=r"record\.json"):
        publish(_ran(tmp_path / "more", 20, seed=10), tmp_path / "record.json")
