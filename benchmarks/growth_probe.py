"""What a process finds that starts from a grown store: the part of `benchmarks.growth` that runs by itself.

`python -m benchmarks.growth_probe HOME ACCOUNTS` prints one line of JSON. CPU time wherever the disk has no part.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import fmean, median
from time import perf_counter_ns, process_time_ns, thread_time_ns

from benchmarks.growth_chain import KEYS, Builder, make_account
from node.applier import Applier
from node.home import Constitution, Storage, build_replica, load_constitution, open_storage
from node.mempool import Mempool, MempoolLimits
from node.queries import Queries
from node.snapshots.installation import CURRENT_NAME
from node.storage.chain import ChainStore
from node.storage.integrity import open_tree
from node.storage.leveldb import open_leveldb
from node.storage.store import Store
from primitives.encoding import encode
from primitives.hashing import HashDomain, compute_hash
from primitives.ids import Digest, Height
from vm.contract import LedgerContext
from vm.contracts.permissions import ACCOUNT_PREFIX
from vm.state_root import StateTree, get_bucket_index, is_state_proof_valid, prove, update_tree

REPEATS = 200
BLOCKS = 20
KEYS_PER_BLOCK = 500


def main() -> None:
    """Start, look, add a few blocks, and print what was found."""
    home, accounts = Path(sys.argv[1]), int(sys.argv[2])
    found: dict[str, object] = {}
    started, cpu = perf_counter_ns(), process_time_ns()
    constitution = load_constitution(home)
    with open_storage(home, constitution) as storage:
        build_replica(constitution, storage, KEYS[0], None)
        queries = Queries(constitution.genesis, storage.chain, Mempool(MempoolLimits(100, 10**6, 100)))
        _pin(queries, storage)
        found["start_s"] = round((perf_counter_ns() - started) / 1e9, 3)
        found["start_cpu_s"] = round((process_time_ns() - cpu) / 1e9, 3)
        found["anonymous_mb_started"] = _read_anonymous_mb()
        found |= _measure_queries(storage, queries, accounts)
        queries.close()
        found |= _measure_blocks(constitution, storage, accounts)
        found["anonymous_mb_after"] = _read_anonymous_mb()
    with open_leveldb(home / "data" / CURRENT_NAME) as store:
        found |= _measure_root(store, accounts)
    print(json.dumps(found))


def _pin(queries: Queries, storage: Storage) -> None:
    """Let the queries answer, as a node does that resumes with a certified block."""
    chain = storage.chain
    queries.record_executed(chain.get_latest_header(), chain.snapshot(), storage.tree)
    certificate = chain.get_latest_certificate()
    if certificate is not None:
        queries.record_certificate(certificate)


def _measure_queries(storage: Storage, queries: Queries, accounts: int) -> dict[str, object]:
    random = Random(1)
    chain = storage.chain
    heights = [Height(random.randint(1, queries.certified_height)) for _ in range(REPEATS)]
    names: list[Digest] = []
    while len(names) < REPEATS:
        height = Height(random.randint(1, queries.certified_height))
        block = chain.get_block(height)
        if block is not None and block.batch.transactions:
            names.append(Digest(block.batch.header.transaction_ids[0]))

    def prove_receipt(index: int) -> None:
        committed = queries.find_transaction(names[index])
        if committed is None or queries.prove_receipt(committed) is None:
            raise AssertionError("a transaction of the chain has no proof")

    unknown = [compute_hash(HashDomain.TRANSACTION, index.to_bytes(8, "big")) for index in range(REPEATS)]
    ids = [make_account(random.randrange(accounts)).hex() for _ in range(REPEATS)]
    with queries.open() as pinned:
        return {
            "block_query_us": _time(lambda index: queries.get_block(heights[index])),
            "receipt_proof_us": _time(prove_receipt),
            "unknown_id_us": _time(lambda index: chain.find_transaction(unknown[index])),
            "account_query_us": _time(lambda index: queries.get_account(pinned, ids[index])),
        }


def _measure_root(store: Store, accounts: int) -> dict[str, object]:
    """Time the tree alone: 500 accounts that change together, and the proof of one of them.

    Each time the buckets come from the store, where no cache knows them yet, and then again from memory.
    """
    random = Random(2)
    tree = open_tree(ChainStore(store))
    cold, warm, proofs = [], [], []
    for _ in range(BLOCKS):
        chain = ChainStore(store)
        numbers = random.sample(range(accounts), min(KEYS_PER_BLOCK, accounts))
        keys = sorted(ACCOUNT_PREFIX + make_account(number) for number in numbers)
        changes = {key: (old := chain.get(key), (old or b"") + b"!") for key in keys}
        began = thread_time_ns()
        update_tree(tree, chain.get_bucket, changes)
        cold.append((thread_time_ns() - began) / len(changes))
        buckets = {index: chain.get_bucket(index) for index in map(get_bucket_index, keys)}
        began = thread_time_ns()
        update_tree(tree, buckets.__getitem__, changes)
        warm.append((thread_time_ns() - began) / len(changes))
        proofs.append(_prove(tree, ChainStore(store), keys[0]))
    return {
        "root_us_per_key": round(median(warm) / 1_000, 2),
        "root_from_store_us_per_key": round(median(cold) / 1_000, 2),
        "proof_us": round(median(made for made, _, _ in proofs) / 1_000, 1),
        "proof_check_us": round(median(checked for _, checked, _ in proofs) / 1_000, 1),
        "proof_bytes": round(median(size for _, _, size in proofs)),
    }


def _prove(tree: StateTree, chain: ChainStore, key: bytes) -> tuple[int, int, int]:
    """Return the nanoseconds that a proof takes to make and to check, and its bytes."""
    value = chain.get(key) or b""
    began = thread_time_ns()
    proof = prove(tree, chain.get_bucket, key)
    made = thread_time_ns()
    if not is_state_proof_valid(key, value, proof, tree.root):
        raise AssertionError("the proof of a stored value does not hold")
    return made - began, thread_time_ns() - made, len(encode(proof))


def _measure_blocks(constitution: Constitution, storage: Storage, accounts: int) -> dict[str, object]:
    """Add full blocks with every write synced, as a validator does.

    What the other threads of the process use meanwhile is LevelDB's merging of its tables.
    """
    ledger = LedgerContext(constitution.genesis, constitution.genesis_hash)
    chain = storage.chain
    builder = Builder(constitution, chain, storage.tree)
    walls, cpus, alls = [], [], []
    with ThreadPoolExecutor(1) as executor:
        applier = Applier(ledger, chain, builder.header, storage.tree, executor)
        for _ in range(BLOCKS):
            deliver = builder.deliver("ledger", "grant", builder.draw_grants(KEYS_PER_BLOCK, accounts))
            wall, own, everything = perf_counter_ns(), thread_time_ns(), process_time_ns()
            result = applier.execute_and_store(deliver)
            walls.append(perf_counter_ns() - wall)
            cpus.append(thread_time_ns() - own)
            alls.append(process_time_ns() - everything)
            applier.advance(result)
            builder.header = result.header
            chain.put_certificate(builder.certify(result.header))
    return {
        "block_ms": round(median(walls) / 1e6, 2),
        "block_ms_max": round(max(walls) / 1e6, 2),
        "block_cpu_us_per_transaction": round(median(cpus) / 1_000 / KEYS_PER_BLOCK, 1),
        "merging_cpu_us_per_transaction": round((fmean(alls) - fmean(cpus)) / 1_000 / KEYS_PER_BLOCK, 1),
    }


def _time(ask: Callable[[int], object]) -> float:
    """Return the mean of a question in microseconds of CPU time: a table that must be opened is in it."""
    began = thread_time_ns()
    for index in range(REPEATS):
        ask(index)
    return round((thread_time_ns() - began) / 1_000 / REPEATS, 1)


def _read_anonymous_mb() -> float:
    """Return the anonymous memory of this process; tables that LevelDB maps are page cache."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Anonymous:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise AssertionError("the kernel does not tell anonymous memory")


if __name__ == "__main__":
    main()
