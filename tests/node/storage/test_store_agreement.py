"""LevelDB and the store in memory answer alike, whatever is asked of them in whatever order."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.storage.leveldb import open_leveldb
from node.storage.memory import MemoryStore
from node.storage.store import Store, StoreReader, StoreSnapshot

KEYS = st.binary(max_size=3).map(lambda key: bytes(b"\x00ab\xff"[byte % 4] for byte in key))
PUTS = st.dictionaries(KEYS, st.none() | st.binary(max_size=5), max_size=6)


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.opened = ExitStack()
        self.memory = MemoryStore()
        self.snapshots: list[tuple[StoreSnapshot, StoreSnapshot]] = []

    @initialize()
    def open(self) -> None:
        self.disk: Store = self.opened.enter_context(open_leveldb(self.directory))

    @rule(puts=PUTS, sync=st.booleans())
    def write(self, puts: dict[bytes, bytes | None], sync: bool) -> None:
        self.disk.write(puts, sync=sync)
        self.memory.write(puts, sync=sync)

    @rule(key=KEYS, prefix=KEYS, start=st.none() | KEYS, reverse=st.booleans())
    def read(self, key: bytes, prefix: bytes, start: bytes | None, reverse: bool) -> None:
        readers: list[tuple[StoreReader, StoreReader]] = [(self.disk, self.memory), *self.snapshots]
        for disk, memory in readers:
            assert disk.get(key) == memory.get(key)
            found = [list(each.iterate(prefix, start=start, reverse=reverse)) for each in (disk, memory)]
            assert found[0] == found[1]

    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((self.disk.snapshot(), self.memory.snapshot()))

    @precondition(lambda self: self.snapshots)
    @rule(place=st.integers(0, 9))
    def close_snapshot(self, place: int) -> None:
        for snapshot in self.snapshots.pop(place % len(self.snapshots)):
            snapshot.close()

    @rule()
    def open_again(self) -> None:
        self.opened.close()
        for _, memory in self.snapshots:
            memory.close()
        self.snapshots.clear()
        self.open()

    @invariant()
    def content_is_equal(self) -> None:
        if hasattr(self, "disk"):
            assert list(self.disk.iterate(b"")) == list(self.memory.iterate(b""))

    def teardown(self) -> None:
        self.opened.close()
        self.stack.close()


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
