"""Proofs of receipts, waited for: the one kind of request that stays open until the network has done something."""

import asyncio
from collections.abc import Sequence

from node.api.errors import ApiProblem, refuse_busy
from node.api.schemas import NoProofAnswer, ProofAnswer
from node.height_signal import TooManyWaitersError
from node.queries import Queries
from primitives.encoding import encode
from primitives.ids import Digest

ANSWER_BYTES_MAX = 2 * 1024 * 1024
"""Of proofs in one answer, before base64. A thousand with certificates of four validators take 1.6 MB; what does not
fit is named, to be asked for again."""

YIELD_EVERY = 50
"""Lookups between two breaths of the event loop: about a millisecond."""

Answer = ProofAnswer | NoProofAnswer
NOT_FOUND = "NOT_FOUND"
NOT_YET = "NOT_YET"
NO_CERTIFICATE = "NO_CERTIFICATE"
ANSWER_FULL = "ANSWER_FULL"


async def await_proofs(queries: Queries, ids: Sequence[Digest], wait_ms: int) -> list[Answer]:
    """Return a proof, or why there is none, for each id; waits until all are certified, or unknown here.

    Raises:
        ApiProblem: too many requests wait already.

    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + wait_ms / 1000
    while True:
        height = queries.certified_height
        answers = await _look_up(queries, ids)
        is_open = any(isinstance(answer, NoProofAnswer) and answer.error == NOT_YET for answer in answers)
        left_s = end_s - loop.time()
        if not is_open or left_s <= 0:
            return answers
        try:
            await queries.signal.wait_beyond(height, left_s)
        except TooManyWaitersError:
            raise refuse_busy("too many requests wait for a certificate; ask again without wait_ms") from None


def raise_no_proof(answer: NoProofAnswer) -> None:
    """Refuse a question for one proof with the status that fits.

    Raises:
        ApiProblem: always.

    """
    status = {NOT_FOUND: 404, NOT_YET: 504}.get(answer.error, 503)
    raise ApiProblem(status, answer.error, answer.detail, id=answer.id)


async def _look_up(queries: Queries, ids: Sequence[Digest]) -> list[Answer]:
    answers: list[Answer] = []
    size = 0
    for number, name in enumerate(ids):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        answer = _build_proof(queries, name) if size < ANSWER_BYTES_MAX else None
        if answer is None:
            detail = "this answer is full; ask for this one again"
            answers.append(NoProofAnswer(name.hex(), ANSWER_FULL, detail))
            continue
        if isinstance(answer, ProofAnswer):
            size += len(answer.proof) + len(answer.certificate)
        answers.append(answer)
    return answers


def explain_pruned(queries: Queries) -> str:
    """Return what to add to "does not know it" on a node that has let blocks go."""
    pruned = queries.pruned_height
    return "" if pruned == 0 else f", and keeps no receipts up to block {pruned}: another one may know it"


def _build_proof(queries: Queries, name: Digest) -> Answer:
    committed = queries.find_transaction(name)
    if committed is None:
        if queries.is_pending(name):
            return NoProofAnswer(name.hex(), NOT_YET, "it waits to be ordered; ask again")
        detail = f"this validator does not know it{explain_pruned(queries)}; send the same bytes again"
        return NoProofAnswer(name.hex(), NOT_FOUND, detail)
    if not committed.certified:
        return NoProofAnswer(name.hex(), NOT_YET, "its block has no certificate yet; ask again")
    proven = queries.prove_receipt(committed)
    if proven is None:
        detail = "this validator caught up over its block and kept no certificate; ask another one"
        return NoProofAnswer(name.hex(), NO_CERTIFICATE, detail)
    return ProofAnswer(
        id=name.hex(),
        height=committed.height,
        certificate_height=proven.certificate.header.height,
        proof=encode(proven.proof),
        certificate=encode(proven.certificate),
    )
