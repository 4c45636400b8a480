"""Exit codes of `lanectl`, and the one exception that carries them. Stable: scripts depend on them."""

import json
from enum import IntEnum

import click


class Exit(IntEnum):
    """What `lanectl` ends with."""

    OK = 0
    DEGRADED = 1
    """The worst condition is a warning; a device is down; central is away."""
    USAGE = 2
    ALARM = 3
    """The lane is red by a fault, or an alarm is in force."""
    UNREACHABLE = 4
    REFUSED = 5
    NOT_FOUND = 6


EXITS_TEXT = """\b
Exit codes:
  0  done, all is well
  1  degraded: the worst condition is a warning, a device is down, central is away
  2  the command line is wrong
  3  the lane is red by a fault, or an alarm is in force
  4  the agent cannot be reached, or does not answer
  5  refused: the lane has changed since it was shown, or the act is not allowed
  6  there is no such conveyance, passage, device, capture or condition"""


class Stop(click.ClickException):
    """Ends the command: a line, what to do next, an exit code."""

    def __init__(self, exit_code: Exit, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)  # type: ignore[misc]  # click reads it from the instance as well
        self.hint = hint
        self.code = code
        self.as_json = False

    def show(self, file: object = None) -> None:
        """On standard error; as one JSON object when the command was asked for JSON."""
        if self.as_json:
            error = {"exit_code": self.exit_code, "code": self.code, "message": self.message, "hint": self.hint}
            click.echo(json.dumps({"error": error}), err=True)
            return
        click.echo(f"lanectl: {self.message}" + (f" [{self.code}]" if self.code else ""), err=True)
        if self.hint:
            click.echo(f"  {self.hint}", err=True)
