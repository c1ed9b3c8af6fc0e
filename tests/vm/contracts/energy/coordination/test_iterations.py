"""Vectors come in, the coupling is solved in exact integers, the silent are waited for and then left out."""

import pytest

from tests.vm.contracts.energy.coordination.rounds import RoundOfHomes, make_terms
from vm.contracts.energy.coordination.calls import Form, Preference
from vm.contracts.energy.coordination.records import Status
from vm.contracts.permissions import Suspend
from vm.receipt import Rejection


def test_the_last_vector_solves_the_iteration() -> None:
    homes = RoundOfHomes(homes=("a", "b"))
    homes.open()
    assert homes.submit("a", homes.vector("a", b=[300, 100, 0])) is None
    assert homes.round().iteration == 1
    assert homes.submit("b", homes.vector("b", a=[-200, 50, 7])) is None
    found = homes.round()
    assert (found.iteration, found.submitted, found.vectors) == (2, 0, 2)
    # p̂ = (p_ab - p_ba)/2, λ -= ρ·(p_ab + p_ba)/2, both kept doubled.
    assert [homes.target_with("a", "b", slot) for slot in range(3)] == [500, 50, -7]
    assert [homes.target_with("b", "a", slot) for slot in range(3)] == [-500, -50, 7]
    prices = [300_000 - 100 * both for both in (100, 150, 7)]
    assert [homes.price_with("a", "b", slot) for slot in range(3)] == prices
    assert [homes.price_with("b", "a", slot) for slot in range(3)] == prices
    # Each home's plan is half of the sum off in each slot: 2·(100² + 150² + 7²)/4 over 2·3 numbers.
    assert found.primal_mwh == 52_080
    assert (found.traded_wh, found.residual_wh) == ((500 + 50 + 7) // 2, 100 + 150 + 7)


def test_an_exchange_moves_one_price_by_what_is_too_much() -> None:
    homes = RoundOfHomes(form=Form.EXCHANGE)
    homes.open()
    homes.say({"a": (300, 0, -10), "b": (-100, 0, -10), "c": (-100, 5, -11)})
    exchange = homes.exchange()
    assert exchange.solved_wh == (100, 5, -31)
    # λ -= ρ·Σx/N in thousandths of a micro-currency, rounded down.
    assert exchange.prices_nano == tuple(150_000_000 - 100 * 1000 * total // 3 for total in (100, 5, -31))
    assert homes.round().primal_mwh == 20_171


def test_vectors_replace_each_other_in_the_sums_of_an_exchange() -> None:
    homes = RoundOfHomes(form=Form.EXCHANGE)
    homes.open()
    homes.say({"a": (900, 0, 0), "b": (0, 0, 0), "c": (0, -700, 0)})
    homes.say({"a": (100, 0, 50), "b": (0, 0, -50), "c": (0, -200, 0)})
    exchange = homes.exchange()
    assert exchange.solved_wh == (100, -200, 0)
    assert exchange.volume_wh == 100 + 50 + 50 + 200
    assert exchange.moved_squares == 0


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({"iteration": 0}, Rejection.ITERATION_OTHER),
        ({"iteration": 2}, Rejection.ITERATION_OTHER),
        ({"vector": (0,) * 5}, Rejection.VECTOR_LENGTH),
        ({"vector": (0,) * 7}, Rejection.VECTOR_LENGTH),
        ({"vector": ()}, Rejection.VECTOR_LENGTH),
        ({"vector": (5001, 0, 0, 0, 0, 0)}, Rejection.VECTOR_ABOVE_LIMIT),
        ({"vector": (0, 0, -5001, 0, 0, 0)}, Rejection.VECTOR_ABOVE_LIMIT),
        ({"vector": (2**63, 0, 0, 0, 0, 0)}, Rejection.VECTOR_ABOVE_LIMIT),
    ],
)
def test_a_vector_with_one_thing_wrong_is_refused_and_the_round_goes_on(
    changes: dict[str, object], rejection: str
) -> None:
    homes = RoundOfHomes()
    homes.open()
    arguments = {"vector": (0,) * 6, "iteration": None, **changes}
    assert homes.submit("a", **arguments) == rejection  # type: ignore[arg-type]  # one of them is spoiled
    homes.say({name: homes.vector(name) for name in "abc"})
    assert homes.round().status == Status.FIXED


def test_all_trades_of_a_slot_together_pass_the_connection() -> None:
    homes = RoundOfHomes(terms=make_terms(pair_limit_wh=15_000))
    homes.open()
    assert homes.submit("a", (15_000, 0, 0, 5_001, 0, 0)) == Rejection.VECTOR_ABOVE_LIMIT
    assert homes.submit("a", (15_000, 0, 0, 5_000, 0, 0)) is None


def test_a_vector_is_said_once_in_an_iteration() -> None:
    homes = RoundOfHomes()
    homes.open()
    assert homes.submit("a", homes.vector("a", b=[10, 0, 0])) is None
    assert homes.submit("a", homes.vector("a", b=[20, 0, 0])) == Rejection.VECTOR_EXISTS


def test_only_members_speak_and_only_while_the_round_is_open() -> None:
    homes = RoundOfHomes()
    assert homes.submit("a", (0,) * 6, iteration=1) == Rejection.ROUND_UNKNOWN
    homes.open(members=(homes.account("a"), homes.account("b")))
    assert homes.submit("c", (0,) * 3) == Rejection.MEMBER_UNKNOWN
    homes.submit("a", (0,) * 3)
    homes.submit("b", (0,) * 3)
    assert homes.round().status == Status.FIXED
    assert homes.submit("a", (0,) * 3) == Rejection.ROUND_CLOSED


def test_a_suspended_meter_is_refused_and_the_round_goes_on_without_it() -> None:
    homes = RoundOfHomes()
    homes.open()
    assert homes.chain.call(homes.chain.utility, Suspend(homes.account("c"))) is None
    assert homes.submit("c", (0,) * 6) == Rejection.SUSPENDED
    homes.say({"a": homes.vector("a", b=[100, 0, 0]), "b": homes.vector("b", a=[-40, 0, 0])})
    homes.pass_deadline()
    assert homes.round().iteration == 2
    assert homes.target_with("a", "b", 0) == 140


def test_the_last_vector_of_a_silent_home_stands() -> None:
    homes = RoundOfHomes(homes=("a", "b"))
    homes.open()
    homes.say({"a": homes.vector("a", b=[300, 0, 0]), "b": homes.vector("b", a=[-100, 0, 0])})
    assert homes.submit("a", homes.vector("a", b=[200, 0, 0])) is None
    homes.pass_deadline()
    assert homes.round().iteration == 3
    assert homes.target_with("a", "b", 0) == 300


def test_nothing_is_solved_before_the_deadline() -> None:
    homes = RoundOfHomes(homes=("a", "b"))
    homes.open()
    deadline_s = homes.round().deadline_ms // 1000
    homes.chain.execute(at_s=deadline_s - 1)
    assert homes.round().iteration == 1
    homes.chain.execute(at_s=deadline_s)
    assert homes.round().iteration == 2


@pytest.mark.parametrize("form", list(Form))
def test_a_home_that_stays_silent_is_left_out_and_the_round_goes_on(form: Form) -> None:
    homes = RoundOfHomes(form=form)
    homes.open()
    vectors: dict[str, tuple[int, ...]] = {"a": (9, 0, 0), "b": (-4, 0, 0), "c": (5, 0, 0)}
    if form == Form.BILATERAL:
        vectors = {
            "a": homes.vector("a", b=[9, 0, 0], c=[7, 0, 0]),
            "b": homes.vector("b", a=[-4, 0, 0]),
            "c": homes.vector("c", a=[5, 0, 0]),
        }
    homes.say(vectors)
    for _ in range(2):
        assert homes.round().active == 3
        homes.say({name: vectors[name] for name in "ab"})
        homes.pass_deadline()
    assert homes.round().active == 2
    assert homes.submit("c", vectors["c"]) == Rejection.MEMBER_LEFT_OUT
    if form == Form.BILATERAL:
        assert homes.target_with("a", "c", 0) == homes.target_with("c", "a", 0) == 0
        assert homes.row("a").open_to == tuple(other != "c" for other in homes.partners("a"))
    else:
        assert homes.exchange().solved_wh == (5, 0, 0)
    homes.say({name: vectors[name] for name in "ab"})
    assert homes.round().iteration == 5


def test_a_home_that_comes_back_in_time_is_not_left_out() -> None:
    homes = RoundOfHomes()
    homes.open()
    for silent in "cbcbcb":
        homes.say({name: homes.vector(name, a=[9, 0, 0]) for name in "abc" if name != silent})
        homes.pass_deadline()
    assert homes.round().active == 3


@pytest.mark.parametrize("form", list(Form))
def test_a_round_with_nobody_left_is_void_and_frees_its_slots(form: Form) -> None:
    homes = RoundOfHomes(form=form)
    homes.open()
    for _ in range(2):
        homes.pass_deadline()
    assert homes.round().status == Status.VOID
    assert not [key for key in homes.chain.state.values if key[:2] in {b"cm", b"cw", b"cx", b"cs", b"cd"}]
    assert homes.open() is None
    assert homes.round().status == Status.OPEN


def test_a_round_ends_at_its_first_slot_wherever_it_is() -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(silence_max=100, iteration_s=3600))
    homes.open()
    homes.say({"a": homes.vector("a", b=[300, 0, 0]), "b": homes.vector("b", a=[-100, 0, 0])})
    late = homes.submit("a", homes.vector("a", b=[300, 0, 0]), at_s=homes.first_slot_s)
    assert late == Rejection.ROUND_CLOSED
    found = homes.round()
    assert (found.status, found.converged) == (Status.FIXED, False)
    assert homes.agreement("a").net_wh[0] == 100


def test_a_round_ends_at_its_last_iteration_and_says_that_it_has_not_converged() -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(iterations_max=3))
    homes.open()
    for _ in range(3):
        assert homes.round().status == Status.OPEN
        homes.say({"a": homes.vector("a", b=[300, 0, 0]), "b": homes.vector("b", a=[-100, 0, 0])})
    assert (homes.round().status, homes.round().converged, homes.round().iteration) == (
        Status.FIXED,
        False,
        3,
    )


def test_a_round_has_converged_when_plans_meet_and_targets_rest() -> None:
    homes = RoundOfHomes(homes=("a", "b"))
    homes.open()
    met = {"a": homes.vector("a", b=[300, 0, 0]), "b": homes.vector("b", a=[-300, 0, 0])}
    homes.say(met)
    assert homes.round().status == Status.OPEN  # the targets have just moved
    homes.say(met)
    assert (homes.round().status, homes.round().converged) == (Status.FIXED, True)


def test_what_only_rounding_leaves_ends_a_round_however_little_is_traded() -> None:
    homes = RoundOfHomes(homes=("a", "b"))
    homes.open()
    for _ in range(2):
        homes.say({"a": homes.vector("a", b=[10, 0, 0]), "b": homes.vector("b", a=[-9, 0, 0])})
    found = homes.round()
    assert (found.status, found.converged) == (Status.FIXED, True)
    assert found.residual_wh * 100 > found.traded_wh


def test_two_watt_hours_are_more_than_rounding() -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(tolerance_mwh=1000))
    homes.open()
    for _ in range(4):
        homes.say({"a": homes.vector("a", b=[10, 0, 0]), "b": homes.vector("b", a=[-8, 0, 0])})
    assert homes.round().status == Status.OPEN


@pytest.mark.parametrize(("a_wh", "b_wh", "rho"), [(300, -100, 200), (300, -300, 50)])
def test_rho_is_doubled_or_halved_where_balancing_says_so(a_wh: int, b_wh: int, rho: int) -> None:
    homes = RoundOfHomes(homes=("a", "b"), terms=make_terms(balancing=2, tolerance_mwh=1))
    homes.open()
    for _ in range(1 if b_wh == -300 else 2):
        homes.say({"a": homes.vector("a", b=[a_wh, 0, 0]), "b": homes.vector("b", a=[b_wh, 0, 0])})
    assert homes.round().rho == rho


def test_partners_with_more_demand_are_preferred_where_terms_say_so() -> None:
    homes = RoundOfHomes(terms=make_terms(preference=Preference.DEMAND, preference_price=10_000))
    homes.open()
    assert homes.row("a").costs == (0, 0)
    homes.say(
        {
            "a": homes.vector("a", b=[400, 0, 0]),
            "b": homes.vector("b", a=[-300, 0, 0]),
            "c": homes.vector("c", a=[0, -100, 0]),
        }
    )
    dearness = {"b": 2_500, "c": 7_500}
    assert homes.row("a").costs == tuple(dearness[other] for other in homes.partners("a"))
    after = homes.row("a").costs
    homes.say({name: homes.vector(name, a=[-9, 0, 0], b=[7, 0, 0]) for name in "abc"})
    assert homes.row("a").costs == after
