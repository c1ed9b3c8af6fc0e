"""Genesis: everything a network agrees on before its first block, as one canonical record."""

from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.hashing import HashDomain, compute_account_id, compute_hash
from primitives.header import Validator
from primitives.ids import ACCOUNT_BYTES, Digest
from primitives.limits import NAME_BYTES_MAX, VALIDATORS_MAX, VALIDATORS_MIN
from primitives.signing import is_public_key_sound

GENESIS_VERSION = 1
SLOT_SECONDS_ALLOWED = (900, 3600)
CURRENCY_BYTES_MAX = 8

TIME_MS_MAX = 253_402_300_799_999
"""The end of the year 9999: block time never runs back, so a genesis in microseconds would stop it for ever."""

SYSTEM_ACCOUNTS = {
    name: compute_account_id(f"gridbft/system/{name}".encode()) for name in ("grid", "issuance", "rounding")
}
"""Accounts of the ledger itself, by name: nobody can open one of these ids or bear one of these names."""


class EnergyParameters(Struct, frozen=True):
    """How slots are metered and priced. Prices are micro-currency per kWh, times are seconds.

    ``grace_s``: how long after its end a slot waits for silent meters. ``correction_s``: how long after its end
    late and corrected readings are taken, and adjusted at grid price. ``future_s``: how far a meter's clock may
    run before block time.
    """

    slot_s: int
    grace_s: int
    correction_s: int
    future_s: int
    feed_in_price: int
    retail_price: int


class ConsensusParameters(Struct, frozen=True):
    """Agreement's parameters; milliseconds. They bound waiting, never safety.

    ``view_timeout_ms`` doubles up to ``view_timeout_max_ms`` while views fail; ``request_deadline_ms`` is how
    long a primary may leave an admissible transaction; ``heartbeat_ms`` is the time between blocks when nothing
    happens; ``drift_ms`` is how far a batch's time may run before a backup's clock.
    """

    depth: int = 2
    view_timeout_ms: int = 1000
    view_timeout_max_ms: int = 16_000
    request_deadline_ms: int = 1500
    resend_ms: int = 400
    heartbeat_ms: int = 30_000
    drift_ms: int = 2000


class GenesisAccount(Struct, frozen=True):
    """An account that exists from the first block."""

    account: bytes
    public_key: bytes
    role: str
    name: str


class Genesis(Struct, frozen=True):
    """The network's constitution; its hash binds every signature, connection and data directory."""

    version: int
    name: str
    currency: str
    time_ms: int
    validators: tuple[Validator, ...]
    accounts: tuple[GenesisAccount, ...]
    energy: EnergyParameters
    consensus: ConsensusParameters

    def compute_hash(self) -> Digest:
        """Return the genesis hash; its first 8 bytes are the chain id of transactions."""
        return compute_hash(HashDomain.GENESIS, encode(self))


def decode_genesis(data: bytes) -> Genesis:
    """Return the genesis of a canonical file.

    Raises:
        DecodeError: malformed, or a value that no network can run with (the message names it).

    """
    genesis = decode(data, Genesis)
    problem = find_genesis_problem(genesis)
    if problem is not None:
        raise DecodeError(problem)
    return genesis


def find_genesis_problem(genesis: Genesis) -> str | None:
    """Return the first reason why no network can run with this genesis, or None."""
    return (
        _find_identity_problem(genesis)
        or _find_validator_problem(genesis)
        or _find_account_problem(genesis)
        or _find_energy_problem(genesis.energy)
        or _find_consensus_problem(genesis.consensus)
    )


def is_name_sound(name: str) -> bool:
    """Tell whether a name can be shown and typed anywhere: 1 to 32 of letters, digits, dot, dash, underscore."""
    return 0 < len(name) <= NAME_BYTES_MAX and all(
        character.isascii() and (character.isalnum() or character in "._-") for character in name
    )


def _find_identity_problem(genesis: Genesis) -> str | None:
    if genesis.version != GENESIS_VERSION:
        return f"genesis version {genesis.version} is not {GENESIS_VERSION}"
    if not is_name_sound(genesis.name):
        return (
            f"network name {genesis.name!r}: 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes, underscores"
        )
    if not 0 < len(genesis.currency) <= CURRENCY_BYTES_MAX or not (
        genesis.currency.isascii() and genesis.currency.isalpha()
    ):
        return f"currency {genesis.currency!r}: 1 to {CURRENCY_BYTES_MAX} letters"
    if not 0 <= genesis.time_ms <= TIME_MS_MAX:
        return "genesis time is before 1970 or after 9999: milliseconds since 1970, UTC"
    return None


def _find_validator_problem(genesis: Genesis) -> str | None:
    validators = genesis.validators
    if not VALIDATORS_MIN <= len(validators) <= VALIDATORS_MAX:
        return f"{len(validators)} validators: between {VALIDATORS_MIN} and {VALIDATORS_MAX} are possible"
    if len({validator.name for validator in validators}) != len(validators):
        return "two validators share a name"
    if len({validator.public_key for validator in validators}) != len(validators):
        return "two validators share a key"
    if len({validator.tls_certificate for validator in validators}) != len(validators):
        return "two validators share a TLS certificate"
    for validator in validators:
        if not is_name_sound(validator.name):
            return f"validator name {validator.name!r} is not a plain name"
        if not is_public_key_sound(validator.public_key):
            return f"the key of validator {validator.name} is not a sound Ed25519 key"
    return None


def _find_account_problem(genesis: Genesis) -> str | None:
    accounts = genesis.accounts
    if not any(account.role == "utility" for account in accounts):
        return "no account has the role utility: nobody could register a meter"
    for field in ("account", "public_key", "name"):
        if len({getattr(account, field) for account in accounts}) != len(accounts):
            return f"two accounts share their {field.replace('_', ' ')}"
    for account in accounts:
        if len(account.account) != ACCOUNT_BYTES or not is_name_sound(account.name):
            return f"account {account.name!r} has no sound id or name"
        if account.account in SYSTEM_ACCOUNTS.values() or account.name in SYSTEM_ACCOUNTS:
            return f"account {account.name} has the id or name of an account of the ledger itself"
        if account.role not in {"utility", "validator", "prosumer", "auditor"}:
            return f"account {account.name} has the unknown role {account.role!r}"
        if not is_public_key_sound(account.public_key):
            return f"the key of account {account.name} is not a sound Ed25519 key"
    return None


def _find_energy_problem(energy: EnergyParameters) -> str | None:
    if energy.slot_s not in SLOT_SECONDS_ALLOWED:
        return f"slot_s {energy.slot_s}: {' or '.join(map(str, SLOT_SECONDS_ALLOWED))}"
    if energy.grace_s < 0 or energy.correction_s < energy.grace_s or energy.future_s < 0:
        return "times of the energy section: 0 <= grace_s <= correction_s and future_s >= 0"
    if energy.correction_s > 31 * 86400 or energy.future_s > energy.slot_s:
        return "correction_s is at most 31 days and future_s at most one slot"
    if not is_price_pair_sound(energy.feed_in_price, energy.retail_price):
        return "prices: 0 <= feed-in <= retail"
    return None


def _find_consensus_problem(consensus: ConsensusParameters) -> str | None:
    if not 1 <= consensus.depth <= 4:
        return "consensus depth is between 1 and 4"
    if not 50 <= consensus.view_timeout_ms <= consensus.view_timeout_max_ms <= 16_000:
        return "view time-outs: 50 <= view_timeout_ms <= view_timeout_max_ms <= 16000"
    if not 50 <= consensus.request_deadline_ms <= 60_000 or not 50 <= consensus.resend_ms <= 16_000:
        return "request_deadline_ms is between 50 and 60000, resend_ms between 50 and 16000"
    if not 1000 <= consensus.heartbeat_ms <= 86_400_000 or not 0 <= consensus.drift_ms <= 3_600_000:
        return "heartbeat_ms is between 1000 and a day, drift_ms at most an hour"
    return None


PRICE_MAX = 10**9
"""A thousand units of currency per kWh: above any tariff, and Wh x price stays far below 64 bits."""


def is_price_pair_sound(feed_in_price: int, retail_price: int) -> bool:
    """Tell whether a slot can be priced: 0 <= feed-in <= retail <= PRICE_MAX."""
    return 0 <= feed_in_price <= retail_price <= PRICE_MAX
