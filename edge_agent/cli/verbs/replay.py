"""`lanectl replay`: works on a file, needs no agent."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from drivers.link.capture_codec import Capture
    from drivers.link.replay import SessionReplay

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("replay")
@click.argument("file", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="The X25519 private key it is sealed to: PEM, or 32 raw bytes.")
@click.option("--show-identities", is_flag=True, help="Print identity values in clear instead of id-1, id-2, ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: header, observations, end.")
def command(file: Path, key: Path, show_identities: bool, as_json: bool) -> None:
    """Feed a captured session to this version's driver and print what it observes.

    Exit code 1 when the capture is cut or damaged (what could be read is replayed), 5 when the driver did something
    else than what was captured, 2 when the file or key is of no use.
    """
    as_json = as_json or bool((click.get_current_context().obj or {}).get("as_json"))
    try:
        _replay(file, key, show_identities, as_json)
    except Stop as stop:
        stop.as_json = as_json
        raise


def _replay(file: Path, key: Path, show_identities: bool, as_json: bool) -> None:
    from drivers import registry
    from drivers.api import EdgeError
    from drivers.link.capture_codec import End, open_capture
    from drivers.link.observation_codec import Numbered, clear, encode_observation
    from drivers.link.replay import replay

    try:
        capture = open_capture(file.read_bytes(), _private_key(key))
        sessions = replay(capture, registry.remake)
    except EdgeError as error:
        raise Stop(Exit.USAGE, error.message, error.hint, error.code) from None
    encode = functools.partial(encode_observation, name=clear if show_identities else Numbered())
    (_print_json if as_json else _print_text)(capture, sessions, encode)
    if any(session.divergence is not None for session in sessions):
        sys.exit(Exit.REFUSED)
    sys.exit(Exit.OK if capture.end is End.COMPLETE else Exit.DEGRADED)


def _print_json(capture: Capture, sessions: tuple[SessionReplay, ...], encode: Callable[[Any], bytes]) -> None:
    import json
    from dataclasses import asdict

    click.echo(json.dumps({"header": asdict(capture.header)}))
    for number, session in enumerate(sessions, 1):
        for observation in session.observations:
            click.echo(encode(observation).decode())
        diverged = None if session.divergence is None else asdict(session.divergence)
        ended = {"session": number, "ended": session.ended, "whole": session.whole, "divergence": diverged}
        click.echo(json.dumps(ended))
    click.echo(json.dumps({"end": capture.end.value, "chunks": capture.chunks, "records": len(capture.records)}))


def _print_text(capture: Capture, sessions: tuple[SessionReplay, ...], encode: Callable[[Any], bytes]) -> None:
    import json

    header = capture.header
    click.echo(f"{header.device} ({header.kind}) of {header.lane}, agent {header.agent_version}")
    for number, session in enumerate(sessions, 1):
        click.echo(f"session {number}: {len(session.observations)} observations")
        for observation in session.observations:
            shown = json.loads(encode(observation))
            at_s = (shown.pop("stamp")[0] - header.started_mono_ns) / 1e9
            name = shown.pop("observation")
            facts = " ".join(f"{key}={value}" for key, value in shown.items() if value not in (None, "", {}))
            click.echo(f"{at_s:12.6f}  {name:<14} {facts}")
        if session.divergence is not None:
            at = session.divergence
            click.echo(f"DIVERGED at record {at.record}, {at.at_s:.6f} s: captured {at.captured}; now {at.replayed}")
        elif not session.whole:
            click.echo("  the capture ends in this session")
        else:
            click.echo(f"  ended: {session.ended or 'from outside'}")
    notes = {"cut": "CUT: power loss or a full disk", "damaged": "DAMAGED: what follows cannot be read"}
    click.echo(f"{len(capture.records)} records in {capture.chunks} chunks; {notes.get(capture.end, 'complete')}")


def _private_key(path: Path) -> bytes:
    """The raw X25519 key of a PEM file (PKCS #8, RFC 8410) or of a file that is the key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = path.read_bytes()
    if len(content) == 32:
        return content
    try:
        key = load_pem_private_key(content, None)
    except (TypeError, ValueError) as error:
        raise Stop(Exit.USAGE, f"{path} is no private key without a password", "", "CAPTURE_KEY_INVALID") from error
    if not isinstance(key, X25519PrivateKey):
        raise Stop(Exit.USAGE, f"{path} is no X25519 key", "", "CAPTURE_KEY_INVALID")
    return key.private_bytes_raw()
