"""Transactions on their way in, from clients and gossip: decode, know, verify once, admit, wait, tell the others."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.clock import Clock
from node.fair_queue import QueueFullError
from node.links import Links
from node.mempool import Added, Full, Known, Mempool, Refused
from node.storage.chain import ChainStore
from node.verifier import OWN_CLIENTS, Verifier
from primitives.encoding import DecodeError
from primitives.hashing import compute_transaction_id
from primitives.header import BlockHeader
from primitives.ids import Digest, Height
from vm import admission
from vm.contract import LedgerContext
from vm.contracts import permissions
from vm.receipt import Rejection
from vm.state import StateReader
from vm.transaction import SealedTransaction, decode_transaction

RECHECK_PER_BLOCK = 16
"""Waiting transactions checked again after each block: 0.2 ms. The executor refuses all the same what another has
overtaken; this only keeps the pool from filling with it."""

GOSSIP_WAITING_MAX = 4096
"""Gossiped transactions of one peer that wait to be looked at together; beyond it they are dropped, and fetched when a
proposal names them."""

INVALID_POINTS = 10
"""What a malformed or wrongly signed transaction costs the peer that passed it on: correct nodes check first."""


AdmissionRule = Callable[[StateReader, LedgerContext, Height, int, SealedTransaction], Rejection | None]

BREATH_EVERY = 50
"""Transactions of one body looked at between two breaths of the event loop: about a millisecond."""


class SubmitStatus(StrEnum):
    """What became of a submitted transaction."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    REFUSED = "refused"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The answer for one submitted transaction; ``detail`` explains a refusal in one line."""

    id: Digest
    status: SubmitStatus
    rejection: Rejection | None = None
    detail: str = ""


class Intake:
    """The way of a transaction from its bytes to the mempool."""

    def __init__(
        self,
        ledger: LedgerContext,
        chain: ChainStore,
        mempool: Mempool,
        verifier: Verifier,
        clock: Clock,
        get_parent: Callable[[], BlockHeader],
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._mempool = mempool
        self._verifier = verifier
        self._clock = clock
        self._get_parent = get_parent
        self._network: Links | None = None
        self._on_added: Callable[[], None] = lambda: None
        self._gossiped: dict[bytes, list[bytes]] = {}
        self.arrival = asyncio.Event()
        """Set whenever a transaction joined the mempool; those who wait for one clear it."""

    def connect(self, network: Links, on_added: Callable[[], None]) -> None:
        """Bind the network to gossip to, and whom to tell that something waits."""
        self._network = network
        self._on_added = on_added

    async def submit(self, raws: Sequence[bytes]) -> list[SubmitResult]:
        """Take transactions from a client; the answers come in the same order, and what is accepted is gossiped."""
        results: list[SubmitResult | None] = [None] * len(raws)
        fresh: list[tuple[int, SealedTransaction]] = []
        for index, raw in enumerate(raws):
            await _breathe(index)
            decoded = self.decode(raw)
            if isinstance(decoded, SubmitResult):
                results[index] = decoded
            else:
                fresh.append((index, decoded))
        try:
            valid = await self._verifier.verify_transactions([sealed for _, sealed in fresh], OWN_CLIENTS)
        except QueueFullError:
            valid = None
        try:
            for position, (index, sealed) in enumerate(fresh):
                await _breathe(position)
                results[index] = self._judge(sealed, is_valid=None if valid is None else valid[position])
        finally:
            self._tell()
        return [result for result in results if result is not None]

    def on_gossip(self, peer: bytes, raw: bytes) -> None:
        """Take a transaction from a peer; those that come together are looked at together."""
        waiting = self._gossiped.get(peer)
        if waiting is None:
            waiting = self._gossiped[peer] = []
        if not waiting:
            asyncio.get_running_loop().call_soon(self._look_at_gossip, peer)
        if len(waiting) < GOSSIP_WAITING_MAX:
            waiting.append(raw)

    async def take_fetched(self, peer: bytes, raws: Sequence[bytes]) -> list[SealedTransaction] | None:
        """Return fetched transactions, decoded and correctly signed, or None if any is not."""
        try:
            sealed = [decode_transaction(raw) for raw in raws]
            valid = await self._verifier.verify_transactions(sealed, peer)
        except (DecodeError, QueueFullError):
            return None
        return sealed if all(valid) else None

    def check(self, sealed: SealedTransaction) -> Rejection | None:
        """Return why a transaction would be refused in the next block."""
        return self._check(admission.check, sealed)

    def check_account(self, sealed: SealedTransaction) -> Rejection | None:
        """Return why a transaction's account may not send it now: nothing of it could consume the nonce.

        What its call may do was looked at where it came in, and the executor decides: a member who passes on what it
        should have refused gives its author a receipt that says so, and uses up the author's nonce and quota.
        """
        return self._check(admission.check_sender, sealed)

    def _check(self, rule: AdmissionRule, sealed: SealedTransaction) -> Rejection | None:
        parent = self._get_parent()
        time_ms = max(parent.time_ms, self._clock.wall_ms())
        return rule(self._chain, self._ledger, Height(parent.height + 1), time_ms, sealed)

    def on_block(self, consumed: Sequence[bytes], unconsumed: Sequence[bytes], *, full: bool) -> None:
        """Forget what a block executed, and look again at some of what still waits."""
        now_ms = self._clock.monotonic_ms()
        self._mempool.commit(consumed)
        self._mempool.remove(unconsumed)
        self._mempool.record_block(now_ms, full=full)
        self._mempool.expire(Height(self._get_parent().height + 1))
        self._mempool.recheck(self.check_account, RECHECK_PER_BLOCK)

    def _look_at_gossip(self, peer: bytes) -> None:
        raws = self._gossiped.pop(peer, [])
        fresh = []
        for raw in raws:
            try:
                sealed = decode_transaction(raw)
            except DecodeError as error:
                self._penalize(peer, f"a malformed transaction: {error}")
                return
            if self._mempool.find_known(sealed.id) is None:
                fresh.append(sealed)
        if not fresh:
            return
        try:
            future = self._verifier.verify_transactions(fresh, peer)
        except QueueFullError:
            return
        if future.done():
            self._take_gossip(peer, fresh, future)
        else:
            future.add_done_callback(lambda done: self._take_gossip(peer, fresh, done))

    def _take_gossip(
        self, peer: bytes, fresh: list[SealedTransaction], done: "asyncio.Future[list[bool]]"
    ) -> None:
        if done.cancelled():
            return
        for sealed, valid in zip(fresh, done.result(), strict=True):
            if valid:
                self.admit(sealed, is_own=False)
            else:
                self._penalize(peer, "a wrongly signed transaction")
        self._tell()

    def decode(self, raw: bytes) -> SealedTransaction | SubmitResult:
        """Return the transaction of a client's bytes, unverified, or the answer when there is nothing more to do."""
        try:
            sealed = decode_transaction(raw)
        except DecodeError as error:
            return _refuse(compute_transaction_id(raw), Rejection.MALFORMED, str(error))
        name = sealed.id
        if self._mempool.find_known(name) is not None:
            return SubmitResult(name, SubmitStatus.KNOWN)
        if sealed.transaction.chain != self._ledger.genesis_hash[: len(sealed.transaction.chain)]:
            return _refuse(name, Rejection.OTHER_CHAIN, "the transaction was signed for another network")
        return SubmitResult(name, SubmitStatus.KNOWN) if self._is_executed(sealed) else sealed

    def admit(self, sealed: SealedTransaction, *, is_own: bool) -> SubmitResult:
        """Let a correctly signed transaction wait, if it may; an own client's is gossiped."""
        check = self.check if is_own else self.check_account
        match self._mempool.add(sealed, self._clock.monotonic_ms(), check):
            case Added():
                if is_own and self._network is not None:
                    self._network.gossip(sealed.raw)
                return SubmitResult(sealed.id, SubmitStatus.ACCEPTED)
            case Known():
                return SubmitResult(sealed.id, SubmitStatus.KNOWN)
            case Refused(rejection=rejection):
                return _refuse(sealed.id, rejection, "")
            case Full(account=account):
                detail = "this account has too many waiting" if account else "too many transactions wait"
                return SubmitResult(sealed.id, SubmitStatus.BUSY, detail=detail)

    def _judge(self, sealed: SealedTransaction, *, is_valid: bool | None) -> SubmitResult:
        """Admit what a client submitted, if its signature was found valid; None is one that there was no room for."""
        if is_valid is None:
            return SubmitResult(sealed.id, SubmitStatus.BUSY, detail="too many wait to be checked")
        if not is_valid:
            return _refuse(sealed.id, Rejection.SIGNATURE_INVALID, "the signature is not the key's")
        return self.admit(sealed, is_own=True)

    def _is_executed(self, sealed: SealedTransaction) -> bool:
        """Tell whether the chain has it with its nonce consumed; without looking while its nonce is unused."""
        account = permissions.read_account(self._chain, sealed.transaction.account)
        if account is not None and admission.check_nonce(account, sealed.transaction.nonce) is None:
            return False
        location = self._chain.find_transaction(sealed.id)
        if location is None:
            return False
        receipt = self._chain.get_receipts(location[0])[location[1]]
        return receipt.transaction_id == sealed.id and receipt.consumed

    def _tell(self) -> None:
        self.arrival.set()
        self._on_added()

    def _penalize(self, peer: bytes, reason: str) -> None:
        if self._network is not None:
            self._network.penalize(peer, INVALID_POINTS, reason)


def _refuse(name: Digest, rejection: Rejection, detail: str) -> SubmitResult:
    return SubmitResult(name, SubmitStatus.REFUSED, rejection, detail)


async def _breathe(index: int) -> None:
    if index % BREATH_EVERY == BREATH_EVERY - 1:
        await asyncio.sleep(0)
