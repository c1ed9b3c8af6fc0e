"""Watermarks, and position before content: which messages are worth a signature check at all."""

from typing import TYPE_CHECKING

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
from primitives.ids import ReplicaId, Sequence, View

if TYPE_CHECKING:
    from consensus.state import Instance, ReplicaState

WINDOW = 64
"""Sequences above the low watermark. Depth is at most 4 and every block is a checkpoint, so a healthy replica uses
a few; 64 absorbs a lagging certificate without letting one primary exhaust memory."""

CHECKPOINT_AHEAD = 2 * WINDOW
"""Heights above the own one for which checkpoints are collected; beyond it catch-up decides by certificates."""


def is_in_window(state: "ReplicaState", sequence: int) -> bool:
    """Tell whether a sequence lies above the low watermark and not above the high one, nor above its epoch's end."""
    low = state.low_watermark
    is_void = state.following is not None and sequence > state.executed.sequence
    return low < sequence <= low + WINDOW and not is_void


def is_executed(state: "ReplicaState", sequence: int) -> bool:
    """Tell whether this replica has executed (or skipped as null) the sequence."""
    return sequence <= state.executed_sequence


def is_wanted(state: "ReplicaState", envelope: Envelope) -> bool:
    """Tell by position alone whether a message could matter; the host drops the others before any signature.

    In this order: the sender is a member and not this replica; the epoch is the current one; then by kind.
    Repetitions of what is already counted are not wanted, nor are votes beyond a phase's quorum that agree with it;
    except checkpoints and view changes, whose repetition says that their sender misses something. Three kinds matter
    across epochs: the last checkpoint of the epoch before, whose sender misses its certificate; a later epoch's status,
    which says that this replica does; and inquiries.
    """
    message = envelope.message
    sender = ReplicaId(envelope.sender)
    if sender not in state.membership.replica_set or sender == state.own:
        return False
    match message:
        case Checkpoint(header=header):
            if header.epoch != state.epoch:
                return state.stable is not None and header == state.stable.header
            return state.stable_height <= header.height <= state.executed.height + CHECKPOINT_AHEAD
        case PrePrepare(proposal=proposal):
            return proposal.epoch == state.epoch and _is_proposal_wanted(state, sender, message)
        case Prepare() | Commit():
            return message.epoch == state.epoch and _is_vote_wanted(state, sender, message)
        case ViewChange():
            return message.epoch == state.epoch and _is_view_change_wanted(state, sender, message)
        case NewView():
            later = message.view > state.view or (message.view == state.view and not state.active)
            leads = sender == state.membership.get_primary(View(message.view))
            return message.epoch == state.epoch and later and leads
        case Complaint():
            return message.epoch == state.epoch and message.view == state.view and state.active
        case Status():
            return message.epoch >= state.epoch
        case Inquiry():
            return True
        case Testimony():
            silence = state.silence
            is_asked = silence is not None and silence.until is None and message.nonce == silence.nonce
            return is_asked and message.epoch == state.epoch and message.asker == state.own


def _is_proposal_wanted(state: "ReplicaState", sender: ReplicaId, message: PrePrepare) -> bool:
    proposal = message.proposal
    if sender != state.membership.get_primary(View(proposal.view)):
        return False
    if proposal.view < state.view or not is_in_window(state, proposal.sequence):
        return False
    if proposal.view > state.view:
        return True
    instance = state.instances.get(Sequence(proposal.sequence))
    known = None if instance is None else instance.proposal
    return known is None or known.digest != proposal.digest


def _is_vote_wanted(state: "ReplicaState", sender: ReplicaId, message: Prepare | Commit) -> bool:
    if message.view < state.view or not is_in_window(state, message.sequence):
        return False
    instance = state.instances.get(Sequence(message.sequence))
    if message.view > state.view or instance is None:
        return True
    votes = instance.prepares if isinstance(message, Prepare) else instance.commits
    known = votes.get(sender)
    if known is not None:
        return known.message != message
    return not _is_decided(state, instance, message)


def _is_decided(state: "ReplicaState", instance: "Instance", message: Prepare | Commit) -> bool:
    """Tell whether the phase of a vote has its quorum for the very digest that the vote names: one more is no help."""
    if isinstance(message, Commit):
        return instance.committed == message.digest
    own = instance.commits.get(state.own)
    return own is not None and isinstance(own.message, Commit) and own.message.digest == message.digest


def _is_view_change_wanted(state: "ReplicaState", sender: ReplicaId, message: ViewChange) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return state.new_view is not None
    known = state.view_changes.get(sender)
    return known is None or getattr(known.message, "view", -1) < message.view
