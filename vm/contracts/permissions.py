"""Who may do what: accounts with a role and a current key, registered by the utility (prefix ``p``).

====== ============ ====================================================
prefix key          value
====== ============ ====================================================
``pa`` account      ``Account``: role, key, name, nonces, quota
``pk`` public key   ``Owner`` of the key: one key serves one account ever
``pn`` name         ``Owner`` of the name
``pu`` –            ``Utilities``: how many utility accounts are active
====== ============ ====================================================
"""

from primitives.encoding import Struct
from primitives.ids import ACCOUNT_BYTES, AccountId
from primitives.signing import is_public_key_sound
from vm.contract import CallContext, Contract
from vm.genesis import SYSTEM_ACCOUNTS, GenesisAccount, is_name_sound
from vm.receipt import Rejection
from vm.state import Overlay, StateReader, read_record

ROLES = ("utility", "validator", "prosumer", "auditor")
ACCOUNT_PREFIX = b"pa"
KEY_PREFIX = b"pk"
NAME_PREFIX = b"pn"
UTILITIES_KEY = b"pu"


class Account(Struct, frozen=True):
    """An account: its current key, role and name, whether it is suspended, and which nonces it used.

    ``nonce`` is the highest used one; ``unused`` is a bitmap of the nonces below it that are still free, lowest bit
    for ``nonce - 1``, without trailing zero bytes. ``quota_slot`` and ``quota_used`` count transactions of a slot.
    """

    public_key: bytes
    role: str
    name: str
    suspended: bool
    nonce: int
    unused: bytes
    quota_slot: int
    quota_used: int


class Owner(Struct, frozen=True):
    """The account that a key or a name belongs to."""

    account: bytes


class Utilities(Struct, frozen=True):
    """How many utility accounts are not suspended: the last one cannot lock everybody out."""

    active: int


class Register(Struct, frozen=True):
    """The utility opens an account."""

    account: bytes
    public_key: bytes
    role: str
    name: str


class RotateKey(Struct, frozen=True):
    """An account changes its own key, or the utility changes it for a household that lost it."""

    account: bytes
    public_key: bytes


class Suspend(Struct, frozen=True):
    """The utility stops an account: its transactions are refused until it is reinstated."""

    account: bytes


class Reinstate(Struct, frozen=True):
    """The utility lifts a suspension."""

    account: bytes


def get_account_key(account: bytes) -> bytes:
    """Return the key of an account's record."""
    return ACCOUNT_PREFIX + account


def get_account(state: Overlay, account: bytes) -> Account | None:
    """Return an account as the running block sees it."""
    return state.read(get_account_key(account), Account)


def read_account(state: StateReader, account: bytes) -> Account | None:
    """Return an account from a store or snapshot."""
    return read_record(state, get_account_key(account), Account)


def find_account_by_name(state: StateReader, name: str) -> AccountId | None:
    """Return the account that bears a name."""
    owner = read_record(state, NAME_PREFIX + name.encode(), Owner)
    return None if owner is None else AccountId(owner.account)


def find_key_owner(state: Overlay, public_key: bytes) -> AccountId | None:
    """Return the account that a key belongs to, or ever belonged to."""
    owner = state.read(KEY_PREFIX + public_key, Owner)
    return None if owner is None else AccountId(owner.account)


def put_key(state: Overlay, account: bytes, record: Account, public_key: bytes) -> None:
    """Give an account a new current key that nobody has."""
    put_account(state, account, _replace(record, public_key=public_key))
    state.write(KEY_PREFIX + public_key, Owner(account))


def put_account(state: Overlay, account: bytes, record: Account) -> None:
    """Write an account's record."""
    state.write(get_account_key(account), record)


def has_role(state: Overlay, account: bytes, role: str) -> bool:
    """Tell whether an account bears a role and is not suspended."""
    record = get_account(state, account)
    return record is not None and record.role == role and not record.suspended


def check_new_account(
    state: Overlay, account: bytes, public_key: bytes, role: str, name: str
) -> Rejection | None:
    """Return why an account cannot be opened: id, role, name and key sound and free, in this order."""
    if len(account) != ACCOUNT_BYTES or role not in ROLES or not is_name_sound(name):
        return Rejection.ARGUMENTS_INVALID
    if not is_public_key_sound(public_key):
        return Rejection.KEY_UNSOUND
    if account in SYSTEM_ACCOUNTS.values() or get_account(state, account) is not None:
        return Rejection.ACCOUNT_EXISTS
    if find_key_owner(state, public_key) is not None:
        return Rejection.KEY_IN_USE
    if name in SYSTEM_ACCOUNTS or state.read(NAME_PREFIX + name.encode(), Owner) is not None:
        return Rejection.NAME_TAKEN
    return None


def open_account(state: Overlay, account: bytes, public_key: bytes, role: str, name: str) -> None:
    """Open an account that ``check_new_account`` allowed."""
    put_account(state, account, Account(public_key, role, name, False, 0, b"", 0, 0))  # noqa: FBT003  # positional record
    state.write(KEY_PREFIX + public_key, Owner(account))
    state.write(NAME_PREFIX + name.encode(), Owner(account))
    if role == "utility":
        _count_utilities(state, 1)


def open_genesis_accounts(state: Overlay, accounts: tuple[GenesisAccount, ...]) -> None:
    """Open the accounts of the genesis."""
    for entry in accounts:
        open_account(state, entry.account, entry.public_key, entry.role, entry.name)


def check(context: CallContext, call: Struct) -> Rejection | None:
    """Return why the call cannot succeed as things stand."""
    sender_is_utility = has_role(context.state, context.sender, "utility")
    match call:
        case Register():
            if not sender_is_utility:
                return Rejection.NOT_ALLOWED
            return check_new_account(context.state, call.account, call.public_key, call.role, call.name)
        case RotateKey():
            if not sender_is_utility and call.account != context.sender:
                return Rejection.NOT_ALLOWED
            return _check_rotation(context.state, call)
        case Suspend():
            return (
                _check_suspension(context.state, call.account) if sender_is_utility else Rejection.NOT_ALLOWED
            )
        case Reinstate():
            if not sender_is_utility:
                return Rejection.NOT_ALLOWED
            record = get_account(context.state, call.account)
            if record is None:
                return Rejection.ACCOUNT_UNKNOWN
            return None if record.suspended else Rejection.NOT_SUSPENDED
        case _:
            return Rejection.METHOD_UNKNOWN


def apply(context: CallContext, call: Struct) -> None:
    """Do what ``check`` allowed."""
    state = context.state
    match call:
        case Register():
            open_account(state, call.account, call.public_key, call.role, call.name)
        case RotateKey():
            put_key(state, call.account, _require(state, call.account), call.public_key)
        case Suspend() | Reinstate():
            record = _require(state, call.account)
            suspended = isinstance(call, Suspend)
            if record.role == "utility":
                _count_utilities(state, -1 if suspended else 1)
            put_account(state, call.account, _replace(record, suspended=suspended))


def _check_rotation(state: Overlay, call: RotateKey) -> Rejection | None:
    if not is_public_key_sound(call.public_key):
        return Rejection.KEY_UNSOUND
    if get_account(state, call.account) is None:
        return Rejection.ACCOUNT_UNKNOWN
    if find_key_owner(state, call.public_key) is not None:
        return Rejection.KEY_IN_USE
    return None


def _check_suspension(state: Overlay, account: bytes) -> Rejection | None:
    record = get_account(state, account)
    if record is None:
        return Rejection.ACCOUNT_UNKNOWN
    if record.suspended:
        return Rejection.SUSPENDED
    utilities = state.read(UTILITIES_KEY, Utilities)
    if record.role == "utility" and (utilities is None or utilities.active <= 1):
        return Rejection.LAST_UTILITY
    return None


def _count_utilities(state: Overlay, change: int) -> None:
    utilities = state.read(UTILITIES_KEY, Utilities)
    state.write(UTILITIES_KEY, Utilities((0 if utilities is None else utilities.active) + change))


def _require(state: Overlay, account: bytes) -> Account:
    record = get_account(state, account)
    if record is None:
        message = "an account that was just checked is gone"
        raise AssertionError(message)
    return record


def _replace(record: Account, *, public_key: bytes | None = None, suspended: bool | None = None) -> Account:
    return Account(
        record.public_key if public_key is None else public_key,
        record.role,
        record.name,
        record.suspended if suspended is None else suspended,
        record.nonce,
        record.unused,
        record.quota_slot,
        record.quota_used,
    )


CONTRACT = Contract(
    name="permissions",
    key_prefix=b"p",
    methods={"register": Register, "rotate_key": RotateKey, "suspend": Suspend, "reinstate": Reinstate},
    check=check,
    apply=apply,
)
