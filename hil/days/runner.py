"""Many random days in several processes, with a record that outlives them: days.jsonl, a line a day, and record.json.

A run is a number of passages from a first seed on. What counts are the seeds from the first one on until the passages
are reached, without a gap, whatever order the workers finish in: the same run has the same figures with any number of
workers, interrupted or not.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.days.plan import DAY_S, Finding

ROOT = Path(__file__).parents[2]
WORKER = "hil.days.worker"
Day = Mapping[str, Any]


class RunError(Exception):
    """The run cannot begin or go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run. `folder` None: no record is kept. `nice` is added to the workers' niceness."""

    passages: int
    first_seed: int = 0
    workers: int = 2
    folder: Path | None = None
    resume: bool = False
    nice: int = 0


@dataclass(slots=True)
class Progress:
    """The run so far. `days` by seed; what lies beyond the first gap does not count yet. `before`: passages that an
    earlier sitting has left; `replaced` why workers of this one were."""

    wanted: Wanted
    days: dict[int, Day] = field(default_factory=dict)
    before: int = 0
    replaced: list[str] = field(default_factory=list)

    def counted(self) -> list[Day]:
        """The days that count: from the first seed on without a gap, until there are passages enough."""
        found: list[Day] = []
        total = 0
        seed = self.wanted.first_seed
        while total < self.wanted.passages and seed in self.days:
            found.append(self.days[seed])
            total += int(self.days[seed]["passages"])
            seed += 1
        return found

    def done(self) -> bool:
        """Whether there are passages enough."""
        return sum(int(day["passages"]) for day in self.counted()) >= self.wanted.passages

    def failing(self) -> list[Day]:
        """Days that count and were found wrong."""
        return [day for day in self.counted() if day["found"]]

    def record(self) -> dict[str, Any]:
        """The figures of the run, for people and for the next run."""
        days = self.counted()
        cpu_s = sum(day["cpu_s"] for day in days)
        virtual_s = sum(day["virtual_s"] for day in days)
        passages = sum(day["passages"] for day in days)
        counts: Counter[str] = Counter()
        for day in days:
            counts.update(day["counts"])
        return {
            "wanted_passages": self.wanted.passages,
            "passages": passages,
            "bundles": sum(day["bundles"] for day in days),
            "greens": sum(day["greens"] for day in days),
            "first_seed": self.wanted.first_seed,
            "last_seed": days[-1]["seed"] if days else None,
            "days": len(days),
            "days_by_kind": dict(sorted(Counter(day["kind"] for day in days).items())),
            "found": {finding.value: counts[finding.value] for finding in Finding},
            "doubted_records": sum(day.get("doubted", 0) for day in days),
            "still_open_seeds": [day["seed"] for day in days if day["still_open"]],
            "failing_seeds": [day["seed"] for day in days if day["found"]],
            "virtual_h": round(virtual_s / 3600.0, 2),
            "cpu_s": round(cpu_s, 1),
            "cpu_ms_per_passage": round(cpu_s / passages * 1000.0, 1) if passages else None,
            "times_real_time": round(virtual_s / cpu_s) if cpu_s else None,
            "versions": dict(sorted(Counter(day["version"] for day in days).items())),
        }


def repeat_line(day: Day) -> str:
    """The line that has a failing day again."""
    return f"./dev hil days repeat {day['seed']}"


def version() -> str:
    """The commit under test, marked when files differ from it; "unknown" outside a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run(wanted: Wanted, tell: Callable[[Progress], None] = lambda _progress: None) -> Progress:
    """Run until there are passages enough; `tell` hears of every day. RunError: the folder or a worker is unusable."""
    progress = Progress(wanted)
    book = _Book(wanted.folder) if wanted.folder is not None else None
    if book is not None:
        progress.days.update(book.open(wanted))
        progress.before = sum(int(day["passages"]) for day in progress.days.values())
    try:
        _work(progress, book, tell)
    finally:
        if book is not None:
            book.close(progress.record())
    return progress


def _work(progress: Progress, book: "_Book | None", tell: Callable[[Progress], None]) -> None:
    wanted, mark = progress.wanted, version()
    finished: queue.Queue[_Word] = queue.Queue()
    seeds = (seed for seed in _from(wanted.first_seed) if seed not in progress.days)
    workers = [_Worker(finished, wanted.nice) for _ in range(max(1, wanted.workers))]
    died: set[int] = set()
    try:
        while True:
            busy = _give_out(progress, workers, seeds)
            if not busy:
                return
            worker, day = finished.get()
            if isinstance(day, RunError):
                if worker.seed in died:
                    raise day
                died.add(worker.seed)  # something has killed it: once is no day's fault
                progress.replaced.append(str(day))
                worker.end()
                workers[workers.index(worker)] = fresh = _Worker(finished, wanted.nice)
                fresh.give(worker.seed)
                continue
            worker.idle = True
            now = version()
            day = {**day, "version": mark if now == mark else f"{mark} and {now}"}
            progress.days[int(day["seed"])] = day
            if book is not None:
                book.write(day)
            tell(progress)
    finally:
        for worker in workers:
            worker.end()


def _give_out(progress: Progress, workers: list["_Worker"], seeds: Iterator[int]) -> int:
    """Give every idle worker a day while there are not passages enough; how many are at work then.

    With passages enough in all, but not yet without a gap, the slow one is waited for: nobody runs far ahead."""
    for worker in workers:
        busy = sum(not other.idle for other in workers)
        ran = sum(int(day["passages"]) for day in progress.days.values())
        if worker.idle and not progress.done() and (ran < progress.wanted.passages or not busy):
            worker.give(next(seeds))
    return sum(not worker.idle for worker in workers)


def _from(seed: int) -> Iterator[int]:
    while True:
        yield seed
        seed += 1


class _Worker:
    """A process that runs days: a seed in, a line of JSON out. It ends when its input does, also when we are killed."""

    def __init__(self, finished: "queue.Queue[_Word]", nice: int) -> None:
        self.idle = True
        self._finished = finished
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER, str(nice)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment, cwd=ROOT,
        )  # fmt: skip
        self.seed = -1
        self._reader = threading.Thread(target=self._read, name="days worker", daemon=True)
        self._reader.start()

    def give(self, seed: int) -> None:
        """Run this one next."""
        self.idle, self.seed = False, seed
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seed}\n")
        except OSError as error:
            raise RunError(f"a worker is gone: {error}") from None

    def end(self) -> None:
        """End it now; a day in work is lost and will be run again."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._finished.put((self, json.loads(line)))
        if not self.idle:
            self._finished.put((self, RunError(f"the worker ended over seed {self.seed} {self._obituary()}")))

    def _obituary(self) -> str:
        """How it ended, and what it had used until then: a limit of memory or time shows in it."""
        try:
            _, status, used = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # `end` was quicker
            return f"with exit code {self._process.wait()}"
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        spent_s = used.ru_utime + used.ru_stime
        return f"{how}, after {spent_s:.1f} s of processor time, at most {used.ru_maxrss / 1024:.0f} MB resident"


_Word = tuple[_Worker, Day | RunError]


class _Book:
    """The record's folder. A line is on the disk before the next day is begun; a torn last line is dropped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "days.jsonl"

    def open(self, wanted: Wanted) -> dict[int, Day]:
        """The days that are there. RunError when they are of another run, or there and not to be resumed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        there = self._path.exists()
        if there and not wanted.resume:
            raise RunError(f"{self._path} is there already: give --resume, or another folder")
        head = {"first_seed": wanted.first_seed, "day_s": DAY_S}
        days: dict[int, Day] = {}
        if there:
            days = self._load(head)
        self._file = self._path.open("a", encoding="utf-8")
        if not there or self._path.stat().st_size == 0:
            self._line(head)
        return days

    def _load(self, head: Mapping[str, Any]) -> dict[int, Day]:
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        lines = [json.loads(line) for line in whole.splitlines()]
        if lines and lines[0] != head:
            raise RunError(f"{self._path} is another run: it has {lines[0]}, this one {dict(head)}")
        return {int(day["seed"]): day for day in lines[1:]}

    def write(self, day: Day) -> None:
        """Keep a day."""
        self._line(day)

    def _line(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, sort_keys=True) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self, record: Mapping[str, Any]) -> None:
        """Write the summary."""
        self._file.close()
        fresh = self._folder / "record.json.new"
        fresh.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        fresh.replace(self._folder / "record.json")


def progress_line(progress: Progress, began_s: float) -> str:
    """One line on how far the run is."""
    record = progress.record()
    counted = int(record["passages"])
    line = f"{counted:,} of {progress.wanted.passages:,} passages in {record['days']} days, "
    line += f"{len(record['failing_seeds'])} failing"
    if record["cpu_ms_per_passage"]:
        line += f", {record['cpu_ms_per_passage']} ms CPU each, {record['times_real_time']} x real time"
        took_s = time.monotonic() - began_s
        ran = max(1, sum(day["passages"] for day in progress.days.values()) - progress.before)
        left_s = max(0, progress.wanted.passages - counted) * took_s / ran
        line += f", about {left_s / 60:.0f} min left"
    return line
