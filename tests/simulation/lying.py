"""Faulty behaviours with more to them: false new-views, and lies to those who catch up."""

from msgspec.structs import replace

from consensus.messages import (
    Certificate,
    Checkpoint,
    Complaint,
    Envelope,
    NewView,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Signature,
    SignedProposal,
    Status,
    ViewChange,
    get_signed_bytes,
)
from node.exchange import BlocksAnswer, PrunedAnswer, RequestKind, decode_blocks, decode_transactions_request
from node.snapshots.parts import PairsPage, decode_pairs_page
from primitives.batch import NULL_DIGEST
from primitives.encoding import DecodeError, encode
from primitives.hashing import compute_transaction_id
from primitives.ids import Digest, View
from primitives.signing import SignatureDomain
from tests.simulation.byzantine import BEHAVIOURS, Builder, Liar
from tests.simulation.network import Frame, Kind

NEW_VIEW_LIES = ("omit", "alter", "null", "few", "twice", "forge", "extend")


SNAPSHOT_QUESTIONS = frozenset(kind for kind in RequestKind if kind >= RequestKind.HANDOVERS)


class BadNewView(Liar):
    """Sends new-views that do not follow: what was prepared left out or altered, view changes forged or too few."""

    name = "bad_new_view"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, NewView) or envelope.sender != self.machine.key.public:
            return [envelope]
        self.hit()
        return [self.sign(self._spoil(message, NEW_VIEW_LIES[(message.view + target) % len(NEW_VIEW_LIES)]))]

    def _spoil(self, message: NewView, how: str) -> NewView:
        changes, proposals = message.view_changes, message.proposals
        match how:
            case "omit":
                return replace(message, proposals=proposals[:-1]) if proposals else self._extend(message)
            case "alter":
                return replace(message, proposals=tuple(self._resign(p, b"\7" * 32) for p in proposals))
            case "null":
                return replace(message, proposals=tuple(self._resign(p, NULL_DIGEST) for p in proposals))
            case "few":
                return replace(message, view_changes=changes[:-1])
            case "twice":
                return replace(message, view_changes=(*changes[:-1], changes[0]))
            case "forge":
                spoiled = replace(changes[0].view_change, prepared=(), stable=None)
                return replace(message, view_changes=(replace(changes[0], view_change=spoiled), *changes[1:]))
            case _:
                return self._extend(message)

    def _extend(self, message: NewView) -> NewView:
        """Add a proposal that nothing asks for."""
        state = self.machine.state
        last = message.proposals[-1].proposal.sequence if message.proposals else state.stable_sequence
        entry = message.proposals[-1] if message.proposals else None
        if entry is None:
            return replace(message, view_changes=message.view_changes[:-1])
        added = self._resign(replace(entry, proposal=replace(entry.proposal, sequence=last + 1)), b"\5" * 32)
        return replace(message, proposals=(*message.proposals, added))

    def _resign(self, entry: SignedProposal, digest: bytes) -> SignedProposal:
        proposal = replace(entry.proposal, digest=digest)
        signature = self.machine.key.sign(
            SignatureDomain.CONSENSUS, self.world.constitution.genesis_hash, get_signed_bytes(proposal)
        )
        return SignedProposal(proposal, signature)


class LyingServer(Liar):
    """Claims a height that nobody has, and answers those who catch up with blocks that prove nothing."""

    name = "lying_server"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        if not isinstance(envelope.message, Status):
            return [envelope]
        height = envelope.message.height + self.random.choice((1, 50, 2**40))
        return [self.sign(replace(envelope.message, height=height, sequence=height))]

    def answer(self, question: int, payload: bytes, honest: bytes) -> bytes | None:
        self.hit()
        if question in SNAPSHOT_QUESTIONS:
            return self._spoil_snapshot(question, honest)
        if question == RequestKind.TRANSACTIONS:
            return self.random.choice((b"", encode(()), encode((b"no transaction",)), None))
        if question == RequestKind.BATCH:
            return self.random.choice((b"", honest[:-1], None))
        try:
            blocks = decode_blocks(honest)
        except DecodeError:
            return self.random.choice((b"", b"\xc0", None))
        return honest if isinstance(blocks, PrunedAnswer) else self._spoil(blocks)

    def _spoil_snapshot(self, question: int, honest: bytes) -> bytes | None:
        """Tell the truth most of the time, so that a lie comes late; a pair less is the lie that looks best."""
        at = self.random.randrange(len(honest)) if honest else 0
        match self.random.randrange(8):
            case 0:
                return honest[:at] + bytes((honest[at] ^ 1,)) + honest[at + 1 :] if honest else None
            case 1:
                return self.random.choice((b"", None, honest[:at], b"\xc0"))
            case 2 | 3 if question == RequestKind.SNAPSHOT_PAIRS and honest:
                pairs = list(decode_pairs_page(honest).pairs)
                dropped = self.random.randrange(len(pairs)) if pairs else 0
                return encode(PairsPage(tuple(pairs[:dropped] + pairs[dropped + 1 :])))
            case _:
                return honest

    def _spoil(self, answer: BlocksAnswer) -> bytes | None:
        blocks, certificate = answer.blocks, answer.certificate
        match self.random.randrange(8):
            case 0:  # the wrong end
                return encode(BlocksAnswer(blocks[:-1], certificate))
            case 1:  # other blocks under a certificate that holds
                return encode(BlocksAnswer(blocks[1:], certificate))
            case 2:  # a block with an altered state root
                header = replace(blocks[0].header, state_root=bytes(32))
                return encode(BlocksAnswer((replace(blocks[0], header=header), *blocks[1:]), certificate))
            case 3:  # too few signatures
                return encode(
                    BlocksAnswer(blocks, replace(certificate, signatures=certificate.signatures[:1]))
                )
            case 4:  # a whole chain of its own, signed by itself
                header = replace(blocks[-1].header, height=blocks[-1].header.height + 1)
                own = Signature(self.machine.key.public, self.sign(Checkpoint(header)).signature)
                return encode(
                    BlocksAnswer((replace(blocks[-1], header=header),), Certificate(header, (own,)))
                )
            case 5:  # one signer again and again
                twice = (certificate.signatures[0],) * len(certificate.signatures)
                return encode(BlocksAnswer(blocks, replace(certificate, signatures=twice)))
            case 6:
                return None
            case _:
                return encode(answer)[:-7]


class MismatchedBatch(Liar):
    """Proposes one digest with another batch for every second target."""

    name = "mismatched_batch"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, PrePrepare) or target % 2:
            return [envelope]
        self.hit()
        batch = replace(message.batch, transaction_ids=message.batch.transaction_ids[:-1])
        return [Envelope(envelope.sender, envelope.signature, PrePrepare(message.proposal, batch))]


class ForgedTransactions(Liar):
    """Passes on transactions that their accounts never signed, and proposes them."""

    name = "forged_transactions"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._forged: dict[bytes, bytes] = {}

    def gossips(self, raw: bytes) -> bool:
        forged = self._forge(raw)
        self.hit()
        for target in range(self.world.size):
            if target != self.machine.index:
                self.world.network.carry(self.machine.index, target, Frame(Kind.TRANSACTION, forged))
        return True

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, PrePrepare):
            return [envelope]
        self.hit()
        pool = self.machine.get_process().mempool
        forged = []
        for name in message.batch.transaction_ids:
            sealed = pool.get(Digest(name))
            forged.append(name if sealed is None else compute_transaction_id(self._forge(sealed.raw)))
        batch = replace(message.batch, transaction_ids=tuple(forged))
        return [self.sign(PrePrepare(replace(message.proposal, digest=batch.compute_digest()), batch))]

    def answer(self, question: int, payload: bytes, honest: bytes) -> bytes | None:
        if question != RequestKind.TRANSACTIONS:
            return honest
        names = decode_transactions_request(payload)
        return encode(tuple(self._forged.get(name, b"") for name in names))

    def _forge(self, raw: bytes) -> bytes:
        forged = raw[:-1] + bytes([raw[-1] ^ 1])
        self._forged[compute_transaction_id(forged)] = forged
        return forged


class ForgedPrepared(Liar):
    """Leaves views, and makes others leave them, with prepared certificates for a batch that nobody has."""

    name = "forged_prepared"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if isinstance(message, Status):
            view = message.view + 1
            self.hit()
            return [envelope, self.sign(Complaint(0, message.view)), self.sign(self._forge(view))]
        if isinstance(message, ViewChange):
            self.hit()
            return [self.sign(replace(self._forge(message.view), stable=message.stable))]
        return [envelope]

    def _forge(self, view: int) -> ViewChange:
        state = self.machine.state
        proposal = Proposal(0, view - 1, state.stable_sequence + 1, b"\6" * 32)
        primary = state.settings.membership.get_primary(View(view - 1))
        others = sorted(state.settings.membership.replica_set - {primary})[
            : state.settings.membership.quorum - 1
        ]
        prepares = tuple(Signature(replica, bytes(64)) for replica in others)
        return ViewChange(0, view, state.stable, (PreparedCertificate(proposal, bytes(64), prepares),))


ALL_BEHAVIOURS: dict[str, Builder] = BEHAVIOURS | {
    kind.name: kind for kind in (BadNewView, LyingServer, MismatchedBatch, ForgedTransactions, ForgedPrepared)
}
"""By name, each built from a seed of its own."""
