"""What the API needs of the node: it does not know the host."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.attendance import Record
from node.metrics import Metrics
from node.queries import Queries
from node.status import ConsensusStatus, NodeStatus, ViewEvent
from p2p.peers import PeerAddress


class SubmitOutcome(Protocol):
    """What became of one submitted transaction; ``status`` is accepted, known, refused or busy."""

    @property
    def id(self) -> bytes:
        """Return the transaction's id: the hash of the bytes, whatever they are."""
        ...

    @property
    def status(self) -> str: ...

    @property
    def rejection(self) -> str | None: ...

    @property
    def detail(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The node as the API sees it.

    ``submit`` takes raw transactions and answers in their order. ``find_unready_reason`` is None when the node is
    connected, close to the others and committing, ``find_dead_reason`` while its disk writes.
    ``get_view`` is None where there is no replica. ``get_addresses`` says where this node finds the members of now,
    ``get_attendance`` which of the last blocks each of them signed.
    """

    genesis: bytes
    queries: Queries
    metrics: Metrics
    submit: Callable[[Sequence[bytes]], Awaitable[Sequence[SubmitOutcome]]]
    get_status: Callable[[], NodeStatus]
    get_consensus: Callable[[], ConsensusStatus]
    find_unready_reason: Callable[[], str | None]
    get_view: Callable[[], ViewEvent | None]
    find_dead_reason: Callable[[], str | None] = lambda: None
    get_addresses: Callable[[], Mapping[bytes, PeerAddress]] = dict
    get_attendance: Callable[[], Mapping[bytes, Record]] = dict
