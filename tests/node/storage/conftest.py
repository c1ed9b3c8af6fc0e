"""Every store, for the tests that hold for any."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.storage.chain import ChainStore
from node.storage.leveldb import open_leveldb
from node.storage.memory import MemoryStore
from node.storage.store import Store
from tests.node.storage.chains import init
from tests.simulation.disk import Disk


@pytest.fixture(params=["leveldb", "memory", "simulated"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryStore()
        elif request.param == "simulated":
            yield Disk().store
        else:
            yield stack.enter_context(open_leveldb(tmp_path / "store"))


@pytest.fixture
def chain(store: Store) -> ChainStore:
    chain = ChainStore(store)
    init(chain)
    return chain
