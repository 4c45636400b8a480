"""Metrics: what is told is what is scraped, in names promtool accepts."""

import asyncio
import socket
import subprocess
import urllib.request

import prometheus_client
import pytest

from drivers.api import EdgeError
from edge_agent.model.readers import AntennaHealth, ReaderHealth
from edge_agent.observe.metrics import ControlMetrics, serving, watch_loop_lag
from edge_agent.runtime.channel import Channel, Overflow


def filled() -> ControlMetrics:
    """Metrics with every family in use."""
    metrics = ControlMetrics()
    channel: Channel[int] = Channel("tags", 2, Overflow.DROP_OLDEST)
    metrics.watch_channel(lambda: channel.stats)
    for number in range(5):
        channel.put(number)
    metrics.build("0.1.0", "c0ffee", "f00d")
    metrics.device("rfid-1", up=True, last_seen_age_s=0.2)
    metrics.session_began("rfid-1")
    metrics.fault("rfid-1", "RFID_SILENT")
    metrics.fault("rfid-1", "RFID_SILENT")
    metrics.ruling("red", "no_lease")
    metrics.ruling("green", "")
    metrics.conveyance("released_rolling")
    metrics.outbox("bundle", 3, 4096, 1.5)
    metrics.centre(up=True)
    antenna = AntennaHealth(1, 7, (1, 0, 4, 0, 0, 0, 0, 0, 2), 0, 3, 50, 40, 5, 50)
    metrics.readers(
        [
            ReaderHealth(
                "rfid-1",
                "mercury",
                True,
                7,
                0.7,
                41.0,
                False,
                (antenna,),
                {"crc_errors": 3.0, "duty_percent": 25.0},
                (),
            )
        ]
    )
    metrics.loop_lag(0.002)
    return metrics


def page(metrics: ControlMetrics) -> str:
    return prometheus_client.generate_latest(metrics.registry).decode()


def test_what_is_told_is_shown() -> None:
    shown = page(filled())
    for line in (
        'lane_agent_channel_accepted_total{channel="tags"} 5.0',
        'lane_agent_channel_dropped_total{channel="tags"} 3.0',
        'lane_agent_channel_depth{channel="tags"} 2.0',
        'lane_agent_device_up{device="rfid-1"} 1.0',
        'lane_agent_device_faults_total{code="RFID_SILENT",device="rfid-1"} 2.0',
        'lane_agent_signal_rulings_total{aspect="red",reason="no_lease"} 1.0',
        'lane_agent_conveyances_total{outcome="released_rolling"} 1.0',
        'lane_agent_outbox_oldest_age_seconds{class="bundle"} 1.5',
        "lane_agent_centre_up 1.0",
        'lane_agent_reader_reads_total{antenna="1",device="rfid-1"} 7.0',
        'lane_agent_reader_rssi_dbm_bucket{antenna="1",device="rfid-1",le="-75.0"} 1.0',
        'lane_agent_reader_rssi_dbm_bucket{antenna="1",device="rfid-1",le="-65.0"} 5.0',
        'lane_agent_reader_rssi_dbm_bucket{antenna="1",device="rfid-1",le="+Inf"} 7.0',
        'lane_agent_reader_missed_ratio{antenna="1",device="rfid-1"} 0.2',
        'lane_agent_reader_events_total{device="rfid-1",event="crc_errors"} 3.0',
        'lane_agent_reader_share_ratio{device="rfid-1",of="duty"} 0.25',
        'lane_agent_reader_temperature_celsius{device="rfid-1"} 41.0',
    ):
        assert line in shown.splitlines()
    assert "_created" not in shown


@pytest.mark.needs("promtool")
def test_promtool_accepts_every_family() -> None:
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=page(filled()), capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.real_time
async def test_it_is_served_while_the_context_lasts() -> None:
    metrics = filled()
    async with serving("127.0.0.1", 0, metrics.registry) as port:

        def scrape() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return bytes(answer.read())

        assert b"lane_agent_build_info" in await asyncio.to_thread(scrape)
        with pytest.raises(EdgeError, match="METRICS_PORT"):
            async with serving("127.0.0.1", port, metrics.registry):
                pass
        with pytest.raises(EdgeError, match="METRICS_PORT"):
            async with serving("no..name", port, metrics.registry):
                pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.real_time
async def test_a_blocked_loop_is_seen_as_lag() -> None:
    seen: list[float] = []
    blocked = asyncio.Event()

    def note(late_s: float) -> None:
        seen.append(late_s)
        blocked.set()

    task = asyncio.get_running_loop().create_task(watch_loop_lag(note, 0.01))
    await asyncio.sleep(0)
    deadline_s = asyncio.get_running_loop().time() + 0.2
    while asyncio.get_running_loop().time() < deadline_s:
        pass
    await blocked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert seen[0] > 0.1


def test_a_condition_shows_for_as_long_as_it_is_in_force() -> None:
    metrics = ControlMetrics()

    def shown() -> set[str]:
        samples = [
            s for family in metrics.registry.collect() for s in family.samples if s.name == "lane_agent_condition"
        ]
        return {sample.labels["code"] for sample in samples}

    lost, full = ("CENTRE_LOST", "alarm", ""), ("STORE_DEGRADED", "alarm", "")
    for now in ([lost], [lost, full], [full], []):
        metrics.conditions(now)
        assert shown() == {code for code, _, _ in now}
