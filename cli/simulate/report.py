"""The report of a simulation: one HTML file with its plots inside, the same numbers as the JSON."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cli.plots import draw, import_figure, write_page
from cli.simulate.options import SimulationOptions
from cli.simulate.result import Simulated
from meter.home.model import WH_PER_KWH, Array
from meter.home.participant import MICRO, Outcome

HOMES_SHOWN_MAX = 40
"""Bars of more homes than this are thinner than a line: the largest gains are shown."""
ALONE, TOGETHER, GRID = "#8c8c8c", "#1f6f8b", "#c0504d"


def write_report(
    path: Path, numbers: Mapping[str, object], days: Sequence[Simulated], options: SimulationOptions
) -> None:
    """Write the report.

    Raises:
        CliError: the extra is not installed, or the disk refuses.

    """
    figure = import_figure()
    sections = [
        ("Convergence", draw(figure, 2, lambda axes: _plot_convergence(axes, days))),
        ("Prices and trades", draw(figure, 2, lambda axes: _plot_day(axes, days, options))),
        ("Each home", draw(figure, 2, lambda axes: _plot_homes(axes, days))),
        ("Exchange with the grid", draw(figure, 1, lambda axes: _plot_grid(axes, days))),
    ]
    body = [
        "<h1>Homes that trade a day ahead</h1>",
        f"<p>{html.escape(_describe(numbers, days))}</p>",
        _build_cost_table(numbers, days),
        *(f"<h2>{html.escape(title)}</h2>{drawing}" for title, drawing in sections),
        "<h2>Peaks</h2>",
        _build_peak_table(days),
        "<h2>The numbers</h2>",
        f"<pre>{html.escape(json.dumps(numbers, ensure_ascii=False, indent=1))}</pre>",
    ]
    write_page(path, "Transactive energy management", body)


def compute_peaks(profile: Array, slot_hours: float) -> tuple[float, float]:
    """Return the highest power (kW) that is drawn, and its ratio to the average (0 where nothing is drawn)."""
    drawn = np.maximum(profile, 0)
    mean = float(drawn.mean())
    return float(drawn.max()) / slot_hours, float(drawn.max()) / mean if mean > 0 else 0.0


def compute_grid_profiles(each: Simulated) -> tuple[Array, Array]:
    """Return what the community draws from the grid less what it feeds in, kWh per slot: alone and together."""
    outcomes = each.result.outcomes
    alone = sum(
        (o.alone_plan.grid_kwh - o.alone_plan.feed_in_kwh for o in outcomes), np.zeros(len(each.day.starts_s))
    )
    together = sum((o.plan.grid_kwh - o.plan.feed_in_kwh for o in outcomes), np.zeros(len(each.day.starts_s)))
    return alone, together


def _plot_convergence(axes: Any, days: Sequence[Simulated]) -> None:  # noqa: ANN401  # axes have no public type here
    residuals, costs = axes
    for each in days:
        steps = each.result.steps
        numbers = range(1, len(steps) + 1)
        label = f"day {each.day.number}"
        residuals.semilogy(
            numbers, [max(step.primal_mwh, 1) / 1000 for step in steps], label=f"{label}: plans"
        )
        residuals.semilogy(
            numbers, [max(step.dual_mwh, 1) / 1000 for step in steps], "--", label=f"{label}: targets"
        )
        reconciled = [step.cost for step in steps if step.cost is not None]
        if reconciled:
            costs.plot(range(1, len(reconciled) + 1), reconciled, label=f"{label}: together")
            costs.axhline(each.pooled, color=ALONE, linewidth=0.8)
    residuals.set(xlabel="iteration", ylabel="root mean square, Wh", title="Residuals")
    costs.set(xlabel="iteration", ylabel="cost", title="Cost after reconciliation (line: pooled optimum)")
    residuals.legend(fontsize="x-small", ncols=2)


def _plot_day(axes: Any, days: Sequence[Simulated], options: SimulationOptions) -> None:  # noqa: ANN401  # as above
    prices, trades = axes
    hours = _get_hours(days)
    retail = np.concatenate([each.day.retail for each in days])
    prices.step(hours, retail, where="post", color=GRID, label="retail")
    prices.step(
        hours, np.full(len(retail), options.feed_in / MICRO), where="post", color=ALONE, label="feed-in"
    )
    agreed = np.concatenate([_compute_mean_prices(each) for each in days])
    prices.step(hours, agreed, where="post", color=TOGETHER, label="agreed, mean by energy")
    traded = np.concatenate([_sum_trades(each) for each in days])
    trades.bar(hours, traded, width=_get_width(hours), align="edge", color=TOGETHER)
    prices.set(ylabel="currency per kWh", title="Prices")
    prices.legend(fontsize="x-small")
    trades.set(xlabel="hours from the first slot", ylabel="kWh", title="Energy that changes hands")


def _plot_homes(axes: Any, days: Sequence[Simulated]) -> None:  # noqa: ANN401  # as above
    bills, energy = axes
    sums: dict[str, Array] = {}
    for each in days:
        for outcome, relief in zip(each.result.outcomes, each.result.relief, strict=True):
            values = np.array([outcome.alone, outcome.together - relief, *_sum_energy(outcome)])
            sums[outcome.name] = sums.get(outcome.name, np.zeros(4)) + values
    shown = sorted(sorted(sums, key=lambda name: sums[name][1] - sums[name][0])[:HOMES_SHOWN_MAX])
    places = np.arange(len(shown))
    for axis, (first, second), title in (
        (bills, (0, 1), "Cost: alone and together (negative: received)"),
        (energy, (2, 3), "Drawn from the grid, kWh: alone and together"),
    ):
        axis.bar(places - 0.2, [sums[name][first] for name in shown], 0.4, color=ALONE, label="alone")
        axis.bar(places + 0.2, [sums[name][second] for name in shown], 0.4, color=TOGETHER, label="together")
        axis.set_xticks(places, shown, rotation=90 if len(shown) > 12 else 0, fontsize="small")  # noqa: PLR2004  # fit
        axis.set(title=title)
    bills.legend(fontsize="x-small")


def _plot_grid(axes: Any, days: Sequence[Simulated]) -> None:  # noqa: ANN401  # as above
    (axis,) = axes
    hours = _get_hours(days)
    profiles = [compute_grid_profiles(each) for each in days]
    axis.step(
        hours, np.concatenate([alone for alone, _ in profiles]), where="post", color=ALONE, label="alone"
    )
    axis.step(
        hours, np.concatenate([both for _, both in profiles]), where="post", color=TOGETHER, label="together"
    )
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set(xlabel="hours from the first slot", ylabel="kWh", title="From the grid (below nothing: fed in)")
    axis.legend(fontsize="x-small")


def _get_hours(days: Sequence[Simulated]) -> Array:
    first_s = days[0].day.starts_s[0]
    return np.array([(start_s - first_s) / 3600 for each in days for start_s in each.day.starts_s])


def _get_width(hours: Array) -> float:
    return float(hours[1] - hours[0]) if len(hours) > 1 else 1.0


def _sum_energy(outcome: Outcome) -> tuple[float, float]:
    return float(outcome.alone_plan.grid_kwh.sum()), float(outcome.plan.grid_kwh.sum())


def _sum_trades(each: Simulated) -> Array:
    """Return what changes hands, kWh per slot."""
    total = np.zeros(len(each.day.starts_s))
    for agreement in each.result.agreements:
        if agreement is not None:
            total += np.maximum(np.array(agreement.net_wh), 0) / WH_PER_KWH
    return total


def _compute_mean_prices(each: Simulated) -> Array:
    """Return the mean price of what changed hands by slot, weighted by energy; nothing where nothing did."""
    slots = len(each.day.starts_s)
    energy, money = np.zeros(slots), np.zeros(slots)
    for agreement in each.result.agreements:
        if agreement is None:
            continue
        quantities = np.array(agreement.quantities_wh or agreement.net_wh, dtype=np.float64).reshape(
            -1, slots
        )
        prices = np.array(agreement.prices, dtype=np.float64).reshape(-1, slots)
        energy += np.abs(quantities).sum(axis=0)
        money += (np.abs(quantities) * prices).sum(axis=0)
    return np.where(energy > 0, money / np.maximum(energy, 1), np.nan) / MICRO


def _describe(numbers: Mapping[str, object], days: Sequence[Simulated]) -> str:
    end = "converged" if numbers["converged"] else "did not converge"
    return (
        f"{numbers['homes']} homes, {len(days)} day(s), {numbers['form']} form: {end} within "
        f"{numbers['iterations']} iterations. Together costs {numbers['saving_percent']} % less than alone. "
        "Costs include battery wear and discomfort; together is after every plan was made again with the fixed trades."
    )


def _build_cost_table(numbers: Mapping[str, object], days: Sequence[Simulated]) -> str:
    cost: Any = numbers["cost"]
    unmanaged = sum(each.unmanaged for each in days)
    rows = [
        ("without any management", unmanaged),
        *((name.replace("_", " "), value) for name, value in cost.items()),
    ]
    cells = "".join(f"<tr><td>{html.escape(name)}</td><td>{value:.4f}</td></tr>" for name, value in rows)
    return f"<table><tr><th>cost</th><th>currency units</th></tr>{cells}</table>"


def _build_peak_table(days: Sequence[Simulated]) -> str:
    hours = days[0].day.slot_s / 3600
    profiles = [compute_grid_profiles(each) for each in days]
    rows = []
    for name, index in (("alone", 0), ("together", 1)):
        peak, ratio = compute_peaks(np.concatenate([pair[index] for pair in profiles]), hours)
        rows.append(f"<tr><td>{name}</td><td>{peak:.3f}</td><td>{ratio:.3f}</td></tr>")
    head = "<tr><th></th><th>peak, kW</th><th>peak to average</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"
