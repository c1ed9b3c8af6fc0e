"""The library of faulty behaviours. Each is a correct replica behind a liar, who may do what its key allows."""

from collections import deque
from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from consensus.authentication import sign_envelope
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Message,
    Prepare,
    PrePrepare,
    Proposal,
    Signature,
    Status,
    ViewChange,
)
from consensus.window import WINDOW
from primitives.batch import BatchHeader
from primitives.header import BlockHeader
from tests.simulation.behaviour import Behaviour
from vm.transaction import SealedTransaction

HUGE = 2**60
FLOOD = 8
"""Messages that a flood adds to each status for each target."""


class Liar(Behaviour):
    """Signs what it likes with its machine's key; every random choice is its own seed's."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self._signed: dict[Message, Envelope] = {}

    def sign(self, message: Message) -> Envelope:
        """Return a message signed by this machine; the same message is signed once."""
        known = self._signed.get(message)
        if known is None:
            known = sign_envelope(self.machine.key, self.world.constitution.genesis_hash, message)
            self._signed[message] = known
        return known

    def hit(self) -> None:
        """Count that the behaviour did something."""
        self.world.hits[f"byzantine_{self.name}"] += 1


class Silent(Liar):
    """Says nothing, ever."""

    name = "silent"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        self.hit()
        return []


class Selective(Liar):
    """Excludes one replica."""

    name = "selective"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        if target != (self.machine.index + 1) % self.world.size:
            return [envelope]
        self.hit()
        return []


class WithheldVotes(Liar):
    """Takes part up to the prepared certificate, and keeps it; shows it in view changes only."""

    name = "withheld_votes"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        if not isinstance(envelope.message, Prepare | Commit | Checkpoint):
            return [envelope]
        self.hit()
        return []


class WithheldCheckpoints(Liar):
    """Votes, but signs no header for anybody."""

    name = "withheld_checkpoints"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        if not isinstance(envelope.message, Checkpoint):
            return [envelope]
        self.hit()
        return []


class Equivocating(Liar):
    """Proposes another batch to every second replica, and votes for whatever each believes."""

    name = "equivocating"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._lies: dict[bytes, bytes] = {}

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if target % 2 == 0 or not isinstance(message, PrePrepare | Prepare | Commit):
            return [envelope]
        if isinstance(message, PrePrepare):
            self.hit()
            return [self.sign(self._alter(message))]
        return [self.sign(replace(message, digest=self._lies.get(message.digest, message.digest)))]

    def _alter(self, message: PrePrepare) -> PrePrepare:
        names = message.batch.transaction_ids
        batch = replace(message.batch, time_ms=message.batch.time_ms + 1, transaction_ids=names[::-1])
        proposal = replace(message.proposal, digest=bytes(batch.compute_digest()))
        self._lies[message.proposal.digest] = proposal.digest
        return PrePrepare(proposal, batch)


class ForgedVotes(Liar):
    """Votes for digests that nobody proposed, another for each target, and for the right ones too."""

    name = "forged_votes"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, Prepare | Commit):
            return [envelope]
        self.hit()
        both = [self.sign(replace(message, digest=bytes([target + 1]) * 32)), envelope]
        return both if target % 2 else both[::-1]


class ConflictingCheckpoints(Liar):
    """Signs headers with other state roots, another for every second target."""

    name = "conflicting_checkpoints"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, Checkpoint) or envelope.sender != self.machine.key.public:
            return [envelope]
        self.hit()
        forged = self.sign(Checkpoint(replace(message.header, state_root=bytes([target % 2 + 1]) * 32)))
        return [forged, envelope] if target % 3 else [forged]


class HugeNumbers(Liar):
    """Names views, sequences and heights that nobody will reach, beside what is true."""

    name = "huge_numbers"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        view = self.machine.state.view
        number = HUGE + self.random.randrange(4)
        lies: tuple[Message, ...] = (
            ViewChange(0, number, None, ()),
            Complaint(0, view),
            Status(0, number, number, number),
            Prepare(0, view, number, bytes(32)),
            Commit(0, number, number, bytes(32)),
        )
        self.hit()
        return [envelope, self.sign(self.random.choice(lies))]


class Flooding(Liar):
    """Fills what others keep for later: votes and proposals of later views, sequences, and heights."""

    name = "flooding"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        if not isinstance(envelope.message, Status):
            return [envelope]
        self.hit()
        return [envelope, *(self.sign(self._draw(number)) for number in range(FLOOD))]

    def _draw(self, number: int) -> Message:
        state, size = self.machine.state, self.world.size
        view = state.view + 1 + self.random.randrange(3 * size)
        sequence = state.stable_sequence + 1 + self.random.randrange(WINDOW)
        digest = bytes([number + 1]) * 32
        if number % 4 == 0:
            own_view = view - view % size + self.machine.index
            batch = BatchHeader(self.machine.key.public, 0, (digest,))
            proposal = Proposal(0, max(own_view, state.view), sequence, batch.compute_digest())
            return PrePrepare(proposal, batch)
        if number % 4 == 1:
            return Commit(0, view, sequence, digest)
        if number % 4 == 2:
            return Prepare(0, state.view, sequence, digest)
        height = state.executed.height + self.random.randrange(2 * WINDOW)
        return Checkpoint(replace(state.executed, height=height, state_root=digest))


class StaleView(Liar):
    """Repeats in the views before what it says in this one, and contradicts there what it said."""

    name = "stale_view"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, Prepare | Commit) or message.view == 0:
            return [envelope]
        self.hit()
        earlier = self.random.randrange(message.view)
        return [self.sign(replace(message, view=earlier)), envelope]


class ForgedCertificates(Liar):
    """Leaves views with certificates that are too short, forged, or of another header."""

    name = "forged_certificates"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if isinstance(message, Complaint | Status) and self.random.random() < 0.1:
            view = self.machine.state.view + 1
            self.hit()
            return [envelope, self.sign(ViewChange(0, view, self._forge(), ()))]
        if not isinstance(message, ViewChange):
            return [envelope]
        self.hit()
        return [self.sign(replace(message, stable=self._forge())), self.sign(self._shorten(message))]

    def _forge(self) -> Certificate:
        header: BlockHeader = replace(
            self.machine.state.executed, height=self.machine.state.executed.height + 5
        )
        signers = sorted(self.world.constitution.membership.replicas)
        kind = self.random.randrange(3)
        if kind == 0:  # nobody signed it
            return Certificate(header, tuple(Signature(signer, bytes(64)) for signer in signers))
        own = self.sign(Checkpoint(header)).signature
        if kind == 1:  # one signer, again and again
            return Certificate(header, (Signature(self.machine.key.public, own),) * len(signers))
        return Certificate(header, (Signature(self.machine.key.public, own),))

    def _shorten(self, message: ViewChange) -> ViewChange:
        shortened = tuple(replace(entry, prepares=entry.prepares[:-1]) for entry in message.prepared)
        return replace(message, prepared=shortened)


class ForgetsPrepared(Liar):
    """Leaves views as if it had prepared nothing and seen no certificate."""

    name = "forgets_prepared"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, ViewChange):
            return [envelope]
        self.hit()
        return [self.sign(replace(message, stable=None, prepared=()))]


class Censoring(Liar):
    """Keeps the transactions of one account from its own pool, and passes none of them on."""

    name = "censoring"

    def hides(self, sealed: SealedTransaction) -> bool:
        if sealed.transaction.account[0] % 3 != self.machine.index % 3:
            return False
        self.hit()
        return True


class Slow(Liar):
    """Says everything that agreement waits for just before the others lose patience."""

    name = "slow"

    def get_delay_ms(self, envelope: Envelope) -> int:
        if isinstance(envelope.message, Status):
            return 0
        self.hit()
        return self.world.parameters.view_timeout_ms * 9 // 10


class TimeAhead(Liar):
    """Dates its batches an hour ahead, or a little more than is allowed."""

    name = "time_ahead"

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, PrePrepare):
            return [envelope]
        self.hit()
        ahead = 3_600_000 if message.proposal.sequence % 2 else self.world.parameters.drift_ms + 500
        batch = replace(message.batch, time_ms=message.batch.time_ms + ahead)
        return [self.sign(PrePrepare(replace(message.proposal, digest=batch.compute_digest()), batch))]


class Repeating(Liar):
    """Proposes what was executed already, beside what is new."""

    name = "repeating"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._old: deque[bytes] = deque(maxlen=8)

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, PrePrepare):
            return [envelope]
        old = tuple(name for name in self._old if name not in message.batch.transaction_ids)
        if target == max(set(range(self.world.size)) - {self.machine.index}):
            self._old.extend(message.batch.transaction_ids)
        self.hit()
        batch = replace(message.batch, transaction_ids=(*message.batch.transaction_ids, *old))
        return [self.sign(PrePrepare(replace(message.proposal, digest=batch.compute_digest()), batch))]


class Replaying(Liar):
    """Repeats old messages, its own and others', beside the new ones."""

    name = "replaying"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._heard: deque[Envelope] = deque(maxlen=200)

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        self._heard.append(envelope)
        self.hit()
        return [envelope, self.random.choice(self._heard)]


Builder = Callable[[int], Behaviour]

BEHAVIOURS: dict[str, Builder] = {
    kind.name: kind
    for kind in (
        Silent,
        Selective,
        WithheldVotes,
        WithheldCheckpoints,
        Equivocating,
        ForgedVotes,
        ConflictingCheckpoints,
        HugeNumbers,
        Flooding,
        StaleView,
        ForgedCertificates,
        ForgetsPrepared,
        Censoring,
        Slow,
        TimeAhead,
        Repeating,
        Replaying,
    )
}
