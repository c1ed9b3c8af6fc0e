"""What a node says about itself: the answer of ``status``, of the admin socket and of ``gridbft status``."""

from collections.abc import Mapping, Sequence

import msgspec

from consensus.explanation import Explanation
from consensus.position import Position
from node.story import StoryLine
from p2p.peers import PeerStatus


class LatencyStatus(msgspec.Struct, frozen=True):
    """Milliseconds from a transaction's arrival to its certificate; None before the first."""

    p50: int | None = None
    p99: int | None = None


class MissingStatus(msgspec.Struct, frozen=True):
    """A validator that is not heard: for how long, since when (UTC milliseconds), and why as far as is known."""

    name: str
    for_ms: int
    since_ms: int
    reason: str
    linked: bool


class ViewEvent(msgspec.Struct, frozen=True):
    """Agreement goes on in this view, or (not ``active``) leaves for it; told when it changes, never told again."""

    epoch: int
    view: int
    primary: str
    active: bool


class StallStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Why a node commits nothing, in parts: ``cause`` is a ``consensus.explanation.Cause``."""

    cause: str
    headline: str
    outlook: str
    advice: str
    missing: Sequence[MissingStatus]
    attempt: int
    next_attempt_ms: int | None
    next_primary: str


class ConsensusStatus(msgspec.Struct, frozen=True):
    """A replica's position, its explanation, the wall clock of that moment, and the last lines of its transcript."""

    position: Position
    explanation: Explanation
    clock_ms: int
    transcript: Sequence[StoryLine]


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A node at one moment. Keys and digests are lower-case hex.

    ``height`` is executed, ``certified_height`` what reads are answered at, with its ``block_time_ms`` and
    ``state_root``. ``waiting`` is one plain sentence why it is not committing, or None; ``stall`` has its parts.
    ``peers`` are records of p2p, ``clock_ms`` is its wall clock when it answered.
    """

    name: str
    chain: str
    genesis_hash: str
    role: str
    height: int
    certified_height: int
    view: int
    epoch: int
    active: bool
    primary: str
    phase: str
    block_time_ms: int
    state_root: str
    mempool: int
    view_changes: int
    peers: Sequence[PeerStatus]
    waiting: str | None = None
    stall: StallStatus | None = None
    clock_ms: int = 0
    commit_latency_ms: LatencyStatus = LatencyStatus()
    counters: Mapping[str, int] = {}


def build_stall(explanation: Explanation, clock_ms: int) -> StallStatus | None:
    """Return the parts of an explanation; None when all is well."""
    if explanation.summary is None:
        return None
    return StallStatus(
        cause=explanation.cause.value,
        headline=explanation.headline,
        outlook=explanation.outlook,
        advice=explanation.advice,
        missing=[
            MissingStatus(each.name, each.for_ms, clock_ms - each.for_ms, each.reason, each.is_linked)
            for each in explanation.missing
        ],
        attempt=explanation.attempt,
        next_attempt_ms=explanation.next_attempt_ms,
        next_primary=explanation.next_primary,
    )
