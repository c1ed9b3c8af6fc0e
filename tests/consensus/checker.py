"""The outside checker: it sees what leaves replicas and what they execute, and knows nothing of their insides."""

from consensus.messages import (
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Inquiry,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Testimony,
    ViewChange,
)
from primitives.header import Block, BlockHeader


class ViolationError(AssertionError):
    """An invariant does not hold."""


def get_position(envelope: Envelope) -> tuple[tuple[str | int, ...], bytes] | None:
    """Return what a correct replica says once, and what it said; None for what it may say anew."""
    message = envelope.message
    match message:
        case PrePrepare(proposal=proposal):
            position = ("pre_prepare", proposal.epoch, proposal.view, proposal.sequence)
            return position, proposal.digest
        case Prepare():
            return ("prepare", message.epoch, message.view, message.sequence), message.digest
        case Commit():
            return ("commit", message.epoch, message.view, message.sequence), message.digest
        case Checkpoint(header=header):
            return ("checkpoint", header.height), header.compute_digest()
        case ViewChange():
            return ("view_change", message.epoch, message.view), envelope.signature
        case NewView():
            return ("new_view", message.epoch, message.view), envelope.signature
        case Complaint() | Status() | Inquiry() | Testimony():
            return None


class Checker:
    """I1 one block per height, I2 no gaps, I3 nobody contradicts itself, I5 no sequence twice, I7 equal roots."""

    def __init__(self) -> None:
        self.said: dict[tuple[bytes, tuple[str | int, ...]], bytes] = {}
        self.chain: dict[int, bytes] = {}
        self.promised: set[bytes] = set()

    def record_promise(self, envelope: Envelope) -> None:
        """Take note that a message is in its sender's journal."""
        self.promised.add(envelope.signature)

    def check_said(self, envelope: Envelope) -> None:
        """Refuse a correct replica's message that excludes an earlier one, or that left before it was durable."""
        position = get_position(envelope)
        if position is None:
            return
        first = self.said.setdefault((envelope.sender, position[0]), position[1])
        if first != position[1]:
            raise ViolationError(f"I3: two messages of one replica for {position[0]}")
        is_vote = isinstance(envelope.message, Prepare | Commit | ViewChange | NewView)
        if is_vote and envelope.signature not in self.promised:
            raise ViolationError(f"spoke before it was durable: {position[0]}")

    def check_block(self, parent: BlockHeader, block: Block) -> None:
        """Refuse an executed block that does not follow its parent or differs from another replica's."""
        header = block.header
        if header.height != parent.height + 1 or header.parent != parent.compute_digest():
            raise ViolationError(f"I2: height {header.height} does not follow {parent.height}")
        if header.sequence <= parent.sequence:
            raise ViolationError(f"I5: sequence {header.sequence} was executed again")
        digest = header.compute_digest()
        if self.chain.setdefault(header.height, digest) != digest:
            raise ViolationError(f"I1: two blocks at height {header.height}")
