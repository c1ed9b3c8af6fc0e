"""Money: accounts, transfers, and transfers in two phases: pending, then posted or voided (prefix ``l``).

====== =============================== ====================================================
prefix key                             value
====== =============================== ====================================================
``lb`` asset (1 byte), account         ``Balance``: what it has, and what of it is reserved
``lp`` pending id (its transaction's)  ``Pending``
``lx`` expiry (8 bytes), pending id    ``Due``: the order in which pendings expire
====== =============================== ====================================================

Every movement debits one account and credits another, so each asset sums to zero over all accounts; what the utility
grants stands negative on the issuance account. Settlement money of members may go negative, but only by settlement.
"""

from enum import IntEnum

from primitives.encoding import Struct
from primitives.ids import AccountId
from vm.contract import BlockContext, CallContext, Contract, LedgerContext
from vm.contracts.permissions import get_account, has_role
from vm.genesis import SYSTEM_ACCOUNTS
from vm.receipt import Rejection
from vm.state import Overlay, StateReader, read_record

BALANCE_PREFIX = b"lb"
PENDING_PREFIX = b"lp"
DUE_PREFIX = b"lx"

AMOUNT_MAX = 2**56
"""72 million currency units in nano; far above any bill."""

BALANCE_MAX = 2**62
"""Balances stay 64-bit integers: no more than this is issued, and settlement has room beyond it."""

PENDING_SECONDS_MAX = 31 * 86400
"""A reservation ends by itself within a month."""

EXPIRIES_PER_BLOCK_MAX = 100
"""After an outage the backlog of expired reservations spreads over blocks."""

PENDING_PER_ACCOUNT_MAX = 64
"""One account cannot fill the state with reservations."""

GRID = SYSTEM_ACCOUNTS["grid"]
"""The grid: counterparty of what the community cannot share."""

ISSUANCE = SYSTEM_ACCOUNTS["issuance"]
"""Where granted money comes from; its balance is minus all that was granted."""

ROUNDING = SYSTEM_ACCOUNTS["rounding"]
"""Where remainders of divisions go."""


class Asset(IntEnum):
    """What is counted: settlement money (nano-currency), and coins."""

    SETTLEMENT = 0
    COIN = 1


class Balance(Struct, frozen=True):
    """``amount`` is what the account has (negative: owes); ``reserved`` is the part that pendings hold."""

    amount: int
    reserved: int
    pendings: int


class Pending(Struct, frozen=True):
    """A reserved transfer. The debtor posts it (all or a part), the creditor or the debtor's expiry voids it."""

    debtor: bytes
    creditor: bytes
    asset: int
    amount: int
    expires_s: int


class Due(Struct, frozen=True):
    """Marks a pending in the order of expiry."""


class Transfer(Struct, frozen=True):
    """Move money at once."""

    to: bytes
    asset: int
    amount: int


class Grant(Struct, frozen=True):
    """The utility issues money to an account."""

    to: bytes
    asset: int
    amount: int


class Hold(Struct, frozen=True):
    """Reserve money for somebody until ``expires_s``; the pending's id is the transaction's."""

    to: bytes
    asset: int
    amount: int
    expires_s: int


class Post(Struct, frozen=True):
    """The debtor pays a pending, all of it or a part; the rest is free again."""

    pending: bytes
    amount: int


class Void(Struct, frozen=True):
    """The creditor gives a pending up."""

    pending: bytes


def get_balance_key(account: bytes, asset: Asset) -> bytes:
    """Return the key of an account's balance; nothing stands there until something was booked."""
    return BALANCE_PREFIX + bytes([asset]) + account


def get_balance(state: Overlay, account: bytes, asset: Asset) -> Balance:
    """Return a balance as the running block sees it."""
    return state.read(get_balance_key(account, asset), Balance) or Balance(0, 0, 0)


def read_balance(state: StateReader, account: bytes, asset: Asset) -> Balance:
    """Return a balance from a store or snapshot."""
    return read_record(state, get_balance_key(account, asset), Balance) or Balance(0, 0, 0)


def settle(state: Overlay, debtor: AccountId, creditor: AccountId, nano: int) -> None:
    """Book settlement money from ``debtor`` to ``creditor``; a negative amount goes the other way.

    Only contracts call this: the debtor may go negative.
    """
    if nano == 0 or debtor == creditor:
        return
    _change(state, debtor, Asset.SETTLEMENT, -nano)
    _change(state, creditor, Asset.SETTLEMENT, nano)


def check(context: CallContext, call: Struct) -> Rejection | None:
    """Return why the call cannot succeed as things stand."""
    match call:
        case Transfer():
            return _check_payment(context, call.to, call.asset, call.amount)
        case Grant():
            if not has_role(context.state, context.sender, "utility"):
                return Rejection.NOT_ALLOWED
            return _check_grant(context.state, call)
        case Hold():
            return _check_hold(context, call)
        case Post():
            return _check_post(context, call)
        case Void():
            pending = context.state.read(PENDING_PREFIX + call.pending, Pending)
            if pending is None:
                return Rejection.PENDING_UNKNOWN
            return None if context.sender == pending.creditor else Rejection.NOT_ALLOWED
        case _:
            return Rejection.METHOD_UNKNOWN


def apply(context: CallContext, call: Struct) -> None:
    """Do what ``check`` allowed."""
    state = context.state
    match call:
        case Transfer():
            _move(state, context.sender, call.to, Asset(call.asset), call.amount)
        case Grant():
            _move(state, ISSUANCE, call.to, Asset(call.asset), call.amount)
        case Hold():
            pending = Pending(context.sender, call.to, call.asset, call.amount, call.expires_s)
            state.write(PENDING_PREFIX + context.transaction_id, pending)
            state.write(_get_due_key(call.expires_s, context.transaction_id), Due())
            _reserve(state, pending, 1)
        case Post():
            pending = _release(state, call.pending)
            _move(state, pending.debtor, pending.creditor, Asset(pending.asset), call.amount)
        case Void():
            _release(state, call.pending)


def begin_block(context: BlockContext) -> None:
    """Free what expired, oldest first, at most EXPIRIES_PER_BLOCK_MAX."""
    for count, (key, _) in enumerate(context.state.iterate(DUE_PREFIX, Due)):
        expires_s = int.from_bytes(key[2:10], "big")
        if expires_s * 1000 > context.time_ms or count >= EXPIRIES_PER_BLOCK_MAX:
            return
        _release(context.state, key[10:])


def get_next_due_ms(_: LedgerContext, state: Overlay) -> int | None:
    """Return when the first pending expires, in milliseconds."""
    for key, _due in state.iterate(DUE_PREFIX, Due):
        return int.from_bytes(key[2:10], "big") * 1000
    return None


def _check_target(state: Overlay, to: bytes, asset: int, amount: int) -> Rejection | None:
    if asset not in (Asset.SETTLEMENT, Asset.COIN):
        return Rejection.ARGUMENTS_INVALID
    if not 0 < amount <= AMOUNT_MAX:
        return Rejection.AMOUNT_INVALID
    if get_account(state, to) is None:
        return Rejection.RECIPIENT_UNKNOWN
    if get_balance(state, to, Asset(asset)).amount + amount > BALANCE_MAX:
        return Rejection.BALANCE_OVERFLOW
    return None


def _check_grant(state: Overlay, call: Grant) -> Rejection | None:
    rejection = _check_target(state, call.to, call.asset, call.amount)
    if rejection is not None:
        return rejection
    issued = -get_balance(state, ISSUANCE, Asset(call.asset)).amount
    return Rejection.BALANCE_OVERFLOW if issued + call.amount > BALANCE_MAX else None


def _check_payment(context: CallContext, to: bytes, asset: int, amount: int) -> Rejection | None:
    rejection = _check_target(context.state, to, asset, amount)
    if rejection is not None:
        return rejection
    balance = get_balance(context.state, context.sender, Asset(asset))
    return None if balance.amount - balance.reserved >= amount else Rejection.BALANCE_TOO_LOW


def _check_hold(context: CallContext, call: Hold) -> Rejection | None:
    if not 0 < call.expires_s * 1000 - context.time_ms <= PENDING_SECONDS_MAX * 1000:
        return Rejection.ARGUMENTS_INVALID
    rejection = _check_payment(context, call.to, call.asset, call.amount)
    if rejection is not None:
        return rejection
    balance = get_balance(context.state, context.sender, Asset(call.asset))
    return Rejection.PENDING_LIMIT if balance.pendings >= PENDING_PER_ACCOUNT_MAX else None


def _check_post(context: CallContext, call: Post) -> Rejection | None:
    pending = context.state.read(PENDING_PREFIX + call.pending, Pending)
    if pending is None:
        return Rejection.PENDING_UNKNOWN
    if context.sender != pending.debtor:
        return Rejection.NOT_ALLOWED
    if pending.expires_s * 1000 <= context.time_ms:
        return Rejection.PENDING_EXPIRED
    return None if 0 < call.amount <= pending.amount else Rejection.AMOUNT_INVALID


def _move(state: Overlay, debtor: bytes, creditor: bytes, asset: Asset, amount: int) -> None:
    if debtor == creditor:
        return
    _change(state, debtor, asset, -amount)
    _change(state, creditor, asset, amount)


def _change(state: Overlay, account: bytes, asset: Asset, amount: int) -> None:
    balance = get_balance(state, account, asset)
    state.write(
        get_balance_key(account, asset), Balance(balance.amount + amount, balance.reserved, balance.pendings)
    )


def _reserve(state: Overlay, pending: Pending, sign: int) -> None:
    balance = get_balance(state, pending.debtor, Asset(pending.asset))
    state.write(
        get_balance_key(pending.debtor, Asset(pending.asset)),
        Balance(balance.amount, balance.reserved + sign * pending.amount, balance.pendings + sign),
    )


def _release(state: Overlay, pending_id: bytes) -> Pending:
    pending = state.read(PENDING_PREFIX + pending_id, Pending)
    if pending is None:
        message = "a pending that was just checked is gone"
        raise AssertionError(message)
    state.write(PENDING_PREFIX + pending_id, None)
    state.write(_get_due_key(pending.expires_s, pending_id), None)
    _reserve(state, pending, -1)
    return pending


def _get_due_key(expires_s: int, pending_id: bytes) -> bytes:
    return DUE_PREFIX + expires_s.to_bytes(8, "big") + pending_id


CONTRACT = Contract(
    name="ledger",
    key_prefix=b"l",
    methods={"transfer": Transfer, "grant": Grant, "hold": Hold, "post": Post, "void": Void},
    check=check,
    apply=apply,
    begin_block=begin_block,
    get_next_due_ms=get_next_due_ms,
)
