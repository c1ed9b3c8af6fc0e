"""A chain in memory that executes blocks of real transactions: each test changes one thing of it."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from primitives.batch import build_batch
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.header import Validator
from primitives.ids import AccountId, Digest, Epoch, Height, Nonce, ReplicaId, Sequence, UnixMs
from primitives.signing import SecretKey
from vm import admission
from vm.contract import LedgerContext
from vm.contracts.ledger import Asset, Balance, read_balance
from vm.contracts.permissions import Register, read_account
from vm.executor import BlockResult, Position, build_genesis_block, execute_block
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.receipt import Receipt, Rejection
from vm.registry import CONTRACTS
from vm.transaction import Call, SealedTransaction, sign_transaction

HOUR = 3600
START_S = 1_700_002_800
"""A full hour; the genesis is one hour older."""

METHODS = {
    record: (contract.name, method)
    for contract in CONTRACTS.values()
    for method, record in contract.methods.items()
}


def make_key(name: str) -> SecretKey:
    return SecretKey(name.encode().ljust(32, b"."))


@dataclass
class Wallet:
    """An account with its key; counts its nonces."""

    name: str
    key: SecretKey
    account: AccountId
    nonce: int = 0


def make_wallet(name: str) -> Wallet:
    key = make_key(name)
    return Wallet(name, key, compute_account_id(key.public))


def make_validators(count: int = 4) -> tuple[Validator, ...]:
    return tuple(
        Validator(f"v{i}", make_key(f"validator {i}").public, b"certificate %d" % i) for i in range(count)
    )


def make_energy(**changes: int) -> EnergyParameters:
    values = {
        "slot_s": HOUR,
        "grace_s": 900,
        "correction_s": 7 * 86400,
        "future_s": 5,
        "feed_in_price": 80_000,
        "retail_price": 220_000,
    }
    return EnergyParameters(**{**values, **changes})


def make_validator_wallet(index: int) -> Wallet:
    """Return the wallet of a validator's voting key."""
    key = make_key(f"validator {index}")
    return Wallet(f"v{index}", key, compute_account_id(key.public))


def make_genesis(
    energy: EnergyParameters | None = None, names: tuple[str, ...] = ("utility",), validators: int = 4
) -> Genesis:
    """Return a genesis whose named accounts are all utilities; its validators have accounts of their own."""
    wallets = [make_wallet(name) for name in names]
    voters = [make_validator_wallet(index) for index in range(validators)]
    return Genesis(
        version=1,
        name="test",
        currency="EUR",
        time_ms=(START_S - HOUR) * 1000,
        validators=make_validators(validators),
        accounts=(
            *(GenesisAccount(w.account, w.key.public, "utility", w.name) for w in wallets),
            *(GenesisAccount(w.account, w.key.public, "validator", w.name) for w in voters),
        ),
        energy=energy or make_energy(),
        consensus=ConsensusParameters(),
    )


class MemoryState:
    """Values in byte order, and buckets: what the node's store is to the ledger."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.buckets: dict[int, bytes] = {}
        self._sorted: list[bytes] | None = None

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self._sorted is None:
            self._sorted = sorted(self.values)
        keys = self._sorted
        for position in range(bisect_left(keys, prefix), len(keys)):
            if not keys[position].startswith(prefix):
                return
            yield keys[position], self.values[keys[position]]

    def get_bucket(self, index: int) -> bytes:
        return self.buckets.get(index, b"")

    def commit(self, result: BlockResult) -> None:
        for key, value in result.state_writes.items():
            if value is None:
                del self.values[key]
                self._sorted = None
            else:
                if key not in self.values:
                    self._sorted = None
                self.values[key] = value
        self.buckets.update(result.tree_writes.buckets)


@dataclass
class Chain:
    """Executes blocks one after the other; ``time_s`` is the time of the next block unless told otherwise."""

    genesis: Genesis = field(default_factory=make_genesis)
    time_s: int = START_S

    def __post_init__(self) -> None:
        self.context = LedgerContext(self.genesis, self.genesis.compute_hash())
        self.state = MemoryState()
        result = build_genesis_block(self.genesis)
        self.state.commit(result)
        self.tree = result.tree
        self.header = result.header
        self.last = result
        self.epoch = 0
        self.utility = make_wallet("utility")

    @property
    def genesis_hash(self) -> Digest:
        return self.context.genesis_hash

    def sign(
        self,
        wallet: Wallet,
        record: Struct,
        *,
        nonce: int | None = None,
        valid_until: int = 1_000_000,
        key: SecretKey | None = None,
    ) -> SealedTransaction:
        """Return the wallet's next transaction, which calls the method that takes ``record``."""
        contract, method = METHODS[type(record)]
        return self.sign_call(
            wallet, Call(contract, method, encode(record)), nonce=nonce, valid_until=valid_until, key=key
        )

    def sign_call(
        self,
        wallet: Wallet,
        call: Call,
        *,
        nonce: int | None = None,
        valid_until: int = 1_000_000,
        key: SecretKey | None = None,
    ) -> SealedTransaction:
        if nonce is None:
            wallet.nonce += 1
            nonce = wallet.nonce
        return sign_transaction(
            key or wallet.key, self.genesis_hash, wallet.account, Nonce(nonce), Height(valid_until), call
        )

    def prepare(self, *raws: bytes, time_ms: int | None = None) -> BlockResult:
        """Return what the block would do, without doing it."""
        time_ms = self.time_s * 1000 if time_ms is None else time_ms
        batch = build_batch(ReplicaId(self.genesis.validators[0].public_key), UnixMs(time_ms), raws)
        height = self.header.height + 1
        return execute_block(
            self.context,
            self.header,
            Position(Height(height), Sequence(height), Epoch(self.epoch)),
            batch,
            self.state,
            self.tree,
            self.state.get_bucket,
        )

    def execute_raw(self, *raws: bytes, time_ms: int | None = None) -> BlockResult:
        result = self.prepare(*raws, time_ms=time_ms)
        self.state.commit(result)
        self.tree, self.header, self.last = result.tree, result.header, result
        self.epoch += result.next_validators is not None
        return result

    def execute(self, *sealed: SealedTransaction, at_s: int | None = None) -> tuple[Receipt, ...]:
        """Execute one block, at ``at_s`` if given."""
        self.time_s = self.time_s if at_s is None else at_s
        return self.execute_raw(*(transaction.raw for transaction in sealed)).receipts

    def call(self, wallet: Wallet, record: Struct, at_s: int | None = None) -> str | None:
        """Execute one block with one call and return why it was refused, or None.

        What was refused must have changed nothing but the caller's nonce, and what admission refuses early must be
        what the block refuses.
        """
        self.time_s = self.time_s if at_s is None else at_s
        sealed = self.sign(wallet, record)
        empty = self.prepare()
        with_call = self.prepare(sealed.raw)
        (receipt,) = with_call.receipts
        if receipt.rejection is not None:
            extra = {
                key
                for key in with_call.state_writes.keys() | empty.state_writes.keys()
                if with_call.state_writes.get(key) != empty.state_writes.get(key)
            }
            assert extra == ({b"pa" + wallet.account} if receipt.consumed else set())
        self.execute_raw(sealed.raw)
        return receipt.rejection

    def admit(self, sealed: SealedTransaction) -> Rejection | None:
        """Return what the mempool is told about a transaction now."""
        return admission.check(
            self.state, self.context, Height(self.header.height + 1), self.time_s * 1000, sealed
        )

    def open_account(self, name: str, role: str = "prosumer") -> Wallet:
        wallet = make_wallet(name)
        record = Register(wallet.account, wallet.key.public, role, name)
        assert self.call(self.utility, record) is None
        return wallet

    def balance(self, account: bytes, asset: Asset = Asset.SETTLEMENT) -> Balance:
        return read_balance(self.state, account, asset)

    def is_nonce_consumed(self, wallet: Wallet, nonce: int) -> bool:
        account = read_account(self.state, wallet.account)
        return account is not None and admission.check_nonce(account, nonce) is not None

    def sum_of_asset(self, asset: Asset) -> int:
        prefix = b"lb" + bytes([asset])
        accounts = [key[len(prefix) :] for key in self.state.values if key.startswith(prefix)]
        return sum(self.balance(account, asset).amount for account in accounts)
