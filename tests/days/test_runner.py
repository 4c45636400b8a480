"""A run of many days: the same figures however it was worked off, and nothing lost when it is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hil.days import runner
from hil.days.__main__ import main
from hil.days.plan import Finding, finding_of, plan_of
from hil.days.runner import RunError, Wanted, repeat_line, run

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER", "tests.days.quick_worker")
    monkeypatch.setattr(runner, "version", lambda: "v1")


def _lines(folder: Path) -> list[str]:
    return (folder / "days.jsonl").read_text().splitlines()


def test_figures_do_not_depend_on_the_number_of_workers() -> None:
    one, three = (run(Wanted(100, workers=workers)).record() for workers in (1, 3))
    assert one == three
    assert (one["passages"], one["last_seed"], one["failing_seeds"]) == (109, 9, [7])
    assert one["found"] == {**dict.fromkeys((finding.value for finding in Finding), 0), "wrong_green": 1}


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    run(Wanted(40, folder=tmp_path))
    with (tmp_path / "days.jsonl").open("a") as file:
        file.write('{"seed": 99, "pass')  # killed in the middle of a line
    before = _lines(tmp_path)[:-1]
    resumed = run(Wanted(100, folder=tmp_path, resume=True))
    assert _lines(tmp_path)[: len(before)] == before
    seeds = [json.loads(line)["seed"] for line in _lines(tmp_path)[1:]]
    assert len(seeds) == len(set(seeds))
    assert resumed.record() == run(Wanted(100)).record() == json.loads((tmp_path / "record.json").read_text())


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    run(Wanted(40, folder=tmp_path))
    before = _lines(tmp_path)
    run(Wanted(40, folder=tmp_path, resume=True))
    assert _lines(tmp_path) == before


def test_a_record_is_not_overwritten_nor_mixed_with_another(tmp_path: Path) -> None:
    run(Wanted(40, folder=tmp_path))
    with pytest.raises(RunError, match="--resume"):
        run(Wanted(40, folder=tmp_path))
    with pytest.raises(RunError, match="another run"):
        run(Wanted(40, first_seed=5, folder=tmp_path, resume=True))


def test_a_worker_that_is_killed_once_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK_WORKER_DIES", str(tmp_path / "grave"))
    record = run(Wanted(100)).record()
    assert (tmp_path / "grave").exists()
    monkeypatch.delenv("QUICK_WORKER_DIES")
    assert record == run(Wanted(100)).record()


def test_a_seed_that_always_ends_its_worker_is_named() -> None:
    with pytest.raises(RunError, match=r"seed 1001 with exit code 1, after \d+\.\d s of .*, at most \d+ MB resident"):
        run(Wanted(40, first_seed=1001, workers=1))


def test_a_worker_that_a_signal_ends_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK_WORKER_DIES", str(tmp_path / "grave"))
    monkeypatch.setenv("QUICK_WORKER_SIGNAL", "SEGV")
    progress = run(Wanted(100))
    assert len(progress.replaced) == 1
    assert "seed 3 killed by SIGSEGV, after" in progress.replaced[0]


def test_a_failing_seed_prints_its_reproduction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--passages", "100", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        "seed 7 (calm): wrong green at 12.000: no_live_decision: green for T3; repeat with: ./dev hil days repeat 7"
    )
    assert main(["--passages", "50", "-o", str(tmp_path), "--resume"]) == 0
    assert main(["--passages", "50", "-o", str(tmp_path)]) == 2


@pytest.mark.timeout(60)
def test_killed_in_the_middle_it_leaves_whole_days_and_no_workers(tmp_path: Path) -> None:
    code = "import sys; from hil.days import runner; runner.WORKER = 'tests.days.quick_worker'; "
    code += "from hil.days.__main__ import main; main(sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    arguments = ["--passages", "9000", "-o", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        while not (tmp_path / "days.jsonl").exists() or len(_lines(tmp_path)) < 30:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert process.stderr is not None
        process.stderr.read()  # ends when the last worker, which holds it too, has gone
    resumed = run(Wanted(2_000, folder=tmp_path, resume=True)).record()
    assert {**resumed, "versions": {}} == {**run(Wanted(2_000)).record(), "versions": {}}


def test_a_seed_is_a_day() -> None:
    assert plan_of(7) == plan_of(7)
    assert {plan_of(seed).kind.name for seed in range(12)} >= {"calm", "kills", "everything"}
    assert repeat_line({"seed": 7}) == "./dev hil days repeat 7"


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ("wrong green at 3.000: after_nose: ...", Finding.WRONG_GREEN),
        ("no bundle for T4, which left at 9.0", Finding.MISSED_BUNDLE),
        ("the bundles' sequence has a gap", Finding.MISSED_BUNDLE),
        ("2 bundles for T4", Finding.DOUBLED_BUNDLE),
        ("2 bundles for nobody", Finding.DOUBLED_BUNDLE),
        ("record c1 is sealed and alive", Finding.DOUBLED_BUNDLE),
        ("the run broke: AssertionError('bundle 7 sealed twice')", Finding.DOUBLED_BUNDLE),
        ("a tag of T1 on the record of T2", Finding.MISASSOCIATION),
        ("T1 is accused of a violation", Finding.ACCUSED),
        ("the fresh truck did not get through: no bundle", Finding.OTHER),
    ],
)
def test_sentences_are_counted_as_what_they_say(words: str, finding: Finding) -> None:
    assert finding_of(words) is finding
