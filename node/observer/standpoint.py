"""Where an observer stands, and whether blocks that somebody gave continue it. Nobody's word is believed.

The rules are those by which a replica catches up (``consensus.catch_up``), for a node that has nothing to sign.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

from consensus.membership import Membership
from consensus.messages import Handover
from node.exchange import BlocksAnswer, check_blocks
from primitives.header import Block, BlockHeader
from primitives.ids import Digest, Height


@dataclass(frozen=True, slots=True)
class Standpoint:
    """The last executed block and the members of its epoch.

    ``following`` are those of the next epoch, while the certificate that begins it is missing.
    """

    membership: Membership
    executed: BlockHeader
    following: Membership | None = None

    @property
    def first(self) -> Height:
        """Return the next height; that of the executed block again when its certificate is to begin an epoch."""
        return Height(self.executed.height + (1 if self.following is None else 0))


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why blocks are not taken. ``is_fork`` when a quorum certified another chain than the one executed here."""

    reason: str
    is_fork: bool = False


def check_continuation(
    standpoint: Standpoint, genesis_hash: Digest, answer: BlocksAnswer
) -> tuple[Block, ...] | Flaw:
    """Return the blocks that are to be executed, or why none are.

    In this order: there are some, the last is the certificate's; they begin where they were asked for; each is linked
    to the one before; a quorum of the members signed, and every block has its own batch; they continue the own chain.
    """
    headers = [block.header for block in answer.blocks]
    if not headers or headers[-1] != answer.certificate.header:
        return Flaw("blocks that do not end with the certificate's")
    if headers[0].height != standpoint.first:
        return Flaw(f"blocks from {headers[0].height} where those from {standpoint.first} were asked for")
    if any(
        later.height != earlier.height + 1 or later.parent != earlier.compute_digest()
        for earlier, later in pairwise(headers)
    ):
        return Flaw("blocks that are not linked to each other")
    problem = check_blocks(standpoint.membership, genesis_hash, answer)
    if problem is not None:
        return Flaw(f"blocks that prove nothing: {problem}")
    executed = standpoint.executed
    is_own = (
        headers[0] == executed if headers[0].height == executed.height else _follows(headers[0], executed)
    )
    if not is_own:
        return Flaw(f"a quorum certified another block {headers[0].height}", is_fork=True)
    return tuple(block for block in answer.blocks if block.header.height > executed.height)


def advance(standpoint: Standpoint, executed: BlockHeader, following: Membership | None) -> Standpoint:
    """Return where an observer stands after a block; ``following`` are the next members if it ends its epoch."""
    return replace(standpoint, executed=executed, following=following)


def begin_epoch(standpoint: Standpoint, handover: Handover) -> Standpoint:
    """Return where an observer stands when the last block of its epoch has its certificate.

    Raises:
        ValueError: the block ends no epoch, or the handover is another one's: a bug of the caller.

    """
    following = standpoint.following
    if following is None or handover.certificate.header != standpoint.executed:
        raise ValueError("the executed block ends no epoch")
    return Standpoint(following, standpoint.executed)


def _follows(header: BlockHeader, executed: BlockHeader) -> bool:
    return header.parent == executed.compute_digest()
