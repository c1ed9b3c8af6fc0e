"""Question 8: what clearing a slot's market costs, by the number of its orders.

An order is what a home wants from the pool or offers to it in a slot; the meter says it. Three layers, each with what
the one before does not have: ``market`` is arithmetic only (the price, and everybody's share), ``settle`` reads the
readings and books every home's line and money, ``block`` is the whole block that settles the slot by itself, with its
state root. The state is in memory, so that reading from a disk is not in it. Nobody signs: the executor never checks.

`python -m benchmarks.clearing 10 75 1000 9999 -o benchmarks/results/clearing.json`
"""

import argparse
import gc
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import thread_time

from benchmarks.harness.machine import describe_machine
from benchmarks.harness.results import write_result
from node.storage.memory import MemoryStore
from primitives.batch import build_batch
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.header import Validator
from primitives.ids import Epoch, Height, ReplicaId, UnixMs
from primitives.ids import Sequence as SequenceNumber
from primitives.signing import SecretKey
from vm.contract import BlockContext, LedgerContext
from vm.contracts.energy.calls import RegisterMeter, SubmitReading
from vm.contracts.energy.market import clear_pool, share_energy
from vm.contracts.energy.metering import METERS_MAX
from vm.contracts.energy.records import Slot, get_slot_key
from vm.contracts.energy.settlement import settle_slot
from vm.executor import BlockResult, Position, build_genesis_block, execute_block
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.state import Overlay
from vm.transaction import Call, Transaction

SLOT_S, GRACE_S = 900, 300
START_S = 1_700_000_100
FEED_IN, RETAIL = 80_000, 220_000
PER_BLOCK = 500
SLOTS = 5
"""Slots that are cleared, each with a median over so many."""
SPARE_CALLS = 20
UTILITY_KEY = SecretKey(b"u" * 32)
UTILITY = compute_account_id(UTILITY_KEY.public)
FAR = 2**40


class Community:
    """So many homes on one chain that grows by blocks which nobody agreed on. One home's meter is silent for ever, so
    that a slot settles by itself when its grace is over, in a block without transactions.
    """

    def __init__(self, homes: int) -> None:
        self.homes = homes
        key = UTILITY_KEY.public
        genesis = Genesis(
            version=1,
            name="clearing",
            currency="EUR",
            time_ms=START_S * 1000,
            validators=(Validator("node0", key, b"certificate"),),
            accounts=(GenesisAccount(UTILITY, key, "utility", "utility"),),
            energy=EnergyParameters(SLOT_S, GRACE_S, 7 * 86_400, 60, FEED_IN, RETAIL),
            consensus=ConsensusParameters(),
        )
        self.ledger = LedgerContext(genesis, genesis.compute_hash())
        self.store = MemoryStore()
        self.buckets: dict[int, bytes] = {}
        self._take(build_genesis_block(genesis))
        self._keys = [SecretKey(number.to_bytes(32, "big")).public for number in range(homes + 1)]
        self._accounts = [compute_account_id(public) for public in self._keys]
        self._register()

    def report(self, slot: int) -> None:
        """Let every home but the silent one say what it drew or fed in a slot; every third home feeds."""
        raws = []
        for index in range(self.homes):
            drawn, fed = get_order_wh(index)
            registers = (slot + 1) * drawn, (slot + 1) * fed
            call = SubmitReading(START_S + (slot + 1) * SLOT_S, *registers, "G", slot + 1)
            raws.append(self._wrap(index, slot + 1, "submit_reading", call))
        self._add_all(raws, START_S + (slot + 1) * SLOT_S)

    def clear(self, slot: int) -> tuple[float, float]:
        """Settle a slot; return the microseconds of settling alone, and of the block that does it."""
        end_s = START_S + (slot + 1) * SLOT_S + GRACE_S + 1
        context = BlockContext(self.ledger, Overlay(self.store), Height(self.header.height + 1), end_s * 1000)
        gc.collect()
        began_s = thread_time()
        settle_slot(context, START_S + slot * SLOT_S)
        settled_s = thread_time()
        result = self._execute((), end_s)
        done_s = thread_time()
        self._take(result)
        settled = Overlay(self.store).read(get_slot_key(START_S + slot * SLOT_S), Slot)
        if settled is None or not settled.settled or settled.pool_wh == 0:
            raise AssertionError(f"slot {slot} of {self.homes} homes did not settle")
        return 1e6 * (settled_s - began_s), 1e6 * (done_s - settled_s)

    def _register(self) -> None:
        raws = []
        for index, (account, key) in enumerate(zip(self._accounts, self._keys, strict=True)):
            call = RegisterMeter(account, key, f"home-{index}", account, 43_000, START_S, 0, 0)
            raws.append(self._wrap(None, index + 1, "register_meter", call))
        self._add_all(raws, START_S)

    def _wrap(self, index: int | None, nonce: int, method: str, record: Struct) -> bytes:
        account, key = (
            (UTILITY, UTILITY_KEY.public) if index is None else (self._accounts[index], self._keys[index])
        )
        call = Call("energy", method, encode(record))
        return encode(Transaction(1, self.ledger.genesis_hash[:8], account, key, nonce, FAR, call, bytes(64)))

    def _add_all(self, raws: Sequence[bytes], time_s: int) -> None:
        for first in range(0, len(raws), PER_BLOCK):
            result = self._execute(raws[first : first + PER_BLOCK], time_s)
            wrong = next((each.rejection for each in result.receipts if each.rejection is not None), None)
            if wrong is not None:
                raise AssertionError(f"a block refuses what it should apply: {wrong}")
            self._take(result)

    def _execute(self, raws: Sequence[bytes], time_s: int) -> BlockResult:
        height = Height(self.header.height + 1)
        batch = build_batch(ReplicaId(UTILITY_KEY.public), UnixMs(time_s * 1000), tuple(raws))
        position = Position(height, SequenceNumber(height), Epoch(0))
        return execute_block(
            self.ledger, self.header, position, batch, self.store, self.tree, self._get_bucket
        )

    def _take(self, result: BlockResult) -> None:
        self.header, self.tree = result.header, result.tree
        self.store.write(result.state_writes, sync=False)
        self.buckets.update(result.tree_writes.buckets)

    def _get_bucket(self, number: int) -> bytes:
        return self.buckets.get(number, b"")


def get_order_wh(index: int) -> tuple[int, int]:
    """Return what a home draws and feeds in a slot; no two neighbours are alike."""
    energy_wh = 100 + 37 * index % 500
    return (0, energy_wh) if index % 3 == 0 else (energy_wh, 0)


def measure(homes: int) -> dict[str, object]:
    """Return the orders a second of each layer, medians over the slots, and every one of them."""
    community = Community(homes)
    settle_us, block_us = [], []
    for slot in range(SLOTS):
        community.report(slot)
        settled, block = community.clear(slot)
        settle_us.append(settled)
        block_us.append(block)
    market_us = measure_market_us(homes)
    return {
        "orders": homes,
        "orders_per_s": {
            "market": round(1e6 * homes / market_us),
            "settle": round(1e6 * homes / median(settle_us)),
            "block": round(1e6 * homes / median(block_us)),
        },
        "slot_ms": {
            "market": round(market_us / 1000, 3),
            "settle": [round(each / 1000, 2) for each in settle_us],
            "block": [round(each / 1000, 2) for each in block_us],
        },
    }


def measure_market_us(homes: int) -> float:
    """Return the microseconds of a clearing without a ledger: the price, and both sides' shares; the best of some."""
    orders = {f"home-{index}": get_order_wh(index) for index in range(homes)}
    wanted: Mapping[str, int] = {home: drawn for home, (drawn, _) in orders.items()}
    offered: Mapping[str, int] = {home: fed for home, (_, fed) in orders.items()}
    best_s = float("inf")
    for _ in range(SPARE_CALLS):
        began_s = thread_time()
        clearing = clear_pool(sum(offered.values()), sum(wanted.values()), FEED_IN, RETAIL)
        share_energy(clearing.pool_wh, wanted)
        share_energy(clearing.pool_wh, offered)
        best_s = min(best_s, thread_time() - began_s)
    return 1e6 * best_s


def main() -> None:
    """Measure the sizes that were asked for and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("homes", type=int, nargs="+")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if not all(1 < homes < METERS_MAX for homes in arguments.homes):
        parser.error(f"a community has 2 to {METERS_MAX - 1} homes here: one more meter, which is silent")
    runs = []
    for homes in arguments.homes:
        runs.append(measure(homes))
        print(json.dumps(runs[-1]), flush=True)
    found = {
        "question": "orders cleared a second in a slot: arithmetic only, with the ledger's lines, and as a block",
        "machine": describe_machine(),
        "set_up": {"slots": SLOTS, "state": "in memory", "sellers": "every third home", "signatures": "none"},
        "runs": runs,
    }
    write_result(found, arguments.output)


if __name__ == "__main__":
    main()
