"""The agent with one more line in the registry, run as `python -m tests.conformance.rfid.fourth.bell_agent`."""

from drivers import registry
from drivers.api import Clock, Source
from drivers.link.tape import DIRECT, Splice
from tests.conformance.rfid.fourth.bell_settings import BellSettings, load_bell_profile


def make_bell(device: str, settings: BellSettings, clock: Clock, splice: Splice = DIRECT) -> Source:
    """One session of a Bell reader."""
    from tests.conformance.rfid.fourth import bell_reader

    return bell_reader.make_bell(device, settings, clock, splice)


if __name__ == "__main__":
    registry.READERS["bell"] = registry.Family(BellSettings, load_bell_profile, make_bell)
    # As the installed program does: the configuration is built from the registry when it is first imported.
    from edge_agent.__main__ import main

    main(prog_name="edge-agent")
