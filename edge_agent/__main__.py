"""`edge-agent`: the programs of a lane, each imported only when it is asked for.

Exit codes: 0 done, 1 a fault named as `CODE: message`, 2 the command line or the configuration is wrong.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import click

from drivers.api import EdgeError
from edge_agent.model.errors import ConfigError

EXIT_FAULT: Final = 1
EXIT_CONFIG: Final = 2
_FINAL: Final = frozenset({"STORE_IN_USE", "STORE_OTHER_LANE", "STORE_NEWER_SCHEMA", "API_SOCKET_TAKEN"})
"""Faults that starting again cannot mend: exit code 2, on which the service manager does not try."""

_FILE: Final = click.Path(path_type=Path, readable=False)
_config = click.option("--config", type=_FILE, required=True, metavar="FILE", help="The lane's configuration.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Programs of one lane at a land border port of entry."""


@main.command()
@_config
def run(config: Path) -> None:
    """Control the lane: readers, sensors, signal, store, gRPC doors."""
    gc.disable()  # until `run_agent` has loaded what stays: looking for garbage in it would take a tenth of that time
    from edge_agent.control.agent import run_agent

    _end(run_agent, config)


@main.command()
@_config
def media(config: Path) -> None:
    """Show the lane's cameras to viewers."""
    from edge_agent.media.app import main as media_main

    _end(media_main, config)


@main.command()
@_config
def console(config: Path) -> None:
    """Serve the officer's page."""
    from edge_agent.console.app import main as console_main

    _end(console_main, config)


@main.command("all-red")
@_config
def all_red(config: Path) -> None:
    """Turn the signal red and leave: for the service manager, after the agent has ended."""
    from edge_agent.control.all_red import main as all_red_main

    _end(all_red_main, config)


@main.command("check-config")
@click.argument("file", type=_FILE)
@click.option("--console", "console_only", is_flag=True, help="FILE is for a console alone.")
@click.option("--elsewhere", is_flag=True, help="This is not the computer FILE is for: its keys are not here.")
def check_config(file: Path, console_only: bool, elsewhere: bool) -> None:
    """Check FILE as a whole, the profiles and the key files it names; every error is told as file:line:column. Run it
    as the user of the agent, who may read the keys."""
    from edge_agent.config import load
    from edge_agent.config.schema import ConsoleConfig, LaneConfig
    from edge_agent.runtime.clock import SystemClock

    with _told():
        config: LaneConfig | ConsoleConfig
        config = load.load_console_config(file) if console_only else load.load_config(file)
        for warning in load.check_installed(file, config, SystemClock(), files=not elsewhere):
            click.echo(warning, err=True)
        digest = f", sha256:{config.config_digest}" if isinstance(config, LaneConfig) else ""
        click.echo(f"{file}: good{digest}")
        if isinstance(config, LaneConfig):
            click.echo(f"presence layout {config.presence.layout.value}; it cannot see:")
            for sentence in config.cannot_see():
                click.echo(f"  {sentence}")


@main.group()
def store() -> None:
    """Look into a lane's store."""


@store.command()
@click.option("--store", "folder", type=_FILE, metavar="DIR", help="The store's folder.")
@click.option("--config", type=_FILE, metavar="FILE", help="The lane's configuration, which names the folder.")
def dump(folder: Path | None, config: Path | None) -> None:
    """One line `ACK <bundle_id>` for every durable bundle, in order."""
    from edge_agent.config.load import load_config
    from edge_agent.store import store as lane_store

    if (folder is None) == (config is None):
        raise click.UsageError("give either --store DIR or --config FILE")
    with _told():
        if folder is None:
            assert config is not None
            folder = load_config(config).store.path
        for line in lane_store.dump(folder):
            click.echo(line)


def _end(program: Callable[[Path], int], config: Path) -> None:
    with _told():
        sys.exit(program(config))


@contextmanager
def _told() -> Iterator[None]:
    """A fault the agent names becomes lines for a person and an exit code; anything else is a defect and shows its
    place."""
    try:
        yield
    except EdgeError as error:
        _fail([error])
    except BaseExceptionGroup as group:
        # Tasks that failed together; a defect among them must show as one.
        named, rest = group.split(EdgeError)
        if named is None or rest is not None:
            raise
        _fail(_leaves(named))
    except KeyboardInterrupt:
        sys.exit(130)


def _leaves(group: BaseExceptionGroup[EdgeError]) -> list[EdgeError]:
    nested = (_leaves(e) if isinstance(e, BaseExceptionGroup) else [e] for e in group.exceptions)
    return [error for errors in nested for error in errors]


def _fail(errors: list[EdgeError]) -> NoReturn:
    for error in errors:
        click.echo(_text(error), err=True)
    final = any(isinstance(error, ConfigError) or error.code in _FINAL for error in errors)
    sys.exit(EXIT_CONFIG if final else EXIT_FAULT)


def _text(error: EdgeError) -> str:
    # Errors of a configuration are lines of their own, file:line:column first, as editors like them.
    listed = "\n" in error.message or error.code == "CONFIG_INVALID"
    text = f"{error.message}\n{error.code}" if listed else f"{error.code}: {error.message}"
    return f"{text}\nhint: {error.hint}" if error.hint else text


if __name__ == "__main__":
    main()
