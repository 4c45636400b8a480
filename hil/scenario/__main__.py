"""Play scenario files on a bench in real time, judge them by their own clauses, and write a report of each run.

./dev hil scenario NAME... [--target virtual|FILE.yaml] [-o FOLDER] [--media]
"""

import argparse
import asyncio
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hil.report.page import Page, write_page
from hil.report.pictures import timelines
from hil.rig.bench_story import BenchStory
from hil.rig.run_record import RunRecord
from hil.rig.stories import load_story, story_names
from hil.rig.story_judge import Finding, findings
from hil.rig.story_needs import lacks
from hil.rig.target import Target, load_target
from hil.world.scenario import Scenario, ScenarioError


async def play(story: Scenario, target: Target, out: Path, *, media: bool = False) -> tuple[Finding, ...]:
    """Play one story and write its page into `out`; every clause with its verdict. Where one does not hold, the agent's
    log is put beside the page."""
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="story-") as folder:
        played = BenchStory(story, target, Path(folder), media=media)
        run = await played.run()
        judged = findings(story, run, played.slack_s)
        facts = _facts(played, run, began)
        write_page(out, Page(story.title, facts, judged, timelines(run)))
        if not all(finding.holds for finding in judged):
            shutil.copy(played.bench.dir / "agent.log", out)
    return judged


def _facts(played: BenchStory, run: RunRecord, began: float) -> tuple[tuple[str, str], ...]:
    """Where the run took place and what made it; nothing of whom it saw."""
    target, limits = played.target, played.target.limits
    devices = [f"{name}: {d.profile} at {d.address}" for name, d in target.devices.items()]
    greens = sum(e["event"] == "coil" and e["point"] == 0 and e["on"] for e in played.module.events)
    facts = [
        ("scenario", played.story.name),
        ("target", f"{target.name} ({'programs' if target.virtual else 'hardware'})"),
        ("devices", "; ".join(devices)),
        ("began", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began))),
        ("lasted", f"{run.until_s:.1f} s"),
        ("seed", str(played.story.seed)),
        ("machine", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("greens on the wire", str(greens)),
        ("limits", f"agent's death to red {limits.kill_to_red_s:g} s, nose to red {limits.nose_to_red_ms:g} ms"),
        ("tolerance for real time", f"{played.slack_s * 1000:g} ms to every 'red within'"),
    ]
    if played.bundles:
        agent = played.bundles[0].agent
        facts += [
            ("agent", agent.version),
            ("configuration", agent.config_digest),
            ("module profile", agent.profile_digest),
            ("interlock", agent.interlock_digest),
        ]
    return tuple(facts)


async def _all(stories: Sequence[Scenario], target: Target, out: Path, *, media: bool) -> int:
    failed = 0
    for story in stories:
        short = lacks(story, target.capabilities)
        if short:
            print(f"CANNOT {story.name}: {target.name} cannot: {', '.join(short)}", flush=True)
            failed += target.virtual
            continue
        began_s = time.monotonic()
        judged = await play(story, target, out / Path(story.name).stem, media=media)
        wrong = [finding for finding in judged if not finding.holds]
        failed += bool(wrong)
        word = "FAILED" if wrong else "ok    "
        page = out / Path(story.name).stem / "index.html"
        print(f"{word} {story.name}: {len(judged)} clauses, {time.monotonic() - began_s:.0f} s, {page}", flush=True)
        for finding in wrong:
            print(f"       {finding.clause}: {finding.found}", flush=True)
    return failed


def main(arguments: list[str]) -> int:
    """The exit code: 0 when every clause of every story holds, 1 when not, 2 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="./dev hil scenario", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenario", nargs="+", help="files, names in hil/scenarios, or all")
    parser.add_argument("--target", default="virtual", help="name in hil/targets, or a file that ends with .yaml")
    parser.add_argument("-o", "--out", type=Path, default=Path(".dev/bench"), help="default: .dev/bench")
    parser.add_argument("--media", action="store_true", help="with camera and media process")
    given = parser.parse_args(arguments)
    known = story_names()
    try:
        target = load_target(given.target)
        stories = [load_story(name) for name in (known if given.scenario == ["all"] else given.scenario)]
    except OSError as error:
        print(f"./dev hil scenario: {error}; scenarios: {', '.join(known)}", file=sys.stderr)
        return 2
    except ScenarioError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"./dev hil scenario: {given.target}: {error}", file=sys.stderr)
        return 2
    return 1 if asyncio.run(_all(stories, target, given.out, media=given.media)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
