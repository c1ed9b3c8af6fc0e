"""The addresses of the API. A handler parses, asks one question of the node, and shapes the answer."""

import asyncio
import math
from collections.abc import Sequence

import msgspec
from aiohttp import web

from node.api.errors import JSON, ApiProblem, build_error, refuse_busy, refuse_unknown
from node.api.offenders import Offenders
from node.api.problems import BODY
from node.api.proofs import await_proofs, explain_pruned, raise_no_proof
from node.api.requests import (
    BINARY_TYPES,
    WAIT_MS_MAX,
    BodyReader,
    check_digests,
    decode_array,
    get_number,
    get_wait_ms,
    parse_digest,
)
from node.api.route import DIGEST, FLAG, Answer, Body, Parameter, Route
from node.api.schemas import (
    BatchAnswer,
    CommittedAnswer,
    LiveAnswer,
    NoProofAnswer,
    PendingAnswer,
    ProofAnswer,
    ProofsAnswer,
    ReadyAnswer,
    SubmitAnswer,
)
from node.api.services import Services, SubmitOutcome
from node.metrics import CONTENT_TYPE as METRICS_TYPE
from node.status import ConsensusStatus, NodeStatus
from primitives.limits import BATCH_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX
from vm.receipt import Rejection

IDS_BYTES_MAX = BATCH_TRANSACTIONS_MAX * 34 + 8
"""A MessagePack array of ids: 32 bytes each and two of length."""


BATCH_BODY_BYTES_MAX = BATCH_TRANSACTIONS_MAX * (TRANSACTION_BYTES_MAX + 3) + 8
"""The same of whole transactions, three bytes of length each."""

OFFENCES = frozenset({Rejection.MALFORMED, Rejection.SIGNATURE_INVALID})
"""What no honest client sends, and what costs a check to find."""

BODY_OFFENCE = 20
"""A body that is no array cost its reading: a megabyte as much as so many signatures."""


RAW = Parameter("raw", FLAG, "1: also its exact bytes, when it is committed")
ID = Parameter(
    *("id", DIGEST, "the transaction's id, 64 lower-case hexadecimal digits"),
    required=True,
    served=r"(?!batch$)[^{}/]+",
)
WAIT_MS = Parameter(
    "wait_ms",
    {"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX, "default": 0},
    "wait so long until it is certified, milliseconds",
)


def build_json(value: object, status: int = 200) -> web.Response:
    """Return an answer as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(value), content_type=JSON)


class TransactionRoutes:
    """Submitting transactions, and finding out what became of them."""

    def __init__(self, services: Services, bodies: BodyReader) -> None:
        self._services = services
        self._bodies = bodies
        self._offenders = Offenders()

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("POST", "/v1/transactions", self.submit),
                answers={202: Answer("taken, or known already", shape=SubmitAnswer)},
                problems=(*BODY, "TOO_MANY_INVALID"),
                body=Body(BINARY_TYPES, "one raw transaction", TRANSACTION_BYTES_MAX),
                rejections=True,
            ),
            Route(
                *("POST", "/v1/transactions/batch", self.submit_batch),
                answers={200: Answer("what became of each, in their order", shape=BatchAnswer)},
                problems=(*BODY, "BODY_MALFORMED", "TOO_MANY_INVALID"),
                body=Body(
                    BINARY_TYPES, "a MessagePack array of 1 to 1,000 transactions", BATCH_BODY_BYTES_MAX
                ),
            ),
            Route(
                *("GET", "/v1/transactions/{id}", self.get_transaction),
                answers={200: Answer("where it stands", shape=PendingAnswer | CommittedAnswer)},
                problems=("BAD_PARAMETER", "NOT_FOUND"),
                parameters=(ID, RAW),
            ),
            Route(
                *("GET", "/v1/transactions/{id}/proof", self.get_proof),
                answers={200: Answer("the proof of its receipt", shape=ProofAnswer)},
                problems=("BAD_PARAMETER", "NOT_FOUND", "NOT_YET", "NO_CERTIFICATE", "ANSWER_FULL", "BUSY"),
                parameters=(ID, WAIT_MS),
            ),
            Route(
                *("POST", "/v1/proofs", self.get_proofs),
                answers={200: Answer("proofs, or why there is none, in their order", shape=ProofsAnswer)},
                problems=(*BODY, "BODY_MALFORMED", "BAD_PARAMETER"),
                parameters=(WAIT_MS,),
                body=Body(BINARY_TYPES, "a MessagePack array of 1 to 1,000 ids", IDS_BYTES_MAX),
            ),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Take one transaction."""
        self._check_offender(request)
        with self._bodies.reserve(request, TRANSACTION_BYTES_MAX) as share:
            raw = await self._bodies.read(request, share)
            outcome = (await self._submit(request, [raw]))[0]
        answer = _build_submit_answer(outcome)
        match outcome.status:
            case "accepted" | "known":
                return build_json(answer, 202)
            case "busy":
                raise refuse_busy(answer.detail or "no room for this transaction now", answer.error or "BUSY")
            case _:
                name = answer.error or "REFUSED"
                raise ApiProblem(422, name, answer.detail or _explain(name), id=answer.id)

    async def submit_batch(self, request: web.Request) -> web.Response:
        """Take many transactions; each has its own result, and only when none had room the whole is refused."""
        self._check_offender(request)
        with self._bodies.reserve(request, BATCH_BODY_BYTES_MAX) as share:
            body = await self._bodies.read(request, share)
            try:
                raws = decode_array(body, "transactions")
            except ApiProblem:
                self._note_offence(request, BODY_OFFENCE)
                raise
            outcomes = await self._submit(request, raws)
        if all(outcome.status == "busy" for outcome in outcomes):
            raise refuse_busy("no room for any of these transactions now")
        return build_json(BatchAnswer([_build_submit_answer(outcome) for outcome in outcomes]))

    async def _submit(self, request: web.Request, raws: Sequence[bytes]) -> Sequence[SubmitOutcome]:
        """Submit, and count what no honest client sends."""
        outcomes = await self._services.submit(raws)
        self._note_offence(request, sum(outcome.rejection in OFFENCES for outcome in outcomes))
        return outcomes

    def _check_offender(self, request: web.Request) -> None:
        """Refuse the body of an address that got too much wrong.

        Raises:
            ApiProblem: 429.

        """
        wait_s = self._offenders.compute_wait_s(request.remote or "", asyncio.get_running_loop().time())
        if wait_s > 0:
            detail = "too many transactions from this address were malformed or wrongly signed"
            raise ApiProblem(429, "TOO_MANY_INVALID", detail, retry_after_s=math.ceil(wait_s))

    def _note_offence(self, request: web.Request, invalid: int) -> None:
        self._offenders.note(request.remote or "", invalid, asyncio.get_running_loop().time())

    async def get_transaction(self, request: web.Request) -> web.Response:
        """Tell where a transaction stands; with ``raw=1`` also the bytes of one that is committed."""
        name = parse_digest(request.match_info["id"])
        with_bytes = get_number(request, "raw", 0) != 0
        queries = self._services.queries
        committed = queries.find_transaction(name)
        if committed is not None:
            answer = CommittedAnswer(
                id=name.hex(),
                height=committed.height,
                index=committed.index,
                rejection=committed.receipt.rejection,
                certified=committed.certified,
                transaction=queries.get_transaction(committed) if with_bytes else None,
            )
            return build_json(answer)
        if queries.is_pending(name):
            return build_json(PendingAnswer(name.hex()))
        raise refuse_unknown(
            f"this validator does not know the transaction{explain_pruned(queries)};"
            " sending the same bytes again is safe"
        )

    async def get_proof(self, request: web.Request) -> web.Response:
        """Prove what became of one transaction."""
        name = parse_digest(request.match_info["id"])
        answer = (await await_proofs(self._services.queries, [name], get_wait_ms(request)))[0]
        if isinstance(answer, NoProofAnswer):
            raise_no_proof(answer)
        return build_json(answer)

    async def get_proofs(self, request: web.Request) -> web.Response:
        """Prove what became of many transactions."""
        wait_ms = get_wait_ms(request)
        with self._bodies.reserve(request, IDS_BYTES_MAX) as share:
            names = check_digests(decode_array(await self._bodies.read(request, share), "ids"))
        return build_json(ProofsAnswer(await await_proofs(self._services.queries, names, wait_ms)))


class NodeRoutes:
    """The node itself: status, genesis, metrics, and the two questions of a supervisor."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("GET", "/v1/status", self.get_status, {200: Answer("the node", shape=NodeStatus)}),
            Route(
                *("GET", "/v1/consensus", self.get_consensus),
                answers={200: Answer("the replica", shape=ConsensusStatus)},
            ),
            Route(
                *("GET", "/v1/genesis", self.get_genesis),
                answers={200: Answer("the genesis' bytes", "application/octet-stream")},
            ),
            Route(
                "GET", "/metrics", self.get_metrics, {200: Answer("Prometheus' text format", "text/plain")}
            ),
            Route(
                *("GET", "/livez", self.get_live),
                answers={200: Answer("it turns and writes", shape=LiveAnswer)},
                problems=("NOT_LIVE",),
            ),
            Route(
                *("GET", "/readyz", self.get_ready),
                answers={200: Answer("they should", shape=ReadyAnswer)},
                problems=("NOT_READY",),
            ),
        ]

    async def get_status(self, _: web.Request) -> web.Response:
        """Tell how the node is."""
        return build_json(self._services.get_status())

    async def get_consensus(self, _: web.Request) -> web.Response:
        """Tell where the replica stands in agreement, and why."""
        return build_json(self._services.get_consensus())

    async def get_genesis(self, _: web.Request) -> web.Response:
        """Give the genesis, byte for byte."""
        return web.Response(body=self._services.genesis, content_type="application/octet-stream")

    async def get_metrics(self, _: web.Request) -> web.Response:
        """Give the metrics in Prometheus' text format; looking at the status brings the gauges up to date."""
        self._services.get_status()
        return web.Response(body=self._services.metrics.render(), headers={"Content-Type": METRICS_TYPE})

    async def get_live(self, _: web.Request) -> web.Response:
        """Tell that the event loop turns and the disk writes."""
        reason = self._services.find_dead_reason()
        if reason is not None:
            return build_error(503, "NOT_LIVE", reason)
        return build_json(LiveAnswer())

    async def get_ready(self, _: web.Request) -> web.Response:
        """Tell whether clients should ask this node."""
        reason = self._services.find_unready_reason()
        if reason is not None:
            return build_error(503, "NOT_READY", reason)
        return build_json(ReadyAnswer())


def _build_submit_answer(outcome: SubmitOutcome) -> SubmitAnswer:
    name = outcome.id.hex()
    match outcome.status:
        case "accepted" | "known":
            return SubmitAnswer(name, "accepted" if outcome.status == "accepted" else "known")
        case "busy":
            return SubmitAnswer(name, "refused", "BUSY", outcome.detail or "no room now; send it again later")
        case _:
            error = str(outcome.rejection or "REFUSED")
            return SubmitAnswer(name, "refused", error, outcome.detail or _explain(error))


def _explain(name: str) -> str:
    return f"refused: {name}; docs/ledger says what to do"
