"""What can be asked of a node: everything at one certified height, with what proves it.

Reads of state are answered from the latest certified block, never from a newer one: what a node alone has executed is
nothing that a client could rely on. The one exception is a hint that is called so.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from consensus.messages import Certificate, Handover
from node.electorate import Electorate, ValidatorNames, find_last_signed, read_electorate
from node.height_signal import HeightSignal
from node.mempool import Mempool
from node.pinned_state import PinnedState, PinnedStates, StateSnapshot
from node.receipts import CertifiedReceiptProof, ChainReader, Committed, ProvenBlock, Receipts
from primitives.header import Block, BlockHeader
from primitives.ids import ACCOUNT_BYTES, AccountId, Digest, Epoch, Height
from vm.contracts.energy.queries import (
    BillLine,
    MeterView,
    get_bill_line,
    get_meter,
    get_slot,
    iterate_meters,
)
from vm.contracts.energy.records import Slot
from vm.contracts.ledger import GRID, ISSUANCE, ROUNDING, Asset, Balance, read_balance
from vm.contracts.permissions import Account, find_account_by_name, read_account
from vm.genesis import Genesis, is_name_sound
from vm.receipt import Receipt
from vm.state import StateReader
from vm.state_root import StateTree

STREAMS_WAITING_MAX = 1024
"""More than ``api.streams_max`` can be: a stream that has its place always hears of the next block."""

SYSTEM_ACCOUNTS = {"grid": GRID, "issuance": ISSUANCE, "rounding": ROUNDING}
"""Accounts that nobody holds a key of; they have balances only."""


class QueryError(Exception):
    """The question cannot be answered as asked; one line says why and what to ask instead."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account at the pinned height; ``record`` is None for an account of the system."""

    account: AccountId
    name: str
    record: Account | None
    settlement: Balance
    coins: Balance
    nonce_hint: int


@dataclass(frozen=True, slots=True)
class BlockView:
    """A stored block with its receipts and, if there is one, its certificate. Genesis has no batch."""

    header: BlockHeader
    block: Block | None
    receipts: tuple[Receipt, ...]
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """A certified block in a list."""

    header: BlockHeader
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class ValidatorsView:
    """The validators of an epoch at the pinned height, and the highest certified block that each signed."""

    electorate: Electorate
    last_signed: Mapping[bytes, Height]


class Queries:
    """The reading side of a node; for one event loop."""

    def __init__(self, genesis: Genesis, chain: ChainReader, mempool: Mempool) -> None:
        self.genesis = genesis
        self.signal = HeightSignal(Height(0))
        self.stream_signal = HeightSignal(Height(0), STREAMS_WAITING_MAX)
        """Of those that stay: they take no place of a request that waits."""
        self._chain = chain
        self._mempool = mempool
        self._pinned = PinnedStates()
        self._receipts = Receipts(chain)
        self._names = ValidatorNames(genesis)

    def record_executed(self, header: BlockHeader, snapshot: StateSnapshot, tree: StateTree) -> None:
        """Take over the state after a block was executed ; at the start, of the block it resumes from."""
        self._pinned.record_executed(header, snapshot, tree)
        self._advance()

    def record_certificate(self, certificate: Certificate) -> None:
        """Take note of a checked certificate, after the store has it."""
        self._pinned.record_certificate(certificate)
        self._advance()

    def close(self) -> None:
        """Let go of all snapshots."""
        self._pinned.close()

    @property
    def certified_height(self) -> Height:
        """Return the height at which reads are answered; 0 while nothing is certified."""
        header = self._pinned.certified_header
        return Height(0 if header is None else header.height)

    @property
    def certified_header(self) -> BlockHeader | None:
        """Return the header of the latest certified block that was executed here, or None."""
        return self._pinned.certified_header

    @contextmanager
    def open(self) -> Iterator[PinnedState]:
        """Hold the latest certified state for several reads.

        Raises:
            NotCertifiedYetError: there is none since the start.

        """
        with self._pinned.open() as pinned:
            yield pinned

    @property
    def pinned(self) -> PinnedStates:
        """Return the states that are held for reading."""
        return self._pinned

    # Transactions and blocks

    @property
    def pruned_height(self) -> Height:
        """Return the height up to which this node keeps no blocks; 0 when it keeps all."""
        return self._chain.get_pruned_height()

    def is_pending(self, transaction_id: Digest) -> bool:
        """Tell whether a transaction waits to be ordered."""
        return self._mempool.get(transaction_id) is not None

    def find_transaction(self, transaction_id: Digest) -> Committed | None:
        """Return where a transaction was executed, or None."""
        return self._receipts.find(transaction_id, self.certified_height)

    def get_transaction(self, committed: Committed) -> bytes | None:
        """Return the exact bytes of an executed transaction, or None when its block is not kept."""
        block = self._chain.get_block(committed.height)
        return None if block is None else block.batch.transactions[committed.index]

    def prove_receipt(self, committed: Committed) -> CertifiedReceiptProof | None:
        """Return the proof of a certified transaction's receipt, or None when its certificate is not stored here."""
        return self._receipts.prove(committed, self.certified_height)

    def prove_block(self, height: Height) -> ProvenBlock | None:
        """Return a certified block's receipts with their proofs; None when it is pruned or its certificate missing."""
        return self._receipts.prove_block(height, self.certified_height)

    def get_block(self, height: Height) -> BlockView | None:
        """Return an executed block, or None; up to the pruned height there is none but genesis."""
        header = self._chain.get_header(height)
        if header is None or 0 < height <= self._chain.get_pruned_height():
            return None
        if height == 0:
            return BlockView(header, None, (), None)
        return BlockView(
            header,
            self._chain.get_block(height),
            self._chain.get_receipts(height),
            self._chain.get_certificate(height),
        )

    def list_blocks(self, before: int, max_count: int) -> list[BlockSummary]:
        """Return certified blocks below ``before``, newest first, as far as they are kept."""
        newest = min(before - 1, self.certified_height)
        oldest = max(self._chain.get_pruned_height(), newest - max_count, 0)
        found = []
        for height in range(newest, oldest, -1):
            header, receipts = (
                self._chain.get_header(Height(height)),
                self._chain.get_receipts(Height(height)),
            )
            if header is not None:
                found.append(BlockSummary(header, receipts))
        return found

    def iterate_evidence(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield contradictions of validators that this one has seen, with their numbers, those beyond ``after``."""
        return ((number, pair) for number, pair in self._chain.iterate_numbered_evidence() if number > after)

    # Validators

    def get_validators(self, pinned: PinnedState, epoch: int | None) -> ValidatorsView | None:
        """Return the validators of an epoch (None: of the current one), or None when it has not begun."""
        electorate = read_electorate(pinned.state, self.genesis, epoch)
        if electorate is None:
            return None
        keys = frozenset(each.public_key for each in electorate.current.validators)
        return ValidatorsView(electorate, find_last_signed(self._chain, pinned.height, keys))

    def get_validator_name(self, epoch: int, public_key: bytes) -> str:
        """Return the name of an epoch's validator, or its key in hexadecimal when it was none."""
        newest = self._pinned.newest
        return public_key.hex() if newest is None else self._names.get_name(newest.state, epoch, public_key)

    def iterate_handovers(self, first: int) -> Iterator[Handover]:
        """Yield how the epochs from ``first`` on ended, in order, as far as they have."""
        return self._chain.iterate_handovers(Epoch(first))

    # State

    def find_account(self, state: StateReader, text: str) -> AccountId | None:
        """Return the account that an id in hex or a name stands for; a meter's name is its home's."""
        account = _parse_account_id(text)
        if account is not None and (read_account(state, account) or account in SYSTEM_ACCOUNTS.values()):
            return account
        if not is_name_sound(text):
            return None
        return find_account_by_name(state, text) or SYSTEM_ACCOUNTS.get(text)

    def get_account(self, pinned: PinnedState, text: str) -> AccountView | None:
        """Return an account by id or name."""
        account = self.find_account(pinned.state, text)
        if account is None:
            return None
        record = read_account(pinned.state, account)
        system_name = next((name for name, each in SYSTEM_ACCOUNTS.items() if each == account), "")
        return AccountView(
            account=account,
            name=record.name if record is not None else system_name,
            record=record,
            settlement=read_balance(pinned.state, account, Asset.SETTLEMENT),
            coins=read_balance(pinned.state, account, Asset.COIN),
            nonce_hint=self._find_free_nonce(account, record),
        )

    def find_meter(self, state: StateReader, text: str) -> MeterView | None:
        """Return a meter by its account's id or name, which is its home's."""
        account = self.find_account(state, text)
        return None if account is None else get_meter(state, account)

    def list_meters(self, state: StateReader, after: bytes, max_count: int) -> list[MeterView]:
        """Return meters in the order of their accounts, those beyond ``after``."""
        found: list[MeterView] = []
        for view in iterate_meters(state):
            if len(found) == max_count:
                break
            if view.account > after:
                found.append(view)
        return found

    def get_slot(self, state: StateReader, slot_s: int) -> Slot | None:
        """Return what is known of a slot.

        Raises:
            QueryError: no slot begins then.

        """
        self.check_slot(slot_s)
        return get_slot(state, slot_s)

    def get_line(self, state: StateReader, meter: bytes, slot_s: int) -> BillLine | None:
        """Return a meter's line of one slot, or None while it is not settled."""
        return get_bill_line(state, meter, slot_s)

    def list_slots(self, first_s: int, last_s: int, max_count: int) -> range:
        """Return the starts of the slots of a period, both ends included.

        Raises:
            QueryError: an end is not the start of a slot, the period is empty or too long.

        """
        self.check_slot(first_s)
        self.check_slot(last_s)
        slot_s = self.genesis.energy.slot_s
        if last_s < first_s:
            raise QueryError(f"last {last_s} is before first {first_s}")
        if (last_s - first_s) // slot_s + 1 > max_count:
            raise QueryError(f"at most {max_count} slots in one answer: ask for a shorter period")
        return range(first_s, last_s + 1, slot_s)

    def check_slot(self, slot_s: int) -> None:
        """Refuse a time at which no slot begins.

        Raises:
            QueryError: naming the start of the slot that it lies in.

        """
        length_s = self.genesis.energy.slot_s
        if slot_s % length_s:
            start_s = slot_s - slot_s % length_s
            raise QueryError(
                f"no slot begins at {slot_s}: slots last {length_s} s, this one began at {start_s}"
            )

    def _find_free_nonce(self, account: bytes, record: Account | None) -> int:
        """Return the next nonce that neither the newest state nor what waits has used: a hint, never a promise."""
        newest = self._pinned.newest
        if newest is not None:
            record = read_account(newest.state, account) or record
        waiting = (sealed.transaction.nonce for sealed in self._mempool.get_account(account))
        return max(0 if record is None else record.nonce, max(waiting, default=0)) + 1

    def _advance(self) -> None:
        self.signal.advance(self.certified_height)
        self.stream_signal.advance(self.certified_height)


def _parse_account_id(text: str) -> AccountId | None:
    if len(text) != 2 * ACCOUNT_BYTES:
        return None
    try:
        return AccountId(bytes.fromhex(text))
    except ValueError:
        return None
