import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.metrics import COUNTERS, GAUGES, LATENCIES_REMEMBERED_MAX, Latencies, Metrics


def get_samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name
        + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_percentiles_are_of_the_nearest_rank() -> None:
    metrics = Metrics()
    for latency_ms in range(1, 101):
        metrics.record_commit(latency_ms)
    assert metrics.compute_latencies() == Latencies(50, 99)


def test_without_transactions_there_are_no_percentiles() -> None:
    assert Metrics().compute_latencies() == Latencies(None, None)


def test_one_transaction_is_every_percentile() -> None:
    metrics = Metrics()
    metrics.record_commit(7)
    assert metrics.compute_latencies() == Latencies(7, 7)


def test_percentiles_forget_what_is_long_ago_and_the_histogram_does_not() -> None:
    metrics = Metrics()
    for _ in range(100):
        metrics.record_commit(60_000)
    for _ in range(LATENCIES_REMEMBERED_MAX):
        metrics.record_commit(20)
    assert metrics.compute_latencies() == Latencies(20, 20)
    samples = get_samples(metrics)
    assert samples["gridbft_commit_latency_seconds_bucket{le=0.025}"] == LATENCIES_REMEMBERED_MAX
    assert samples["gridbft_commit_latency_seconds_bucket{le=30.0}"] == LATENCIES_REMEMBERED_MAX
    assert samples["gridbft_commit_latency_seconds_bucket{le=+Inf}"] == LATENCIES_REMEMBERED_MAX + 100
    assert samples["gridbft_commit_latency_seconds_count"] == LATENCIES_REMEMBERED_MAX + 100


def test_everything_that_is_set_is_shown_under_its_name() -> None:
    metrics = Metrics()
    for number, name in enumerate(GAUGES):
        metrics.set_gauge(name, number)
    for number, name in enumerate(COUNTERS):
        metrics.add(name, number + 1)
    metrics.record_signed("node1", 9)
    metrics.record_signed("node1", 4)
    samples = get_samples(metrics)
    for number, name in enumerate(GAUGES):
        assert samples[f"gridbft_{name}"] == number
    for number, name in enumerate(COUNTERS):
        assert samples[f"gridbft_{name}_total"] == number + 1
    assert samples["gridbft_validator_last_signed_height{validator=node1}"] == 9


def test_an_unknown_name_is_a_bug() -> None:
    metrics = Metrics()
    for name in ("hieght", ""):
        with pytest.raises(KeyError):
            metrics.set_gauge(name, 1)
        with pytest.raises(KeyError):
            metrics.add(name)
        with pytest.raises(KeyError):
            metrics.set_counter(name, 1)


def test_a_count_kept_elsewhere_is_taken_over() -> None:
    metrics = Metrics()
    metrics.set_counter("signatures_valid", 12)
    assert metrics.counters["signatures_valid"] == 12
