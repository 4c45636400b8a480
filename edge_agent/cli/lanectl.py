"""The command: a verb is imported when it is called."""

from importlib import import_module
from typing import Final

import click

from .agent import before_the_verb
from .exits import EXITS_TEXT

VERBS: Final = {
    "status": "The lane now.",
    "why": "What keeps the lane red, most important first.",
    "tail": "What happened, and with --follow what happens.",
    "passages": "Sealed passages, newest first.",
    "show": "One passage in full.",
    "conditions": "Conditions in force, worst first.",
    "devices": "Every device with its last sign of life.",
    "reader": "RFID readers: rates, levels, what each antenna misses, losses and gaps.",
    "outbox": "Records waiting for central.",
    "hold": "Red at once, for the lane or one conveyance.",
    "take-control": "Control the lane, also in place of another officer.",
    "give-control": "Give control of the lane back.",
    "clear-hold": "End a hold.",
    "release": "Release one conveyance.",
    "refer": "Send one conveyance to secondary.",
    "confirm-order": "State which conveyances stand in the corridor.",
    "mode": "Change the lane's mode.",
    "acknowledge": "Have it on record that somebody has seen a condition.",
    "silence": "End tone and beacon of the violations up to now.",
    "signal-test": "Show each aspect once, in a closed and empty lane.",
    "clear-fault": "Clear a latched signal fault.",
    "commission": "Kill test: how long the module takes to turn red by itself.",
    "capture": "Capture what passes a device's link, in maintenance.",
    "replay": "Feed a captured session to the driver again, offline.",
}
"""Verb to its line of help, here so that `--help` imports no verb."""


class Verbs(click.Group):
    """A group whose commands are modules of `edge_agent.cli.verbs`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a person needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"edge_agent.cli.verbs.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, epilog=EXITS_TEXT, context_settings={"help_option_names": ["-h", "--help"]})
@before_the_verb
def main() -> None:
    """One lane, over the agent's own doors. Reading and HOLD go through the technician's door, officers' acts through
    the officer's; `--door` chooses another. Times are local. `--json` prints the contract's own field names
    (protobuf's JSON mapping: 64-bit numbers are strings). `--json`, `--socket-dir` and `--door` may stand before the
    verb or after it. A `--reason` goes into the record as typed: never a name, a plate or a card number."""
