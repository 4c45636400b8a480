"""Metrics of the media process, read at scrape time from what the feeds and sessions count anyway."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.media.feed import CameraFeed
from edge_agent.media.sessions import Sessions

PREFIX: Final = "lane_media_"

_FIRST_PICTURE_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, 5.0)


class FirstPictureTimes:
    """How long viewers wait from request to first picture sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            f"{PREFIX}time_to_first_rtp_seconds",
            "From a viewer's request to the first picture sent to it",
            ["camera"],
            registry=registry,
            buckets=_FIRST_PICTURE_BUCKETS_S,
        )

    def observe(self, view: str, seconds: float) -> None:
        """Count one viewer."""
        self._histogram.labels(view).observe(seconds)


class MediaCollector(Collector):
    """Cameras and viewers as Prometheus metrics."""

    def __init__(self, feeds: Mapping[str, CameraFeed], sessions: Sessions) -> None:
        self._feeds = feeds
        self._sessions = sessions

    def collect(self) -> Iterable[Metric]:
        """Every metric now."""
        yield from self._of_cameras()
        yield from self._of_viewers()

    def _of_cameras(self) -> Iterable[Metric]:
        feeds = self._feeds.values()
        yield _gauge("camera_live", "1 while pictures come", {f.view: float(f.live) for f in feeds})
        ages = {f.view: f.age_s for f in feeds}
        yield _gauge("last_frame_age_seconds", "Since the last picture", _known(ages))
        intervals = {f.view: f.idr_interval_s for f in feeds}
        yield _gauge("idr_interval_seconds", "Between the last two key pictures", _known(intervals))
        yield _counter("frames", "Whole pictures received", {f.view: f.frames for f in feeds})
        yield _counter("received_bytes", "RTP and RTCP received", {f.view: f.counters.received_bytes for f in feeds})
        lost = {f.view: f.counters.losses.packets for f in feeds}
        yield _counter("rtp_lost", "RTP packets missing from cameras", lost)
        dropped = {f.view: f.counters.losses.access_units for f in feeds}
        yield _counter("frames_dropped", "Pictures received incomplete or without their reference", dropped)
        yield _counter("reconnects", "Sessions after the first", {f.view: max(0, f.sessions - 1) for f in feeds})
        faults = CounterMetricFamily(f"{PREFIX}camera_faults", "Why sessions ended", labels=["camera", "code"])
        for feed in feeds:
            for code, count in sorted(feed.faults.items()):
                faults.add_metric([feed.view, code], count)
        yield faults

    def _of_viewers(self) -> Iterable[Metric]:
        feeds = self._feeds.values()
        counts = self._sessions.counts
        yield _gauge("viewers", "Viewer sessions open", {f.view: float(self._sessions.of_view(f.view)) for f in feeds})
        results = CounterMetricFamily(f"{PREFIX}sessions", "Viewer sessions by result", labels=["camera", "result"])
        for (view, result), count in sorted(counts.results.items()):
            results.add_metric([view, result], count)
        yield results
        sent = {f.view: counts.sent[f.view] for f in feeds}
        yield _counter("sent_packets", "RTP packets sent to viewers", {v: c.packets for v, c in sent.items()})
        yield _counter("sent_bytes", "RTP payload sent to viewers", {v: c.octets for v, c in sent.items()})
        yield _counter("nack", "Retransmission requests by viewers", {v: c.nacks for v, c in sent.items()})
        yield _counter("pli", "Picture requests by viewers", {v: c.picture_requests for v, c in sent.items()})
        drops = {f.view: f.fanout.dropped_to_key for f in feeds}
        yield _counter("dropped_to_idr", "Times a viewer fell behind and lost pictures to the next key one", drops)


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {view: value for view, value in values.items() if value is not None}


def _gauge(name: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, text, labels=["camera"])
    for view, value in values.items():
        family.add_metric([view], value)
    return family


def _counter(name: str, text: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(PREFIX + name, text, labels=["camera"])
    for view, value in values.items():
        family.add_metric([view], value)
    return family
