"""What a node says about itself: the answer of ``status``, of the admin socket and of ``gridbft status``."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Phase = Literal["normal", "view_change", "catching_up", "halted"]


class LatencyStatus(msgspec.Struct, frozen=True):
    """Milliseconds from a transaction's arrival to its certificate; None before the first."""

    p50: int | None = None
    p99: int | None = None


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A node at one moment. Keys and digests are lower-case hex.

    ``height`` is executed, ``certified_height`` what reads are answered at, with its ``block_time_ms`` and
    ``state_root``. ``waiting`` is one plain sentence why it is not committing, or None. ``peers`` are records of p2p.
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
    phase: Phase
    block_time_ms: int
    state_root: str
    mempool: int
    view_changes: int
    peers: Sequence[object]
    waiting: str | None = None
    commit_latency_ms: LatencyStatus = LatencyStatus()
    counters: Mapping[str, int] = {}
