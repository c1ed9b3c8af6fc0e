"""Signature checks: each transaction's exactly once, off the event loop, fair between those who ask.

Every source (a peer, or this node's own clients together) has a queue of its own. Two threads take a chunk of one
source after the other, so a peer that floods invalid signatures delays itself and nobody else. Answers of one peer and
kind come in the order in which it asked.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from consensus.authentication import check_envelope
from consensus.membership import Membership
from consensus.messages import Envelope, NewView, ViewChange
from node.fair_queue import FairQueue, Place, QueueFullError
from primitives.ids import Digest
from vm.transaction import SealedTransaction, is_transaction_signed

THREADS = 2
"""libsodium runs without the interpreter's lock: two threads verify 1.9 times as much, a third adds nothing here."""

CHUNK = 32
"""Transactions checked per hop to a thread (2 ms): a hop costs as much as one check, and nobody waits longer for it."""

ENVELOPES_CHUNK = 4
"""Messages checked per hop: a vote has one signature, a view change of many validators thousands."""

INLINE_MAX = 4
"""Checks done on the event loop (0.3 ms): a hop would add a quarter to a half to the work and to each vote's way."""

SUSPECT_CHECKS = 1_000
"""After an invalid signature, a source's next so many checks are never done on the event loop."""

PEER_TRANSACTIONS_MAX = 4_096
"""Transactions one peer may have waiting: four whole batches, 0.2 s of work. More is refused, and gossiped again or
fetched when a proposal names it."""

PEER_ENVELOPES_MAX = 1_024
"""Messages one peer may have waiting: a window of votes is 200. More is refused; what mattered is sent again."""

OWN_TRANSACTIONS_MAX = 16_384
"""Transactions of this node's own clients together; the API bounds what it reads at the same time below that."""

VERIFIED_REMEMBERED_MAX = 32_768
"""Ids of transactions known to be signed: half a minute at 1,000 per second, 4 MB."""

VOTES_BEFORE_TRANSACTIONS = 4
"""Chunks of messages in a row while transactions wait: neither kind stops the other."""

OWN_CLIENTS = b"own clients"
"""The source of what came through this node's API: one turn, shared by its clients."""


class _Statement(NamedTuple):
    """A message and those who may say it."""

    membership: Membership
    envelope: Envelope


@dataclass(slots=True)
class VerifierCounters:
    """What was done, for metrics: checks by result, checks spared by memory, questions refused."""

    valid: int = 0
    invalid: int = 0
    spared: int = 0
    refused: int = 0


Item = TypeVar("Item")
Answer = TypeVar("Answer")


@asynccontextmanager
async def open_verifier(genesis_hash: Digest) -> AsyncIterator["Verifier"]:
    """Give a verifier for the chain of ``genesis_hash``.

    At the end its threads stop and open questions are cancelled.
    """
    with ThreadPoolExecutor(THREADS, thread_name_prefix="gridbft-verify") as executor:
        verifier = Verifier(genesis_hash, executor)
        try:
            yield verifier
        finally:
            verifier.close()


class Verifier:
    """Checks signatures for the whole node; lives on one event loop."""

    def __init__(self, genesis_hash: Digest, executor: ThreadPoolExecutor) -> None:
        self.counters = VerifierCounters()
        self._genesis_hash = genesis_hash
        self._executor = executor
        self._free_threads = THREADS
        self._transactions: FairQueue[SealedTransaction, bool] = FairQueue(CHUNK, frozenset({OWN_CLIENTS}))
        self._envelopes: FairQueue[_Statement, str | None] = FairQueue(ENVELOPES_CHUNK, is_exclusive=True)
        self._votes_in_a_row = 0
        self._verified: dict[Digest, None] = {}
        self._verified_order: deque[Digest] = deque()
        self._in_flight: dict[Digest, list[Place[SealedTransaction, bool]]] = {}
        self._suspects: dict[bytes, int] = {}
        self._closed = False

    def is_verified(self, transaction_id: Digest) -> bool:
        """Tell whether the transaction of this id is known to be correctly signed: no check would be made."""
        return transaction_id in self._verified

    def verify_transactions(
        self, transactions: Sequence[SealedTransaction], source: bytes = OWN_CLIENTS
    ) -> "asyncio.Future[list[bool]]":
        """Answer, in the order given, which transactions are signed by the key they carry, for this chain.

        ``source`` is the peer they came from.

        Raises:
            QueueFullError: too many of this source wait already.

        """
        is_small = len(transactions) <= CHUNK and source not in self._suspects
        if is_small and self._transactions.is_idle(source):
            fresh = [each for each in transactions if each.id not in self._verified]
            if len(fresh) <= INLINE_MAX and not any(each.id in self._in_flight for each in fresh):
                return self._verify_inline(transactions, source)
        limit = OWN_TRANSACTIONS_MAX if source == OWN_CLIENTS else PEER_TRANSACTIONS_MAX
        return self._ask(self._transactions, source, transactions, limit)

    def verify_envelopes(
        self, membership: Membership, envelopes: Sequence[Envelope], source: bytes
    ) -> "asyncio.Future[list[str | None]]":
        """Answer, in the order given, why each message must not enter, or None when it is authentic.

        Raises:
            QueueFullError: too many of this source wait already.

        """
        statements = [_Statement(membership, envelope) for envelope in envelopes]
        if (
            len(envelopes) <= INLINE_MAX
            and source not in self._suspects
            and self._envelopes.is_idle(source)
            and not any(isinstance(envelope.message, ViewChange | NewView) for envelope in envelopes)
        ):
            answers = self._check_statements(statements)
            self._judge(source, [answer is None for answer in answers])
            return _make_done(answers)
        return self._ask(self._envelopes, source, statements, PEER_ENVELOPES_MAX)

    def close(self) -> None:
        """Cancel what is open; nothing is answered any more."""
        self._closed = True
        self._transactions.cancel()
        self._envelopes.cancel()

    def _verify_inline(
        self, transactions: Sequence[SealedTransaction], source: bytes
    ) -> "asyncio.Future[list[bool]]":
        answers = []
        for sealed in transactions:
            if sealed.id in self._verified:
                self.counters.spared += 1
                answers.append(True)
                continue
            valid = is_transaction_signed(sealed, self._genesis_hash)
            if valid:
                self._remember(sealed.id)
            self._judge(source, [valid])
            answers.append(valid)
        return _make_done(answers)

    def _ask(
        self, queue: FairQueue[Item, Answer], source: bytes, items: Sequence[Item], limit: int
    ) -> "asyncio.Future[list[Answer]]":
        try:
            future = queue.ask(source, items, limit)
        except QueueFullError:
            self.counters.refused += len(items)
            raise
        self._pump()
        return future

    def _pump(self) -> None:
        """Give every free thread a chunk."""
        while self._free_threads and not self._closed:
            if self._envelopes and (
                self._votes_in_a_row < VOTES_BEFORE_TRANSACTIONS or not self._transactions
            ):
                self._votes_in_a_row += 1
                self._start_envelopes(self._envelopes.take())
            elif self._transactions:
                self._votes_in_a_row = 0
                self._start_transactions(self._transactions.take())
            else:
                return

    def _start_envelopes(self, places: list[Place[_Statement, str | None]]) -> None:
        if not places:
            return
        items = [place.item for place in places]

        def finish(answers: list[str | None]) -> None:
            self._judge(places[0].source, [answer is None for answer in answers])
            for place, answer in zip(places, answers, strict=True):
                self._envelopes.answer(place, answer)

        def fail(error: BaseException) -> None:
            for place in places:
                self._envelopes.fail(place, error)

        self._run(self._check_statements, items, finish, fail)

    def _start_transactions(self, places: list[Place[SealedTransaction, bool]]) -> None:
        """Check what is neither known nor being checked for somebody else at this moment."""
        fresh = []
        for place in places:
            name = place.item.id
            if name in self._verified:
                self.counters.spared += 1
                self._transactions.answer(place, answer=True)
            elif name in self._in_flight:
                self.counters.spared += 1
                self._in_flight[name].append(place)
            else:
                self._in_flight[name] = [place]
                fresh.append(place)
        if not fresh:
            return
        items = [place.item for place in fresh]

        def finish(answers: list[bool]) -> None:
            self._judge(fresh[0].source, answers)
            for item, valid in zip(items, answers, strict=True):
                if valid:
                    self._remember(item.id)
                for place in self._in_flight.pop(item.id):
                    self._transactions.answer(place, valid)

        def fail(error: BaseException) -> None:
            for item in items:
                for place in self._in_flight.pop(item.id):
                    self._transactions.fail(place, error)

        self._run(self._check_transactions, items, finish, fail)

    def _run(
        self,
        check: Callable[[Sequence[Item]], list[Answer]],
        items: Sequence[Item],
        finish: Callable[[list[Answer]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._free_threads -= 1
        task = asyncio.get_running_loop().run_in_executor(self._executor, check, items)

        def on_done(done: "asyncio.Future[list[Answer]]") -> None:
            self._free_threads += 1
            if self._closed or done.cancelled():
                return
            error = done.exception()
            if error is None:
                finish(done.result())
            else:
                fail(error)
            self._pump()

        task.add_done_callback(on_done)

    def _check_transactions(self, transactions: Sequence[SealedTransaction]) -> list[bool]:
        return [is_transaction_signed(each, self._genesis_hash) for each in transactions]

    def _check_statements(self, statements: Sequence[_Statement]) -> list[str | None]:
        return [check_envelope(each.membership, self._genesis_hash, each.envelope) for each in statements]

    def _judge(self, source: bytes, results: Sequence[bool]) -> None:
        """Count the results; whoever brought an invalid signature is checked in the threads for a while."""
        invalid = results.count(False)
        self.counters.invalid += invalid
        self.counters.valid += len(results) - invalid
        if invalid:
            self._suspects[source] = SUSPECT_CHECKS
        elif source in self._suspects:
            self._suspects[source] -= len(results)
            if self._suspects[source] <= 0:
                del self._suspects[source]

    def _remember(self, transaction_id: Digest) -> None:
        if transaction_id in self._verified:
            return
        self._verified[transaction_id] = None
        self._verified_order.append(transaction_id)
        if len(self._verified_order) > VERIFIED_REMEMBERED_MAX:
            del self._verified[self._verified_order.popleft()]


def _make_done(answers: list[Answer]) -> "asyncio.Future[list[Answer]]":
    future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
    future.set_result(answers)
    return future
