"""The addresses of the API. A handler parses, asks one question of the node, and shapes the answer."""

import msgspec
from aiohttp import web

from node.api.door import BODY_OFFENCE, Door, find_refusal
from node.api.errors import JSON, ApiProblem, build_error, refuse_busy, refuse_unknown
from node.api.problems import BODY
from node.api.proofs import await_proofs, explain_pruned, raise_no_proof
from node.api.requests import (
    BINARY_TYPES,
    WAIT_MS_MAX,
    BodyReader,
    check_digests,
    decode_array,
    get_flag,
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

IDS_BYTES_MAX = BATCH_TRANSACTIONS_MAX * 34 + 8
"""A MessagePack array of ids: 32 bytes each and two of length."""


BATCH_BODY_BYTES_MAX = BATCH_TRANSACTIONS_MAX * (TRANSACTION_BYTES_MAX + 3) + 8
"""The same of whole transactions, three bytes of length each."""

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

    def __init__(self, services: Services, bodies: BodyReader, door: Door) -> None:
        self._services = services
        self._bodies = bodies
        self._door = door

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
                private_with=frozenset({"raw"}),
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
        self._door.check(request.remote or "")
        with self._bodies.reserve(request, TRANSACTION_BYTES_MAX) as share:
            raw = await self._bodies.read(request, share)
            outcome = (await self._door.submit(request.remote or "", [raw]))[0]
        refusal = find_refusal(outcome)
        if refusal is None:
            return build_json(_build_submit_answer(outcome), 202)
        if outcome.status == "busy":
            raise refuse_busy(refusal.detail)
        raise ApiProblem(422, refusal.error, refusal.detail, id=outcome.id.hex())

    async def submit_batch(self, request: web.Request) -> web.Response:
        """Take many transactions; each has its own result, and only when none had room the whole is refused."""
        self._door.check(request.remote or "")
        with self._bodies.reserve(request, BATCH_BODY_BYTES_MAX) as share:
            body = await self._bodies.read(request, share)
            try:
                raws = decode_array(body, "transactions")
            except ApiProblem:
                self._door.note(request.remote or "", BODY_OFFENCE)
                raise
            outcomes = await self._door.submit(request.remote or "", raws)
        if all(outcome.status == "busy" for outcome in outcomes):
            raise refuse_busy("no room for any of these transactions now")
        return build_json(BatchAnswer([_build_submit_answer(outcome) for outcome in outcomes]))

    async def get_transaction(self, request: web.Request) -> web.Response:
        """Tell where a transaction stands; with ``raw=1`` also the bytes of one that is committed."""
        name = parse_digest(request.match_info["id"])
        with_bytes = get_flag(request, "raw")
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
                problems=("NOT_FOUND",),  # an observer has none
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
    refusal = find_refusal(outcome)
    if refusal is not None:
        return SubmitAnswer(outcome.id.hex(), "refused", refusal.error, refusal.detail)
    return SubmitAnswer(outcome.id.hex(), "accepted" if outcome.status == "accepted" else "known")
