"""On real homes a round comes to the pooled optimum, within the iterations of the reference runs, and nobody loses."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.failure import ExitCode
from cli.simulate.options import RunFlags, SourceFlags, TermFlags
from cli.simulate.result import build_lines
from tests.cli.conftest import Command
from tests.cli.simulate.reference import FIVE, play_day, simulate

OPTIMUM_TOLERANCE = 1e-6
"""A solver may end that much above the optimum (relative); a plan below it by more than this would be wrong."""

KEYS = {
    "form",
    "homes",
    "iterations",
    "converged",
    "residual_wh",
    "cost",
    "saving_percent",
    "traded_wh",
    "per_home",
    "seconds",
    "transactions",
    "bytes_per_home",
}


def check(found: dict[str, Any]) -> None:
    """What holds of every good run."""
    cost = found["cost"]
    assert found.keys() == KEYS
    assert found["converged"] is True
    assert found["residual_wh"] * 100 <= found["traded_wh"]
    assert cost["together"] >= cost["pooled_optimum"] - OPTIMUM_TOLERANCE * abs(cost["pooled_optimum"])
    assert found["saving_percent"] == pytest.approx(
        100 * (cost["alone"] - cost["together"]) / abs(cost["alone"]), abs=1e-3
    )
    for field in ("alone", "together"):
        assert cost[field] == pytest.approx(sum(home[field] for home in found["per_home"].values()), abs=1e-4)
    assert all(home["together"] <= home["alone"] for home in found["per_home"].values())


@pytest.mark.parametrize(
    ("only", "day", "iterations", "alone", "optimum"),
    [
        (FIVE, 0, 21, 10.573, 3.918),
        (None, 0, 36, 15.955, 6.083),
        (None, 3, 19, 37.389, 26.344),
        (None, 6, 21, 40.237, 33.055),
    ],
)
def test_the_reference_runs_are_met(
    only: str | None, day: int, iterations: int, alone: float, optimum: float
) -> None:
    found: dict[str, Any] = simulate(SourceFlags(day=day, only=only)).to_json()
    check(found)
    assert found["iterations"] <= iterations
    assert found["cost"]["alone"] == pytest.approx(alone, abs=1e-3)
    assert found["cost"]["pooled_optimum"] == pytest.approx(optimum, abs=1e-3)
    assert found["cost"]["together"] <= 1.005 * optimum


@pytest.mark.slow
def test_a_week_of_ten_homes_costs_a_quarter_less_and_no_home_is_worse_off() -> None:
    found = simulate(SourceFlags(days=7))
    shown: dict[str, Any] = found.to_json()
    check(shown)
    assert shown["saving_percent"] >= 25
    unmanaged = sum(each.unmanaged for each in found.days)
    assert shown["cost"]["together"] < shown["cost"]["alone"] < unmanaged
    for each in found.days:
        for outcome, relief in zip(each.result.outcomes, each.result.relief, strict=True):
            assert outcome.together - relief <= outcome.alone, (each.day.number, outcome.name)
    assert any(
        "no home is worse off than alone" in line for line in build_lines(found.days, "bilateral", 1.0)
    )


@pytest.mark.parametrize(("day", "iterations", "loser"), [(2, 6, "CL01"), (3, 6, "CL14"), (6, 3, "CL03")])
def test_where_a_round_that_ends_early_leaves_a_home_worse_off_the_relief_mends_it(
    day: int, iterations: int, loser: str
) -> None:
    _, result = play_day(day, TermFlags(iterations=iterations))
    assert not result.round.converged
    losses = {each.name: each.together - each.alone for each in result.outcomes}
    assert [name for name, loss in losses.items() if loss > 0] == [loser]
    mended = [
        each.together - relief - each.alone
        for each, relief in zip(result.outcomes, result.relief, strict=True)
    ]
    assert losses[loser] > 0.04
    assert max(mended) <= 1e-9
    assert sum(result.relief) == pytest.approx(0, abs=1e-12)
    assert result.money_left_nano == 0


def test_the_exchange_comes_to_the_same_optimum() -> None:
    found: dict[str, Any] = simulate(terms=TermFlags(form="exchange")).to_json()
    check(found)
    assert found["cost"]["together"] <= 1.005 * found["cost"]["pooled_optimum"]
    assert found["cost"]["pooled_optimum"] == pytest.approx(6.083, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_homes_come_within_a_hundredth_of_the_lagrangian_bound() -> None:
    found: dict[str, Any] = simulate(
        SourceFlags(count=1000), TermFlags(form="exchange"), RunFlags(workers=2)
    ).to_json()
    check(found)
    assert found["homes"] == 1000
    assert found["cost"]["together"] <= found["cost"]["pooled_optimum"] + 0.01 * abs(
        found["cost"]["pooled_optimum"]
    )


def test_the_bound_of_a_large_community_is_below_the_pooled_optimum_of_a_small_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact: dict[str, Any] = simulate(terms=TermFlags(form="exchange")).to_json()
    monkeypatch.setattr("cli.simulate.play.POOLED_MAX", 9)
    bounded: dict[str, Any] = simulate(terms=TermFlags(form="exchange")).to_json()
    optimum, bound = exact["cost"]["pooled_optimum"], bounded["cost"]["pooled_optimum"]
    assert bound <= optimum + OPTIMUM_TOLERANCE
    assert bound == pytest.approx(optimum, rel=0.01)


def test_workers_in_other_processes_say_the_same() -> None:
    terms = TermFlags(form="exchange")
    here: dict[str, Any] = simulate(terms=terms).to_json()
    spread: dict[str, Any] = simulate(terms=terms, run=RunFlags(workers=3)).to_json()
    assert {**here, "seconds": 0} == {**spread, "seconds": 0}


@pytest.mark.parametrize("terms", [TermFlags(), TermFlags(form="exchange"), TermFlags(fee=2000, balancing=3)])
def test_energy_and_money_of_the_metered_day_sum_to_zero(terms: TermFlags) -> None:
    simulation, result = play_day(0, terms)
    assert result.money_left_nano == 0
    slots = range(len(simulation.day.starts_s))
    for slot in slots:
        assert sum(each.net_wh[slot] for each in result.agreements if each is not None) == 0
        lines = [mine[slot] for mine in result.lines]
        assert sum(line.agreed_bought_wh for line in lines) == sum(line.agreed_sold_wh for line in lines)
        imported = sum(line.import_wh - line.export_wh for line in lines)
        assert imported == sum(line.grid_bought_wh - line.grid_sold_wh for line in lines)


def test_with_perfect_foresight_the_metered_day_costs_what_was_planned() -> None:
    found: dict[str, Any] = simulate().to_json()
    assert found["cost"]["metered"] == pytest.approx(found["cost"]["together"], abs=0.01)


@pytest.mark.parametrize("forecast", ["persistence", "weekday"])
def test_a_forecast_from_ones_own_past_costs_more_and_is_still_settled(forecast: str) -> None:
    found: dict[str, Any] = simulate(SourceFlags(day=2, forecast=forecast)).to_json()
    assert found["converged"]
    assert found["cost"]["metered"] > found["cost"]["together"]


def test_a_fee_removes_trades_that_go_round_in_circles() -> None:
    def gross(terms: TermFlags) -> tuple[int, int]:
        _, result = play_day(0, terms)
        agreements = [each for each in result.agreements if each is not None]
        exchanged = sum(abs(wh) for each in agreements for wh in each.quantities_wh)
        return exchanged, sum(abs(wh) for each in agreements for wh in each.net_wh)

    free, charged = gross(TermFlags()), gross(TermFlags(fee=3000))
    assert free[0] > 1.1 * free[1]
    assert charged[0] < 1.05 * charged[1]


def test_preferences_steer_trades_to_those_with_more_demand_and_cost_little() -> None:
    def share(terms: TermFlags) -> tuple[float, float]:
        """Return the part of all trades that the home with most demand is in, and the cost together."""
        simulation, result = play_day(0, terms)
        names = [home.name for home in simulation.homes]
        gross = {
            name: sum(map(abs, each.quantities_wh))
            for name, each in zip(names, result.agreements, strict=True)
            if each is not None
        }
        return gross["CL15"] / sum(gross.values()), sum(each.together for each in result.outcomes)

    plain, steered = share(TermFlags()), share(TermFlags(preference_price=30_000))
    assert steered[0] > plain[0]
    assert steered[1] < 1.05 * plain[1]


def test_the_command_prints_one_line_of_json(gridbft: Command) -> None:
    ended = gridbft("simulate", "tem", "--only", FIVE, "--json")
    assert ended.code == ExitCode.OK
    assert ended.out.count("\n") == 1
    check(json.loads(ended.out))
    assert gridbft("simulate", "tem", "--only", FIVE).out.startswith("5 homes, 1 day, bilateral: converged")


@pytest.mark.parametrize("form", ["bilateral", "exchange"])
def test_the_report_is_one_file_with_the_same_numbers(tmp_path: Path, gridbft: Command, form: str) -> None:
    path = tmp_path / "report.html"
    ended = gridbft("simulate", "tem", "--only", FIVE, "--form", form, "--json", "-o", path)
    text = path.read_text(encoding="utf-8")
    found = json.loads(ended.out)
    assert text.count("<svg") == 4
    assert "http-equiv" not in text
    assert "<script" not in text
    assert "<link" not in text
    assert "src=" not in text
    for heading in ("Convergence", "Prices and trades", "Each home", "Exchange with the grid", "Peaks"):
        assert f"<h2>{heading}</h2>" in text
    for value in (found["cost"]["together"], found["residual_wh"], found["traded_wh"]):
        assert f"{value}" in text
