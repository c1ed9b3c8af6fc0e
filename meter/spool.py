"""What was signed and is not known to be final: on disk, so that a dead network or process loses and doubles nothing.

A transaction is stored before it is first sent, with its nonce, in one synced commit; only its stored bytes are ever
sent. An entry goes queued → sent → committed or refused, the last two by verified proof only. When its transactions
have expired unproven, it is signed again under the same nonce: the ledger applies at most one of them. Under another
nonce it is signed only when a proven refusal has spent the first.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from meter.outcomes import Committed, RefusedByNetwork
from meter.proofs import (
    CertifiedHeight,
    CertifiedReceipt,
    decode_certified_receipt,
    encode_certified_receipt,
)
from meter.spool_file import SpoolFullError, SpoolNotExpiredError, mapped_errors, open_file
from primitives.ids import CHAIN_ID_BYTES, AccountId, Digest, Height, Nonce
from vm.transaction import NONCE_MAX, SealedTransaction, decode_transaction

OPEN_MAX = 40_000
"""Quarter hours of a whole year: a meter that was offline for longer needs a person."""
FINISHED_KEPT = 20_000
"""Half a year of quarter hours with their proofs, some 30 MB; older entries are forgotten."""
NONCES_AHEAD = 512
"""Half of the nonces that the ledger remembers: an overtaken transaction is still inside its window."""
SUBJECT_CHARACTERS_MAX = 200
REASON_CHARACTERS_MAX = 300
GIVEN_UP = "given up: "

ENTRY_QUERY = """
SELECT e.number, e.subject, e.state, e.reason, e.height, s.raw
FROM entries e JOIN signed s ON s.entry = e.number
WHERE e.number = ? AND s.round = (SELECT max(round) FROM signed WHERE entry = e.number)
"""
DUE_QUERY = """
WITH lowest AS (
    SELECT account, min(nonce) AS nonce FROM entries WHERE state IN ('queued', 'sent') GROUP BY account
)
SELECT e.number, e.subject, e.state, e.reason, e.height, s.raw
FROM entries e JOIN lowest l ON l.account = e.account JOIN signed s ON s.entry = e.number
WHERE e.state IN ('queued', 'sent') AND e.nonce < l.nonce + ?
    AND s.round = (SELECT max(round) FROM signed WHERE entry = e.number)
ORDER BY e.number LIMIT ?
"""


class SpoolState(StrEnum):
    """Where an entry stands."""

    QUEUED = "queued"
    SENT = "sent"
    COMMITTED = "committed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One intent of an account and its latest signed transaction; ``height`` and a final state are proven."""

    number: int
    subject: str
    state: SpoolState
    reason: str
    height: Height | None
    transaction_id: Digest
    transaction: SealedTransaction = field(compare=False)

    @property
    def account(self) -> AccountId:
        """Return whose transaction it is."""
        return AccountId(self.transaction.transaction.account)

    @property
    def is_open(self) -> bool:
        """Tell whether the result is still unknown."""
        return self.state in {SpoolState.QUEUED, SpoolState.SENT}

    def is_expired(self, height: CertifiedHeight) -> bool:
        """Tell whether the transaction can no longer enter a block, seen from a verified height."""
        return self.transaction.transaction.valid_until < height


@dataclass(frozen=True, slots=True)
class SpoolRequest:
    """Something to sign once: ``subject`` names it inside its account, ``sign`` gets the nonce it shall carry."""

    account: AccountId
    subject: str
    sign: Callable[[Nonce], SealedTransaction]


@contextmanager
def open_spool(path: Path, genesis_hash: Digest) -> Iterator["Spool"]:
    """Open the spool in a file, made on first use, for this process alone.

    Raises:
        SpoolError: locked, foreign, corrupt or failed.

    """
    with open_file(path, genesis_hash) as connection:
        yield Spool(path, connection, genesis_hash)


class Spool:
    """The door to the file; made by ``open_spool``, used by one task at a time. Every method is one synced commit."""

    def __init__(self, path: Path, connection: sqlite3.Connection, genesis_hash: Digest) -> None:
        """Take what ``open_spool`` prepared."""
        self._path = path
        self._connection = connection
        self._genesis_hash = genesis_hash

    def add(self, request: SpoolRequest) -> SpoolEntry:
        """Sign and store one request, or return the entry that it has already."""
        return self.add_many([request])[0]

    def add_many(self, requests: Sequence[SpoolRequest]) -> list[SpoolEntry]:
        """Sign and store requests, all or none, in their order, with consecutive nonces for each account.

        A request whose subject has an open or committed entry gets that entry and signs nothing; after a refusal it
        gets a new one.

        Raises:
            SpoolFullError, SpoolFailedError, SpoolCorruptError: nothing was stored.

        """
        with self._commit():
            numbers = [self._find_or_add(request) for request in requests]
            if self._count_open() > OPEN_MAX:
                what = f"more than {OPEN_MAX} transactions wait; reach a validator first"
                raise SpoolFullError(f"{self._path}: {what}")
            return [self._get(number) for number in numbers]

    def raise_nonce(self, account: AccountId, next_nonce: Nonce) -> None:
        """Begin an account's nonces at least here; for an account that signed elsewhere before this spool."""
        with self._commit():
            self._connection.execute(
                "INSERT INTO accounts VALUES (?, ?) ON CONFLICT (account) "
                "DO UPDATE SET next_nonce = max(next_nonce, excluded.next_nonce)",
                (account, min(next_nonce, NONCE_MAX)),
            )

    def get_next_nonce(self, account: AccountId) -> Nonce:
        """Return the nonce that the next new entry of an account will carry."""
        with mapped_errors(self._path):
            row = self._connection.execute(
                "SELECT next_nonce FROM accounts WHERE account = ?", (account,)
            ).fetchone()
        return Nonce(row[0] if row else 1)

    def find(self, account: AccountId, subject: str) -> SpoolEntry | None:
        """Return the newest entry of a subject."""
        with mapped_errors(self._path):
            row = self._connection.execute(
                "SELECT max(number) FROM entries WHERE account = ? AND subject = ?", (account, subject)
            ).fetchone()
            return None if row[0] is None else self._get(row[0])

    def find_latest(self, account: AccountId) -> SpoolEntry | None:
        """Return the newest entry of an account that was not refused."""
        with mapped_errors(self._path):
            row = self._connection.execute(
                "SELECT max(number) FROM entries WHERE account = ? AND state != 'refused'", (account,)
            ).fetchone()
            return None if row[0] is None else self._get(row[0])

    def count_open(self) -> int:
        """Return how many entries wait for their result."""
        with mapped_errors(self._path):
            return self._count_open()

    def get_entry(self, number: int) -> SpoolEntry:
        """Return an entry as it stands now.

        Raises:
            KeyError: there is none, or it was finished so long ago that it is forgotten.

        """
        with mapped_errors(self._path):
            return self._get(number)

    def get_due(self, most: int) -> list[SpoolEntry]:
        """Return the open entries to send, oldest first; at most NONCES_AHEAD nonces of an account at once."""
        with mapped_errors(self._path):
            rows = self._connection.execute(DUE_QUERY, (NONCES_AHEAD, most))
            return [self._build(row) for row in rows]

    def get_transaction_ids(self, number: int) -> list[Digest]:
        """Return the ids of all transactions that an entry ever had, the first one first."""
        with mapped_errors(self._path):
            rows = self._connection.execute("SELECT id FROM signed WHERE entry = ? ORDER BY round", (number,))
            return [Digest(row[0]) for row in rows]

    def get_proof(self, number: int) -> CertifiedReceipt | None:
        """Return the verified proof of a finished entry."""
        with mapped_errors(self._path):
            row = self._connection.execute("SELECT proof FROM entries WHERE number = ?", (number,)).fetchone()
        return None if row is None or row[0] is None else decode_certified_receipt(row[0])

    def count(self) -> dict[SpoolState, int]:
        """Return how many entries stand where."""
        with mapped_errors(self._path):
            found = dict(self._connection.execute("SELECT state, count(*) FROM entries GROUP BY state"))
        return {state: found.get(state.value, 0) for state in SpoolState}

    def mark_sent(self, entries: Iterable[SpoolEntry]) -> None:
        """Remember, before it happens, that these entries leave this machine."""
        with self._commit():
            self._connection.executemany(
                "UPDATE entries SET state = 'sent' WHERE number = ? AND state = 'queued'",
                [(entry.number,) for entry in entries],
            )

    def record_many(self, outcomes: Iterable[Committed | RefusedByNetwork]) -> None:
        """Keep verified results with their proofs; of an unknown transaction nothing is kept, a proven entry stays.

        A refusal that spared the nonce is noted only: the same bytes may still be applied.
        """
        with self._commit():
            for outcome in outcomes:
                self._record(outcome)
            self._connection.execute(
                "DELETE FROM entries WHERE state IN ('committed', 'refused') AND number <= ("
                "SELECT number FROM entries WHERE state IN ('committed', 'refused') "
                "ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (FINISHED_KEPT,),
            )

    def note_many(self, reasons: Iterable[tuple[SpoolEntry, str]]) -> None:
        """Remember why open entries are not done."""
        with self._commit():
            for entry, reason in reasons:
                self._note(entry.number, reason)

    def sign_again(
        self, entry: SpoolEntry, height: CertifiedHeight, sign: Callable[[Nonce], SealedTransaction]
    ) -> SpoolEntry:
        """Give an open entry a new transaction under its old nonce, once the old one has expired.

        Raises:
            SpoolNotExpiredError: the old one may still enter a block, or the entry is final.

        """
        with self._commit():
            current = self._get_expired(entry.number, height)
            nonce = Nonce(current.transaction.transaction.nonce)
            sealed = self._check_signed(sign(nonce), current.account, nonce)
            if sealed.transaction.valid_until < height:
                raise ValueError("a renewed transaction must not be expired already")
            self._store(entry.number, sealed)
            self._connection.execute("UPDATE entries SET state = 'queued' WHERE number = ?", (entry.number,))
            return self._get(entry.number)

    def sign_under_next_nonce(
        self,
        refused: Sequence[tuple[SpoolEntry, RefusedByNetwork]],
        sign: Callable[[SpoolEntry, RefusedByNetwork, Nonce], SealedTransaction],
    ) -> None:
        """Give open entries other transactions under their account's next nonces: refusals have spent their own.

        What they had before is forgotten with the spent nonces: none of it can ever be applied. What is not open any
        more stays as it is.

        Raises:
            ValueError: a refusal is not of its entry, or spared the nonce.

        """
        with self._commit():
            for entry, outcome in refused:
                current = self._get(entry.number)
                known = self.get_transaction_ids(entry.number)
                if not outcome.consumed or outcome.transaction_id not in known:
                    raise ValueError("not a refusal that has spent the nonce of this entry")
                if not current.is_open:
                    continue
                nonce, sealed = self._sign_next(current.account, partial(sign, current, outcome))
                self._connection.execute("DELETE FROM signed WHERE entry = ?", (entry.number,))
                self._store(entry.number, sealed)
                self._connection.execute(
                    "UPDATE entries SET state = 'queued', nonce = ? WHERE number = ?", (nonce, entry.number)
                )
                self._note(entry.number, outcome.rejection)

    def give_up(self, entry: SpoolEntry, height: CertifiedHeight, reason: str) -> None:
        """Close an entry that has expired without proof; its nonce is never used again.

        Raises:
            SpoolNotExpiredError: it may still enter a block, or is final.

        """
        with self._commit():
            current = self._get_expired(entry.number, height)
            self._note(current.number, f"{GIVEN_UP}{reason}")
            self._connection.execute(
                "UPDATE entries SET state = 'refused' WHERE number = ?", (current.number,)
            )

    def _find_or_add(self, request: SpoolRequest) -> int:
        row = self._connection.execute(
            "SELECT max(number) FROM entries WHERE account = ? AND subject = ? AND state != 'refused'",
            (request.account, request.subject),
        ).fetchone()
        if row[0] is not None:
            return int(row[0])
        if len(request.subject) > SUBJECT_CHARACTERS_MAX:
            raise ValueError(f"a subject has at most {SUBJECT_CHARACTERS_MAX} characters")
        nonce, sealed = self._sign_next(request.account, request.sign)
        cursor = self._connection.execute(
            "INSERT INTO entries (account, nonce, subject, state, reason) VALUES (?, ?, ?, 'queued', '')",
            (request.account, nonce, request.subject),
        )
        number = int(cursor.lastrowid or 0)
        self._store(number, sealed)
        return number

    def _sign_next(
        self, account: AccountId, sign: Callable[[Nonce], SealedTransaction]
    ) -> tuple[Nonce, SealedTransaction]:
        nonce = self.get_next_nonce(account)
        sealed = self._check_signed(sign(nonce), account, nonce)
        self._connection.execute(
            "INSERT INTO accounts VALUES (?, ?) ON CONFLICT (account) "
            "DO UPDATE SET next_nonce = excluded.next_nonce",
            (account, nonce + 1),
        )
        return nonce, sealed

    def _check_signed(self, sealed: SealedTransaction, account: AccountId, nonce: Nonce) -> SealedTransaction:
        """Raise for a signer's bug: nothing else but what was asked for may be stored."""
        transaction = sealed.transaction
        if (transaction.account, transaction.nonce) != (account, nonce):
            raise ValueError("the signer used another account or nonce than the spool's")
        if transaction.chain != self._genesis_hash[:CHAIN_ID_BYTES]:
            raise ValueError("the signer signed for another chain than the spool's")
        return sealed

    def _store(self, number: int, sealed: SealedTransaction) -> None:
        row = self._connection.execute("SELECT count(*) FROM signed WHERE entry = ?", (number,)).fetchone()
        self._connection.execute(
            "INSERT OR IGNORE INTO signed VALUES (?, ?, ?, ?, ?)",
            (sealed.id, number, row[0], sealed.transaction.valid_until, sealed.raw),
        )

    def _record(self, outcome: Committed | RefusedByNetwork) -> None:
        row = self._connection.execute(
            "SELECT entry FROM signed WHERE id = ?", (outcome.transaction_id,)
        ).fetchone()
        if row is None:
            return
        if isinstance(outcome, RefusedByNetwork) and not outcome.consumed:
            self._note(row[0], outcome.rejection)
            return
        state, reason = SpoolState.COMMITTED, ""
        if isinstance(outcome, RefusedByNetwork):
            state, reason = SpoolState.REFUSED, outcome.rejection
        self._connection.execute(
            "UPDATE entries SET state = ?, reason = ?, height = ?, proof = ? "
            "WHERE number = ? AND proof IS NULL",
            (state.value, reason, outcome.height, encode_certified_receipt(outcome.proof), row[0]),
        )

    def _note(self, number: int, reason: str) -> None:
        self._connection.execute(
            "UPDATE entries SET reason = ? WHERE number = ? AND state IN ('queued', 'sent')",
            (reason[:REASON_CHARACTERS_MAX], number),
        )

    def _get_expired(self, number: int, height: CertifiedHeight) -> SpoolEntry:
        entry = self._get(number)
        if not entry.is_open:
            raise SpoolNotExpiredError(f"the transaction is {entry.state} already")
        if not entry.is_expired(height):
            valid_until = entry.transaction.transaction.valid_until
            what = f"valid until height {valid_until}, certified is {height}; wait for it"
            raise SpoolNotExpiredError(f"the transaction may still be applied: {what}")
        return entry

    def _count_open(self) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM entries WHERE state IN ('queued', 'sent')"
        ).fetchone()
        return int(row[0])

    def _get(self, number: int) -> SpoolEntry:
        row = self._connection.execute(ENTRY_QUERY, (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return self._build(row)

    def _build(self, row: tuple[int, str, str, str, int | None, bytes]) -> SpoolEntry:
        number, subject, state, reason, height, raw = row
        known = None if height is None else Height(height)
        sealed = decode_transaction(raw)
        return SpoolEntry(number, subject, SpoolState(state), reason, known, Digest(sealed.id), sealed)

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """Make what happens inside one durable step, or undo it."""
        with mapped_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
