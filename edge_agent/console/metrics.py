"""Metrics of the console process, read at scrape time from what links and streams count anyway."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .lane_link import LaneLink

PREFIX: Final = "lane_console_"


class ConsoleCollector(Collector):
    """Lanes, acts and sign-ins as Prometheus metrics. Labels are configured lane names and words of this program."""

    def __init__(self, lanes: Sequence[LaneLink]) -> None:
        self.acts: Counter[tuple[str, str, str]] = Counter()
        self.sign_ins: Counter[str] = Counter()
        self.streams = 0
        self._lanes = lanes

    def collect(self) -> Iterable[Metric]:
        """Every metric now."""
        up = _gauge("lane_connected", "1 while the agent is in contact")
        age = _gauge("state_age_seconds", "Since the last state of the lane came")
        watchers = _gauge("watchers", "Browsers that look at the lane")
        states = CounterMetricFamily(f"{PREFIX}states", "States received", labels=["lane"])
        reconnects = CounterMetricFamily(f"{PREFIX}reconnects", "Watches that ended", labels=["lane"])
        for lane in self._lanes:
            up.add_metric([lane.name], lane.connected)
            if (age_s := lane.state_age_s) is not None:
                age.add_metric([lane.name], age_s)
            watchers.add_metric([lane.name], lane.watchers)
            states.add_metric([lane.name], lane.version)
            reconnects.add_metric([lane.name], lane.reconnects)
        acts = CounterMetricFamily(f"{PREFIX}acts", "Acts by answer", labels=["lane", "act", "code"])
        for labels, count in sorted(self.acts.items()):
            acts.add_metric(labels, count)
        sign_ins = CounterMetricFamily(f"{PREFIX}sign_ins", "Sign-ins by result", labels=["result"])
        for result, count in sorted(self.sign_ins.items()):
            sign_ins.add_metric([result], count)
        streams = GaugeMetricFamily(f"{PREFIX}streams", "Pages connected", value=self.streams)
        yield from (up, age, watchers, states, reconnects, acts, sign_ins, streams)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=["lane"])
