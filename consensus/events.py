"""What the host tells a replica. Every event carries the host's time; the core has none of its own."""

from dataclasses import dataclass

from consensus.membership import Membership
from consensus.messages import Certificate, Envelope
from primitives.batch import Batch
from primitives.header import Block, BlockHeader
from primitives.ids import Digest, Epoch, MonotonicMs, Sequence, UnixMs, View


@dataclass(frozen=True, slots=True)
class Now:
    """The host's clocks when the event happened; ``wall_ms`` is used for one thing only, a batch's time."""

    monotonic_ms: MonotonicMs
    wall_ms: UnixMs


@dataclass(frozen=True, slots=True)
class Received:
    """An authenticated message; a pre-prepare comes with its batch, whole and with every signature checked."""

    now: Now
    envelope: Envelope
    batch: Batch | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """The answer to one ``WantBatch``; it echoes the position, so that a late answer is recognised."""

    now: Now
    epoch: Epoch
    view: View
    sequence: Sequence
    batch: Batch


@dataclass(frozen=True, slots=True)
class Executed:
    """The answer to one ``Deliver``, after the block's synced write.

    ``following`` is the next membership when the header names other validators than its parent's: the block is the
    last of its epoch.
    """

    now: Now
    sequence: Sequence
    header: BlockHeader
    following: Membership | None = None


@dataclass(frozen=True, slots=True)
class Overdue:
    """Something the primary should have ordered long ago still waits; repeated by the host while it does."""

    now: Now


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer ran out. A generation that is not the current one is ignored: it was stopped or restarted."""

    now: Now
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class BatchFetched:
    """The batch of a digest that a new view re-proposes; verified like a pre-prepare's."""

    now: Now
    digest: Digest
    batch: Batch


@dataclass(frozen=True, slots=True)
class BlocksFetched:
    """Consecutive blocks, linked by parent, the last one certified; signatures of the certificate are checked."""

    now: Now
    blocks: tuple[Block, ...]
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class BlocksPruned:
    """The peers that answered have the next blocks no more: only a snapshot helps."""

    now: Now


Fetched = BatchFetched | BlocksFetched | BlocksPruned
Event = Received | Proposed | Executed | Overdue | TimerFired | BatchFetched | BlocksFetched | BlocksPruned
