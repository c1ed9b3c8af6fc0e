"""Reads at one height: the state of the latest certified block, held still while somebody reads it.

A block is executed before it is certified, and the store holds only its newest state. So the state of each executed
block is kept as a snapshot until a later one is certified: a few blocks, never more than the window of agreement.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from consensus.messages import Certificate
from consensus.window import WINDOW
from primitives.header import BlockHeader
from primitives.ids import Height
from vm.state import StateReader
from vm.state_root import StateProof, StateTree, prove

UNCERTIFIED_MAX = WINDOW
"""Executed blocks without a certificate: agreement stops at its window; in catch-up the oldest are let go."""


class NotCertifiedYetError(Exception):
    """There is no certified state to read: this node has just started and the others have not signed with it yet."""


class StateSnapshot(StateReader, Protocol):
    """The state of one height; must be closed."""

    def get_bucket(self, index: int) -> bytes:
        """Return a bucket of the state tree, empty when absent."""
        ...

    def iterate_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield all keys from ``start``, included, and their values in byte order."""
        ...

    def iterate_buckets(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield the buckets of the state tree from ``first`` on that are not empty, in order."""
        ...

    def close(self) -> None:
        """Let go of what the snapshot holds in the store."""
        ...


class PinnedState:
    """The state of one block: its header, its certificate (None at genesis, which nobody signs) and its tree."""

    def __init__(self, header: BlockHeader, snapshot: StateSnapshot, tree: StateTree) -> None:
        self.header = header
        self.certificate: Certificate | None = None
        self._snapshot = snapshot
        self._tree = tree
        self._users = 1

    @property
    def height(self) -> Height:
        """Return the block's height."""
        return Height(self.header.height)

    @property
    def state(self) -> StateSnapshot:
        """Return the state for reading; ``release`` closes it."""
        return self._snapshot

    @property
    def tree(self) -> StateTree:
        """Return the tree of the state."""
        return self._tree

    def prove(self, key: bytes) -> StateProof:
        """Return the proof of ``key`` under the header's state root."""
        return prove(self._tree, self._snapshot.get_bucket, key)

    def hold(self) -> None:
        """Count one more user."""
        self._users += 1

    def release(self) -> None:
        """Count one user less; the last one closes the snapshot."""
        self._users -= 1
        if self._users == 0:
            self._snapshot.close()


class PinnedStates:
    """The latest certified state and the newer, executed ones; for one event loop."""

    def __init__(self) -> None:
        self._certified: PinnedState | None = None
        self._executed: deque[PinnedState] = deque()
        self._early: Certificate | None = None

    def record_executed(self, header: BlockHeader, snapshot: StateSnapshot, tree: StateTree) -> None:
        """Take over the snapshot of the block that was just executed, or of the one the node starts from."""
        pinned = PinnedState(header, snapshot, tree)
        self._executed.append(pinned)
        if header.height == 0:
            self._pin(pinned)
        elif self._early is not None and self._early.header == header:
            self.record_certificate(self._early)
        while len(self._executed) > UNCERTIFIED_MAX:
            self._executed.popleft().release()

    def record_certificate(self, certificate: Certificate) -> bool:
        """Pin the state that a checked certificate names; tell whether it was here. It may come before the block."""
        header = certificate.header
        if self._certified is not None and header.height <= self._certified.height:
            return False
        for pinned in self._executed:
            if pinned.header == header:
                pinned.certificate = certificate
                self._pin(pinned)
                return True
        newest = self._executed[-1].height if self._executed else -1
        if header.height > newest and (self._early is None or header.height > self._early.header.height):
            self._early = certificate
        return False

    @property
    def certified_header(self) -> BlockHeader | None:
        """Return the header at whose height reads are answered, or None."""
        return None if self._certified is None else self._certified.header

    def hold_certified(self) -> PinnedState | None:
        """Return the latest certified state, held until the caller releases it, or None."""
        if self._certified is not None:
            self._certified.hold()
        return self._certified

    @property
    def newest(self) -> PinnedState | None:
        """Return the newest executed state, certified or not: for hints, never for answers."""
        return self._executed[-1] if self._executed else self._certified

    @contextmanager
    def open(self) -> Iterator[PinnedState]:
        """Hold the latest certified state; it stays readable until the end of the block.

        Raises:
            NotCertifiedYetError: there is none.

        """
        pinned = self._certified
        if pinned is None:
            raise NotCertifiedYetError
        pinned.hold()
        try:
            yield pinned
        finally:
            pinned.release()

    def close(self) -> None:
        """Let go of everything; who still reads closes its own when it has finished."""
        for pinned in self._executed:
            pinned.release()
        self._executed.clear()
        if self._certified is not None:
            self._certified.release()
            self._certified = None

    def _pin(self, pinned: PinnedState) -> None:
        while self._executed and self._executed[0].height < pinned.height:
            self._executed.popleft().release()
        if self._executed and self._executed[0] is pinned:
            self._executed.popleft()
        if self._certified is not None:
            self._certified.release()
        self._certified = pinned
        self._early = (
            None if self._early is None or self._early.header.height <= pinned.height else self._early
        )
