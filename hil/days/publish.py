"""A record of long runs that is kept: one file, a part for every run in it, each of one version of this package.

A million passages take many sittings, and the package changes between them. A part never mixes versions: the next
version goes on in a folder of its own, with the seed after the last one, and its figures stand beside the others'.
"""

import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hil.days.plan import Finding

Part = Mapping[str, Any]
Record = Mapping[str, Any]

_SUMMED = ("days", "passages", "bundles", "doubted_records", "greens", "virtual_h", "cpu_s")
_PART: Mapping[str, type | tuple[type, ...]] = {
    "version": str, "python": str, "until": str, "first_seed": int, "last_seed": int, "day_s": (int, float),
    "days": int, "days_by_kind": dict, "passages": int, "bundles": int, "greens": int, "virtual_h": (int, float),
    "cpu_s": (int, float), "found": dict, "doubted_records": int, "still_open_seeds": list, "failing": list,
    "digest": str,
}  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{12,40}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotForTheRecord(Exception):
    """The run cannot be published; the message says why, and what to do."""


def part_of(folder: Path) -> Part:
    """The run in a folder, from its first seed on without a gap. NotForTheRecord when its days are of several versions
    or of one that nobody can have again, or when there are none."""
    path = folder / "days.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    except (OSError, ValueError) as error:
        raise NotForTheRecord(f"{path}: {error}") from None
    days = _in_a_row(lines)
    if not days:
        raise NotForTheRecord(f"{path}: there is no whole day in it")
    versions = sorted({str(day["version"]) for day in days})
    if len(versions) > 1:
        raise NotForTheRecord(f"{path}: days of several versions ({', '.join(versions)}): one run is of one version")
    if not _COMMIT.fullmatch(versions[0]):
        raise NotForTheRecord(f"{path}: run by {versions[0]!r}: commit what was changed, and run it again from there")
    counts: Counter[str] = Counter()
    for day in days:
        counts.update(day["counts"])
    return {
        "version": versions[0],
        "python": platform.python_version(),
        "until": datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat(),
        "first_seed": days[0]["seed"],
        "last_seed": days[-1]["seed"],
        "day_s": lines[0]["day_s"],
        "days": len(days),
        "days_by_kind": dict(sorted(Counter(day["kind"] for day in days).items())),
        "passages": sum(day["passages"] for day in days),
        "bundles": sum(day["bundles"] for day in days),
        "greens": sum(day["greens"] for day in days),
        "virtual_h": round(sum(day["virtual_s"] for day in days) / 3600.0, 2),
        "cpu_s": round(sum(day["cpu_s"] for day in days), 1),
        "found": {finding.value: counts[finding.value] for finding in Finding},
        "doubted_records": sum(day.get("doubted", 0) for day in days),
        "still_open_seeds": [day["seed"] for day in days if day["still_open"]],
        "failing": [{key: day[key] for key in ("seed", "kind", "found")} for day in days if day["found"]],
        "digest": hashlib.sha256("".join(day["digest"] for day in days).encode()).hexdigest(),
    }


def _in_a_row(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    by_seed = {int(day["seed"]): day for day in lines[1:]}
    seed, days = int(lines[0]["first_seed"]) if lines else 0, []
    while seed in by_seed:
        days.append(by_seed[seed])
        seed += 1
    return days


def continued(record: Record | None, part: Part) -> Record:
    """The record with one more part. NotForTheRecord when the part does not begin where the record ends."""
    parts = [*record["parts"], part] if record is not None else [part]
    made = {"totals": totals(parts), "parts": parts}
    if record is not None and part["first_seed"] != record["parts"][-1]["last_seed"] + 1:
        following = record["parts"][-1]["last_seed"] + 1
        raise NotForTheRecord(
            f"the record ends before seed {following} and this run begins with {part['first_seed']}: "
            f"go on in a new folder with --seed {following}"
        )
    wrong = list(problems(made))
    if wrong:
        raise NotForTheRecord("; ".join(wrong))
    return made


def totals(parts: Sequence[Part]) -> Mapping[str, Any]:
    """All parts together, and how many passages each version has seen."""
    by_version: dict[str, int] = {}
    for part in parts:
        by_version[part["version"]] = by_version.get(part["version"], 0) + part["passages"]
    summed = {name: round(sum(part[name] for part in parts), 2) for name in _SUMMED}
    found = {finding.value: sum(part["found"].get(finding.value, 0) for part in parts) for finding in Finding}
    failing = sum(len(part["failing"]) for part in parts)
    return {**summed, "found": found, "failing_days": failing, "passages_by_version": by_version}


def publish(folder: Path, file: Path) -> Record:
    """Write the run of a folder into a record's file, as its first part or after those that are there.
    NotForTheRecord, with the file as it was, when it does not belong there."""
    record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    if record is not None and (wrong := list(problems(record))):
        raise NotForTheRecord(f"{file}: {'; '.join(wrong)}")
    made = continued(record, part_of(folder))
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    fresh.replace(file)
    return made


def problems(record: Any) -> Iterator[str]:  # noqa: ANN401 - whatever a file holds
    """What is wrong with a record; nothing when it is well-formed and its totals are the sums of its parts."""
    if not isinstance(record, dict) or set(record) != {"totals", "parts"} or not record["parts"]:
        yield "a record has totals, and one part or more"
        return
    bad = [words for number, part in enumerate(record["parts"], start=1) for words in _problems_of(number, part)]
    yield from bad
    if bad:
        return
    for number, (before, after) in enumerate(zip(record["parts"], record["parts"][1:], strict=False), start=2):
        if after["first_seed"] != before["last_seed"] + 1:
            yield f"part {number} begins with seed {after['first_seed']}, not with {before['last_seed'] + 1}"
        if after["day_s"] != before["day_s"]:
            yield f"part {number} has days of another length"
    if record["totals"] != totals(record["parts"]):
        yield "the totals are not the sums of the parts"


def _problems_of(number: int, part: Any) -> Iterator[str]:  # noqa: ANN401 - whatever a file holds
    if not isinstance(part, dict) or set(part) != set(_PART):
        yield f"part {number} has not the fields of a part"
        return
    wrong = [name for name, kind in _PART.items() if not isinstance(part[name], kind) or isinstance(part[name], bool)]
    if wrong:
        yield f"part {number}: {', '.join(wrong)} of another type"
        return
    forms = (("version", _COMMIT), ("until", _DATE), ("digest", _SHA256))
    yield from (f"part {number}: no {name}: {part[name]!r}" for name, form in forms if not form.fullmatch(part[name]))
    if part["last_seed"] - part["first_seed"] + 1 != part["days"] or part["days"] != sum(part["days_by_kind"].values()):
        yield f"part {number}: days, seeds and kinds do not add up"
    if set(part["found"]) != {finding.value for finding in Finding}:
        yield f"part {number}: findings of other kinds"
    elif bool(part["failing"] or part["still_open_seeds"]) != any(part["found"].values()):
        yield f"part {number}: findings without days, or days without findings"
