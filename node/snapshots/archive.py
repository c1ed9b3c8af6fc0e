"""A certified snapshot as one file: the answers that a peer would give to a download, in the order of its questions.

The file begins with ARCHIVE_MARK and the genesis hash (32 bytes). Then come the answers: manifest, handovers, pages of
buckets, pages of pairs, each behind its length (4 bytes, big-endian). Whoever reads it runs the download on it that a
node runs on a peer, so the same code believes the same things, against nothing but the genesis.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from consensus.messages import Certificate
from node.exchange import decode_handovers, select_handovers
from node.home import Constitution
from node.snapshots.download import Download, Stage
from node.snapshots.parts import build_manifest, cut_buckets, cut_pairs, decode_manifest
from node.snapshots.writer import SnapshotWriter
from node.storage.chain import ChainStore
from node.storage.memory import MemoryStore
from node.storage.store import Store
from node.upkeep import find_handover
from primitives.encoding import DecodeError, encode
from primitives.ids import DIGEST_BYTES, Epoch
from primitives.limits import FRAME_BYTES_MAX
from vm.executor import build_genesis_block
from vm.state_root import GROUPS, WIDTH, StateTree

ARCHIVE_MARK = b"gridbft snapshot 1\n"
LENGTH_BYTES = 4


class ArchiveRefused(Exception):  # noqa: N818  # it reads as what happened
    """The file is no snapshot of this network, or is damaged; one line says where and why."""


@dataclass(frozen=True, slots=True)
class ArchiveHead:
    """What a file says of itself; only the whole of it proves it."""

    height: int
    epoch: int
    time_ms: int
    state_root: str
    genesis_hash: str


def write_archive(
    file: BinaryIO, constitution: Constitution, chain: ChainStore, tree: StateTree, certificate: Certificate
) -> None:
    """Write the state of the chain's last block, which ``certificate`` certifies, page by page.

    Raises:
        OSError: the disk refuses.
        StoreError: the chain is damaged.

    """
    file.write(ARCHIVE_MARK + constitution.genesis_hash)
    answers = _list_answers(constitution, chain, tree, certificate)
    file.writelines(len(answer).to_bytes(LENGTH_BYTES, "big") + answer for answer in answers)


def read_head(path: Path) -> ArchiveHead:
    """Return what the beginning of a file says, unproven.

    Raises:
        ArchiveRefused: it is no snapshot.
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        genesis_hash = _read_mark(path, file)
        answer = _read_answer(path, file)
    try:
        header = decode_manifest(answer or b"").certificate.header
    except DecodeError as error:
        raise ArchiveRefused(f"{path}: no manifest at its beginning ({error})") from None
    return ArchiveHead(
        header.height, header.epoch, header.time_ms, header.state_root.hex(), genesis_hash.hex()
    )


def unpack_archive(path: Path, constitution: Constitution, store: Store) -> Certificate:
    """Check a file from its first to its last byte against the genesis, and make of it a chain in an empty ``store``.

    Raises:
        ArchiveRefused: something is missing, altered, not certified, or of another network.
        OSError: it cannot be read.
        StoreError: the store cannot be written.

    """
    own = build_genesis_chain(constitution)
    writer = SnapshotWriter(store)
    download = Download(constitution.membership, constitution.genesis_hash, own, writer)
    with path.open("rb") as file:
        if _read_mark(path, file) != constitution.genesis_hash:
            raise ArchiveRefused(f"{path}: a snapshot of another network than {constitution.genesis.name}")
        while download.stage is not Stage.WHOLE:
            offset = file.tell()
            answer = _read_answer(path, file)
            if answer is None:
                raise ArchiveRefused(f"{path}: ends at byte {offset}, before the state is whole")
            refusal = download.take(answer)
            if refusal is not None:
                raise ArchiveRefused(f"{path}: at byte {offset}: {refusal.reason}")
        if file.read(1):
            raise ArchiveRefused(f"{path}: goes on behind its end")
    if download.certificate is None:
        raise ValueError("a whole download without a certificate")
    return download.certificate


def build_genesis_chain(constitution: Constitution) -> ChainStore:
    """Return a chain that has nothing but the genesis: what a snapshot is compared with."""
    chain = ChainStore(MemoryStore())
    block = build_genesis_block(constitution.genesis)
    chain.init_genesis(constitution.genesis_bytes, block.header, block.state_writes, block.tree_writes)
    return chain


def _list_answers(
    constitution: Constitution, chain: ChainStore, tree: StateTree, certificate: Certificate
) -> Iterator[bytes]:
    yield build_manifest(certificate, tree)
    handovers = list(chain.iterate_handovers(Epoch(0)))
    last = find_handover(chain, constitution.genesis, certificate)
    if last is not None and len(handovers) == certificate.header.epoch:
        handovers.append(last)  # a crash came before it was kept; the next start would keep it
    while handovers:
        answer = select_handovers(handovers)
        yield answer
        handovers = handovers[len(decode_handovers(answer)) :]
    group = 0
    while group < GROUPS:
        page = cut_buckets(group, chain.iterate_buckets(group * WIDTH))
        yield encode(page)
        group += len(page.groups)
    start = b""
    while (page_of_pairs := cut_pairs(chain.iterate_from(start))).pairs:
        yield encode(page_of_pairs)
        start = page_of_pairs.pairs[-1][0] + b"\x00"


def _read_mark(path: Path, file: BinaryIO) -> bytes:
    if file.read(len(ARCHIVE_MARK)) != ARCHIVE_MARK:
        raise ArchiveRefused(f"{path}: no snapshot; `gridbft snapshot create` writes one")
    return file.read(DIGEST_BYTES)


def _read_answer(path: Path, file: BinaryIO) -> bytes | None:
    """Return the next answer, or None at the end of the file."""
    offset = file.tell()
    head = file.read(LENGTH_BYTES)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < LENGTH_BYTES or length > FRAME_BYTES_MAX:
        raise ArchiveRefused(f"{path}: damaged at byte {offset}: no length of a part")
    answer = file.read(length)
    if len(answer) < length:
        raise ArchiveRefused(f"{path}: ends at byte {file.tell()}, in the middle of a part")
    return answer
