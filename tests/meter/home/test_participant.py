"""A home answers in whole Wh, within its rating, and nothing of its inside shows."""

import numpy as np
import pytest

from meter.home.forecast import ForecastName, build_forecast
from meter.home.participant import Participant, Seat
from meter.home.spec import Battery, HomeSpec
from tests.meter.home.homes import SLOTS, make_day, make_home, make_terms
from vm.contracts.energy.coordination.calls import Form
from vm.contracts.energy.coordination.records import Agreement, Exchange, Row

PRICE = 120_000


def make_row(partners: int = 2, price: int = PRICE, *, open_to: tuple[bool, ...] | None = None) -> Row:
    cells = partners * SLOTS
    return Row((0,) * cells, (2 * price,) * cells, (0,) * partners, open_to or (True,) * partners)


def make_participant(form: Form = Form.BILATERAL, **changes: int) -> Participant:
    return Participant(make_home("a"), Seat(form, 2, make_terms(**changes)))


def agree(net: list[int], price: int) -> Agreement:
    return Agreement(tuple(net), tuple(-price * each for each in net), (), (price,) * SLOTS, 0, 0)


def test_an_answer_is_whole_watt_hours_for_each_partner() -> None:
    vector = make_participant().answer_row(make_row(), 500)
    assert len(vector) == 2 * SLOTS
    # 0.08 below the grid's price, ρ 0.5: 160 Wh bought from each.
    assert set(vector) == {-160}
    assert all(type(each) is int for each in vector)


def test_a_partner_that_left_gets_nothing_and_the_others_answer() -> None:
    vector = make_participant().answer_row(make_row(open_to=(False, True)), 500)
    assert vector[:SLOTS] == (0,) * SLOTS
    assert set(vector[SLOTS:]) == {-160}


def test_alone_among_those_who_left_a_home_trades_nothing() -> None:
    assert set(make_participant().answer_row(make_row(open_to=(False, False)), 500)) == {0}


def test_an_exchange_pulls_a_home_back_by_its_part_of_what_is_too_much() -> None:
    participant = make_participant(Form.EXCHANGE)
    told = Exchange((0,) * SLOTS, (0,) * SLOTS, (200_000_000,) * SLOTS, 0, 0)
    assert participant.answer_exchange(told, 3, 500) == (0,) * SLOTS
    pulled = Exchange((0,) * SLOTS, (300,) * SLOTS, (200_000_000,) * SLOTS, 0, 0)
    assert participant.answer_exchange(pulled, 3, 500) == (-100,) * SLOTS


def test_a_home_that_was_restarted_goes_on_from_what_the_chain_holds() -> None:
    told = Exchange((0,) * SLOTS, (30,) * SLOTS, (180_000_000,) * SLOTS, 0, 0)
    first = make_participant(Form.EXCHANGE)
    said = first.answer_exchange(told, 3, 500)
    fresh = make_participant(Form.EXCHANGE)
    fresh.recall(said)
    assert fresh.answer_exchange(told, 3, 500) == first.answer_exchange(told, 3, 500)


def test_two_homes_with_other_insides_and_the_same_net_say_the_same() -> None:
    """What leaves a home is a function of its net: the same plan behind another load and sun is the same vector."""
    plain = make_home("a", HomeSpec(), make_day(load=[1.0] * 4))
    hidden = make_home("a", HomeSpec(), make_day(load=[3.0, 1.5, 1.0, 2.0], pv=[2.0, 0.5, 0.0, 1.0]))
    seat = Seat(Form.BILATERAL, 2, make_terms())
    for price in (50_000, 120_000, 190_000, 260_000):
        answers = [Participant(home, seat).answer_row(make_row(price=price), 500) for home in (plain, hidden)]
        assert answers[0] == answers[1]


def test_the_meter_counts_what_the_plan_and_the_trades_leave() -> None:
    outcome = make_participant().finish(agree([-400, 0, 0, 0], PRICE), np.full(4, 0.2), np.full(4, 0.05), 10)
    # The neighbour's 400 Wh pass the same meter as the grid's 600.
    assert outcome.import_wh == [1000] * 4
    assert outcome.export_wh == [0] * 4
    assert outcome.paid == pytest.approx(0.4 * 0.12)
    assert outcome.together == pytest.approx(4 * 0.2 - 0.4 * 0.08, abs=1e-4)


def test_a_home_that_gained_claims_nothing_and_one_that_lost_claims_its_loss() -> None:
    retail, feed_in = np.full(4, 0.2), np.full(4, 0.05)
    gained = make_participant().finish(agree([-400, 0, 0, 0], PRICE), retail, feed_in, 10)
    assert gained.claim_nano == 0
    # 400 Wh bought at 0.2015 instead of the grid's 0.2.
    lost = make_participant().finish(agree([-400, 0, 0, 0], 201_500), retail, feed_in, 10)
    assert lost.claim_nano == pytest.approx(400 * 1_500, abs=100_000)


def test_a_claim_never_exceeds_the_bound_of_ones_own_trade() -> None:
    lost = make_participant().finish(agree([-400, 0, 0, 0], 900_000), np.full(4, 0.2), np.full(4, 0.05), 10)
    assert lost.claim_nano == 400 * 200_000 // 100


def test_what_differs_from_the_forecast_is_metered() -> None:
    expected, actual = make_day(load=[1.0] * 4), make_day(load=[1.0, 1.3, 0.9, 1.0])
    home = make_home("a", HomeSpec(battery=Battery()), expected)
    participant = Participant(
        type(home)(home.name, home.spec, expected, actual), Seat(Form.BILATERAL, 2, make_terms())
    )
    same = Participant(home, Seat(Form.BILATERAL, 2, make_terms()))
    retail, feed_in = np.full(4, 0.2), np.full(4, 0.05)
    metered = np.array(participant.finish(None, retail, feed_in, 10).import_wh)
    planned = np.array(same.finish(None, retail, feed_in, 10).import_wh)
    assert (metered - planned).tolist() == [0, 300, -100, 0]


@pytest.mark.parametrize(
    ("name", "days", "expected"),
    [
        (ForecastName.FILE, 3, 9.0),
        (ForecastName.PERSISTENCE, 3, 2.0),
        (ForecastName.PERSISTENCE, 0, 0.0),
        (ForecastName.WEEKDAY, 7, 0.0),
        (ForecastName.WEEKDAY, 3, 2.0),
    ],
)
def test_forecasts_look_back_as_far_as_they_say(name: ForecastName, days: int, expected: float) -> None:
    past = [np.full(4, float(day)) for day in range(days)]
    assert build_forecast(name).predict(past, np.full(4, 9.0)).tolist() == [expected] * 4
