"""What is told of each certified block, in the words of server-sent events: made once, whoever listens.

In the order of a height: its transactions (to those who asked for them), the slots that it settled, the block itself.
Only the block's event has an id, the height: who comes back with it has heard all of that height, and nothing later.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

import msgspec

from node.api.schemas import build_slot
from node.queries import BlockView, Queries
from primitives.ids import Height
from vm.contracts.energy.queries import get_progress, get_slot
from vm.state import StateReader
from vm.transaction import decode_transaction

HEIGHTS_REMEMBERED_MAX = 64
"""Heights whose events are kept ready: streams that keep up need the last one. A full block's are 0.2 MB at most, when
somebody listens to accounts."""

SLOTS_LOOKED_AT_MAX = 31 * 96
"""For who comes back, slots are looked for a month before the block: silent ones settle soon after their end."""

SLOTS_REMEMBERED_MAX = 2 * SLOTS_LOOKED_AT_MAX
"""Settled slots that are known by their height; the oldest goes. 0.5 MB."""

BREATH_EVERY = 50
"""Slots looked at between two breaths of the event loop."""


class BlockEvent(msgspec.Struct, frozen=True):
    """A block got its certificate."""

    height: int
    digest: str
    time_ms: int
    epoch: int
    transactions: int
    applied: int


class TransactionEvent(msgspec.Struct, frozen=True):
    """A transaction that was asked for stands in a certified block; ``rejection`` is None when it was applied."""

    id: str
    height: int
    index: int
    rejection: str | None


def render_event(name: str, data: object, identity: int | None = None) -> bytes:
    """Return an event as it is sent."""
    lines = b"" if identity is None else b"id: %d\n" % identity
    return b"%sevent: %s\ndata: %s\n\n" % (lines, name.encode(), msgspec.json.encode(data))


class HeightNews:
    """What is told of one height."""

    def __init__(self, view: BlockView, settled: bytes) -> None:
        self._view = view
        header, receipts = view.header, view.receipts
        told = BlockEvent(
            height=header.height,
            digest=header.compute_digest().hex(),
            time_ms=header.time_ms,
            epoch=header.epoch,
            transactions=len(receipts),
            applied=sum(receipt.rejection is None for receipt in receipts),
        )
        self._common = settled + render_event("block", told, header.height)

    def render(self, ids: frozenset[bytes], account: bytes | None) -> bytes:
        """Return the events of this height for somebody who listens to these transactions and this account."""
        if not ids and account is None:
            return self._common
        places = {self._places[name] for name in ids & self._places.keys()}
        if account is not None:
            places.update(self._accounts.get(account, ()))
        return b"".join([*(self._render_receipt(place) for place in sorted(places)), self._common])

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {receipt.transaction_id: place for place, receipt in enumerate(self._view.receipts)}

    @cached_property
    def _accounts(self) -> dict[bytes, list[int]]:
        """The places of each account's transactions."""
        found: dict[bytes, list[int]] = {}
        for place, raw in enumerate(self._view.block.batch.transactions if self._view.block else ()):
            found.setdefault(decode_transaction(raw).transaction.account, []).append(place)
        return found

    def _render_receipt(self, place: int) -> bytes:
        receipt, height = self._view.receipts[place], self._view.header.height
        return render_event(
            "transaction", TransactionEvent(receipt.transaction_id.hex(), height, place, receipt.rejection)
        )


class Archive:
    """The news of every certified height that is kept here; those of the last ones stay ready."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._heights: OrderedDict[int, HeightNews] = OrderedDict()
        self._settled: dict[int, list[int]] = {}
        self._slots: dict[int, int] = {}
        self._looked_at = Height(0)
        self._next_slot_s: int | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Look once for the slots of the last month, by the heights that settled them; what comes is added.

        Raises:
            NotCertifiedYetError: this node has just started.

        """
        async with self._opening:
            if self._next_slot_s is not None:
                return
            with self._queries.open() as pinned:
                length_s = self._queries.genesis.energy.slot_s
                newest_s = pinned.header.time_ms // 1000 // length_s * length_s + length_s
                for number in range(SLOTS_LOOKED_AT_MAX):
                    if number % BREATH_EVERY == BREATH_EVERY - 1:
                        await asyncio.sleep(0)
                    self._note_slot(pinned.state, newest_s - (SLOTS_LOOKED_AT_MAX - 1 - number) * length_s)
                progress = get_progress(pinned.state)
                self._next_slot_s = newest_s if progress is None else progress.next_slot_s
                self._looked_at = pinned.height

    def get(self, height: Height) -> HeightNews | None:
        """Return what is told of a certified height, or None when its block is gone from here."""
        news = self._heights.get(height)
        if news is not None:
            return news
        view = self._queries.get_block(height)
        if view is None:
            return None
        if height > self._looked_at:
            self._look_at_new_slots()
        settled = self._render_slots(self._settled.get(height, ()))
        news = HeightNews(view, settled)
        if height > self._queries.certified_height - HEIGHTS_REMEMBERED_MAX:
            self._heights[height] = news
            while len(self._heights) > HEIGHTS_REMEMBERED_MAX:
                self._heights.popitem(last=False)
        return news

    def _look_at_new_slots(self) -> None:
        """Find the slots that settled since the last look: none of them begins before the earliest that was open."""
        first_s, length_s = self._next_slot_s, self._queries.genesis.energy.slot_s
        if first_s is None:
            return
        with self._queries.open() as pinned:
            last_s = pinned.header.time_ms // 1000 + length_s
            for slot_s in range(first_s, min(last_s, first_s + SLOTS_LOOKED_AT_MAX * length_s), length_s):
                self._note_slot(pinned.state, slot_s)
            progress = get_progress(pinned.state)
            self._next_slot_s = first_s if progress is None else progress.next_slot_s
            self._looked_at = pinned.height
        while len(self._slots) > SLOTS_REMEMBERED_MAX:
            oldest_s = next(iter(self._slots))
            self._settled.pop(self._slots.pop(oldest_s), None)

    def _note_slot(self, state: StateReader, slot_s: int) -> None:
        if slot_s < 0 or slot_s in self._slots:
            return
        slot = get_slot(state, slot_s)
        if slot is not None and slot.settled:
            self._slots[slot_s] = slot.settled_height
            self._settled.setdefault(slot.settled_height, []).append(slot_s)

    def _render_slots(self, slots: Sequence[int]) -> bytes:
        if not slots:
            return b""
        with self._queries.open() as pinned:
            shown = [(slot_s, get_slot(pinned.state, slot_s)) for slot_s in slots]
            return b"".join(
                render_event("slot", build_slot(slot_s, slot, pinned.height))
                for slot_s, slot in shown
                if slot is not None
            )
