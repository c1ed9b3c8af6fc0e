"""A small community without a network: a real ledger, blocks executed here, certificates signed by a quorum."""

from collections.abc import Iterator, Mapping

from consensus.authentication import sign_envelope
from consensus.certificates import build_certificate
from consensus.membership import Membership
from consensus.messages import Certificate, Checkpoint, Handover
from node.mempool import Mempool, MempoolLimits
from node.queries import Queries
from primitives.batch import build_batch
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.header import Block, BlockHeader, Validator
from primitives.ids import AccountId, Epoch, Height, Nonce, ReplicaId, Sequence, UnixMs
from primitives.quorum import get_quorum
from primitives.signing import SecretKey
from vm.contract import LedgerContext
from vm.contracts.energy.calls import RegisterMeter, SubmitReading
from vm.contracts.ledger import Asset, Grant
from vm.contracts.validators import read_validator_set
from vm.executor import Position, build_genesis_block, execute_block
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.receipt import Receipt
from vm.transaction import Call, SealedTransaction, sign_transaction

SLOT_S = 900
START_S = 1_700_000_100
KEYS = [SecretKey(bytes([number]) * 32) for number in range(1, 5)]
UTILITY_KEY = SecretKey(b"u" * 32)
UTILITY = compute_account_id(UTILITY_KEY.public)


def build_genesis() -> Genesis:
    return Genesis(
        version=1,
        name="test-street",
        currency="EUR",
        time_ms=START_S * 1000,
        validators=tuple(Validator(f"node{i}", key.public, b"cert%d" % i) for i, key in enumerate(KEYS)),
        accounts=(
            GenesisAccount(UTILITY, UTILITY_KEY.public, "utility", "utility"),
            *(
                GenesisAccount(compute_account_id(key.public), key.public, "validator", f"node{i}")
                for i, key in enumerate(KEYS)
            ),
        ),
        energy=EnergyParameters(SLOT_S, 300, 7 * 86_400, 60, 80_000, 220_000),
        consensus=ConsensusParameters(),
    )


class DictSnapshot:
    """The state at one height; counts whether it was closed."""

    def __init__(self, state: Mapping[bytes, bytes], buckets: Mapping[int, bytes]) -> None:
        self.state = dict(state)
        self.buckets = dict(buckets)
        self.closed = 0

    def get(self, key: bytes) -> bytes | None:
        assert not self.closed
        return self.state.get(key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        assert not self.closed
        return iter(sorted((key, value) for key, value in self.state.items() if key.startswith(prefix)))

    def iterate_from(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        assert not self.closed
        return iter(sorted((key, value) for key, value in self.state.items() if key >= start))

    def get_bucket(self, index: int) -> bytes:
        assert not self.closed
        return self.buckets.get(index, b"")

    def iterate_buckets(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        assert not self.closed
        return iter(sorted((index, content) for index, content in self.buckets.items() if index >= first))

    def close(self) -> None:
        self.closed += 1


class MemoryChain:
    """Blocks, receipts and certificates in dictionaries."""

    def __init__(self) -> None:
        self.headers: dict[int, BlockHeader] = {}
        self.blocks: dict[int, Block] = {}
        self.receipts: dict[int, tuple[Receipt, ...]] = {}
        self.certificates: dict[int, Certificate] = {}
        self.places: dict[bytes, tuple[Height, int]] = {}
        self.handovers: list[Handover] = []
        self.evidence: list[bytes] = []
        self.pruned = 0

    def get_pruned_height(self) -> Height:
        return Height(self.pruned)

    def get_header(self, height: Height) -> BlockHeader | None:
        return self.headers.get(height)

    def get_block(self, height: Height) -> Block | None:
        return self.blocks.get(height)

    def get_receipts(self, height: Height) -> tuple[Receipt, ...]:
        return self.receipts[height]

    def get_certificate(self, height: Height) -> Certificate | None:
        return self.certificates.get(height)

    def find_transaction(self, transaction_id: bytes) -> tuple[Height, int] | None:
        return self.places.get(transaction_id)

    def iterate_numbered_evidence(self) -> Iterator[tuple[int, bytes]]:
        return iter(enumerate(self.evidence))

    def iterate_handovers(self, first: Epoch) -> Iterator[Handover]:
        return iter(self.handovers[first:])


class Community:
    """A ledger that the test moves block by block."""

    def __init__(self) -> None:
        self.genesis = build_genesis()
        self.genesis_hash = self.genesis.compute_hash()
        self.membership = Membership(Epoch(0), self.genesis.validators)
        self.ledger = LedgerContext(self.genesis, self.genesis_hash)
        self.mempool = Mempool(MempoolLimits(1_000, 10**7, 500))
        self.chain = MemoryChain()
        self.queries = Queries(self.genesis, self.chain, self.mempool)
        result = build_genesis_block(self.genesis)
        self.tree = result.tree
        self.header = result.header
        self.state = {key: value for key, value in result.state_writes.items() if value is not None}
        self.buckets = dict(result.tree_writes.buckets)
        self.chain.headers[0] = self.header
        self.epoch = Epoch(0)
        self.electorates = {0: KEYS}
        self.nonces: dict[bytes, int] = {}
        self.snapshots: list[DictSnapshot] = []
        self._tell()

    def sign(
        self, key: SecretKey, account: AccountId, contract: str, method: str, call: Struct
    ) -> SealedTransaction:
        nonce = self.nonces[account] = self.nonces.get(account, 0) + 1
        arguments = encode(call)
        return sign_transaction(
            key, self.genesis_hash, account, Nonce(nonce), Height(10_000), Call(contract, method, arguments)
        )

    def grant(self, amount: int = 1_000) -> SealedTransaction:
        return self.sign(UTILITY_KEY, UTILITY, "ledger", "grant", Grant(UTILITY, Asset.COIN, amount))

    def vote(self, key: SecretKey, method: str, change: Struct) -> SealedTransaction:
        """Return the ballot of the validator with this key."""
        return self.sign(key, compute_account_id(key.public), "validators", method, change)

    def register_meter(self, number: int) -> SealedTransaction:
        key = make_meter_key(number)
        account = compute_account_id(key.public)
        call = RegisterMeter(account, key.public, f"home-{number}", account, 20_000, START_S, 1_000, 500)
        return self.sign(UTILITY_KEY, UTILITY, "energy", "register_meter", call)

    def read_meter(self, number: int, slot: int, import_wh: int, export_wh: int) -> SealedTransaction:
        key = make_meter_key(number)
        call = SubmitReading(START_S + slot * SLOT_S, import_wh, export_wh, "G", slot)
        return self.sign(key, compute_account_id(key.public), "energy", "submit_reading", call)

    def execute(self, *transactions: SealedTransaction, after_s: int = 1) -> BlockHeader:
        """Execute the next block, ``after_s`` seconds after the start."""
        time_ms = UnixMs((START_S + after_s) * 1000)
        batch = build_batch(ReplicaId(KEYS[0].public), time_ms, tuple(each.raw for each in transactions))
        height = Height(self.header.height + 1)
        position = Position(height, Sequence(height), self.epoch)
        before = DictSnapshot(self.state, self.buckets)
        result = execute_block(
            self.ledger, self.header, position, batch, before, self.tree, before.get_bucket
        )
        for key, value in result.state_writes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.buckets.update(result.tree_writes.buckets)
        self.tree = result.tree
        self.header = result.header
        self.chain.headers[height] = result.header
        self.chain.blocks[height] = Block(result.header, batch)
        self.chain.receipts[height] = result.receipts
        for index, receipt in enumerate(result.receipts):
            self.chain.places[receipt.transaction_id] = (height, index)
        self.mempool.commit(receipt.transaction_id for receipt in result.receipts)
        if result.next_validators is not None:
            self.epoch = Epoch(self.epoch + 1)
        self._tell()
        return result.header

    def certify(self, header: BlockHeader | None = None) -> Certificate:
        """Let a quorum sign a header (the newest one), and tell the queries."""
        chosen = header or self.header
        keys = self.electorates[chosen.epoch]
        votes = {
            ReplicaId(key.public): sign_envelope(key, self.genesis_hash, Checkpoint(chosen))
            for key in keys[: get_quorum(len(keys))]
        }
        certificate = build_certificate(chosen, votes)
        self.chain.certificates[chosen.height] = certificate
        following = read_validator_set(DictSnapshot(self.state, self.buckets), self.genesis)
        if following is not None and following.since_height == chosen.height > 0:
            self.chain.handovers.append(Handover(certificate, following.validators))
        self.queries.record_certificate(certificate)
        return certificate

    def commit(self, *transactions: SealedTransaction, after_s: int = 1) -> BlockHeader:
        """Execute and certify."""
        header = self.execute(*transactions, after_s=after_s)
        self.certify()
        return header

    def _tell(self) -> None:
        snapshot = DictSnapshot(self.state, self.buckets)
        self.snapshots.append(snapshot)
        self.queries.record_executed(self.header, snapshot, self.tree)


def make_meter_key(number: int) -> SecretKey:
    return SecretKey(b"meter" + number.to_bytes(27, "big"))


def make_meter_account(number: int) -> AccountId:
    return compute_account_id(make_meter_key(number).public)


def build_settled_community(homes: int = 2) -> Community:
    """Return a community with one settled slot: home-0 fed, home-1 drew."""
    community = Community()
    community.commit(*(community.register_meter(number) for number in range(homes)))
    readings = [community.read_meter(0, 1, 1_000, 2_500), community.read_meter(1, 1, 4_000, 500)]
    readings += [community.read_meter(number, 1, 1_100, 500) for number in range(2, homes)]
    community.commit(*readings, after_s=SLOT_S + 1)
    return community
