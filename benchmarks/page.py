"""A run of the suite as one HTML page with its plots: the hockey stick, latencies, CPU, memory."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.plots import (
    BATCH_COLOUR,
    LIMIT_COLOUR,
    RESULTS,
    SINGLE_COLOUR,
    draw_result,
    iterate_kept,
    plot_stick,
    select,
)
from cli.plots import draw, import_figure, write_page

OWN_RESULT = "throughput"
"""What a run shows by itself."""
MACHINE_SHOWN = ("processor", "arch", "cpus", "python", "kernel")
ROWS = (
    ("sustained_tx_s", "sustained, tx/s"),
    ("fraction_of_limit", "of the machine's limit, batches"),
    ("single_post_fraction", "of the machine's limit, one POST each"),
    ("cpu_us_per_tx", "CPU of all validators, us per transaction"),
    ("cpu_per_verify", "the same, in signature checks of all validators"),
    ("failover_s", "longest silence when the primary is killed, s"),
    ("wire_amplification", "bytes between validators per transaction byte"),
    ("lost", "lost"),
    ("duplicated", "applied twice"),
)


def write_bench_page(path: Path, run: Mapping[str, Any], results: Path = RESULTS) -> None:
    """Write the page of a run (the JSON of ``throughput.Report``), and of the kept results of ``results``.

    Raises:
        CliError: the extra `report` is not installed, a result is none, or the disk refuses.

    """
    figure = import_figure()
    machine = run["machine"]
    setup = (
        f"{run['validators']} validators and the client on {machine['cpus']} cores ({machine['processor']}),"
        f" transactions of {run['tx_bytes']} bytes, fsync on; one signature check takes {run['t_verify_us']} us,"
        f" so the limit is {run['limit_tx_s']:.0f} tx/s; profile {run['profile']}"
    )
    body = [
        "<h1>A network under load</h1>",
        f"<p>{html.escape(setup)}</p>",
        _build_table(run),
        "<h2>What was confirmed against what was offered</h2>",
        draw(figure, 2, lambda axes: plot_stick(axes, run)),
        "<h2>Latency at a share of the sustained rate</h2>",
        draw(figure, 1, lambda axes: _plot_latencies(axes[0], run)),
        "<h2>CPU of all validators per transaction</h2>",
        draw(figure, 1, lambda axes: _plot_cpu(axes[0], run)),
        "<h2>Anonymous memory of the validators</h2>",
        draw(figure, 1, lambda axes: _plot_memory(axes[0], run)),
        *_draw_kept(figure, results),
        "<h2>The numbers</h2>",
        f"<pre>{html.escape(json.dumps({k: v for k, v in run.items() if k != 'runs'}, indent=1))}</pre>",
    ]
    write_page(path, "gridbft under load", body)


def _draw_kept(figure: Any, results: Path) -> list[str]:  # noqa: ANN401  # as above
    """Return the drawings of results that other commands of the suite have kept, each with where it was measured."""
    parts = []
    for drawing, path, found in iterate_kept(results):
        if drawing.result == OWN_RESULT:
            continue
        machine = found["machine"]
        where = ", ".join(f"{name} {machine[name]}" for name in MACHINE_SHOWN if name in machine)
        parts.append(f"<h2>{html.escape(drawing.title)}</h2>")
        parts.append(f"<p>{path.name}: {html.escape(where)}</p>")
        parts.append(draw_result(figure, drawing, found, path))
    return parts


def _build_table(run: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td>{html.escape(text)}</td><td>{run[name]}</td></tr>" for name, text in ROWS)
    latencies = "".join(
        f"<tr><td>latency at {html.escape(load)}, p50 / p99, ms</td><td>{each['p50']} / {each['p99']}</td></tr>"
        for load, each in run["latency_ms"].items()
    )
    return f"<table>{rows}{latencies}</table>"


def _plot_latencies(axis: Any, run: Mapping[str, Any]) -> None:  # noqa: ANN401  # as above
    loads = list(run["latency_ms"])
    for percentile, colour in (("p50", BATCH_COLOUR), ("p99", SINGLE_COLOUR)):
        axis.semilogy(
            loads,
            [run["latency_ms"][load][percentile] for load in loads],
            "o-",
            color=colour,
            label=percentile,
        )
    axis.set(ylabel="ms")
    axis.legend()


def _plot_cpu(axis: Any, run: Mapping[str, Any]) -> None:  # noqa: ANN401  # as above
    runs = select(run, "gridbft-stream")
    axis.loglog(
        [each["result"]["achieved_tx_s"] for each in runs],
        [each["cpu_us_per_tx"] for each in runs],
        "o",
        color=BATCH_COLOUR,
        label="measured",
    )
    checks = run["validators"] * run["t_verify_us"]
    axis.axhline(checks, color=LIMIT_COLOUR, linestyle=":", label="the signature checks alone")
    axis.set(xlabel="confirmed, tx/s", ylabel="us of CPU")
    axis.legend()


def _plot_memory(axis: Any, run: Mapping[str, Any]) -> None:  # noqa: ANN401  # as above
    total, totals, memory = 0, [], []
    for each in run["runs"]:
        total += each["result"]["confirmed"]
        totals.append(total)
        memory.append(max(each["rss_mb"].values(), default=0))
    axis.plot(totals, memory, "o-", color=BATCH_COLOUR)
    axis.set(xlabel="transactions committed so far", ylabel="MB, the largest validator", ylim=(0, None))
