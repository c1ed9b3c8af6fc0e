"""Beside agreement the store is kept small and complete; what fails there stops the node at the next certificate."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from consensus.messages import Certificate
from node.mempool import Mempool, MempoolLimits
from node.queries import Queries
from node.storage.chain import ChainStore
from node.storage.leveldb import open_leveldb
from node.storage.memory import MemoryStore
from node.storage.store import StoreFailed
from node.upkeep import Upkeep, open_upkeep, restore_handover
from primitives.ids import Epoch, Height
from tests.node.snapshots.source import Source

KEEP = 3


@pytest.fixture
def source() -> Source:
    source = Source()
    for number in range(10):
        source.register(1, f"home-{number}")
    return source


def open_with(
    stack: ExitStack, chain: ChainStore, source: Source, keep_blocks: int
) -> tuple[Upkeep, ThreadPoolExecutor]:
    execution = stack.enter_context(ThreadPoolExecutor(1))
    queries = Queries(source.genesis, chain, Mempool(MempoolLimits(100, 10**6, 100)))
    return stack.enter_context(open_upkeep(chain, queries, keep_blocks, execution)), execution


def get_latest(source: Source) -> Certificate:
    certificate = source.chain.get_latest_certificate()
    assert certificate is not None
    return certificate


def test_old_blocks_go_with_a_certificate_in_the_thread_that_executes(source: Source) -> None:
    with ExitStack() as stack:
        upkeep, execution = open_with(stack, source.chain, source, KEEP)
        upkeep.on_certificate(get_latest(source))
        execution.submit(lambda: None).result()  # whatever was to be done before is done
        assert source.chain.get_pruned_height() == source.height - KEEP


def test_with_all_blocks_kept_nothing_is_touched(source: Source) -> None:
    with ExitStack() as stack:
        upkeep, execution = open_with(stack, source.chain, source, 0)
        upkeep.on_certificate(get_latest(source))
        execution.submit(lambda: None).result()
        assert source.chain.get_pruned_height() == 0


@pytest.fixture
def closed_chain(tmp_path: Path, source: Source) -> ChainStore:
    """A chain whose store was closed: whoever still uses it is told."""
    with open_leveldb(tmp_path / "leveldb") as store:
        memory = source.store
        assert isinstance(memory, MemoryStore)
        store.write(dict(memory.iterate(b"")), sync=False)
        chain = ChainStore(store)
        assert chain.get_pruned_height() == 0  # remembered from here on
        return chain


def test_a_store_that_fails_there_is_told_at_the_next_certificate(
    closed_chain: ChainStore, source: Source
) -> None:
    with ExitStack() as stack:
        upkeep, execution = open_with(stack, closed_chain, source, KEEP)
        upkeep.on_certificate(get_latest(source))
        execution.submit(lambda: None).result()
        with pytest.raises(StoreFailed):
            upkeep.on_certificate(get_latest(source))


def test_a_handover_that_a_crash_came_before_is_kept_at_the_next_start() -> None:
    source = Source()
    source.add_validator("v4")
    handover = source.chain.get_handover(Epoch(0))
    certificate = source.chain.get_certificate(Height(source.height))
    assert handover is not None
    assert certificate is not None
    source.store.write({b"m" + bytes(8): None}, sync=True)
    restore_handover(source.chain, source.genesis, None)
    assert source.chain.get_handover(Epoch(0)) is None
    restore_handover(source.chain, source.genesis, certificate)
    assert source.chain.get_handover(Epoch(0)) == handover


def test_a_certificate_that_ends_no_epoch_completes_no_handover(source: Source) -> None:
    restore_handover(source.chain, source.genesis, get_latest(source))
    assert source.chain.get_handover(Epoch(0)) is None
