"""What a home has changes its best day as one would expect, and never against physics."""

import numpy as np
import pytest

from meter.home.model import HomeModel, Plan
from meter.home.spec import Appliance, Battery, Car, Heating, HomeError, HomeProblem, HomeSpec, Offer, Shift
from meter.home.tasks import GivenTask, PriceTask, TradeTask
from tests.meter.home.homes import make_day, make_model

NEAR = 1e-4
"""Currency and kWh: what the solver's accuracy leaves."""


def plan(model: HomeModel, net_sale: list[float] | None = None) -> Plan:
    return GivenTask(model, may_overload=net_sale is not None).solve(
        None if net_sale is None else np.array(net_sale)
    )


def test_a_home_without_anything_pays_for_what_it_draws() -> None:
    found = plan(make_model(day=make_day(load=[1.0, 2.0, 0.0, 0.5])))
    assert found.cost == pytest.approx(0.2 * 3.5, abs=NEAR)
    assert found.grid_kwh == pytest.approx([1.0, 2.0, 0.0, 0.5], abs=NEAR)


def test_the_sun_is_used_first_and_the_rest_fed_in() -> None:
    found = plan(make_model(day=make_day(pv=[3.0, 0.0, 0.0, 0.0])))
    assert found.feed_in_kwh == pytest.approx([2.0, 0.0, 0.0, 0.0], abs=NEAR)
    assert found.cost == pytest.approx(3 * 0.2 - 2 * 0.05, abs=NEAR)


def test_a_battery_moves_the_sun_into_the_evening_and_loses_on_the_way() -> None:
    battery = Battery(capacity_wh=4000, power_w=4000, efficiency=0.9, wear=0.0, charge_min=0, charge_max=1)
    day = make_day(load=[0.0, 0.0, 0.0, 2.0], pv=[2.0, 0.0, 0.0, 0.0], feed_in=0.0)
    found = plan(make_model(HomeSpec(battery=battery), day))
    # 2 kWh in, 1.62 kWh out; the battery ends as full as it began.
    assert found.cost == pytest.approx(0.2 * (2 - 1.62), abs=NEAR)
    assert found.stored_kwh == pytest.approx([2.0, 0.0, 0.0, -1.62], abs=1e-3)


def test_a_battery_that_wears_more_than_it_brings_stands_still() -> None:
    day = make_day(load=[0.0, 0.0, 0.0, 2.0], pv=[2.0, 0.0, 0.0, 0.0])
    found = plan(make_model(HomeSpec(battery=Battery(wear=0.2)), day))
    assert np.abs(found.stored_kwh).max() < 1e-3


def test_what_shifts_goes_where_it_is_cheap_and_stays_the_same_in_sum() -> None:
    day = make_day(retail=[0.5, 0.5, 0.1, 0.5])
    found = plan(make_model(HomeSpec(shift=Shift(share=0.5, slack_wh=0, discomfort=0.0)), day))
    assert found.used_kwh.sum() == pytest.approx(4.0, abs=NEAR)
    assert found.used_kwh[2] == pytest.approx(0.5 + 1.0, abs=1e-3)


def test_discomfort_holds_back_what_price_alone_would_move() -> None:
    day = make_day(retail=[0.5, 0.5, 0.1, 0.5])
    spec = HomeSpec(shift=Shift(share=0.5, slack_wh=0, discomfort=5.0))
    assert plan(make_model(spec, day)).used_kwh[2] < 1.1


def test_an_appliance_runs_in_the_cheapest_slots_of_its_window() -> None:
    appliance = Appliance(name="washer", energy_wh=1500, power_w=1000, from_hour=1, to_hour=4)
    day = make_day(load=[0.0] * 4, retail=[0.1, 0.5, 0.3, 0.2])
    found = plan(make_model(HomeSpec(appliances=[appliance]), day))
    assert found.used_kwh == pytest.approx([0.0, 0.0, 0.5, 1.0], abs=NEAR)


def test_an_appliance_without_whole_slots_enough_is_named() -> None:
    appliance = Appliance(name="washer", energy_wh=1500, power_w=1000, from_hour=1.5, to_hour=3.2)
    with pytest.raises(HomeError) as caught:
        make_model(HomeSpec(appliances=[appliance])).build()
    assert caught.value.problem is HomeProblem.APPLIANCE_IMPOSSIBLE


def test_a_car_is_full_when_it_leaves() -> None:
    car = Car(energy_wh=1800, power_w=1500, from_hour=0, to_hour=2, efficiency=0.9)
    day = make_day(load=[0.0] * 4, retail=[0.3, 0.2, 0.1, 0.1])
    found = plan(make_model(HomeSpec(car=car), day))
    assert found.used_kwh == pytest.approx([0.5, 1.5, 0.0, 0.0], abs=NEAR)


def test_cooling_keeps_the_house_near_its_reference() -> None:
    heating = Heating(comfort=10.0, gain=-1.0, decay_hours=5.0, reference_c=23.0, start_c=23.0, power_w=9000)
    hot = plan(make_model(HomeSpec(heating=heating), make_day(load=[0.0] * 4, outdoor=38.0)))
    # To stay at the reference the house needs (1 - e^(-1/5))·15 degrees of cooling an hour.
    needed = (1 - np.exp(-1 / 5)) * 15
    assert hot.used_kwh == pytest.approx([needed] * 4, abs=0.05)
    mild = plan(make_model(HomeSpec(heating=heating), make_day(load=[0.0] * 4, outdoor=23.0)))
    assert np.abs(mild.used_kwh).max() < NEAR


def test_a_demand_charge_flattens_the_purchase() -> None:
    day = make_day(load=[0.0, 4.0, 0.0, 0.0])
    spec = HomeSpec(battery=Battery(wear=0.0, efficiency=1.0), demand_price=1.0)
    assert plan(make_model(spec, day)).grid_kwh.max() < 1.1
    assert plan(make_model(HomeSpec(battery=spec.battery), day)).cost < plan(make_model(spec, day)).cost


def test_an_offer_of_demand_response_is_rewarded_below_the_baseline_only() -> None:
    offer = Offer(reward=0.3, baseline_wh=1500, from_hour=0, to_hour=1)
    found = plan(make_model(HomeSpec(offers=[offer])))
    assert found.cost == pytest.approx(4 * 0.2 - 0.5 * 0.3, abs=NEAR)


def test_an_offer_that_the_home_cannot_keep_is_named() -> None:
    offer = Offer(reward=0.3, baseline_wh=500, from_hour=0, to_hour=1)
    with pytest.raises(HomeError, match="baseline_wh") as caught:
        plan(make_model(HomeSpec(offers=[offer])))
    assert caught.value.problem is HomeProblem.DAY_INFEASIBLE


def test_a_day_beyond_the_connection_is_named() -> None:
    with pytest.raises(HomeError) as caught:
        plan(make_model(HomeSpec(grid_w=1000), make_day(load=[1.5] * 4)))
    assert caught.value.problem is HomeProblem.DAY_INFEASIBLE


def test_given_trades_may_break_the_rating_at_a_high_price() -> None:
    found = plan(make_model(HomeSpec(grid_w=1000), make_day(load=[1.0] * 4)), [0.1, 0.0, 0.0, 0.0])
    assert found.cost == pytest.approx(4 * 0.2 + 0.1 * 10, abs=1e-3)


def test_a_trade_is_answered_where_cost_and_pull_meet() -> None:
    task = TradeTask(make_model(), [5.0], [0.0], rho=0.5)
    # At a price of 0.3 selling from the grid's 0.2 is worth it up to the target and a little beyond: 0.1/0.5 kWh.
    sold = task.solve(np.full((1, 4), 0.3), np.zeros((1, 4)))
    assert sold == pytest.approx(np.full((1, 4), 0.2), abs=1e-3)
    # At 0.1 buying replaces the grid, held back by the pull alone.
    bought = task.solve(np.full((1, 4), 0.1), np.zeros((1, 4)))
    assert bought == pytest.approx(np.full((1, 4), -0.2), abs=1e-3)


def test_a_stronger_pull_moves_less() -> None:
    task = TradeTask(make_model(), [5.0], [0.0], rho=0.5)
    assert task.solve(np.full((1, 4), 0.3), np.zeros((1, 4)), rho=1.0) == pytest.approx(
        np.full((1, 4), 0.1), abs=1e-3
    )


def test_a_cost_per_traded_kwh_stops_trades_that_bring_less() -> None:
    task = TradeTask(make_model(), [5.0, 5.0], [0.08, 0.2], rho=0.5)
    sold = task.solve(np.full((2, 4), 0.3), np.zeros((2, 4)))
    assert sold[0] == pytest.approx([0.04] * 4, abs=1e-3)
    assert np.abs(sold[1]).max() < 1e-3


def test_all_partners_together_stay_within_the_connection() -> None:
    task = TradeTask(make_model(HomeSpec(grid_w=3000)), [5.0] * 3, [0.0] * 3, rho=0.5)
    sold = task.solve(np.full((3, 4), 5.0), np.zeros((3, 4)))
    assert sold.sum(axis=0).max() <= 3.0


def test_the_bound_at_a_price_is_never_above_any_plan() -> None:
    model = make_model(HomeSpec(battery=Battery(), shift=Shift()), make_day(pv=[3.0, 0.0, 0.0, 0.0]))
    prices = np.array([0.05, 0.1, 0.15, 0.2])
    bound = PriceTask(model).solve(prices)
    for net in ([0.0] * 4, [1.0, 0.0, -0.5, -0.5], [0.0, 0.5, 0.0, 0.1]):
        assert bound <= plan(model, net).cost - float(prices @ np.array(net)) + NEAR
