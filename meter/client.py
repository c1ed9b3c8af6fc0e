"""A client of several validators that trusts none of them.

It takes a transaction to any validator that answers, waits, and believes only what a quorum signed, verified offline
against the genesis. Who shows something forged, or another genesis, is not asked again. Everything is bounded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeVar
from urllib.parse import quote

from consensus.messages import Handover
from meter.answers import (
    AccountAnswer,
    AnswerError,
    BatchAnswer,
    BillAnswer,
    CertificateAnswer,
    ProofsAnswer,
    SlotAnswer,
    StatusAnswer,
    SubmitAnswer,
    TransactionAnswer,
)
from meter.handovers import Follower
from meter.outcomes import (
    Accepted,
    Outcome,
    OutcomeUnknown,
    RefusedByNode,
    Submission,
    build_proven_outcome,
)
from meter.proofs import (
    CertifiedHeight,
    ReceiptVerifier,
    TrustAnchor,
    read_certificate,
    read_certified_receipt,
)
from meter.transport import HttpTransport, open_session
from meter.validators import (
    STATUS_OK_MAX,
    Answer,
    ClientError,
    ClientSettings,
    QuestionRefusedError,
    Request,
    Validator,
    ValidatorFailedError,
    Validators,
    read_json,
)
from primitives.encoding import DecodeError, encode
from primitives.ids import Digest
from primitives.limits import BATCH_TRANSACTIONS_MAX
from primitives.text import to_line
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

T = TypeVar("T")
Proven = TypeVar("Proven")

PROOFS_PER_REQUEST = 100
SUBMIT_BYTES_MAX = 256 * 1024
"""A thousand readings; more go in several requests."""
WAIT_MS_MAX = 10_000
"""How long one request waits at the validator: the API allows 30 s, less notices a dead validator sooner."""
REJECTIONS = frozenset(Rejection)


@asynccontextmanager
async def open_client(
    urls: Sequence[str], anchor: TrustAnchor, settings: ClientSettings | None = None
) -> AsyncIterator["Client"]:
    """Open a client of the validators at these addresses, preferred first, for the network of ``anchor``.

    Raises:
        AddressError: no address, too many, or one that is not http(s)://HOST:PORT.

    """
    patience = settings or ClientSettings()
    async with open_session(patience) as session:
        transport = HttpTransport(session, patience.request_timeout_s)
        yield Client(anchor, Validators(transport, urls, anchor.genesis_hash.hex(), patience))


class Client:
    """The door to the network; made by ``open_client``. Several tasks may use it at once."""

    def __init__(self, anchor: TrustAnchor, validators: Validators) -> None:
        """Take what is believed beforehand, and whom to ask."""
        self._verifier = ReceiptVerifier(anchor)
        self._validators = validators
        self._follower = Follower(self._verifier, validators)
        self._settings = validators.settings

    @property
    def distrusted(self) -> dict[str, str]:
        """Return the validators that showed something forged or another genesis, with what it was."""
        return {each.url: each.distrusted for each in self._validators.members if each.distrusted}

    @property
    def anchor(self) -> TrustAnchor:
        """Return what this client believes: the anchor it was given, followed to the epochs that it met."""
        return self._verifier.anchor

    def get_handovers(self, epoch: int) -> tuple[Handover, ...]:
        """Return the handovers that led this client to an epoch, for whoever checks without one."""
        return tuple(self._verifier.handovers[:epoch])

    async def follow(self, goal: int | bytes | None) -> TrustAnchor:
        """Return what this client believes, led on to an epoch or a certificate's as far as anybody proves the way."""
        return await self._follower.lead(goal)

    async def submit(self, transaction: SealedTransaction) -> Submission:
        """Take one transaction to the first validator that accepts it."""
        return (await self.submit_many([transaction]))[0]

    async def submit_many(self, transactions: Sequence[SealedTransaction]) -> list[Submission]:
        """Take transactions to the first validators that accept them; the results are in their order."""
        return await self._submit_all(transactions, set())

    async def deliver(self, transaction: SealedTransaction, timeout_s: float) -> Outcome:
        """Submit one transaction and wait for its verified result."""
        return (await self.deliver_many([transaction], timeout_s))[0]

    async def deliver_many(
        self, transactions: Sequence[SealedTransaction], timeout_s: float
    ) -> list[Outcome]:
        """Submit transactions and wait until each has a verified result, at most ``timeout_s``.

        What is not proven after a while is sent again, the same bytes, to another validator first. For what everybody
        refuses to take, a proof is asked for once: it may have been applied before.
        """
        known: dict[bytes, Outcome] = {}
        tried: set[str] = set()
        pending = list({transaction.id: transaction for transaction in transactions}.values())
        reason = "no validator answered in time"
        end_s = monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                while pending and self._validators.get_order():
                    submissions = await self._submit_all(pending, tried)
                    reason = _find_reason(submissions)
                    await self._await_proofs(submissions, end_s, known)
                    pending = [transaction for transaction in pending if transaction.id not in known]
                    if pending:
                        self._validators.prefer_next()
        except TimeoutError:
            pass  # what is not known now is told as unknown
        return [
            known.get(entry.id)
            or OutcomeUnknown(Digest(entry.id), f"{reason}; sending the same bytes again is safe")
            for entry in transactions
        ]

    async def wait(self, name: Digest, timeout_s: float) -> Outcome:
        """Return the proven result of a transaction, or that it is unknown after ``timeout_s``."""
        known = await self.wait_many([name], timeout_s)
        return known.get(name) or OutcomeUnknown(name, "no certificate came in time; ask again")

    async def wait_many(self, names: Sequence[Digest], timeout_s: float) -> dict[bytes, Outcome]:
        """Return the proven results of these transactions, as many as there are within ``timeout_s``."""
        known: dict[bytes, Outcome] = {}
        await self._wait_into(known, names, monotonic() + timeout_s)
        return known

    async def _wait_into(self, known: dict[bytes, Outcome], names: Sequence[Digest], end_s: float) -> None:
        """Add to ``known`` until all names are in it or the time is over; what is in it stays when cancelled."""
        pending = list(dict.fromkeys(names))
        pause_s = self._settings.pause_first_s
        while pending and self._validators.get_order():
            left_s = max(0.0, end_s - monotonic())
            before = len(known)
            await self._fetch_proofs(pending, min(WAIT_MS_MAX, int(left_s * 1000)), known)
            pending = [name for name in pending if name not in known]
            left_s = end_s - monotonic()
            if not pending or left_s <= 0:
                break
            if len(known) == before:
                # Another validator may know more; and an answer that did not wait must not make a busy loop.
                self._validators.prefer_next()
                await asyncio.sleep(min(pause_s, left_s))
                pause_s = min(2 * pause_s, self._settings.pause_max_s)

    async def get_status(self) -> StatusAnswer:
        """Return how the first validator that answers describes itself."""
        return await self.ask("/v1/status", StatusAnswer)

    async def get_statuses(self) -> dict[str, StatusAnswer | str]:
        """Return each validator's description of itself, or one line why there is none, by address."""
        return await self.ask_each("/v1/status", StatusAnswer)

    async def ask_each(self, path: str, expected: type[T]) -> dict[str, T | str]:
        """Return what each validator answers to GET ``path``, or one line why it does not, by address."""
        members = self._validators.members
        answers = await asyncio.gather(*(self._ask_one(member, path, expected) for member in members))
        return {member.url: answer for member, answer in zip(members, answers, strict=True)}

    async def get_certified_height(self) -> CertifiedHeight:
        """Return the highest height that any validator can prove; never above the network's, however they lie."""
        members = [member for member in self._validators.members if member.distrusted is None]
        await asyncio.gather(*(self._learn_height(member) for member in members))
        return self._verifier.certified_height

    async def get_transaction(self, name: Digest) -> TransactionAnswer:
        """Return where a validator says that a transaction stands."""
        return await self.ask(f"/v1/transactions/{name.hex()}", TransactionAnswer)

    async def get_account(self, account: str) -> AccountAnswer:
        """Return an account by its id (hex) or name."""
        return await self.ask(f"/v1/accounts/{quote(account, safe='')}", AccountAnswer)

    async def get_slot(self, start_s: int) -> SlotAnswer:
        """Return a slot by its UTC start."""
        return await self.ask(f"/v1/slots/{start_s}", SlotAnswer)

    async def get_bill(self, meter: str, first_s: int, last_s: int, *, with_proofs: bool) -> BillAnswer:
        """Return the lines of a meter (id in hex, or name) for the slots that start from ``first_s`` to ``last_s``."""
        query = {"first": str(first_s), "last": str(last_s)} | ({"proof": "1"} if with_proofs else {})
        return await self.ask(f"/v1/bills/{quote(meter, safe='')}", BillAnswer, query)

    async def ask(self, path: str, expected: type[T], query: dict[str, str] | None = None) -> T:
        """Return what a validator answers to GET ``path``: a claim, unless it carries a proof that is checked.

        Raises:
            NoAnswerError, NotFoundError, QuestionRefusedError: there is no such answer.

        """
        return await self.ask_proven(path, expected, query or {}, lambda answer, _: answer)

    async def ask_proven(
        self, path: str, expected: type[T], query: dict[str, str], check: Callable[[T, TrustAnchor], Proven]
    ) -> Proven:
        """Return what ``check`` makes of the first answer that it believes; it raises AnswerError to ask the next."""
        return await self._validators.ask(
            Request("GET", path, query=query),
            lambda answer: check(read_json(answer, expected), self._verifier.anchor),
        )

    async def _ask_one(self, member: Validator, path: str, expected: type[T]) -> T | str:
        if member.distrusted is not None:
            return member.distrusted
        try:
            return read_json(await self._validators.exchange(member, Request("GET", path)), expected)
        except (ValidatorFailedError, ClientError, AnswerError) as error:
            return str(error)

    async def _learn_height(self, member: Validator) -> None:
        request = Request("GET", "/v1/blocks/latest")
        try:
            answer = read_json(await self._validators.exchange(member, request), CertificateAnswer)
            if answer.certificate is None:
                return
            certificate = read_certificate(answer.certificate)
            await self._follower.follow(certificate.header.epoch, member)
            problem = self._verifier.check_certificate(certificate)
        except DecodeError as error:
            problem = str(error)
        except (ValidatorFailedError, ClientError, AnswerError):
            return
        if problem is not None:
            self._validators.distrust(member, f"showed a forged certificate: {problem}")

    async def _submit_all(
        self, transactions: Sequence[SealedTransaction], tried: set[str]
    ) -> list[Submission]:
        """Take transactions to validators, to those that are in ``tried`` last; who accepts some is added to it.

        The preference alone would not do: every question for a proof moves it, so that the one who accepted and forgot
        may be the preferred one again.
        """
        if tried.issuperset(member.url for member in self._validators.get_order()):
            tried.clear()
        accepting: set[str] = set()
        results: list[Submission] = []
        for part in _split_by_size(transactions):
            results += await self._submit_part(part, tried, accepting)
        tried |= accepting
        return results

    async def _submit_part(
        self, part: Sequence[SealedTransaction], tried: set[str], accepting: set[str]
    ) -> list[Submission]:
        """Ask all validators in rounds, until one accepted each transaction or all of them refused it."""
        results: dict[bytes, Submission] = {}
        problems: dict[str, str] = {}
        pauses = self._validators.get_pauses()
        while True:
            has_silent = False
            for validator in self._validators.get_order(tried):
                wanted = [entry for entry in part if not isinstance(results.get(entry.id), Accepted)]
                if not wanted:
                    break
                try:
                    found = await self._send_part(validator, wanted)
                except (ValidatorFailedError, ClientError, AnswerError) as error:
                    problems[validator.url] = str(error)
                    has_silent = True
                    continue
                if any(isinstance(submission, Accepted) for submission in found.values()):
                    accepting.add(validator.url)
                for name, submission in found.items():
                    # One validator's full mempool says less than another's refusal.
                    if not isinstance(submission, OutcomeUnknown) or name not in results:
                        results[name] = submission
            is_settled = all(_is_settled(results.get(entry.id), has_silent=has_silent) for entry in part)
            is_over = is_settled or not self._validators.get_order()
            pause_s = None if is_over else next(pauses, None)
            if pause_s is None:
                break
            await asyncio.sleep(pause_s)
        reason = self._validators.describe(problems)
        return [results.get(entry.id) or OutcomeUnknown(entry.id, reason) for entry in part]

    async def _send_part(
        self, validator: Validator, part: list[SealedTransaction]
    ) -> dict[bytes, Submission]:
        """Return what one validator says to each transaction."""
        if len(part) == 1:
            request = Request("POST", "/v1/transactions", part[0].raw)
            answers = [_read_single(await self._validators.exchange(validator, request))]
        else:
            request = Request("POST", "/v1/transactions/batch", encode(tuple(entry.raw for entry in part)))
            answers = read_json(await self._validators.exchange(validator, request), BatchAnswer).results
        if len(answers) != len(part):
            raise ValidatorFailedError(f"gave {len(answers)} results for {len(part)} transactions")
        return {
            entry.id: _read_submission(entry.id, answer) for entry, answer in zip(part, answers, strict=True)
        }

    async def _await_proofs(
        self, submissions: list[Submission], end_s: float, known: dict[bytes, Outcome]
    ) -> None:
        """Add to ``known`` what is proven of these submissions before it is time to send again, and the refusals."""
        refused = {entry.transaction_id: entry for entry in submissions if isinstance(entry, RefusedByNode)}
        waiting = [entry.transaction_id for entry in submissions if entry.transaction_id not in refused]
        known.update(refused.items())
        if refused:
            await self._fetch_proofs(list(refused), 0, known)
        await self._wait_into(known, waiting, min(end_s, monotonic() + self._settings.resend_after_s))

    async def _fetch_proofs(self, names: list[Digest], wait_ms: int, known: dict[bytes, Outcome]) -> None:
        """Add to ``known`` the verified results that a validator can show; only the first request waits."""
        for start in range(0, len(names), PROOFS_PER_REQUEST):
            part = names[start : start + PROOFS_PER_REQUEST]
            for validator in self._validators.get_order():
                try:
                    await self._fetch_part(validator, part, wait_ms if start == 0 else 0, known)
                except (ValidatorFailedError, ClientError, AnswerError):
                    continue
                break

    async def _fetch_part(
        self, validator: Validator, names: list[Digest], wait_ms: int, known: dict[bytes, Outcome]
    ) -> None:
        """Add to ``known`` what a validator proves; one forged proof and it is not asked again."""
        request = Request(
            "POST", "/v1/proofs", encode(tuple(names)), {"wait_ms": str(wait_ms)}, wait_s=wait_ms / 1000
        )
        answers = read_json(await self._validators.exchange(validator, request), ProofsAnswer).proofs
        wanted = {name.hex(): name for name in names}
        shown = [(wanted[each.id], each) for each in answers if each.error is None and each.id in wanted]
        try:
            proofs = [(name, read_certified_receipt(each.proof, each.certificate)) for name, each in shown]
        except DecodeError as error:
            raise self._validators.distrust(validator, f"showed a forged proof: {error}") from None
        epoch = max((certified.certificate.header.epoch for _, certified in proofs), default=0)
        await self._follower.follow(epoch, validator)
        for name, certified in proofs:
            problem = self._verifier.check(name, certified)
            if problem is not None:
                raise self._validators.distrust(validator, f"showed a forged proof: {problem}")
            known[name] = build_proven_outcome(certified)


def _split_by_size(transactions: Sequence[SealedTransaction]) -> Iterator[list[SealedTransaction]]:
    """Yield the transactions in parts that fit one request each."""
    part: list[SealedTransaction] = []
    size = 0
    for transaction in transactions:
        if part and (len(part) == BATCH_TRANSACTIONS_MAX or size + len(transaction.raw) > SUBMIT_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(transaction)
        size += len(transaction.raw)
    if part:
        yield part


def _read_single(answer: Answer) -> SubmitAnswer:
    if answer.status <= STATUS_OK_MAX:
        return read_json(answer, SubmitAnswer)
    try:
        read_json(answer, SubmitAnswer)
    except QuestionRefusedError as error:
        return SubmitAnswer("refused", error=error.name, detail=str(error))
    raise ValidatorFailedError(f"answered {answer.status}")


def _read_submission(name: Digest, answer: SubmitAnswer) -> Submission:
    if answer.id not in {"", name.hex()}:
        raise ValidatorFailedError("answered about another transaction")
    if answer.status in {"accepted", "known"}:
        return Accepted(name)
    rejection = to_line(answer.error or "REFUSED")
    if rejection in REJECTIONS:
        return RefusedByNode(name, rejection, to_line(answer.detail))
    return OutcomeUnknown(name, f"a validator has no room for it now: {rejection}")


def _is_settled(submission: Submission | None, *, has_silent: bool) -> bool:
    """A refusal counts only when every validator had its say."""
    return isinstance(submission, Accepted) or (isinstance(submission, RefusedByNode) and not has_silent)


def _find_reason(submissions: list[Submission]) -> str:
    for submission in submissions:
        if isinstance(submission, OutcomeUnknown):
            return submission.reason
    return "no certificate came in time"
