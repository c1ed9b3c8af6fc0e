"""A block is a pure function of state and batch: the same everywhere, and a refused call leaves no trace."""

import os
import subprocess
import sys

import pytest

from primitives.encoding import encode
from primitives.hashing import EMPTY_DIGEST, compute_transaction_id
from primitives.header import Validator, compute_membership_hash
from primitives.merkle import compute_merkle_root
from tests.vm.contracts.energy.community import Community
from tests.vm.contracts.energy.coordination.rounds import make_terms
from tests.vm.ledger import START_S, Chain, make_genesis, make_validator_wallet
from vm.contract import CallContext, Contract
from vm.contracts.energy.coordination.calls import Form, OpenRound
from vm.contracts.energy.response.calls import AnnounceEvent, OptEvent
from vm.contracts.ledger import Asset, Grant, Hold, Transfer
from vm.contracts.permissions import Owner
from vm.contracts.validators import Add, Endpoint, Remove
from vm.executor import build_genesis_block
from vm.receipt import Receipt, Rejection
from vm.registry import CONTRACTS
from vm.state_root import TreeWrites, build_tree
from vm.transaction import Call

SEEDS = ("0", "1", "4711")


def play() -> Chain:
    """Return a chain on which a bit of everything happened."""
    community = Community(homes=("c", "a", "d", "b"))
    chain = community.chain
    home = community.home["a"].wallet
    chain.call(chain.utility, Grant(home.account, Asset.COIN, 100))
    chain.execute(
        chain.sign(home, Transfer(community.home["b"].account, Asset.COIN, 30)),
        chain.sign(home, Transfer(community.home["b"].account, Asset.COIN, 300)),
        chain.sign(home, Hold(community.home["c"].account, Asset.COIN, 20, START_S + 5000)),
    )
    chain.execute(chain.sign(make_validator_wallet(0), Remove(chain.genesis.validators[3].public_key)))
    chain.call(
        make_validator_wallet(1), Add(Validator("vx", chain.utility.key.public, b"x"), Endpoint("x", 1))
    )
    chain.execute_raw(b"garbage")
    for slot in range(3):
        readings = [
            community.sign(name, community.reading(name, slot, 100 * slot + i, 77 * slot * (i % 2)))
            for i, name in enumerate("dbca")
            if (slot, name) != (1, "d")
        ]
        chain.execute(*readings, at_s=community.end_of(slot))
    community.pass_grace(2)
    community.correct("a", 2, 150, 20)
    members = (community.home["a"].account, community.home["b"].account)
    chain.call(chain.utility, OpenRound(community.start_of(9), 2, Form.BILATERAL, make_terms(), members, ()))
    chain.call(chain.utility, AnnounceEvent(community.start_of(9), 2, 100_000, 5))
    chain.call(home, OptEvent(community.start_of(9), is_in=True, reason="why not"))
    return chain


def test_the_same_batches_give_the_same_root_under_every_hash_seed() -> None:
    here = play().header.compute_digest().hex()
    command = "from tests.vm.test_executor import play; print(play().header.compute_digest().hex())"
    for seed in SEEDS:
        result = subprocess.run(
            [sys.executable, "-c", command],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == here, seed


def test_executing_a_block_twice_gives_the_same_and_changes_no_input() -> None:
    chain = play()
    sealed = chain.sign(chain.utility, Grant(chain.utility.account, Asset.COIN, 5))
    values, root = dict(chain.state.values), chain.tree.root
    first, second = chain.prepare(sealed.raw), chain.prepare(sealed.raw)
    assert first.header == second.header
    assert first.state_writes == second.state_writes
    assert first.tree_writes == second.tree_writes
    assert (chain.state.values, chain.tree.root) == (values, root)


def test_the_tree_of_the_stored_buckets_is_the_tree_of_the_last_block() -> None:
    chain = play()
    assert build_tree(chain.state.buckets.items()).root == chain.header.state_root


def test_every_written_key_begins_with_the_prefix_of_its_contract() -> None:
    prefixes = [contract.key_prefix for contract in CONTRACTS.values()]
    assert len(set(prefixes)) == len(prefixes)
    assert {key[:1] for key in play().state.values} == set(prefixes)


def test_genesis_opens_its_accounts_and_is_signed_by_nobody() -> None:
    genesis = make_genesis(names=("utility", "second"))
    result = build_genesis_block(genesis)
    header = result.header
    assert (header.height, header.sequence, header.epoch) == (0, 0, 0)
    assert (header.parent, header.batch_digest, header.receipts_root) == (EMPTY_DIGEST,) * 3
    assert header.time_ms == genesis.time_ms
    assert header.next_membership == compute_membership_hash(genesis.validators)
    assert header.state_root == result.tree.root == build_tree(result.tree_writes.buckets.items()).root
    assert sum(key.startswith(b"pa") for key in result.state_writes) == len(genesis.accounts) == 6


def test_a_header_names_its_parent_its_batch_and_its_receipts() -> None:
    chain = Chain()
    parent = chain.header
    result = chain.execute_raw(b"garbage")
    header = result.header
    assert header.parent == parent.compute_digest()
    assert (header.height, header.next_membership) == (parent.height + 1, parent.next_membership)
    assert header.receipts_root == compute_merkle_root([encode(receipt) for receipt in result.receipts])


def test_an_empty_block_changes_nothing_but_the_header() -> None:
    chain = Chain()
    before = chain.header
    result = chain.execute_raw()
    assert (result.receipts, result.state_writes, result.tree_writes) == ((), {}, TreeWrites({}, {}))
    assert result.header.state_root == before.state_root
    assert result.header.receipts_root == EMPTY_DIGEST


@pytest.mark.parametrize(("batch_ms", "expected_ms"), [(-1, 0), (0, 0), (1, 1), (3_600_000, 3_600_000)])
def test_block_time_is_the_later_of_the_parents_and_the_batchs(batch_ms: int, expected_ms: int) -> None:
    chain = Chain()
    parent_ms = START_S * 1000
    chain.execute_raw(time_ms=parent_ms)
    result = chain.execute_raw(time_ms=parent_ms + batch_ms)
    assert result.header.time_ms == parent_ms + expected_ms


def test_a_batch_of_the_past_is_executed_at_the_parents_time() -> None:
    chain = Chain()
    chain.execute(at_s=START_S + 100)
    hold = Hold(chain.utility.account, Asset.COIN, 1, START_S + 100)
    chain.call(chain.utility, Grant(chain.utility.account, Asset.COIN, 1))
    assert chain.call(chain.utility, hold, at_s=START_S) == Rejection.ARGUMENTS_INVALID


@pytest.mark.parametrize("raw", [b"", b"garbage", b"\x98", bytes(5000)])
def test_a_malformed_transaction_gets_a_receipt_and_disturbs_nobody(raw: bytes) -> None:
    chain = Chain()
    first = chain.sign(chain.utility, Grant(chain.utility.account, Asset.COIN, 1))
    second = chain.sign(chain.utility, Grant(chain.utility.account, Asset.COIN, 2))
    receipts = chain.execute_raw(first.raw, raw, second.raw).receipts
    assert receipts == (
        Receipt(first.id, None, consumed=True),
        Receipt(compute_transaction_id(raw), "MALFORMED", consumed=False),
        Receipt(second.id, None, consumed=True),
    )
    assert chain.balance(chain.utility.account, Asset.COIN).amount == 3


def test_what_a_contract_wrote_before_it_refused_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_and_refuse(context: CallContext, call: object) -> Rejection | None:
        context.state.write(b"xnew", Owner(b"new"))
        context.state.write(b"pn" + b"utility", None)
        if isinstance(call, Owner) and call.account:
            return Rejection.NOT_ALLOWED
        return None

    contract = Contract("spoiler", b"x", {"spoil": Owner}, lambda _, __: None, write_and_refuse)
    monkeypatch.setitem(CONTRACTS, "spoiler", contract)
    chain = Chain()
    refused = chain.sign_call(chain.utility, Call("spoiler", "spoil", encode(Owner(b"x"))))
    result = chain.execute_raw(refused.raw)
    assert result.receipts[0].rejection == Rejection.NOT_ALLOWED
    assert list(result.state_writes) == [b"pa" + chain.utility.account]
    applied = chain.sign_call(chain.utility, Call("spoiler", "spoil", encode(Owner(b""))))
    both = chain.sign_call(chain.utility, Call("spoiler", "spoil", encode(Owner(b"x"))))
    result = chain.execute_raw(applied.raw, both.raw)
    assert [receipt.rejection for receipt in result.receipts] == [None, Rejection.NOT_ALLOWED]
    assert result.state_writes[b"xnew"] == encode(Owner(b"new"))
    assert result.state_writes[b"pnutility"] is None


def test_a_block_of_the_full_size_is_executed_in_order() -> None:
    chain = Chain()
    home = chain.open_account("home")
    chain.call(chain.utility, Grant(home.account, Asset.COIN, 999))
    spend = [chain.sign(home, Transfer(chain.utility.account, Asset.COIN, 1)) for _ in range(1000)]
    receipts = chain.execute(*spend)
    assert [receipt.transaction_id for receipt in receipts] == [sealed.id for sealed in spend]
    assert [receipt.rejection for receipt in receipts] == [None] * 999 + [Rejection.BALANCE_TOO_LOW]


def test_the_next_due_time_is_the_earliest_of_the_contracts() -> None:
    community = Community()
    chain = community.chain
    energy_due_ms = (community.end_of(0) + community.grace_s) * 1000
    assert chain.last.next_due_ms == energy_due_ms
    home = community.home["a"].wallet
    chain.call(chain.utility, Grant(home.account, Asset.COIN, 5))
    chain.call(home, Hold(chain.utility.account, Asset.COIN, 1, START_S + 60))
    assert chain.last.next_due_ms == (START_S + 60) * 1000
    chain.execute(at_s=START_S + 60)
    assert chain.last.next_due_ms == energy_due_ms


def test_nothing_is_due_on_a_new_chain() -> None:
    assert Chain().execute_raw().next_due_ms is None
