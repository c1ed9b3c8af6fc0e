"""The story of a replica, told from its effects: one short line for each, the same in logs and golden scenarios.

``name key=value …``, values without spaces but the last. Replicas are told by their names, digests by their heads.
"""

from typing import assert_never

from consensus.effects import (
    AcceptedBatch,
    AcceptedNewView,
    Broadcast,
    Certified,
    Deliver,
    Diverged,
    Effect,
    EpochStarted,
    Equivocation,
    FetchBatch,
    FetchBlocks,
    FetchSnapshot,
    JournalRecord,
    KeyInUse,
    KnownCertificate,
    Notice,
    OwnMessage,
    OwnProposal,
    Persist,
    PreparedRecord,
    Refused,
    Report,
    Send,
    SignedHeader,
    Silenced,
    StartTimer,
    StopTimer,
    ViewChangeStarted,
    ViewEntered,
    ViewStarted,
    VoiceFound,
    VoiceLost,
    WantBatch,
)
from consensus.events import (
    BatchFetched,
    BlocksFetched,
    BlocksPruned,
    Event,
    Executed,
    Overdue,
    Proposed,
    Received,
    TimerFired,
)
from consensus.membership import Membership
from consensus.messages import (
    Checkpoint,
    Commit,
    Complaint,
    Inquiry,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Testimony,
    ViewChange,
)
from primitives.ids import ReplicaId

HEAD_CHARACTERS = 8
"""Enough of a digest to tell two apart in one story."""


def describe_event(membership: Membership, event: Event) -> str:
    """Return what the host told the replica, in one line."""
    match event:
        case Received(envelope=envelope):
            sender = membership.get_name(ReplicaId(envelope.sender))
            return f"received from={sender} {describe_message(envelope.message)}"
        case Proposed(view=view, sequence=sequence, batch=batch):
            return f"proposed view={view} sequence={sequence} transactions={len(batch.transactions)}"
        case Executed(sequence=sequence, header=header):
            root = shorten(header.state_root)
            return f"executed height={header.height} sequence={sequence} root={root}"
        case Overdue():
            return "overdue"
        case TimerFired(name=name):
            return f"timer_fired name={name}"
        case BatchFetched(digest=digest):
            return f"batch_fetched digest={shorten(digest)}"
        case BlocksFetched(blocks=blocks, certificate=certificate):
            return f"blocks_fetched count={len(blocks)} certified={certificate.header.height}"
        case BlocksPruned():
            return "blocks_pruned"
        case _:
            assert_never(event)


def describe_effect(membership: Membership, effect: Effect) -> str:
    """Return what the replica asked of its host, in one line."""
    match effect:
        case WantBatch(view=view, sequence=sequence):
            return f"want_batch view={view} sequence={sequence}"
        case Persist(record=record):
            return f"persist {describe_record(record)}"
        case Send(to=to, envelope=envelope):
            return f"send to={membership.get_name(to)} {describe_message(envelope.message)}"
        case Broadcast(envelope=envelope):
            return f"broadcast {describe_message(envelope.message)}"
        case Deliver(sequence=sequence, height=height, batch=batch):
            count = len(batch.transactions)
            return f"deliver height={height} sequence={sequence} transactions={count}"
        case StartTimer(name=name, delay_ms=delay_ms):
            return f"start_timer name={name} delay_ms={delay_ms}"
        case StopTimer(name=name):
            return f"stop_timer name={name}"
        case FetchBatch(digest=digest):
            return f"fetch_batch digest={shorten(digest)}"
        case FetchBlocks(first=first, peers=peers):
            return f"fetch_blocks first={first} peers={_join(membership, peers)}"
        case FetchSnapshot(peers=peers):
            return f"fetch_snapshot peers={_join(membership, peers)}"
        case Report(notice=notice):
            return describe_notice(membership, notice)
        case _:
            assert_never(effect)


def describe_notice(membership: Membership, notice: Notice) -> str:
    """Return something worth a line in every log."""
    match notice:
        case Certified(certificate=certificate):
            header = certificate.header
            return f"checkpoint_stable height={header.height} root={shorten(header.state_root)}"
        case Equivocation(first=first, second=second):
            replica = membership.get_name(ReplicaId(first.sender))
            return (
                f"equivocation replica={replica} first={_get_digest(first.message)}"
                f" second={_get_digest(second.message)} {describe_message(first.message)}"
            )
        case ViewStarted(view=view):
            return f"view_started view={view} primary={membership.get_name(membership.get_primary(view))}"
        case ViewChangeStarted(view=view, reason=reason):
            return f"view_change_started view={view} reason={reason}"
        case EpochStarted(membership=following):
            count = len(following.validators)
            return f"epoch_started epoch={following.epoch} after={following.start_height} validators={count}"
        case VoiceLost(until=until):
            return f"voice_lost until={until}"
        case VoiceFound():
            return "voice_found"
        case KeyInUse(envelope=envelope):
            return f"key_in_use {describe_message(envelope.message)}"
        case Diverged(height=height, own=own, certified=certified):
            return f"diverged height={height} own={shorten(own)} certified={shorten(certified)}"
        case Refused(sender=sender, reason=reason):
            return f"refused from={membership.get_name(sender)} reason={reason}"
        case _:
            assert_never(notice)


def describe_record(record: JournalRecord) -> str:
    """Return a journal record in one line."""
    match record:
        case ViewEntered(view=view, active=active):
            return f"view_entered view={view} active={'yes' if active else 'no'}"
        case OwnMessage(envelope=envelope):
            return f"own_message {describe_message(envelope.message)}"
        case AcceptedBatch(proposal=proposal):
            return f"accepted_batch view={proposal.view} sequence={proposal.sequence}"
        case AcceptedNewView(envelope=envelope):
            return f"accepted_new_view {describe_message(envelope.message)}"
        case PreparedRecord(certificate=certificate):
            proposal = certificate.proposal
            return f"prepared view={proposal.view} sequence={proposal.sequence}"
        case SignedHeader(height=height, digest=digest):
            return f"signed_header height={height} digest={shorten(digest)}"
        case OwnProposal(proposal=proposal):
            return f"own_proposal view={proposal.view} sequence={proposal.sequence}"
        case KnownCertificate(certificate=certificate):
            return f"known_certificate height={certificate.header.height}"
        case Silenced(is_over=is_over):
            return f"silenced over={'yes' if is_over else 'no'}"
        case _:
            assert_never(record)


def describe_message(message: Message) -> str:
    """Return a message's kind and position in one line."""
    match message:
        case PrePrepare(proposal=proposal):
            place = f"view={proposal.view} sequence={proposal.sequence}"
            return f"pre_prepare {place} digest={shorten(proposal.digest)}"
        case Prepare(view=view, sequence=sequence, digest=digest):
            return f"prepare view={view} sequence={sequence} digest={shorten(digest)}"
        case Commit(view=view, sequence=sequence, digest=digest):
            return f"commit view={view} sequence={sequence} digest={shorten(digest)}"
        case Checkpoint(header=header):
            return f"checkpoint height={header.height} root={shorten(header.state_root)}"
        case ViewChange(view=view, stable=stable, prepared=prepared):
            height = 0 if stable is None else stable.header.height
            return f"view_change view={view} stable={height} prepared={len(prepared)}"
        case NewView(view=view, proposals=proposals):
            return f"new_view view={view} proposals={len(proposals)}"
        case Complaint(view=view):
            return f"complaint view={view}"
        case Status(view=view, height=height, sequence=sequence):
            return f"status view={view} height={height} sequence={sequence}"
        case Inquiry(nonce=nonce):
            return f"inquiry nonce={shorten(nonce)}"
        case Testimony(stable=stable, newest=newest):
            height = 0 if stable is None else stable.header.height
            return f"testimony stable={height} newest={len(newest)}"
        case _:
            assert_never(message)


def shorten(digest: bytes) -> str:
    """Return the head of a digest."""
    return digest.hex()[:HEAD_CHARACTERS]


def _get_digest(message: Message) -> str:
    match message:
        case PrePrepare(proposal=proposal):
            return shorten(proposal.digest)
        case Prepare(digest=digest) | Commit(digest=digest):
            return shorten(digest)
        case Checkpoint(header=header):
            return shorten(header.compute_digest())
        case _:
            return "-"


def _join(membership: Membership, replicas: tuple[ReplicaId, ...]) -> str:
    return ",".join(membership.get_name(replica) for replica in replicas)
