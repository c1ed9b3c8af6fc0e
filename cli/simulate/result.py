"""What a simulation came to: one JSON object, and a table for a person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cli.money import count
from cli.simulate.inputs import DayInput
from cli.simulate.play import DayResult

DIGITS = 6
"""A millionth of a currency unit: what a price has."""


@dataclass(frozen=True)
class Simulated:
    """A day that was played, with its yardsticks (currency units)."""

    day: DayInput
    result: DayResult
    pooled: float
    unmanaged: float


@dataclass(frozen=True)
class Summary:
    """The sums over all days."""

    alone: float
    together: float
    pooled: float
    metered: float
    unmanaged: float
    per_home: dict[str, tuple[float, float]]

    @property
    def saving_percent(self) -> float:
        """Return how much cheaper together is than alone."""
        return 100 * (self.alone - self.together) / abs(self.alone) if self.alone else 0.0


def compute_unmanaged(day: DayInput, feed_in: float) -> float:
    """Return what the day costs when nobody moves anything and nobody trades."""
    total = 0.0
    for home in day.homes:
        net = home.actual.load_kwh - home.actual.pv_kwh
        total += float(np.maximum(net, 0) @ day.retail) - float(np.maximum(-net, 0).sum()) * feed_in
    return total


def summarise(days: Sequence[Simulated]) -> Summary:
    """Return the sums: together is after reconciliation, with what trades and relief pay."""
    per_home: dict[str, tuple[float, float]] = {}
    for each in days:
        for outcome, relief in zip(each.result.outcomes, each.result.relief, strict=True):
            alone, together = per_home.get(outcome.name, (0.0, 0.0))
            per_home[outcome.name] = (alone + outcome.alone, together + outcome.together - relief)
    return Summary(
        alone=sum(alone for alone, _ in per_home.values()),
        together=sum(together for _, together in per_home.values()),
        pooled=sum(each.pooled for each in days),
        metered=sum(sum(each.result.metered) for each in days),
        unmanaged=sum(each.unmanaged for each in days),
        per_home=dict(sorted(per_home.items())),
    )


def build_json(days: Sequence[Simulated], form: str, seconds: float) -> dict[str, object]:
    """Return the object that --json prints: costs in currency units, energy in Wh, of several days the sums.

    Iterations are those of the longest round.
    """
    summary = summarise(days)
    homes = len(days[0].day.homes)
    return {
        "form": form,
        "homes": homes,
        "iterations": max(len(each.result.steps) for each in days),
        "converged": all(each.result.round.converged for each in days),
        "residual_wh": sum(each.result.round.residual_wh for each in days),
        "cost": {
            "alone": round(summary.alone, DIGITS),
            "together": round(summary.together, DIGITS),
            "pooled_optimum": round(summary.pooled, DIGITS),
            "metered": round(summary.metered, DIGITS),
        },
        "saving_percent": round(summary.saving_percent, DIGITS),
        "traded_wh": sum(get_traded_wh(each.result) for each in days),
        "per_home": {
            name: {"alone": round(alone, DIGITS), "together": round(together, DIGITS)}
            for name, (alone, together) in summary.per_home.items()
        },
        "seconds": round(seconds, 3),
        "transactions": sum(each.result.transactions for each in days),
        "bytes_per_home": sum(sum(each.result.sent_bytes) for each in days) // homes,
    }


def get_traded_wh(result: DayResult) -> int:
    """Return the energy that changes hands: each home's net sales, summed over slots."""
    return sum(max(net, 0) for each in result.agreements if each is not None for net in each.net_wh)


def build_lines(days: Sequence[Simulated], form: str, seconds: float) -> list[str]:
    """Return the summary for a person."""
    summary = summarise(days)
    rounds = [each.result.round for each in days]
    iterations = [len(each.result.steps) for each in days]
    traded = sum(get_traded_wh(each.result) for each in days) / 1000
    losers = [name for name, (alone, together) in summary.per_home.items() if together > alone]
    relief = sum(sum(max(value, 0.0) for value in each.result.relief) for each in days)
    gap = 100 * (summary.together - summary.pooled) / abs(summary.pooled or 1)
    end = "converged" if all(each.converged for each in rounds) else "NOT converged"
    counts = ", ".join(map(str, iterations))
    who = f"{len(days[0].day.homes)} homes, {count(len(days), 'day')}, {form}"
    verdict = f"worse off than alone: {', '.join(losers)}" if losers else "no home is worse off than alone"
    return [
        f"{who}: {end} after {counts} iterations in {seconds:.1f} s",
        f"without any management  {summary.unmanaged:12.4f}",
        f"each home alone         {summary.alone:12.4f}",
        f"together                {summary.together:12.4f}   {summary.saving_percent:.2f} % below alone",
        f"pooled optimum          {summary.pooled:12.4f}   gap {gap:.4f} %",
        f"metered and settled     {summary.metered:12.4f}",
        f"traded {traded:.3f} kWh; relief {relief:.6f}; {verdict}",
    ]
