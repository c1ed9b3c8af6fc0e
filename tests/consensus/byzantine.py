"""Faulty replicas: a real replica behind a liar that decides, message by message and target by target, what leaves."""

import random
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from consensus.authentication import sign_envelope
from consensus.messages import (
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    ViewChange,
)
from tests.consensus.cluster import GENESIS, Behaviour, Cluster

HUGE = 2**60


def be_silent(_cluster: Cluster, _source: int, _target: int, _envelope: Envelope) -> list[Envelope]:
    """Say nothing, ever."""
    return []


def be_selective(_cluster: Cluster, source: int, target: int, envelope: Envelope) -> list[Envelope]:
    """Exclude one replica."""
    return [] if target == (source + 1) % _cluster.size else [envelope]


def hide_votes(cluster: Cluster, source: int, target: int, envelope: Envelope) -> list[Envelope]:
    """Take part up to the prepared certificate, and keep it; show it in view changes only."""
    _ = target
    kept = isinstance(envelope.message, Prepare | Commit | Checkpoint) and cluster.is_correct(target)
    return [] if kept and source != target else [envelope]


def equivocate(cluster: Cluster, source: int, target: int, envelope: Envelope) -> list[Envelope]:
    """Propose another batch to every second replica, and vote for whatever each believes."""
    message = envelope.message
    if target % 2 == 0 or not isinstance(message, PrePrepare | Prepare | Commit):
        return [envelope]
    key = cluster.settings[source].key
    if isinstance(message, PrePrepare):
        batch = replace(message.batch, time_ms=message.batch.time_ms + 1)
        proposal = replace(message.proposal, digest=bytes(batch.compute_digest()))
        cluster.lies[message.proposal.digest] = proposal.digest
        return [sign_envelope(key, GENESIS, PrePrepare(proposal, batch))]
    digest = cluster.lies.get(message.digest, message.digest)
    return [sign_envelope(key, GENESIS, replace(message, digest=digest))]


def forge_votes(cluster: Cluster, source: int, target: int, envelope: Envelope) -> list[Envelope]:
    """Vote for digests that nobody proposed, another for each target, and for the right ones too."""
    message = envelope.message
    if not isinstance(message, Prepare | Commit):
        return [envelope]
    forged = replace(message, digest=bytes([target + 1]) * 32)
    both = [sign_envelope(cluster.settings[source].key, GENESIS, forged), envelope]
    return both if target % 2 else both[::-1]


def forge_checkpoints(cluster: Cluster, source: int, _target: int, envelope: Envelope) -> list[Envelope]:
    """Sign headers with another state root."""
    if not isinstance(envelope.message, Checkpoint):
        return [envelope]
    header = replace(envelope.message.header, state_root=bytes([7]) * 32)
    return [sign_envelope(cluster.settings[source].key, GENESIS, Checkpoint(header))]


def withhold_checkpoints(_cluster: Cluster, _source: int, _target: int, envelope: Envelope) -> list[Envelope]:
    """Vote, but sign no header for anybody."""
    return [] if isinstance(envelope.message, Checkpoint) else [envelope]


def claim_huge(cluster: Cluster, source: int, target: int, envelope: Envelope) -> list[Envelope]:
    """Name views, sequences and heights that nobody will reach, beside what is true."""
    _ = target
    rng = cluster.random
    view = envelope.message.view if isinstance(envelope.message, Status) else 0
    huge: tuple[Message, ...] = (
        ViewChange(0, HUGE + rng.randrange(9), None, ()),
        Complaint(0, view),
        Status(0, HUGE, HUGE, HUGE),
        NewView(0, HUGE, (), ()),
    )
    message = rng.choice(huge)
    return [envelope, sign_envelope(cluster.settings[source].key, GENESIS, message)]


def build_replayer(seed: int) -> Behaviour:
    """Return a replica that repeats old messages, its own and other's, beside the new ones."""
    rng = random.Random(seed)
    heard: deque[Envelope] = deque(maxlen=200)

    def replay(_cluster: Cluster, _source: int, _target: int, envelope: Envelope) -> list[Envelope]:
        heard.append(envelope)
        return [envelope, rng.choice(heard)]

    return replay


BEHAVIOURS: dict[str, Callable[[int], Behaviour]] = {
    "silent": lambda _: be_silent,
    "selective": lambda _: be_selective,
    "hides_votes": lambda _: hide_votes,
    "equivocates": lambda _: equivocate,
    "forges_votes": lambda _: forge_votes,
    "forges_checkpoints": lambda _: forge_checkpoints,
    "withholds_checkpoints": lambda _: withhold_checkpoints,
    "claims_huge": lambda _: claim_huge,
    "replays": build_replayer,
}
