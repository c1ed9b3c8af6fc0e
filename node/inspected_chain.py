"""Blocks, transactions and state of a stored chain as a person reads them; every read is bounded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from node.described import describe
from node.electorate import ValidatorNames
from node.errors import HomeError
from node.state_records import PREFIX_BYTES, StateEntry, describe_entry
from node.storage.chain import ChainStore
from node.storage.store import StoreCorrupt
from primitives.encoding import DecodeError
from primitives.header import Block, BlockHeader
from primitives.ids import Height
from primitives.quorum import get_quorum
from vm.contract import decode_call
from vm.contracts.ledger import Asset, read_balance
from vm.contracts.permissions import find_account_by_name, read_account
from vm.contracts.validators import read_validator_set
from vm.genesis import Genesis
from vm.receipt import Receipt, Rejection
from vm.registry import CONTRACTS
from vm.transaction import decode_transaction


class NotStoredError(Exception):
    """What was asked for is not in this chain; one line says why."""


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction at its place; ``rejection`` is None when it was applied. Bytes are hex, ``arguments`` by name."""

    id: str
    height: int
    place: int
    account: str
    account_name: str | None
    public_key: str
    nonce: int
    valid_until: int
    call: str
    arguments: object
    rejection: str | None
    consumed: bool


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block with its certificate's signers and a page of its transactions; ``problem`` says what does not fit."""

    header: object
    digest: str
    proposer: str | None
    signers: tuple[str, ...]
    quorum: int
    transactions: int
    first: int
    page: tuple[StoredTransaction, ...]
    problem: str | None


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account as the newest state has it, with what it owns."""

    account: str
    record: object
    settlement_nano: int
    coins: int


@dataclass(frozen=True, slots=True)
class StatePage:
    """Pairs of the state in the order of their keys; ``following`` is where the next page begins, or None."""

    entries: tuple[StateEntry, ...]
    following: str | None


@dataclass(frozen=True, slots=True)
class StateSummary:
    """How many pairs and bytes lie under each prefix."""

    height: int
    state_root: str
    prefixes: tuple[tuple[str, str, int, int], ...]


class StoredChain:
    """Looks at a chain that nobody writes to. Every method raises StoreError where the store is damaged."""

    def __init__(self, chain: ChainStore, genesis: Genesis) -> None:
        self._chain = chain
        self._genesis = genesis
        self._names = ValidatorNames(genesis)

    def find_block(self, height: int | None, first: int, limit: int) -> StoredBlock:
        """Return a block, the last one for None, with at most ``limit`` of its transactions from ``first`` on.

        Raises:
            NotStoredError: it is not here.

        """
        last = self._chain.get_height()
        at = last if height is None else Height(height)
        header = self._chain.get_header(at)
        if header is None:
            raise NotStoredError(self._explain_missing(at, last))
        block, receipts = self._chain.get_block(at), self._chain.get_receipts(at)
        certificate = self._chain.get_certificate(at)
        validators = read_validator_set(self._chain, self._genesis, header.epoch)
        signatures = () if certificate is None else certificate.signatures
        count = 0 if block is None else len(block.batch.transactions)
        return StoredBlock(
            header=describe(header),
            digest=header.compute_digest().hex(),
            proposer=None if block is None else self._get_name(header, block.batch.header.proposer),
            signers=tuple(self._get_name(header, entry.replica) for entry in signatures),
            quorum=0 if validators is None else get_quorum(len(validators.validators)),
            transactions=count,
            first=first,
            page=() if block is None else self._describe_page(block, receipts, first, limit),
            problem=_find_problem(header, block, receipts, is_pruned=at <= self._chain.get_pruned_height()),
        )

    def find_transaction(self, transaction_id: bytes) -> StoredTransaction:
        """Return a transaction.

        Raises:
            NotStoredError: no block that is kept holds it.
            StoreCorrupt: the index names a place where it does not stand.

        """
        found = self._chain.find_transaction(transaction_id)
        if found is None:
            pruned = self._chain.get_pruned_height()
            kept = f"; blocks up to {pruned} are not kept here" if pruned else ""
            raise NotStoredError(f"no block of this chain holds {transaction_id.hex()}{kept}")
        height, place = found
        block, receipts = self._chain.get_block(height), self._chain.get_receipts(height)
        if block is None or not place < len(receipts) == len(block.batch.transactions):
            raise StoreCorrupt(f"the index names block {height}, place {place}, and nothing stands there")
        if receipts[place].transaction_id != transaction_id:
            raise StoreCorrupt(f"the index names block {height}, place {place}, and another one stands there")
        return self._describe_transaction(block, receipts[place], place)

    def find_account(self, text: str) -> StoredAccount:
        """Return an account by its name or its id in hex.

        Raises:
            NotStoredError: there is none.

        """
        account = find_account_by_name(self._chain, text) or _parse_hex(text)
        record = None if account is None else read_account(self._chain, account)
        if account is None or record is None:
            raise NotStoredError(f"no account has the name or id {text!r}")
        return StoredAccount(
            account.hex(),
            describe(record),
            read_balance(self._chain, account, Asset.SETTLEMENT).amount,
            read_balance(self._chain, account, Asset.COIN).amount,
        )

    def read_state(self, prefix: bytes, start: bytes, limit: int) -> StatePage:
        """Return the pairs under a prefix from the key ``start`` on, at most ``limit``."""
        pairs = (pair for pair in self._chain.iterate_from(max(prefix, start)))
        found = [pair for pair in islice(pairs, limit + 1) if pair[0].startswith(prefix)]
        following = found[limit][0].hex() if len(found) > limit else None
        return StatePage(tuple(describe_entry(*pair) for pair in found[:limit]), following)

    def get_pair(self, key: bytes) -> StateEntry:
        """Return one pair.

        Raises:
            NotStoredError: the state has no such key.

        """
        value = self._chain.get(key)
        if value is None:
            raise NotStoredError(f"the state has no key {key.hex()}")
        return describe_entry(key, value)

    def summarize(self) -> StateSummary:
        """Return what lies under each prefix; reads all of the state once."""
        counts: Counter[bytes] = Counter()
        sizes: Counter[bytes] = Counter()
        kinds: dict[bytes, str] = {}
        for key, value in self._chain.iterate(b""):
            prefix = key[:PREFIX_BYTES]
            counts[prefix] += 1
            sizes[prefix] += len(key) + len(value)
            kinds.setdefault(prefix, describe_entry(key, value).kind)
        header = self._chain.get_latest_header()
        shown = tuple(
            (
                prefix.decode("ascii", errors="backslashreplace"),
                kinds[prefix],
                counts[prefix],
                sizes[prefix],
            )
            for prefix in sorted(counts)
        )
        return StateSummary(header.height, header.state_root.hex(), shown)

    def _explain_missing(self, height: int, last: int) -> str:
        pruned = self._chain.get_pruned_height()
        if height <= pruned:
            return f"block {height} is not kept here: blocks up to {pruned} were let go"
        return f"block {height} is not here: the last one is {last}"

    def _get_name(self, header: BlockHeader, public_key: bytes) -> str:
        return self._names.get_name(self._chain, header.epoch, public_key)

    def _describe_page(
        self, block: Block, receipts: Sequence[Receipt], first: int, limit: int
    ) -> tuple[StoredTransaction, ...]:
        places = range(len(receipts))[first : first + limit]
        places = places[: len(block.batch.transactions)]
        return tuple(self._describe_transaction(block, receipts[place], place) for place in places)

    def _describe_transaction(self, block: Block, receipt: Receipt, place: int) -> StoredTransaction:
        try:
            sealed = decode_transaction(block.batch.transactions[place])
        except DecodeError as error:
            raise HomeError(
                f"transaction {place} of block {block.header.height} is no transaction: {error}"
            ) from None
        transaction, call = sealed.transaction, sealed.transaction.call
        account = read_account(self._chain, transaction.account)
        return StoredTransaction(
            id=sealed.id.hex(),
            height=block.header.height,
            place=place,
            account=transaction.account.hex(),
            account_name=None if account is None else account.name,
            public_key=transaction.public_key.hex(),
            nonce=transaction.nonce,
            valid_until=transaction.valid_until,
            call=f"{call.contract}.{call.method}",
            arguments=_describe_arguments(call.contract, call.method, call.arguments),
            rejection=receipt.rejection,
            consumed=receipt.consumed,
        )


def _describe_arguments(contract: str, method: str, arguments: bytes) -> object:
    known = CONTRACTS.get(contract)
    call = Rejection.METHOD_UNKNOWN if known is None else decode_call(known, method, arguments)
    return arguments.hex() if isinstance(call, Rejection) else describe(call)


def _find_problem(
    header: BlockHeader, block: Block | None, receipts: Sequence[Receipt], *, is_pruned: bool
) -> str | None:
    if header.height == 0 or is_pruned:
        return None
    if block is None:
        return "its transactions are missing"
    if block.batch.header.compute_digest() != header.batch_digest:
        return "its transactions are not those that its header names"
    if len(receipts) != len(block.batch.transactions):
        return f"it has {len(receipts)} receipts for {len(block.batch.transactions)} transactions"
    return None


def _parse_hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
