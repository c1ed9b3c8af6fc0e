"""What a replica asks of its host, to be performed in the order returned."""

from dataclasses import dataclass
from enum import StrEnum

from consensus.membership import Membership
from consensus.messages import Certificate, Envelope, Handover, PreparedCertificate, Proposal
from primitives.batch import Batch, BatchHeader
from primitives.encoding import Struct
from primitives.ids import Digest, Epoch, Height, ReplicaId, Sequence, View


class ViewEntered(Struct, frozen=True, tag=1):
    """The replica is in ``view``; inactive until a new-view was accepted (view 0 starts active)."""

    epoch: int
    view: int
    active: bool


class OwnMessage(Struct, frozen=True, tag=2):
    """An own vote, view change or new-view before it leaves: the sign-state."""

    envelope: Envelope


class AcceptedBatch(Struct, frozen=True, tag=3):
    """A proposal that this replica accepted, with the transaction bytes that others may need from it."""

    proposal: Proposal
    primary_signature: bytes
    batch: Batch | None


class AcceptedNewView(Struct, frozen=True, tag=4):
    """The new-view under which the current view runs, signed by its primary."""

    envelope: Envelope


class PreparedRecord(Struct, frozen=True, tag=5):
    """A prepared certificate, kept until a certificate covers its sequence."""

    certificate: PreparedCertificate


class SignedHeader(Struct, frozen=True, tag=6):
    """The header digest this replica signed for a height: it never signs another."""

    height: int
    digest: bytes


class OwnProposal(Struct, frozen=True, tag=7):
    """A digest that this replica, leading, bound to a position: it never proposes another there."""

    proposal: Proposal


class KnownCertificate(Struct, frozen=True, tag=8):
    """The certificate below which a rewritten journal holds nothing: without it, what was left out would be open."""

    certificate: Certificate


class Silenced(Struct, frozen=True, tag=9):
    """This replica does not know all that its key signed; ``is_over`` when it has passed it."""

    is_over: bool


JournalRecord = (
    OwnProposal
    | ViewEntered
    | OwnMessage
    | AcceptedBatch
    | AcceptedNewView
    | PreparedRecord
    | SignedHeader
    | KnownCertificate
    | Silenced
)


class TimerName(StrEnum):
    """The timers of a replica."""

    RESEND = "resend"
    PROGRESS = "progress"
    VIEW_CHANGE = "view_change"
    CATCH_UP = "catch_up"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class WantBatch:
    """The replica leads and has room: answer with ``Proposed`` as soon as there is something to order."""

    epoch: Epoch
    view: View
    sequence: Sequence
    in_flight: tuple[BatchHeader, ...]


@dataclass(frozen=True, slots=True)
class Persist:
    """Make the record durable before any later Send or Broadcast leaves."""

    record: JournalRecord


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one replica."""

    to: ReplicaId
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other replica."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Deliver:
    """Execute this batch as the next block. At most one is unanswered at any time."""

    epoch: Epoch
    sequence: Sequence
    height: Height
    batch: Batch


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Start or restart a timer; when it runs out the host says ``TimerFired`` with this generation."""

    name: TimerName
    generation: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer."""

    name: TimerName


@dataclass(frozen=True, slots=True)
class FetchBatch:
    """Get a re-proposed batch from any of ``peers`` by its digest; repeated by the replica until it came."""

    digest: Digest
    peers: tuple[ReplicaId, ...]


@dataclass(frozen=True, slots=True)
class FetchBlocks:
    """Get blocks from ``first`` upwards, as many as an answer holds, from any of ``peers``; from whoever is linked when
    none is named.
    """

    first: Height
    peers: tuple[ReplicaId, ...]


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """Get a certified snapshot of the state from any of ``peers``, and start again from it; from whoever is linked when
    none is named.
    """

    peers: tuple[ReplicaId, ...]


@dataclass(frozen=True, slots=True)
class Certified:
    """A block got its certificate: receipts and reads up to its height may be answered."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two signed messages of one replica that exclude each other; kept as evidence."""

    first: Envelope
    second: Envelope


@dataclass(frozen=True, slots=True)
class ViewStarted:
    """The replica works in this view now."""

    epoch: Epoch
    view: View


@dataclass(frozen=True, slots=True)
class ViewChangeStarted:
    """The replica left for this view and waits for its new-view."""

    epoch: Epoch
    view: View
    reason: str


@dataclass(frozen=True, slots=True)
class Diverged:
    """A quorum certified another header than this replica computed: it will never vote again; stop and look."""

    height: Height
    own: Digest
    certified: Digest


@dataclass(frozen=True, slots=True)
class Refused:
    """A message whose content proves its sender faulty; the host may score the peer."""

    sender: ReplicaId
    reason: str


@dataclass(frozen=True, slots=True)
class EpochStarted:
    """The validators changed: this membership agrees from here on; the handover proves it to others."""

    membership: Membership
    handover: Handover


@dataclass(frozen=True, slots=True)
class VoiceLost:
    """This replica's key has signed what its journal does not hold: it is silent until ``until`` is certified."""

    until: Sequence


@dataclass(frozen=True, slots=True)
class VoiceFound:
    """Whatever this replica's key signed before is known or decided: it takes part."""


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """Somebody else signs with this replica's key at the same time: it will never vote; stop and look."""

    envelope: Envelope


Notice = (
    Certified
    | Equivocation
    | ViewStarted
    | ViewChangeStarted
    | EpochStarted
    | VoiceLost
    | VoiceFound
    | Diverged
    | KeyInUse
    | Refused
)


@dataclass(frozen=True, slots=True)
class Report:
    """Something the host should know; nothing in the protocol depends on it."""

    notice: Notice


Fetch = FetchBatch | FetchBlocks | FetchSnapshot
Effect = (
    WantBatch
    | Persist
    | Send
    | Broadcast
    | Deliver
    | StartTimer
    | StopTimer
    | FetchBatch
    | FetchBlocks
    | FetchSnapshot
    | Report
)
