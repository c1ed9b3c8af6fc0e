"""Who takes part, and what they sign: validators, a utility, members with coins, and homes with meters.

All of it follows from the number of validators and the parameters: what was signed once is remembered by the process.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

from consensus.membership import Membership
from node.home import Constitution
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.header import Validator
from primitives.ids import AccountId, Digest, Epoch, Height, Nonce
from primitives.signing import SecretKey
from vm.contracts.energy.calls import CorrectReading, RegisterMeter, SubmitReading
from vm.contracts.ledger import Asset, Grant, Transfer
from vm.contracts.validators import METHODS, Add, Endpoint, Remove, Replace
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.transaction import Call, SealedTransaction, sign_transaction

SLOT_S = 900
START_S = 1_700_000_100
PAST_SLOTS = 24
"""Slots that are over when a run begins: their readings settle as they come, and time need not pass by the hour."""

WALL_START_MS = (START_S + PAST_SLOTS * SLOT_S) * 1000
MEMBERS = 4
METERS = 3
COINS = 1_000
FAR = Height(1_000_000)

PARAMETERS = ConsensusParameters(
    depth=2,
    view_timeout_ms=1000,
    view_timeout_max_ms=4000,
    request_deadline_ms=1500,
    resend_ms=400,
    heartbeat_ms=10_000,
    drift_ms=2000,
)
"""Of most runs: a time-out that reaches its cap in the third attempt."""

ENDPOINT = Endpoint("localhost", 7100)
UTILITY_KEY = SecretKey(b"u" * 32)
UTILITY = compute_account_id(UTILITY_KEY.public)


@cache
def get_validator_key(index: int) -> SecretKey:
    """Return a validator's key, the same in every run."""
    return SecretKey(bytes([index + 1]) * 32)


@cache
def get_member_key(number: int) -> SecretKey:
    """Return the key of a member, who has coins."""
    return SecretKey(b"member" + number.to_bytes(26, "big"))


@cache
def get_meter_key(number: int) -> SecretKey:
    """Return the key of a home's meter."""
    return SecretKey(b"meter" + number.to_bytes(27, "big"))


def get_member(number: int) -> AccountId:
    """Return a member's account."""
    return compute_account_id(get_member_key(number).public)


def get_meter(number: int) -> AccountId:
    """Return a meter's account."""
    return compute_account_id(get_meter_key(number).public)


def build_validator(index: int) -> Validator:
    """Return what a membership says of a machine."""
    return Validator(f"v{index}", get_validator_key(index).public, b"certificate %d" % index)


@lru_cache(maxsize=64)
def build_constitution(validators: int, parameters: ConsensusParameters = PARAMETERS) -> Constitution:
    """Return the genesis of a network of so many validators, and what follows from it."""
    members = tuple(
        GenesisAccount(get_member(n), get_member_key(n).public, "prosumer", f"member{n}")
        for n in range(MEMBERS)
    )
    genesis = Genesis(
        version=1,
        name="simulated",
        currency="EUR",
        time_ms=START_S * 1000,
        validators=tuple(build_validator(index) for index in range(validators)),
        accounts=(
            GenesisAccount(UTILITY, UTILITY_KEY.public, "utility", "utility"),
            *members,
            *(
                GenesisAccount(compute_account_id(key.public), key.public, "validator", f"v{index}")
                for index, key in enumerate(map(get_validator_key, range(validators)))
            ),
        ),
        energy=EnergyParameters(SLOT_S, 300, 7 * 86_400, 60, 80_000, 220_000),
        consensus=parameters,
    )
    return Constitution(
        genesis, encode(genesis), genesis.compute_hash(), Membership(Epoch(0), genesis.validators)
    )


@dataclass
class Community:
    """Signs transactions for one network; nonces count up."""

    genesis_hash: Digest

    def __post_init__(self) -> None:
        self._nonces: dict[bytes, int] = {}
        self._accounts: dict[bytes, AccountId] = {}

    def grant(self, member: int, amount: int = COINS) -> SealedTransaction:
        """Return the utility's gift of coins to a member; it is valid whenever it comes."""
        return self._sign(UTILITY_KEY, "ledger", "grant", Grant(get_member(member), Asset.COIN, amount))

    def register(self, meter: int) -> SealedTransaction:
        """Return the registration of a home's meter, from the first slot on."""
        key = get_meter_key(meter)
        account = compute_account_id(key.public)
        call = RegisterMeter(account, key.public, f"home-{meter}", account, 20_000, START_S, 1_000, 500)
        return self._sign(UTILITY_KEY, "energy", "register_meter", call)

    def read_meter(self, meter: int, slot: int) -> SealedTransaction:
        """Return the reading at the end of a slot, counted from 0."""
        registers = (1_000 + (slot + 1) * (300 + 100 * meter), 500 + (slot + 1) * (600 - 250 * meter))
        call = SubmitReading(START_S + (slot + 1) * SLOT_S, *registers, "G", slot + 1)
        return self._sign(get_meter_key(meter), "energy", "submit_reading", call)

    def correct(self, meter: int, slot: int) -> SealedTransaction:
        """Return a correction of a reading."""
        registers = (1_001 + (slot + 1) * (300 + 100 * meter), 500 + (slot + 1) * (600 - 250 * meter))
        call = CorrectReading(get_meter(meter), START_S + (slot + 1) * SLOT_S, *registers, "G", "checked")
        return self._sign(UTILITY_KEY, "energy", "correct_reading", call)

    def transfer(
        self, sender: int, to: int, amount: int = 1, *, nonce: int | None = None
    ) -> SealedTransaction:
        """Return a member's payment; with a nonce of the past it contradicts an earlier one."""
        call = Transfer(get_member(to), Asset.COIN, amount)
        return self._sign(get_member_key(sender), "ledger", "transfer", call, nonce)

    def add(self, index: int) -> Add:
        """Return the change that lets a machine in."""
        return Add(build_validator(index), ENDPOINT)

    def remove(self, index: int) -> Remove:
        """Return the change that lets a machine go."""
        return Remove(get_validator_key(index).public)

    def replace(self, index: int, by: int) -> Replace:
        """Return the change that gives a machine's place, and its account, to another one."""
        return Replace(get_validator_key(index).public, build_validator(by), ENDPOINT)

    def cast(self, voter: int, change: Struct) -> SealedTransaction:
        """Return a validator's ballot."""
        method = next(name for name, record in METHODS.items() if isinstance(change, record))
        return self._sign(get_validator_key(voter), "validators", method, change)

    def take_over(self, index: int, by: int) -> None:
        """Let a machine's key sign for the account of the one whose place it took."""
        old = get_validator_key(index).public
        self._accounts[get_validator_key(by).public] = self._accounts.get(old, compute_account_id(old))
        self._nonces[get_validator_key(by).public] = self._nonces.get(old, 0)

    def get_nonce(self, member: int) -> int:
        """Return the last nonce a member signed."""
        return self._nonces.get(get_member_key(member).public, 0)

    def _sign(
        self, key: SecretKey, contract: str, method: str, call: Struct, nonce: int | None = None
    ) -> SealedTransaction:
        if nonce is None:
            nonce = self._nonces[key.public] = self._nonces.get(key.public, 0) + 1
        account = self._accounts.get(key.public, compute_account_id(key.public))
        return _sign(key, account, self.genesis_hash, nonce, Call(contract, method, encode(call)))


@lru_cache(maxsize=50_000)
def _sign(
    key: SecretKey, account: AccountId, genesis_hash: Digest, nonce: int, call: Call
) -> SealedTransaction:
    return sign_transaction(key, genesis_hash, account, Nonce(nonce), FAR, call)


def forget_signed() -> None:
    """Let everything be built and signed anew: the code that does it has changed."""
    build_constitution.cache_clear()
    _sign.cache_clear()
