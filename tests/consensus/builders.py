"""Valid messages of a network of tests; a test spoils one thing of them."""

from consensus.authentication import sign_envelope
from consensus.certificates import build_certificate, build_prepared
from consensus.effects import Broadcast, Deliver, Effect, Persist, Report, Send
from consensus.events import Executed, Now, Received, TimerFired
from consensus.membership import Membership
from consensus.messages import (
    Certificate,
    Checkpoint,
    Envelope,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedProposal,
    SignedViewChange,
    ViewChange,
    get_signed_bytes,
)
from consensus.new_view import compute_proposals
from consensus.replica import START_GENERATION, Replica
from primitives.batch import NULL_DIGEST, Batch, build_batch
from primitives.header import BlockHeader
from primitives.ids import Epoch, Height, MonotonicMs, ReplicaId, Sequence, UnixMs, View
from primitives.signing import SignatureDomain
from tests.consensus.constitution import (
    GENESIS,
    START_WALL_MS,
    build_first_header,
    build_keys,
    build_membership,
    build_settings,
    execute,
)

REPLICAS = 4
NULL = bytes(NULL_DIGEST)


def now(ms: int = 0) -> Now:
    return Now(MonotonicMs(ms), UnixMs(START_WALL_MS + ms))


def name(index: int) -> ReplicaId:
    return ReplicaId(build_keys(index + 1)[index].public)


def say(index: int, message: Message) -> Envelope:
    """Sign a message as a replica."""
    return sign_envelope(build_keys(index + 1)[index], GENESIS, message)


def batch_of(text: bytes = b"a reading", proposer: int = 0, time_ms: int = START_WALL_MS) -> Batch:
    return build_batch(name(proposer), UnixMs(time_ms), (text,))


def digest_of(batch: Batch) -> bytes:
    return bytes(batch.header.compute_digest())


def pre_prepare(batch: Batch, sequence: int = 1, view: int = 0) -> Envelope:
    primary = view % REPLICAS
    return say(primary, PrePrepare(Proposal(0, view, sequence, digest_of(batch)), batch.header))


def prepared(batch: Batch, sequence: int = 1, view: int = 0, replicas: int = REPLICAS) -> PreparedCertificate:
    """Build a prepared certificate of the first backups."""
    membership = build_membership(replicas)
    keys = build_keys(replicas)
    proposal = Proposal(0, view, sequence, digest_of(batch))
    primary = view % replicas
    backups = [index for index in range(replicas) if index != primary][: membership.quorum - 1]
    prepare = Prepare(0, view, sequence, proposal.digest)
    votes = {ReplicaId(keys[i].public): sign_envelope(keys[i], GENESIS, prepare) for i in backups}
    signature = keys[primary].sign(SignatureDomain.CONSENSUS, GENESIS, get_signed_bytes(proposal))
    return build_prepared(proposal, signature, votes)


def header_chain(length: int) -> list[BlockHeader]:
    """Build the headers of heights 0 to ``length``, one sequence each."""
    headers = [build_first_header()]
    for height in range(1, length + 1):
        batch = batch_of(b"block %d" % height)
        headers.append(execute(headers[-1], Deliver(Epoch(0), Sequence(height), Height(height), batch)))
    return headers


def build_header(batch: Batch) -> BlockHeader:
    """Build the header of the first block."""
    deliver = Deliver(Epoch(0), Sequence(1), Height(1), batch)
    return execute(build_first_header(), deliver)


def certificate(header: BlockHeader, signers: tuple[int, ...] = (0, 1, 2)) -> Certificate:
    return build_certificate(header, {name(i): say(i, Checkpoint(header)) for i in signers})


def new_view(view: int, view_changes: dict[int, ViewChange]) -> Envelope:
    """Build the new-view that follows from these view changes."""
    signed = tuple(
        SignedViewChange(envelope.sender, envelope.signature, message)
        for envelope, message in sorted(
            ((say(i, message), message) for i, message in view_changes.items()),
            key=lambda entry: entry[0].sender,
        )
    )
    key = build_keys(REPLICAS)[view % REPLICAS]
    proposals = tuple(
        SignedProposal(each, key.sign(SignatureDomain.CONSENSUS, GENESIS, get_signed_bytes(each)))
        for each in compute_proposals(build_membership(REPLICAS), View(view), signed)
    )
    return say(view % REPLICAS, NewView(0, view, signed, proposals))


def empty_new_view(view: int, senders: tuple[int, ...] = (0, 1, 2)) -> Envelope:
    return new_view(view, {index: ViewChange(0, view, None, ()) for index in senders})


class Desk:
    """One replica on a test's desk: events go in by hand, effects come out."""

    def __init__(self, index: int, replica: Replica | None = None, **settings: int) -> None:
        self.index = index
        self.membership: Membership = build_membership(REPLICAS)
        self.settings = build_settings(REPLICAS, index, **settings)
        self.replica = replica or Replica(self.settings, build_first_header(), None)
        self.header = self.replica.view.executed
        self.effects: list[Effect] = []
        self.tell(TimerFired(now(), "resend", START_GENERATION))

    def tell(self, event: object) -> list[Effect]:
        effects = self.replica.step(event)  # type: ignore[arg-type]  # whatever the test says
        self.effects += effects
        return effects

    def hear(self, envelope: Envelope, batch: Batch | None = None, ms: int = 0) -> list[Effect]:
        return self.tell(Received(now(ms), envelope, batch))

    def hear_votes(
        self, kind: type, batch: Batch | bytes, *voters: int, sequence: int = 1, view: int = 0
    ) -> list[Effect]:
        digest = digest_of(batch) if isinstance(batch, Batch) else batch
        effects: list[Effect] = []
        for voter in voters:
            effects += self.hear(say(voter, kind(0, view, sequence, digest)))
        return effects

    def execute(self, deliver: Deliver) -> list[Effect]:
        self.header = execute(self.header, deliver)
        return self.tell(Executed(now(), deliver.sequence, self.header))

    def restart(self, *, stable: Certificate | None = None) -> "Desk":
        """Return the replica that its journal restores."""
        records = [effect.record for effect in self.effects if isinstance(effect, Persist)]
        return Desk(self.index, Replica(self.settings, self.header, stable, records))


def said(effects: list[Effect], kind: type) -> list[Message]:
    """Return the messages of a kind that left."""
    envelopes = [effect.envelope for effect in effects if isinstance(effect, Broadcast | Send)]
    return [envelope.message for envelope in envelopes if isinstance(envelope.message, kind)]


def found(effects: list[Effect], kind: type) -> list[object]:
    """Return the effects, or reported notices, of a kind."""
    notices = [effect.notice for effect in effects if isinstance(effect, Report)]
    return [each for each in [*effects, *notices] if isinstance(each, kind)]
