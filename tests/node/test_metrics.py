import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.metric_names import COUNTERS, GAUGES, HISTOGRAMS, LABELLED
from node.metrics import LATENCIES_REMEMBERED_MAX, Latencies, Metrics
from node.stopwatch import Histogram, Stopwatch


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
    metrics.set_labelled("validator_last_signed_height", {("node1",): 9})
    metrics.record_rejection("ledger", "NONCE_USED")
    metrics.record_rejection("ledger", "NONCE_USED")
    metrics.get_histogram("journal_sync_seconds").observe(0.004)
    samples = get_samples(metrics)
    for number, name in enumerate(GAUGES):
        assert samples[f"gridbft_{name}"] == number
    for number, name in enumerate(COUNTERS):
        assert samples[f"gridbft_{name}_total"] == number + 1
    assert samples["gridbft_validator_last_signed_height{validator=node1}"] == 9
    assert samples["gridbft_rejections_total{rejection=NONCE_USED}{stage=ledger}"] == 2
    assert samples["gridbft_journal_sync_seconds_bucket{le=0.0025}"] == 0
    assert samples["gridbft_journal_sync_seconds_bucket{le=0.005}"] == 1


def test_a_validator_that_left_is_shown_no_more() -> None:
    metrics = Metrics()
    metrics.set_labelled("validator_missed_blocks", {("node1",): 9, ("node2",): 0})
    metrics.set_labelled("validator_missed_blocks", {("node2",): 1})
    assert [name for name in get_samples(metrics) if "missed" in name] == [
        "gridbft_validator_missed_blocks{validator=node2}"
    ]


def test_an_unknown_name_is_a_bug() -> None:
    metrics = Metrics()
    for name in ("hieght", ""):
        with pytest.raises(KeyError):
            metrics.set_gauge(name, 1)
        with pytest.raises(KeyError):
            metrics.add(name)
        with pytest.raises(KeyError):
            metrics.set_counter(name, 1)
        with pytest.raises(KeyError):
            metrics.set_labelled(name, {})
        with pytest.raises(KeyError):
            metrics.set_histogram(name, Histogram((1.0,)))


def test_a_count_kept_elsewhere_is_taken_over() -> None:
    metrics = Metrics()
    metrics.set_counter("signatures_valid", 12)
    assert metrics.counters["signatures_valid"] == 12


UNITS = ("_seconds", "_bytes")
OTHER_UNITS = re.compile(r"_(ms|us|minutes|hours|kb|mb|kilobytes|percent|ratio)(_|$)")


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in _total, durations are seconds, sizes are bytes, and the type is not a part of the name."""
    families = list(text_string_to_metric_families(Metrics().render().decode()))
    own = [family for family in families if not family.name.startswith("gridbft_process_")]
    assert {family.name for family in own} == {
        f"gridbft_{name}" for name in (*GAUGES, *COUNTERS, *HISTOGRAMS, *LABELLED)
    }
    for family in own:
        assert re.fullmatch(r"gridbft(_[a-z]+)+", family.name), family.name
        assert not OTHER_UNITS.search(family.name), family.name
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), family.name
        if family.type == "histogram":
            assert family.name.endswith(UNITS), family.name
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)


def test_the_help_of_a_metric_is_one_plain_line() -> None:
    for family in text_string_to_metric_families(Metrics().render().decode()):
        assert family.documentation
        assert "\n" not in family.documentation


def test_bounds_of_a_histogram_rise() -> None:
    for _, bounds in HISTOGRAMS.values():
        assert list(bounds) == sorted(set(bounds))


def test_a_stopwatch_counts_what_ended_and_knows_what_has_not() -> None:
    watch = Stopwatch((0.0, 1e9))
    assert watch.get_running_s() == 0
    with watch:
        began_s = time.monotonic()
        while watch.get_running_s() <= 0:
            assert time.monotonic() - began_s < 60
        assert watch.histogram.build_buckets()[-1] == ("+Inf", 0)
    assert watch.get_running_s() == 0
    assert watch.histogram.build_buckets()[-1] == ("+Inf", 1)
    with pytest.raises(ZeroDivisionError), watch:
        1 / 0  # noqa: B018  # what fails was done, too
    assert watch.get_running_s() == 0
