"""A home with a real chain and the journal that belongs to it, and copies of it with one file spoiled."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from consensus.codec import encode_record, is_vote_record
from consensus.effects import SignedHeader
from node.home import Storage, load_constitution, open_storage
from node.storage.chain import ChainStore
from node.storage.store import Store
from primitives.batch import build_batch
from primitives.encoding import encode
from primitives.header import Block
from primitives.ids import Epoch, Height, ReplicaId, Sequence, UnixMs
from tests.node.community import KEYS, SLOT_S, START_S, Community
from vm.executor import Position, execute_block
from vm.transaction import SealedTransaction

BLOCKS = 5

Content = dict[bytes, bytes]


@dataclass
class SampleHome:
    """What was written, and all that the store may hold after it lost its newest writes."""

    path: Path
    contents: list[Content] = field(default_factory=list)

    def read_files(self) -> dict[str, bytes]:
        """Return the files that a start reads; the store's own story of itself is not one of them."""
        paths = (path for path in self.path.rglob("*") if path.is_file())
        files = {str(path.relative_to(self.path)): path.read_bytes() for path in paths}
        return {
            name: data
            for name, data in files.items()
            if not name.endswith(("LOG", "LOG.old", "LOCK", ".lock"))
        }


def build_home(path: Path, *, blocks: int = BLOCKS, reopened_after: tuple[int, ...] = ()) -> SampleHome:
    """Make a home of signed and certified blocks; at a reopening LevelDB turns its log into a table."""
    community = Community()
    path.mkdir(parents=True)
    (path / "genesis.bin").write_bytes(encode(community.genesis))
    constitution = load_constitution(path)
    sample = SampleHome(path, [{}])
    stack = ExitStack()
    storage = stack.enter_context(open_storage(path, constitution))
    sample.contents.append(read_content(storage.chain))
    for transactions in islice(_plan(community), blocks):
        commit(storage, community, transactions)
        sample.contents.append(read_content(storage.chain))
        storage.chain.put_certificate(community.certify())
        sample.contents.append(read_content(storage.chain))
        if community.header.height in reopened_after:
            stack.close()
            storage = stack.enter_context(open_storage(path, constitution))
    stack.close()
    return sample


def commit(storage: Storage, community: Community, transactions: list[SealedTransaction]) -> None:
    """Execute a block, store it, and sign its header in the journal, as a node does."""
    height = Height(community.header.height + 1)
    time_ms = UnixMs((START_S + 2 * SLOT_S + height) * 1000)
    batch = build_batch(ReplicaId(KEYS[0].public), time_ms, tuple(each.raw for each in transactions))
    chain = storage.chain
    result = execute_block(
        community.ledger,
        community.header,
        Position(height, Sequence(height), Epoch(0)),
        batch,
        chain,
        community.tree,
        chain.get_bucket,
    )
    chain.commit_block(Block(result.header, batch), result.receipts, result.state_writes, result.tree_writes)
    community.execute(*transactions, after_s=2 * SLOT_S + height)
    assert community.header == result.header
    record = SignedHeader(height, result.header.compute_digest())
    storage.journal.append(encode_record(record), twice=is_vote_record(record))
    storage.journal.sync()


def read_content(chain: ChainStore) -> Content:
    """Return all keys of a chain's store with their values."""
    store: Store = chain._store
    return dict(store.iterate(b""))


def write_home(path: Path, files: dict[str, bytes]) -> Path:
    """Write the files of a home that was spoiled in memory."""
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def _plan(community: Community) -> Iterator[list[SealedTransaction]]:
    yield [community.register_meter(0), community.register_meter(1)]
    yield [community.read_meter(0, 1, 1_000, 2_500)]
    yield [community.read_meter(1, 1, 4_000, 500)]
    yield []
    yield [community.grant(5)]
