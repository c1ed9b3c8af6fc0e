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

LATENCIES_REMEMBERED_MAX = 4_096
"""The percentiles of the status are over the last so many transactions: four large blocks."""

LATENCY_BUCKETS_MS = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from a transaction's arrival at this node to its certificate; None before the first."""

    p50: int | None
    p99: int | None


GAUGES: Mapping[str, str] = {
    "chain_height": "Height of the last executed block",
    "certified_height": "Height of the last block with a certificate",
    "pruned_height": "Height up to which blocks and receipts are gone",
    "view": "View of agreement",
    "epoch": "Epoch of the membership",
    "active": "1 while the replica takes part in agreement on its view",
    "stalled": "1 while something keeps this validator from committing",
    "view_attempt": "Views tried since the last block",
    "validators_missing": "Validators that are not heard",
    "mempool_transactions": "Transactions that wait to be ordered",
    "mempool_bytes": "Memory of the transactions that wait",
    "peers_connected": "Validators with an open link",
    "api_connections": "Open connections of the HTTP API",
    "api_waiters": "Requests that wait for a certificate",
}
"""Gauges by name, without the prefix ``gridbft_``; the host sets them, and an unknown name is refused."""

COUNTERS: Mapping[str, str] = {
    "transactions_accepted": "Transactions taken into the mempool",
    "transactions_refused": "Transactions refused before the mempool",
    "transactions_committed": "Transactions executed and applied",
    "transactions_rejected": "Transactions executed and refused by the ledger",
    "blocks_executed": "Blocks executed",
    "view_changes": "View changes this replica took part in",
    "equivocations": "Pairs of contradicting messages seen",
    "signatures_valid": "Signatures that were checked and valid",
    "signatures_invalid": "Signatures that were checked and invalid",
    "signatures_spared": "Checks spared because the transaction was known",
    "messages_dropped": "Messages dropped because the replica's queue was full",
    "journal_syncs": "Synced writes of the journal",
}
"""Counters by name, without the prefix ``gridbft_`` and the suffix ``_total``."""


class Metrics:
    """Plain numbers, rendered when somebody asks."""

    def __init__(self) -> None:
        self._gauges: dict[str, float] = dict.fromkeys(GAUGES, 0)
        self._counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._signed: dict[str, int] = {}
        self._silence_ms: dict[str, int] = {}
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._latencies: deque[int] = deque(maxlen=LATENCIES_REMEMBERED_MAX)
        self._buckets = [0] * (len(LATENCY_BUCKETS_MS) + 1)
        self._latency_sum_ms = 0
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

    def record_signed(self, validator: str, height: int) -> None:
        """Remember the highest header that a validator signed; validators are named in the genesis, so few."""
        self._signed[validator] = max(height, self._signed.get(validator, 0))

    def record_silence(self, validator: str, silence_ms: int) -> None:
        """Remember for how long a validator has not been heard."""
        self._silence_ms[validator] = silence_ms

    def record_request(self, method: str, route: str, status: int) -> None:
        """Count an HTTP answer; ``route`` is the pattern, never the address, so that there are few."""
        self._requests[method, route, status] += 1

    def record_commit(self, latency_ms: int) -> None:
        """Remember how long one transaction took from its arrival to its certificate."""
        self._latencies.append(latency_ms)
        self._latency_sum_ms += latency_ms
        for position, bound in enumerate(LATENCY_BUCKETS_MS):
            if latency_ms <= bound:
                self._buckets[position] += 1
                return
        self._buckets[-1] += 1

    def compute_latencies(self) -> Latencies:
        """Return the percentiles (nearest rank) of the transactions remembered."""
        ordered = sorted(self._latencies)
        if not ordered:
            return Latencies(None, None)
        return Latencies(*(ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 99)))

    @property
    def counters(self) -> dict[str, int]:
        """Return all counters by name."""
        return dict(self._counters)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect_families(self) -> Iterable[Metric]:
        """Yield the metric families as they stand."""
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"gridbft_{name}", text, value=self._gauges[name])
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"gridbft_{name}", text, value=self._counters[name])
        signed = GaugeMetricFamily(
            "gridbft_validator_last_signed_height",
            "Highest header signed by a validator, as seen here",
            labels=["validator"],
        )
        for validator in sorted(self._signed):
            signed.add_metric([validator], self._signed[validator])
        yield signed
        silence = GaugeMetricFamily(
            "gridbft_validator_silence_seconds",
            "Since the last message of a validator, or since the start",
            labels=["validator"],
        )
        for validator in sorted(self._silence_ms):
            silence.add_metric([validator], self._silence_ms[validator] / 1000)
        yield silence
        requests = CounterMetricFamily(
            "gridbft_http_requests", "HTTP answers by route and status", labels=["method", "route", "status"]
        )
        for (method, route, status), count in sorted(self._requests.items()):
            requests.add_metric([method, route, str(status)], count)
        yield requests
        yield self._build_histogram()

    def _build_histogram(self) -> Metric:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip(LATENCY_BUCKETS_MS, self._buckets, strict=False):
            total += count
            buckets.append((repr(bound / 1000), total))
        buckets.append(("+Inf", total + self._buckets[-1]))
        return HistogramMetricFamily(
            "gridbft_commit_latency_seconds",
            "From a transaction's arrival at this node to its certificate",
            buckets=buckets,
            sum_value=self._latency_sum_ms / 1000,
        )


class _NodeCollector(Collector):
    """Hands the families to the registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.collect_families()
