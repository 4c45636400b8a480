"""`python -m hil.release_service serve | dump | keys`: see the package's docstring.

Verbs of the control channel: `rule` (fields as in the rules file; adds or replaces by name), `silence [name]`,
`resume`, `revise {name | conveyance_id, verdict, reason, ttl_s, after_s}`, `stop_heartbeats` (`resume` starts them
again), `reject {record_class, count}` (refuse the next records for good), `stats`. Events: `hello`, `request`,
`decision`, `withdrawal`, `bundle`, `record`, `reject`, `local_decision`, `unreadable_identity`.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
from hil.release_service.book import Book, dump
from hil.release_service.desk import Step, Switches, step_of
from hil.release_service.docket import Docket
from hil.release_service.keys import Keys, make_keys
from hil.release_service.rules_file import REASONS, RuleBook, ScenarioError, load_rules, rule_of
from hil.release_service.service import SERVER_OPTIONS, ReleaseService
from hil.world.rules import Verdict
from securecorridor.release.v1.release_service_pb2_grpc import add_ReleaseServiceServicer_to_server

_STOP_S = 0.5


class Controls:
    """The verbs."""

    def __init__(self, rules: RuleBook, book: Book, switches: Switches) -> None:
        self.service: ReleaseService
        self._rules = rules
        self._book = book
        self._switches = switches
        self.verbs = {
            "rule": self._rule,
            "silence": self._silence,
            "resume": self._resume,
            "revise": self._revise,
            "stop_heartbeats": self._stop_heartbeats,
            "reject": self._reject,
            "stats": self._stats,
        }

    def _rule(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            rule = rule_of({key: value for key, value in request.items() if key != "do"})
        except ScenarioError as error:
            raise ValueError(str(error)) from None
        self._rules.put(rule)
        return {"name": rule.name}

    def _silence(self, request: Mapping[str, Any]) -> None:
        self._switches.silent.add(str(request.get("name", "")))

    def _resume(self, _request: Mapping[str, Any]) -> None:
        self._switches.silent.clear()
        self._switches.heartbeats = True
        for desk in self.service.desks.values():
            desk.flush()

    def _revise(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        reason = str(request.get("reason", "unspecified"))
        if reason not in REASONS:
            raise ValueError(f"reason must be one of {', '.join(REASONS)}")
        if "name" not in request and "conveyance_id" not in request:
            raise ValueError("give name or conveyance_id")
        step: Step = step_of(dict(request), Verdict(request["verdict"]), reason)

        def named(name: str, conveyance_id: str) -> bool:
            return name == request.get("name") or conveyance_id == request.get("conveyance_id")

        return {"revised": sum(desk.revise(named, step) for desk in self.service.desks.values())}

    def _stop_heartbeats(self, _request: Mapping[str, Any]) -> None:
        self._switches.heartbeats = False

    def _reject(self, request: Mapping[str, Any]) -> None:
        self._book.poison[str(request.get("record_class", "bundle"))] += int(request.get("count", 1))

    def _stats(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        figures = self._book.figures
        watermarks = [
            {"lane": line.lane, "epoch": line.epoch, "record_class": line.record_class, "watermark": watermark}
            for line, watermark in figures.watermarks.items()
        ]
        return {
            "bundles": dict(figures.outcomes),
            "records": dict(figures.records),
            "watermarks": watermarks,
            "chain_ok": figures.chain_mismatches == 0,
            "chain_mismatches": figures.chain_mismatches,
            "duplicates": figures.duplicates,
            "rejected": figures.rejected,
        }


async def _serve(options: argparse.Namespace) -> None:
    rules = load_rules(options.config.read_text(), str(options.config))
    keys = Keys(options.keys)
    book, docket, switches = Book(options.store), Docket(options.store), Switches()
    controls = Controls(rules, book, switches)
    control = ControlChannel(options.control, controls.verbs)
    service = controls.service = ReleaseService(rules, keys, docket, book, switches, control.publish)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    add_ReleaseServiceServicer_to_server(service, server)
    host = options.listen.rpartition(":")[0]
    port = server.add_insecure_port(options.listen)
    await server.start()
    await control.open()
    announce_ready(
        service="release", target=f"{host}:{port}", port=port, key_id=keys.key_id, control=str(options.control)
    )
    try:
        await until_told_to_end()
    finally:
        await server.stop(_STOP_S)
        await control.close()
        service.close()
        book.close()
        docket.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hil.release_service", description="reference release service")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve securecorridor.release.v1")
    serve.add_argument("--config", type=Path, required=True, help="rules, YAML")
    serve.add_argument("--store", type=Path, required=True, help="folder of what is held")
    serve.add_argument("--keys", type=Path, required=True, help="folder made by `keys`")
    serve.add_argument("--control", type=Path, required=True, help="path of the control socket")
    serve.add_argument("--listen", default="127.0.0.1:0", help="host:port, port 0 for any free one")
    held = verbs.add_parser("dump", help="print HAVE <bundle_id> <lane> <epoch> <seq> for every bundle held")
    held.add_argument("--store", type=Path, required=True)
    made = verbs.add_parser("keys", help="make the site key and central's key pair")
    made.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    """Run the verb; 0, or 2 with the reason on standard error."""
    options = _arguments()
    try:
        if options.verb == "serve":
            asyncio.run(_serve(options))
        elif options.verb == "dump":
            for line in dump(options.store):
                print(line)
        else:
            make_keys(options.out)
    except (ScenarioError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
