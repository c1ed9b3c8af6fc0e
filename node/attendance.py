"""Who signed the last blocks, as seen here.

A certificate holds a quorum of signatures, whoever was first: with four validators one honest signature is always left
out. So what counts as signed is also a checkpoint of the certified header that came on its signer's own link, however
late. That signature is not checked here: it is nobody's proof, only a sign of life.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from consensus.membership import Membership
from consensus.messages import Certificate
from node.receipts import ChainReader
from primitives.header import BlockHeader
from primitives.ids import Height, ReplicaId

BLOCKS_SHOWN = 100
"""Certified blocks that are told of: an hour of an idle network, and a grid that fits a terminal."""

AHEAD_MAX = 64
"""Checkpoints of so many blocks above the last executed one are remembered until it is executed: a window."""

SIGNED, MISSED, UNKNOWN = "1", "0", "-"


@dataclass(frozen=True, slots=True)
class Record:
    """What one validator did with the last blocks: a mark for each, oldest first, and the highest that it signed.

    ``UNKNOWN`` is a block whose signing was not watched here, or that it had no vote in.
    """

    marks: str = ""
    last_signed: Height | None = None

    @property
    def signed(self) -> int:
        """Return how many it signed."""
        return self.marks.count(SIGNED)

    @property
    def missed(self) -> int:
        """Return how many it did not sign."""
        return self.marks.count(MISSED)


@dataclass(slots=True)
class _Block:
    """An executed block. It was watched when a quorum's own words about it were heard."""

    header: BlockHeader
    members: frozenset[ReplicaId]
    quorum: int
    signers: set[bytes] = field(default_factory=set)
    heard: set[bytes] = field(default_factory=set)


class Attendance:
    """A row for each of the last blocks; for one event loop."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        self._early: dict[int, dict[bytes, BlockHeader]] = {}
        self._executed = 0
        self._certified = 0

    def resume(self, chain: ChainReader, certified: Height, executed: Height, membership: Membership) -> None:
        """Take over what the kept certificates of the current epoch say; of their blocks nobody was watched."""
        for number in range(max(1, certified - BLOCKS_SHOWN + 1), executed + 1):
            header = chain.get_header(Height(number))
            if header is None or header.epoch != membership.epoch:
                continue
            self.on_block(header, membership)
            certificate = chain.get_certificate(Height(number))
            if certificate is not None:
                self.on_certificate(certificate)
        self._executed, self._certified = executed, certified

    def on_block(self, header: BlockHeader, membership: Membership) -> None:
        """Begin the row of an executed block."""
        block = _Block(header, membership.replica_set, membership.quorum)
        self._blocks[header.height] = block
        self._executed = header.height
        for replica, early in self._early.pop(header.height, {}).items():
            _note(block, replica, early)
        for height in [height for height in self._early if height <= header.height]:
            del self._early[height]
        while len(self._blocks) > BLOCKS_SHOWN + AHEAD_MAX:
            self._blocks.popitem(last=False)

    def on_checkpoint(self, replica: bytes, header: BlockHeader) -> None:
        """Note what a validator signed, heard on its own link or said by this one."""
        block = self._blocks.get(header.height)
        if block is not None:
            _note(block, replica, header)
        elif self._executed < header.height <= self._executed + AHEAD_MAX:
            self._early.setdefault(header.height, {})[replica] = header

    def on_certificate(self, certificate: Certificate) -> None:
        """Note whose signatures a certificate holds."""
        height = certificate.header.height
        self._certified = max(self._certified, height)
        block = self._blocks.get(height)
        if block is not None:
            block.signers.update(entry.replica for entry in certificate.signatures)

    def tell(self, replicas: Iterable[bytes]) -> dict[bytes, Record]:
        """Return the record of each of these validators over the last certified blocks."""
        heights = [height for height in self._blocks if height <= self._certified][-BLOCKS_SHOWN:]
        found = {}
        for replica in replicas:
            marks = "".join(_mark(self._blocks[height], replica) for height in heights)
            place = marks.rfind(SIGNED)
            found[replica] = Record(marks, Height(heights[place]) if place >= 0 else None)
        return found


def _note(block: _Block, replica: bytes, header: BlockHeader) -> None:
    if header == block.header and replica in block.members:
        block.signers.add(replica)
        block.heard.add(replica)


def _mark(block: _Block, replica: bytes) -> str:
    if replica in block.signers:
        return SIGNED
    return MISSED if replica in block.members and len(block.heard) >= block.quorum else UNKNOWN
