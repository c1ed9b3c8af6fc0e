"""Transactions that an observer's clients submit go on to validators, and what those answer is the answer.

A household's gateway is asked like a validator. Accepted means that a validator took it; the proof comes through the
observer's own chain. Nothing waits here to be sent: who hears that no validator answers sends the same bytes again.
"""

from collections.abc import Callable, Iterator, Sequence

import structlog

from consensus.membership import Membership
from node.exchange import RequestKind
from node.fair_queue import QueueFullError
from node.inbox import FORGED_POINTS
from node.intake import Intake, SubmitResult, SubmitStatus
from node.mempool import Mempool
from node.observer.exchange import SUBMISSION_BYTES_MAX, decode_outcomes, encode_submission
from node.verifier import Verifier
from p2p.network import Network
from p2p.transfer import RequestFailed
from primitives.encoding import DecodeError
from primitives.ids import Digest
from primitives.limits import BATCH_TRANSACTIONS_MAX
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

log = structlog.get_logger("gridbft.observer")

REQUEST_TIMEOUT_S = 5.0
"""A validator answers in milliseconds, or says within 3 s that its observers have used up what they get."""

NO_VALIDATOR = "no validator takes it from this observer now; send the same bytes again"
TOO_MANY = "too many wait to be checked"


class Forwarder:
    """Passes transactions on; for one event loop."""

    def __init__(
        self,
        intake: Intake,
        mempool: Mempool,
        verifier: Verifier,
        network: Network,
        get_membership: Callable[[], Membership],
    ) -> None:
        """Take the parts; ``mempool`` remembers what validators took, so that it is known here until it is executed."""
        self._intake = intake
        self._mempool = mempool
        self._verifier = verifier
        self._network = network
        self._get_membership = get_membership
        self._turn = 0

    async def submit(self, raws: Sequence[bytes]) -> list[SubmitResult]:
        """Take transactions from a client; the answers come in the same order.

        What is malformed, wrongly signed or executed already is answered here. What waits already is passed on once
        more, to another validator first: the one that had it may keep it to itself.
        """
        results: dict[int, SubmitResult] = {}
        fresh: dict[int, SealedTransaction] = {}
        for index, raw in enumerate(raws):
            decoded = self._intake.decode(raw)
            if isinstance(decoded, SubmitResult):
                results[index] = decoded
                waiting = self._mempool.get(decoded.id)
                if waiting is not None:
                    fresh[index] = waiting
            else:
                fresh[index] = decoded
        try:
            valid = await self._verifier.verify_transactions(tuple(fresh.values()))
        except QueueFullError:
            return [results.get(index) or _busy(fresh[index], TOO_MANY) for index in range(len(raws))]
        signed = {index: sealed for (index, sealed), ok in zip(fresh.items(), valid, strict=True) if ok}
        for index in fresh.keys() - signed.keys():
            results[index] = _refuse(fresh[index])
        for chunk in _cut(signed):
            results |= await self._pass_on(chunk)
        return [results[index] for index in range(len(raws))]

    async def _pass_on(self, chunk: dict[int, SealedTransaction]) -> dict[int, SubmitResult]:
        """Ask validators in turn until one took each, or f + 1 did not: then a correct one is among them."""
        results = {index: _busy(sealed, NO_VALIDATOR) for index, sealed in chunk.items()}
        open_ = dict(chunk)
        heard = 0
        for peer in self._take_turn():
            outcomes = await self._ask(peer, list(open_.values()))
            if outcomes is None:
                continue
            heard += 1
            results |= dict(zip(open_, outcomes, strict=True))
            open_ = {index: sealed for index, sealed in open_.items() if not _is_taken(results[index])}
            if not open_ or heard >= self._get_membership().weak_quorum:
                break
        for index, sealed in chunk.items():
            if _is_taken(results[index]):
                self._intake.admit(sealed, is_own=False)
        return results

    async def _ask(self, peer: bytes, sealed: Sequence[SealedTransaction]) -> list[SubmitResult] | None:
        question = encode_submission([each.raw for each in sealed])
        names = [Digest(each.id) for each in sealed]
        try:
            answer = await self._network.request(peer, RequestKind.SUBMIT, question, REQUEST_TIMEOUT_S)
            return decode_outcomes(answer, names)
        except RequestFailed as error:
            log.info("submission_not_taken", peer=peer.hex()[:16], reason=str(error))
        except DecodeError as error:
            self._network.penalize(peer, FORGED_POINTS, f"an answer to a submission that is none: {error}")
        return None

    def _take_turn(self) -> list[bytes]:
        """Return the linked validators, another one first each time."""
        linked = [bytes.fromhex(each.key) for each in self._network.get_peers() if each.connected]
        self._turn += 1
        start = self._turn % len(linked) if linked else 0
        return linked[start:] + linked[:start]


def _cut(transactions: dict[int, SealedTransaction]) -> Iterator[dict[int, SealedTransaction]]:
    """Yield parts that fit into one question each."""
    chunk: dict[int, SealedTransaction] = {}
    size = 0
    for index, sealed in transactions.items():
        size += len(sealed.raw)
        if chunk and (size > SUBMISSION_BYTES_MAX or len(chunk) == BATCH_TRANSACTIONS_MAX):
            yield chunk
            chunk, size = {}, len(sealed.raw)
        chunk[index] = sealed
    if chunk:
        yield chunk


def _is_taken(result: SubmitResult) -> bool:
    return result.status in (SubmitStatus.ACCEPTED, SubmitStatus.KNOWN)


def _busy(sealed: SealedTransaction, detail: str) -> SubmitResult:
    return SubmitResult(Digest(sealed.id), SubmitStatus.BUSY, detail=detail)


def _refuse(sealed: SealedTransaction) -> SubmitResult:
    detail = "the signature is not the key's"
    return SubmitResult(Digest(sealed.id), SubmitStatus.REFUSED, Rejection.SIGNATURE_INVALID, detail)
