"""Which module may go without a kill test: only one that cannot be anything but simulated."""

import os
import pty
from pathlib import Path

import pytest

from edge_agent.config.load import parse
from edge_agent.config.schema import LaneConfig
from edge_agent.control.commissioning import is_virtual
from edge_agent.model.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "deploy" / "lane.yaml.example"
TEXT = EXAMPLE.read_text()
TCP = "    host: 192.0.2.10\n    port: 502\n"
VIRTUAL = TEXT.replace("hardware: real", "hardware: virtual")


def _config(text: str) -> LaneConfig:
    return parse(text.encode(), Path("lane.yaml"), LaneConfig)


def test_hardware_is_real_unless_it_says_otherwise() -> None:
    assert not is_virtual(_config(TEXT))
    assert not is_virtual(_config(TEXT.replace("192.0.2.10", "127.0.0.1")))
    without = "".join(line for line in TEXT.splitlines(keepends=True) if "hardware:" not in line)
    assert not is_virtual(_config(without.replace("192.0.2.10", "127.0.0.1")))
    assert is_virtual(_config(VIRTUAL.replace("192.0.2.10", "127.0.0.1")))


def test_virtual_hardware_on_another_machine_is_refused_when_the_file_is_read() -> None:
    with pytest.raises(ConfigError, match="is on another machine: that is a real head"):
        _config(VIRTUAL)


def test_a_serial_line_is_virtual_only_while_it_is_a_pseudo_terminal(tmp_path: Path) -> None:
    link = tmp_path / "line"
    config = _config(VIRTUAL.replace(TCP, f"    serial: {{ path: {link} }}\n"))
    assert not is_virtual(config), "nothing is there yet: nobody can tell"
    master, slave = pty.openpty()
    try:
        link.symlink_to(os.ttyname(slave))
        assert is_virtual(config)
        link.unlink()
        link.symlink_to("/dev/null")
        assert not is_virtual(config)
    finally:
        os.close(master)
        os.close(slave)
