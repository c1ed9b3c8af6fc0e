"""What the node counts and measures: for Prometheus under ``gridbft_*``, and in short for the status answer."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from node.metric_names import COUNTERS, GAUGES, HISTOGRAMS, LABELLED, PREFIX
from node.stopwatch import Histogram

LATENCIES_REMEMBERED_MAX = 4_096
"""The percentiles of the status are over the last so many transactions: four large blocks."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from a transaction's arrival at this node to its certificate; None before the first."""

    p50: int | None
    p99: int | None


class Metrics:
    """Plain numbers, rendered when somebody asks."""

    def __init__(self) -> None:
        self._gauges: dict[str, float] = dict.fromkeys(GAUGES, 0)
        self._counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._labelled: dict[str, dict[Labels, float]] = {name: {} for name in LABELLED}
        self._histograms = {name: Histogram(bounds) for name, (_, bounds) in HISTOGRAMS.items()}
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._rejections: Counter[Labels] = Counter()
        self._latencies: deque[int] = deque(maxlen=LATENCIES_REMEMBERED_MAX)
        self._registry = CollectorRegistry()
        self._registry.register(_NodeCollector(self))
        ProcessCollector(namespace="gridbft", registry=self._registry)

    def set_gauge(self, name: str, value: float) -> None:
        """Set a gauge of ``GAUGES``."""
        if name not in self._gauges:
            raise KeyError(name)
        self._gauges[name] = value

    def add(self, name: str, count: int = 1) -> None:
        """Count up a counter of ``COUNTERS``."""
        self._counters[name] += count

    def set_counter(self, name: str, value: int) -> None:
        """Take over a count that another part of the node keeps."""
        if name not in self._counters:
            raise KeyError(name)
        self._counters[name] = value

    def set_labelled(self, name: str, values: Mapping[Labels, float]) -> None:
        """Take over all series of a metric of ``LABELLED``; those that are not named any more are gone."""
        if name not in LABELLED:
            raise KeyError(name)
        self._labelled[name] = dict(values)

    def get_histogram(self, name: str) -> Histogram:
        """Return a histogram of ``HISTOGRAMS``, to observe values with."""
        return self._histograms[name]

    def set_histogram(self, name: str, histogram: Histogram) -> None:
        """Show a histogram that another part of the node keeps."""
        if name not in self._histograms:
            raise KeyError(name)
        self._histograms[name] = histogram

    def record_rejection(self, stage: str, rejection: str) -> None:
        """Count a refused transaction by its reason; ``stage`` is ``admission`` or ``ledger``."""
        self._rejections[stage, rejection] += 1

    def record_request(self, method: str, route: str, status: int) -> None:
        """Count an HTTP answer; ``route`` is the pattern, never the address, so that there are few."""
        self._requests[method, route, status] += 1

    def record_commit(self, latency_ms: int) -> None:
        """Remember how long one transaction took from its arrival to its certificate."""
        self._latencies.append(latency_ms)
        self._histograms["commit_latency_seconds"].observe(latency_ms / 1000)

    def compute_latencies(self) -> Latencies:
        """Return the percentiles (nearest rank) of the transactions remembered."""
        ordered = sorted(self._latencies)
        if not ordered:
            return Latencies(None, None)
        return Latencies(*(ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 99)))

    @property
    def counters(self) -> dict[str, int]:
        """Return all counters without labels by name."""
        return dict(self._counters)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect_families(self) -> Iterable[Metric]:
        """Yield the metric families as they stand."""
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"{PREFIX}{name}", text, value=self._gauges[name])
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"{PREFIX}{name}", text, value=self._counters[name])
        counted: dict[str, dict[Labels, float]] = {
            "http_requests": {
                (method, route, str(code)): n for (method, route, code), n in self._requests.items()
            },
            "rejections": dict(self._rejections),
        }
        for name, family in LABELLED.items():
            kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = kind(f"{PREFIX}{name}", family.text, labels=family.labels)
            for labels, value in sorted(counted.get(name, self._labelled[name]).items()):
                metric.add_metric(labels, value)
            yield metric
        for name, (text, _) in HISTOGRAMS.items():
            histogram = self._histograms[name]
            yield HistogramMetricFamily(
                f"{PREFIX}{name}", text, buckets=histogram.build_buckets(), sum_value=histogram.sum
            )


class _NodeCollector(Collector):
    """Hands the families to the registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.collect_families()
