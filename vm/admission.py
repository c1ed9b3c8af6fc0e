"""Whether a transaction may be executed: position, key and nonce. The mempool asks early, the executor decides."""

from primitives.ids import AccountId, Digest, Height
from vm.contract import CallContext, LedgerContext, decode_call
from vm.contracts.permissions import Account, read_account
from vm.receipt import Rejection
from vm.registry import CONTRACTS
from vm.state import Overlay, StateReader
from vm.transaction import SealedTransaction, Transaction

NONCE_WINDOW = 1024
"""So many of the highest nonces are remembered: any unused one among them is accepted, in any order."""

NONCE_AHEAD_MAX = 2**20
"""A lost message never blocks a meter, and one typing error does not burn its nonces."""

QUOTA_PER_SLOT = 2000
"""Transactions of one account per slot: twenty times a home's needs; the utility, who registers all, has none."""


def check(
    state: StateReader, ledger: LedgerContext, height: Height, time_ms: int, sealed: SealedTransaction
) -> Rejection | None:
    """Return why a transaction would be refused if it were executed next, at ``height`` and ``time_ms``.

    The signature is checked elsewhere, once.
    """
    rejection = check_sender(state, ledger, height, time_ms, sealed)
    if rejection is not None:
        return rejection
    transaction, overlay = sealed.transaction, Overlay(state)
    contract = CONTRACTS.get(transaction.call.contract)
    if contract is None:
        return Rejection.CONTRACT_UNKNOWN
    call = decode_call(contract, transaction.call.method, transaction.call.arguments)
    if isinstance(call, Rejection):
        return call
    context = CallContext(ledger, overlay, AccountId(transaction.account), Digest(sealed.id), height, time_ms)
    return contract.check(context, call)


def check_sender(
    state: StateReader, ledger: LedgerContext, height: Height, time_ms: int, sealed: SealedTransaction
) -> Rejection | None:
    """Return why a transaction would be refused at ``height`` and ``time_ms`` whatever it asks for."""
    account = read_account(state, sealed.transaction.account)
    return check_account(ledger, account, sealed.transaction, height, time_ms)


def check_account(
    ledger: LedgerContext, account: Account | None, transaction: Transaction, height: Height, time_ms: int
) -> Rejection | None:
    """Return why the account may not do this now; nothing of it consumes the nonce.

    In this order: the chain is this one; the account exists; the key is its current one; it is not suspended; the
    transaction has not expired; the nonce is free and near; the slot's quota is not used up.
    """
    if transaction.chain != ledger.genesis_hash[: len(transaction.chain)]:
        return Rejection.OTHER_CHAIN
    if account is None:
        return Rejection.ACCOUNT_UNKNOWN
    if account.public_key != transaction.public_key:
        return Rejection.KEY_NOT_CURRENT
    if account.suspended:
        return Rejection.SUSPENDED
    if height > transaction.valid_until:
        return Rejection.EXPIRED
    rejection = check_nonce(account, transaction.nonce)
    if rejection is not None:
        return rejection
    slot = get_quota_slot(ledger, time_ms)
    if account.role != "utility" and account.quota_slot == slot and account.quota_used >= QUOTA_PER_SLOT:
        return Rejection.QUOTA_EXCEEDED
    return None


def check_nonce(account: Account, nonce: int) -> Rejection | None:
    """Return why a nonce cannot be used: too far ahead, too old to know, or used."""
    if nonce > account.nonce:
        return Rejection.NONCE_TOO_FAR if nonce > account.nonce + NONCE_AHEAD_MAX else None
    behind = account.nonce - nonce
    if behind >= NONCE_WINDOW:
        return Rejection.NONCE_TOO_OLD
    if behind == 0 or not _is_unused(account.unused, behind - 1):
        return Rejection.NONCE_USED
    return None


def consume_nonce(account: Account, nonce: int, quota_slot: int) -> Account:
    """Return the account after a transaction with a nonce that ``check_nonce`` allowed."""
    unused = int.from_bytes(account.unused, "little")
    if nonce > account.nonce:
        step = nonce - account.nonce
        between = (1 << (min(step, NONCE_WINDOW) - 1)) - 1
        below = (unused << step) if step < NONCE_WINDOW else 0
        unused = (below | between) & ((1 << (NONCE_WINDOW - 1)) - 1)
        highest = nonce
    else:
        unused &= ~(1 << (account.nonce - nonce - 1))
        highest = account.nonce
    used = account.quota_used + 1 if account.quota_slot == quota_slot else 1
    encoded = unused.to_bytes((unused.bit_length() + 7) // 8, "little")
    return Account(
        account.public_key,
        account.role,
        account.name,
        account.suspended,
        highest,
        encoded,
        quota_slot,
        used,
    )


def get_quota_slot(ledger: LedgerContext, time_ms: int) -> int:
    """Return the slot, in UTC seconds, whose quota a transaction at this block time counts against."""
    seconds = time_ms // 1000
    return seconds - seconds % ledger.genesis.energy.slot_s


def _is_unused(unused: bytes, bit: int) -> bool:
    byte = bit >> 3
    return byte < len(unused) and bool(unused[byte] >> (bit & 7) & 1)
