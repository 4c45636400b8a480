"""Metrics of the control process: a registry filled with plain numbers at the edges, served over HTTP.

Labels are device ids, codes, classes and enum words of this program, never an identity value.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from drivers.api import EdgeError
from edge_agent.model.readers import RSSI_BOUNDS_DBM, ReaderHealth
from edge_agent.runtime.channel import ChannelStats

PREFIX = "lane_agent"

# A creation time for every counter doubles the page and says nothing that a restart does not.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class ControlMetrics:
    """What the control process shows. Calls are cheap and may come from any thread."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._channels = _Channels()
        registry.register(self._channels)
        self._readers = _Readers()
        registry.register(self._readers)
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, labels, registry=registry)

        self._build = Info(f"{PREFIX}_build", "What is running", registry=registry)
        self._device_up = gauge("device_up", "1 while the device's session is up", "device")
        self._device_age = gauge("device_last_seen_age_seconds", "Time since the device was last heard", "device")
        self._sessions = counter("device_sessions_total", "Sessions begun", "device")
        self._faults = counter("device_faults_total", "Sessions ended by a fault", "device", "code")
        self._rulings = counter("signal_rulings_total", "Rulings by aspect and first reason", "aspect", "reason")
        self._conveyances = counter("conveyances_total", "Passages sealed, by outcome", "outcome")
        self._outbox_records = gauge("outbox_records", "Records not yet acknowledged by the centre", "class")
        self._outbox_bytes = gauge("outbox_size_bytes", "Bytes not yet acknowledged by the centre", "class")
        self._outbox_age = gauge("outbox_oldest_age_seconds", "Age of the oldest unacknowledged record", "class")
        self._centre_up = gauge("centre_up", "1 while the release service answers heartbeats")
        self._conditions = gauge("condition", "1 while the condition is in force", "code", "severity", "device")
        self._shown: set[tuple[str, str, str]] = set()
        self._lag = Histogram(
            f"{PREFIX}_loop_lag_seconds",
            "How late the event loop ran a timer",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
        )

    def build(self, version: str, config_digest: str, interlock_digest: str) -> None:
        """What is running: the agent's version and the digests every bundle names."""
        self._build.info({"version": version, "config": config_digest, "interlock": interlock_digest})

    def watch_channel(self, stats: Callable[[], ChannelStats]) -> None:
        """Show a channel; `stats` is called at each scrape, e.g. `lambda: channel.stats`."""
        self._channels.sources.append(stats)

    def device(self, device: str, up: bool, last_seen_age_s: float) -> None:
        """State of a device now."""
        self._device_up.labels(device).set(up)
        self._device_age.labels(device).set(last_seen_age_s)

    def session_began(self, device: str) -> None:
        """A device came up."""
        self._sessions.labels(device).inc()

    def fault(self, device: str, code: str) -> None:
        """A session ended by a fault."""
        self._faults.labels(device, code).inc()

    def ruling(self, aspect: str, reason: str) -> None:
        """The interlock ruled; `reason` the first against green, "" when green."""
        self._rulings.labels(aspect, reason or "none").inc()

    def conveyance(self, outcome: str) -> None:
        """A passage was sealed."""
        self._conveyances.labels(outcome).inc()

    def readers(self, now: Sequence[ReaderHealth]) -> None:
        """Health of every RFID reader."""
        self._readers.now = tuple(now)

    def outbox(self, record_class: str, records: int, size_bytes: int, oldest_age_s: float) -> None:
        """What waits for the centre in one class; age 0 when nothing waits."""
        self._outbox_records.labels(record_class).set(records)
        self._outbox_bytes.labels(record_class).set(size_bytes)
        self._outbox_age.labels(record_class).set(oldest_age_s)

    def centre(self, up: bool) -> None:
        """Whether the release service answers."""
        self._centre_up.set(up)

    def conditions(self, now: Iterable[tuple[str, str, str]]) -> None:
        """Everything on the board that a person should see: code, severity, device ("" for the lane)."""
        before, self._shown = self._shown, set(now)
        for labels in self._shown:
            self._conditions.labels(*labels).set(1)
        for labels in before - self._shown:  # never all of them: a scrape may come in between, from its own thread
            self._conditions.remove(*labels)

    def loop_lag(self, late_s: float) -> None:
        """One measurement of `watch_loop_lag`."""
        self._lag.observe(late_s)


class _Channels(Collector):
    """Reads the channels' own counters at each scrape, so that nothing is counted twice."""

    def __init__(self) -> None:
        self.sources: list[Callable[[], ChannelStats]] = []

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterator[Metric]:
        accepted, dropped, depth, capacity = families = self._families()
        for source in tuple(self.sources):
            stats = source()
            accepted.add_metric([stats.name], stats.accepted)
            dropped.add_metric([stats.name], stats.dropped)
            depth.add_metric([stats.name], stats.depth)
            capacity.add_metric([stats.name], stats.capacity)
        yield from families

    def _families(self) -> tuple[CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        label = ["channel"]
        return (
            CounterMetricFamily(f"{PREFIX}_channel_accepted", "Items queued", labels=label),
            CounterMetricFamily(f"{PREFIX}_channel_dropped", "Items refused or displaced", labels=label),
            GaugeMetricFamily(f"{PREFIX}_channel_depth", "Items queued now", labels=label),
            GaugeMetricFamily(f"{PREFIX}_channel_capacity", "Items the channel holds", labels=label),
        )


class _Readers(Collector):
    """The last health of every RFID reader, as it was told: a scrape comes from another thread."""

    def __init__(self) -> None:
        self.now: tuple[ReaderHealth, ...] = ()

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterator[Metric]:
        reads, levels, crc, missed, counts, duty, heat, hot, gap = families = self._families()
        for reader in self.now:
            for antenna in reader.antennas:
                port = [reader.device, str(antenna.antenna)]
                reads.add_metric(port, antenna.reads)
                crc.add_metric(port, antenna.air_crc_errors)
                # As Prometheus has it: each bucket holds all that is weaker too.
                sums = list(accumulate(antenna.rssi))
                bounds = [*(str(float(bound)) for bound in RSSI_BOUNDS_DBM), "+Inf"]
                levels.add_metric(port, list(zip(bounds, sums, strict=True)), sum_value=None)
                if antenna.vehicles:
                    missed.add_metric(port, antenna.missed_percent / 100)
            for name, value in reader.counters.items():
                if name.endswith("_percent"):
                    duty.add_metric([reader.device, name.removesuffix("_percent")], value / 100)
                else:
                    counts.add_metric([reader.device, name], value)
            if reader.temperature_c is not None:
                heat.add_metric([reader.device], reader.temperature_c)
            hot.add_metric([reader.device], reader.over_temperature)
            gap.add_metric([reader.device], not reader.up)
        yield from families

    @staticmethod
    def _families() -> tuple[Any, ...]:
        def family(kind: type[Any], name: str, text: str, *labels: str) -> Any:  # noqa: ANN401 - its three classes
            return kind(f"{PREFIX}_reader_{name}", text, labels=["device", *labels])

        return (
            family(CounterMetricFamily, "reads", "Tag reads", "antenna"),
            family(HistogramMetricFamily, "rssi_dbm", "Levels of the tag reads that have one", "antenna"),
            family(CounterMetricFamily, "air_crc_errors", "Reads whose tag's own check did not fit", "antenna"),
            family(GaugeMetricFamily, "missed_ratio", "Share of the last vehicles an antenna did not read", "antenna"),
            family(CounterMetricFamily, "events", "The driver's own counts: line, losses, events", "event"),
            family(GaugeMetricFamily, "share_ratio", "The driver's own shares: duty", "of"),
            family(GaugeMetricFamily, "temperature_celsius", "The last temperature a reader told"),
            family(GaugeMetricFamily, "over_temperature", "1 while it reads less because it is too hot"),
            family(GaugeMetricFamily, "gap", "1 while nothing is read because the session is down"),
        )


async def watch_loop_lag(note: Callable[[float], None], period_s: float = 0.25) -> None:
    """Tell `note`, for ever, how many seconds late each timer ran: what a blocking call costs everybody."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + period_s
        await asyncio.sleep(period_s)
        note(max(0.0, loop.time() - due_s))


@asynccontextmanager
async def serving(host: str, port: int, registry: CollectorRegistry) -> AsyncIterator[int]:
    """Serve `/metrics` from a thread of its own while the context lasts; gives the port (0 takes a free one).

    EdgeError METRICS_PORT when the address cannot be taken.
    """
    try:
        server, thread = prometheus_client.start_http_server(port, host, registry)
    except (OSError, UnicodeError) as error:  # a host name that is none raises the latter
        hint = "choose another metrics.port, or end the program that has it"
        why = getattr(error, "strerror", "") or str(error)
        raise EdgeError("METRICS_PORT", f"cannot listen on {host}:{port}: {why}", hint) from error
    try:
        yield server.server_port
    finally:
        # shutdown waits for the serving thread, half a second at worst: not on the event loop.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
