"""Serving snapshots: a certified state is held still while peers read it, page by page.

A held state keeps on disk what later blocks overwrite. So few are held, they are let go when nobody asks while blocks
go by, and a peer whose snapshot is gone begins anew with a newer one.
"""

from node.exchange import NO_ANSWER
from node.pinned_state import PinnedState, PinnedStates
from node.snapshots.parts import (
    BucketsQuestion,
    PairsQuestion,
    build_manifest,
    cut_buckets,
    cut_pairs,
)
from primitives.encoding import encode
from primitives.ids import Height
from vm.state_root import WIDTH

PINS_MAX = 2
"""The one that somebody is reading still, and the newest; a third one is served by another validator."""

RENEW_BLOCKS = 1024
"""A question for a manifest gets a newer state when the held one is so old; well below what every node keeps of blocks,
so that who installed it can go on by blocks."""

IDLE_BLOCKS = 64
"""Certified blocks without a question after which a state is let go: while no block comes, holding it costs nothing."""


class _Pin:
    """A held state, and the certified height at the last question for it."""

    def __init__(self, pinned: PinnedState, asked_at: Height) -> None:
        self.pinned = pinned
        self.asked_at = asked_at


class SnapshotServer:
    """Answers questions for snapshots from the certified states of a node; for one event loop."""

    def __init__(self, states: PinnedStates) -> None:
        self._states = states
        self._pins: dict[Height, _Pin] = {}

    @property
    def heights(self) -> tuple[Height, ...]:
        """Return the blocks whose states are held, the oldest first."""
        return tuple(self._pins)

    def answer_manifest(self) -> bytes:
        """Return the manifest of a certified state that is held from now on, or NO_ANSWER while there is none."""
        pin = self._find_recent()
        if pin is None or pin.pinned.certificate is None:
            return NO_ANSWER
        pin.asked_at = self._get_certified_height()
        return build_manifest(pin.pinned.certificate, pin.pinned.tree)

    def answer_buckets(self, question: BucketsQuestion) -> bytes:
        """Return a page of groups, or NO_ANSWER when that snapshot is not held."""
        pin = self._touch(question.height)
        if pin is None:
            return NO_ANSWER
        buckets = pin.state.iterate_buckets(question.first * WIDTH)
        return encode(cut_buckets(question.first, buckets))

    def answer_pairs(self, question: PairsQuestion) -> bytes:
        """Return a page of pairs, or NO_ANSWER when that snapshot is not held."""
        pin = self._touch(question.height)
        return NO_ANSWER if pin is None else encode(cut_pairs(pin.state.iterate_from(question.start)))

    def on_certified(self, height: Height) -> None:
        """Let go of what nobody asked for while IDLE_BLOCKS were certified."""
        for held, pin in tuple(self._pins.items()):
            if height - pin.asked_at > IDLE_BLOCKS:
                self._let_go(held)

    def close(self) -> None:
        """Let go of everything."""
        for height in tuple(self._pins):
            self._let_go(height)

    def _find_recent(self) -> _Pin | None:
        """Return the newest held state, renewed when it is too old."""
        newest = next(reversed(self._pins.values()), None)
        certified = self._get_certified_height()
        if newest is not None and certified - newest.pinned.height <= RENEW_BLOCKS:
            return newest
        pinned = self._states.hold_certified()
        if pinned is None or pinned.certificate is None:
            if pinned is not None:
                pinned.release()
            return newest
        while len(self._pins) >= PINS_MAX:
            self._let_go(next(iter(self._pins)))
        self._pins[pinned.height] = _Pin(pinned, certified)
        return self._pins[pinned.height]

    def _get_certified_height(self) -> Height:
        header = self._states.certified_header
        return Height(0 if header is None else header.height)

    def _touch(self, height: int) -> PinnedState | None:
        pin = self._pins.get(Height(height))
        if pin is None:
            return None
        pin.asked_at = self._get_certified_height()
        return pin.pinned

    def _let_go(self, height: Height) -> None:
        self._pins.pop(height).pinned.release()
