"""A block: (state, batch) to (write set, receipts, state root). Pure; integers only; one pass in the batch's order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from primitives.batch import Batch
from primitives.encoding import DecodeError, encode
from primitives.hashing import compute_transaction_id
from primitives.header import PROTOCOL_VERSION, BlockHeader, build_genesis_header, compute_membership_hash
from primitives.ids import AccountId, Epoch, Height, Sequence
from primitives.merkle import compute_merkle_root
from vm.admission import check_account, consume_nonce, get_quota_slot
from vm.contract import BlockContext, CallContext, LedgerContext, decode_call, execute_call
from vm.contracts.permissions import get_account, open_genesis_accounts, put_account
from vm.contracts.validators import ValidatorSet, find_new_set
from vm.genesis import Genesis
from vm.receipt import Receipt, Rejection
from vm.registry import CONTRACTS
from vm.state import Overlay, StateReader
from vm.state_root import BucketReader, StateTree, TreeWrites, build_tree, update_tree
from vm.transaction import SealedTransaction, decode_transaction


@dataclass(frozen=True, slots=True)
class Position:
    """Where agreement put the batch."""

    height: Height
    sequence: Sequence
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block does: its header, its receipts in order, and what to write (None removes a key).

    ``next_due_ms`` is the block time at which time-driven work waits, or None. ``next_validators`` are those who follow
    it; None while they stay the same, else it is the last block of its epoch.
    """

    header: BlockHeader
    receipts: tuple[Receipt, ...]
    state_writes: Mapping[bytes, bytes | None]
    tree_writes: TreeWrites
    tree: StateTree
    next_due_ms: int | None
    next_validators: ValidatorSet | None = None


def execute_block(
    ledger: LedgerContext,
    parent: BlockHeader,
    position: Position,
    batch: Batch,
    state: StateReader,
    tree: StateTree,
    get_bucket: BucketReader,
) -> BlockResult:
    """Return what ``batch`` does on top of ``parent``, whose state and tree are given.

    Block time is the later of the parent's and the batch's. Contracts begin the block in registry order, then every
    transaction is applied or refused with a reason; a refused call consumes its nonce and changes nothing else.
    """
    time_ms = max(parent.time_ms, batch.header.time_ms)
    overlay = Overlay(state)
    block = BlockContext(ledger, overlay, position.height, time_ms)
    for contract in CONTRACTS.values():
        if contract.begin_block is not None:
            contract.begin_block(block)
    overlay.mark()
    receipts = tuple(_execute_transaction(block, raw) for raw in batch.transactions)
    following = find_new_set(overlay, position.height)
    changes = overlay.collect_changes()
    new_tree, tree_writes = update_tree(tree, get_bucket, changes)
    header = BlockHeader(
        height=position.height,
        sequence=position.sequence,
        epoch=position.epoch,
        parent=parent.compute_digest(),
        batch_digest=batch.header.compute_digest(),
        time_ms=time_ms,
        state_root=new_tree.root,
        receipts_root=compute_merkle_root([encode(receipt) for receipt in receipts]),
        next_membership=parent.next_membership
        if following is None
        else compute_membership_hash(following.validators),
        protocol_version=PROTOCOL_VERSION,
    )
    return BlockResult(
        header,
        receipts,
        {key: new for key, (_, new) in changes.items()},
        tree_writes,
        new_tree,
        compute_next_due_ms(ledger, overlay),
        following,
    )


def build_genesis_block(genesis: Genesis) -> BlockResult:
    """Return height 0: the accounts of the genesis, and the header that everybody computes and nobody signs."""
    overlay = Overlay(_EmptyState())
    open_genesis_accounts(overlay, genesis.accounts)
    changes = overlay.collect_changes()
    tree, writes = update_tree(build_tree(()), lambda _: b"", changes)
    header = build_genesis_header(genesis.time_ms, tree.root, compute_membership_hash(genesis.validators))
    return BlockResult(header, (), {key: new for key, (_, new) in changes.items()}, writes, tree, None)


def compute_next_due_ms(ledger: LedgerContext, overlay: Overlay) -> int | None:
    """Return the earliest block time at which a contract has something to do by itself."""
    dues = [
        due
        for contract in CONTRACTS.values()
        if contract.get_next_due_ms is not None
        and (due := contract.get_next_due_ms(ledger, overlay)) is not None
    ]
    return min(dues, default=None)


def _execute_transaction(block: BlockContext, raw: bytes) -> Receipt:
    try:
        sealed = decode_transaction(raw)
    except DecodeError:
        return Receipt(compute_transaction_id(raw), Rejection.MALFORMED, consumed=False)
    transaction = sealed.transaction
    account = get_account(block.state, transaction.account)
    rejection = check_account(block.ledger, account, transaction, block.height, block.time_ms)
    if rejection is not None or account is None:
        return Receipt(sealed.id, rejection, consumed=False)
    quota_slot = get_quota_slot(block.ledger, block.time_ms)
    put_account(block.state, transaction.account, consume_nonce(account, transaction.nonce, quota_slot))
    return Receipt(sealed.id, _apply_call(block, sealed), consumed=True)


def _apply_call(block: BlockContext, sealed: SealedTransaction) -> Rejection | None:
    transaction = sealed.transaction
    contract = CONTRACTS.get(transaction.call.contract)
    if contract is None:
        return Rejection.CONTRACT_UNKNOWN
    call = decode_call(contract, transaction.call.method, transaction.call.arguments)
    if isinstance(call, Rejection):
        return call
    context = CallContext(
        block.ledger,
        block.state,
        AccountId(transaction.account),
        sealed.id,
        block.height,
        block.time_ms,
    )
    return execute_call(contract, context, call)


class _EmptyState:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:  # noqa: ARG002  # the protocol's signature
        """Return nothing."""
        return None

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:  # noqa: ARG002  # the protocol's signature
        """Yield nothing."""
        return iter(())
