"""`lanectl reader`."""

from __future__ import annotations  # generated classes are generic for the type checker only

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from edge_agent.cli.agent import Agent, as_dict, options
from edge_agent.cli.exits import Exit

if TYPE_CHECKING:
    from rich.table import Table

    from securecorridor.lane.v1.diagnostics_service_pb2 import Reader

_BAR = " ▁▂▃▄▅▆▇█"


@click.command("reader")
@click.argument("device", default="")
@options(door="technician")
def command(agent: Agent, device: str) -> None:
    """Health of every RFID reader, or of DEVICE: reads, levels and missed vehicles by antenna, what line and air
    lost, temperature, gaps, its conditions and what to do. Exit code 1 when one is down or has a condition."""
    stub = agent.diagnostics
    from securecorridor.lane.v1.diagnostics_service_pb2 import ListReadersRequest

    answer = agent.call(stub.ListReaders, ListReadersRequest(device=device))
    code = Exit.DEGRADED if any(not one.up or one.conditions for one in answer.readers) else Exit.OK
    if agent.as_json:
        agent.print_json(as_dict(answer))
        sys.exit(code)
    if not answer.readers:
        click.echo("this lane has no RFID reader")
    for number, reader in enumerate(answer.readers):
        if number:
            click.echo("")
        for line in _head(reader):
            click.echo(line)
        if reader.antennas:
            agent.console.print(_antennas(reader))
        for line in _foot(reader):
            click.echo(line)
    sys.exit(code)


def _head(reader: Reader) -> Iterator[str]:
    heat = f", {reader.temperature_c:g} °C" if reader.HasField("temperature_c") else ""
    hot = ", TOO HOT" if reader.over_temperature else ""
    state = "up" if reader.up else "DOWN"
    reads = f"{reader.reads_per_second:.1f} reads/s, {reader.reads} in all"
    yield f"{reader.device} ({reader.kind}) {state}, {reads}{heat}{hot}"


def _antennas(reader: Reader) -> Table:
    from rich.table import Table

    first, last = reader.antennas[0].levels[0].to_dbm, reader.antennas[0].levels[-1].above_dbm
    levels = f"levels {first}..{last} dBm"
    titles = ("antenna", "reads", levels, "tag CRC bad", "missed", "only here", "strays", "faults")
    table = Table(*titles, box=None, pad_edge=False)
    for antenna in reader.antennas:
        missed = "-"
        if antenna.vehicles:
            share = f"{antenna.missed_percent:.0f} % (limit {antenna.miss_limit_percent} %)"
            missed = f"{antenna.vehicles - antenna.vehicles_read} of {antenna.vehicles}, {share}"
        table.add_row(
            str(antenna.antenna),
            str(antenna.reads),
            _bars([level.reads for level in antenna.levels]) if antenna.reads_without_level < antenna.reads else "-",
            str(antenna.air_crc_errors),
            missed,
            str(antenna.vehicles_only_here),
            str(antenna.strays),
            ", ".join(antenna.faults) or "-",
        )
    return table


def _foot(reader: Reader) -> Iterator[str]:
    from edge_agent.cli.times import ago, length

    if reader.counters:
        yield "counters  " + " ".join(f"{name}={reader.counters[name]:g}" for name in sorted(reader.counters))
    for gap in reader.gaps:
        end = "still" if not gap.HasField("until") else f"for {length((gap.until.mono_ns - gap.since.mono_ns) / 1e9)}"
        yield f"gap       {ago(gap.since.time)}, {end} [{gap.code}]"
    for condition in reader.conditions:
        yield f"{condition.title} [{condition.code}]"
        if condition.hint:
            yield f"  -> {condition.hint}"


def _bars(counts: list[int]) -> str:
    """A row of bars, the highest as high as a line; a bucket with anything in it shows."""
    top = max(counts, default=0)
    return "".join(_BAR[0 if not count else 1 + (count * (len(_BAR) - 2)) // top] for count in counts)
