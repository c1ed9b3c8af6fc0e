"""Whatever homes say in a round, and whatever their meters say after, energy and money sum to zero."""

import os
import subprocess
import sys

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.contracts.energy.coordination.rounds import LEAD_SLOTS, RoundOfHomes, make_terms
from vm.contracts.energy.coordination.calls import Form
from vm.contracts.energy.coordination.records import Agreement, Status
from vm.contracts.ledger import GRID, Asset
from vm.receipt import Rejection

NAMES = ("a", "b", "c", "d")
ENERGY = st.integers(-4000, 4000)
SEEDS = ("0", "1", "4711")


def draw_round(data: st.DataObject) -> RoundOfHomes:
    """Play a round in which homes say anything, or nothing, and claim anything, until it is over."""
    form = data.draw(st.sampled_from(list(Form)))
    terms = make_terms(
        rho=data.draw(st.integers(1, 900)),
        iterations_max=3,
        fee=data.draw(st.sampled_from([0, 0, 777])),
        balancing=data.draw(st.sampled_from([0, 2])),
        penalty_price=data.draw(st.sampled_from([0, 31_337])),
        relief_permille=data.draw(st.integers(0, 100)),
    )
    homes = RoundOfHomes(homes=NAMES, form=form, terms=terms)
    assert homes.open() is None
    length = homes.slots * (1 if form == Form.EXCHANGE else len(NAMES) - 1)
    while homes.round().status == Status.OPEN:
        speaking = data.draw(st.sets(st.sampled_from(NAMES)))
        before = homes.round().iteration
        for name in sorted(speaking):
            vector = tuple(data.draw(st.lists(ENERGY, min_size=length, max_size=length)))
            refused = homes.submit(name, vector)
            # Who was left out is not waited for: the round may be over when it speaks.
            assert refused in {None, Rejection.MEMBER_LEFT_OUT, Rejection.ROUND_CLOSED}
        found = homes.round()
        if found.status == Status.OPEN and found.iteration == before:
            homes.pass_deadline()
    return homes


def check_agreements(homes: RoundOfHomes, agreements: list[Agreement]) -> None:
    fees = 0
    for slot in range(homes.slots):
        assert sum(each.net_wh[slot] for each in agreements) == 0
    for each in agreements:
        gross = each.quantities_wh or each.net_wh
        fees += homes.terms.fee * sum(map(abs, gross))
    assert sum(sum(each.paid_nano) for each in agreements) == fees
    assert sum(each.relief_nano for each in agreements) == 0
    for each in agreements:
        assert each.relief_nano <= each.claim_nano
        assert each.relief_nano >= 0 or each.claim_nano == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_energy_and_money_of_a_round_sum_to_zero_through_settlement(data: st.DataObject) -> None:
    homes = draw_round(data)
    if homes.round().status == Status.FIXED:
        for name in NAMES:
            homes.claim(name, data.draw(st.integers(0, 10**7)))
        homes.pass_deadline()
    found = [
        msgspec.msgpack.decode(value, type=Agreement)
        for key, value in homes.chain.state.values.items()
        if key[:2] == b"cg"
    ]
    check_agreements(homes, found)
    registers = {name: [0, 0] for name in NAMES}
    silent = data.draw(st.sets(st.sampled_from(NAMES)))
    for slot in range(LEAD_SLOTS, LEAD_SLOTS + homes.slots):
        readings = []
        for name in NAMES:
            registers[name][0] += data.draw(st.integers(0, 3000))
            registers[name][1] += data.draw(st.integers(0, 3000))
            if (slot + ord(name)) % 2 or name not in silent:
                reading = homes.community.reading(name, slot, *registers[name])
                readings.append(homes.community.sign(name, reading))
        receipts = homes.chain.execute(*readings, at_s=homes.community.end_of(slot))
        assert {receipt.rejection for receipt in receipts} <= {None}
        homes.community.pass_grace(slot)
        check_slot(homes, slot)
    assert homes.chain.sum_of_asset(Asset.SETTLEMENT) == 0


def check_slot(homes: RoundOfHomes, slot: int) -> None:
    lines = [homes.community.line(name, slot) for name in NAMES]
    record = homes.community.slot(slot)
    assert sum(line.agreed_bought_wh - line.agreed_sold_wh for line in lines) == 0
    assert sum(line.pool_bought_wh - line.pool_sold_wh for line in lines) == 0
    assert (
        sum(line.import_wh - line.export_wh for line in lines) == record.grid_bought_wh - record.grid_sold_wh
    )
    assert sum(line.net_nano for line in lines) == record.grid_net_nano
    for line in lines:
        agreed = line.agreed_bought_wh - line.agreed_sold_wh
        pool = line.pool_bought_wh - line.pool_sold_wh
        assert line.import_wh - line.export_wh == agreed + pool + line.grid_bought_wh - line.grid_sold_wh
        assert min(line.agreed_bought_wh, line.agreed_sold_wh) == 0


def play() -> RoundOfHomes:
    """Play one whole round: iterations, silence, claims, metering, settlement."""
    homes = RoundOfHomes(homes=NAMES, terms=make_terms(balancing=3, fee=11, iterations_max=6))
    homes.open()
    for iteration in range(6):
        for place, name in enumerate(NAMES):
            if homes.round().status == Status.OPEN and (iteration, place) != (2, 3):
                vector = tuple((place * 977 + iteration * 131 + cell * 53) % 801 - 400 for cell in range(9))
                homes.submit(name, vector)
        if homes.round().status == Status.OPEN and iteration == 2:
            homes.pass_deadline()
    homes.claim("a", 5)
    homes.pass_deadline()
    for slot in range(LEAD_SLOTS + 3):
        for place, name in enumerate(NAMES):
            homes.community.submit(name, slot, 100 * slot + place, 77 * slot * (place % 2))
    return homes


def test_a_whole_round_gives_the_same_state_root_under_every_hash_seed() -> None:
    here = play()
    assert here.round().status == Status.CLOSED
    assert here.community.is_settled(LEAD_SLOTS)
    assert here.chain.balance(GRID).amount != 0
    command = (
        "from tests.properties.test_rounds_are_conserved import play; print(play().chain.tree.root.hex())"
    )
    for seed in SEEDS:
        result = subprocess.run(
            [sys.executable, "-c", command],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == here.chain.tree.root.hex(), seed


def test_no_float_is_ever_stored() -> None:
    def find_floats(value: object) -> list[object]:
        if isinstance(value, list | tuple):
            return [found for each in value for found in find_floats(each)]
        return [value] if isinstance(value, float) else []

    values = play().chain.state.values
    assert [key for key, value in values.items() if find_floats(msgspec.msgpack.decode(value))] == []
    assert find_floats([1, [2.0, "3"]]) == [2.0]
