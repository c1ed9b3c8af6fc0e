"""A real chain with certificates in a store, whose validators may change, and a node that serves it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.authentication import sign_envelope
from consensus.certificates import build_certificate
from consensus.membership import Membership
from consensus.messages import Certificate, Checkpoint
from consensus.replica import Replica
from consensus.state import Settings
from node.answers import Answers
from node.mempool import Mempool, MempoolLimits
from node.pinned_state import PinnedStates
from node.snapshots.download import Download, Question, Refusal, Stage
from node.snapshots.server import SnapshotServer
from node.snapshots.writer import SnapshotWriter
from node.storage.chain import ChainStore
from node.storage.memory import MemoryStore
from node.storage.store import Store
from node.upkeep import find_handover
from primitives.batch import build_batch
from primitives.encoding import encode
from primitives.header import Block, BlockHeader, Validator
from primitives.ids import Epoch, ReplicaId, UnixMs
from primitives.quorum import get_quorum
from primitives.signing import SecretKey
from tests.vm.ledger import Chain, make_key, make_validator_wallet, make_wallet
from vm.contracts.permissions import Register
from vm.contracts.validators import Add, Endpoint, read_validator_set
from vm.executor import BlockResult, build_genesis_block
from vm.genesis import Genesis


@dataclass
class Source(Chain):
    """Executes blocks into a store as well, certifies each, and answers questions as a node does."""

    store: Store = field(default_factory=MemoryStore)
    signers: dict[bytes, SecretKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.chain = ChainStore(self.store)
        init(self.chain, self.genesis)
        for index in range(len(self.genesis.validators)):
            key = make_key(f"validator {index}")
            self.signers[key.public] = key
        self.membership = Membership(Epoch(0), self.genesis.validators)
        self.states = PinnedStates()
        self.server = SnapshotServer(self.states)
        mempool = Mempool(MempoolLimits(100, 10**6, 100))
        self.answers = Answers(self._build_replica(), mempool, self.chain, self.server)
        self._tell()

    def execute_raw(self, *raws: bytes, time_ms: int | None = None) -> BlockResult:
        time_ms = self.time_s * 1000 if time_ms is None else time_ms
        batch = build_batch(ReplicaId(self.genesis.validators[0].public_key), UnixMs(time_ms), raws)
        epoch = self.epoch
        result = super().execute_raw(*raws, time_ms=time_ms)
        block = Block(result.header, batch)
        self.chain.commit_block(block, result.receipts, result.state_writes, result.tree_writes)
        self._tell()
        self.certify(result.header)
        if self.epoch != epoch:
            following = read_validator_set(self.state, self.genesis)
            assert following is not None
            self.membership = Membership(Epoch(following.epoch), following.validators)
        return result

    def certify(self, header: BlockHeader) -> Certificate:
        certificate = self.sign_header(header)
        self.chain.put_certificate(certificate)
        handover = find_handover(self.chain, self.genesis, certificate)
        if handover is not None:
            self.chain.put_handover(handover)
        self.states.record_certificate(certificate)
        self.server.on_certified(certificate.header.height)  # type: ignore[arg-type]  # a height
        return certificate

    def sign_header(self, header: BlockHeader, count: int | None = None) -> Certificate:
        """Let a quorum, or ``count``, of the current members sign a header."""
        members = self.membership.replicas[: count or get_quorum(len(self.membership.replicas))]
        return build_certificate(
            header,
            {
                replica: sign_envelope(self.signers[replica], self.genesis_hash, Checkpoint(header))
                for replica in members
            },
        )

    def register(self, count: int, prefix: str = "home") -> None:
        """Fill the state with accounts, in one block."""
        wallets = [make_wallet(f"{prefix}-{number}") for number in range(count)]
        self.execute(
            *(self.sign(self.utility, Register(w.account, w.key.public, "prosumer", w.name)) for w in wallets)
        )

    def add_validator(self, name: str) -> None:
        """Let a quorum of the genesis' validators vote for one more; its last block ends the epoch."""
        validator = Validator(name, make_key(name).public, f"certificate of {name}".encode())
        self.signers[validator.public_key] = make_key(name)
        epoch = self.epoch
        for index in range(len(self.genesis.validators)):
            wallet = make_validator_wallet(index)
            wallet.nonce = self.height
            if self.epoch == epoch:
                assert self.call(wallet, Add(validator, Endpoint("v.example", 7100))) is None
        assert self.epoch == epoch + 1

    @property
    def height(self) -> int:
        return self.header.height

    def answer(self, question: Question) -> bytes:
        return self.answers.answer(question.kind, question.payload)

    def _tell(self) -> None:
        self.states.record_executed(self.header, self.chain.snapshot(), self.tree)

    def _build_replica(self) -> Replica:
        settings = Settings(
            membership=self.membership,
            key=make_key("validator 0"),
            genesis_hash=self.genesis_hash,
            depth=2,
            view_timeout_ms=1000,
            view_timeout_max_ms=16_000,
            resend_ms=500,
            drift_ms=2000,
        )
        return Replica(settings, self.header, None)


def init(chain: ChainStore, genesis: Genesis) -> None:
    block = build_genesis_block(genesis)
    chain.init_genesis(encode(genesis), block.header, block.state_writes, block.tree_writes)


class Receiver:
    """A node that has nothing but the genesis, and downloads into a store beside its own."""

    def __init__(self, source: Source, own: ChainStore | None = None, store: Store | None = None) -> None:
        if own is None:
            own = ChainStore(MemoryStore())
            init(own, source.genesis)
        self.own = own
        self.store = store or MemoryStore()
        self.membership = Membership(Epoch(0), source.genesis.validators)
        self.download = Download(self.membership, source.genesis_hash, own, SnapshotWriter(self.store))
        self.questions: list[Question] = []

    @property
    def installed(self) -> ChainStore:
        return ChainStore(self.store)

    def run(self, answer: Callable[[Question], bytes]) -> Refusal | None:
        """Ask until it is whole or refused."""
        while self.download.stage is not Stage.WHOLE:
            question = self.download.question
            self.questions.append(question)
            refusal = self.download.take(answer(question))
            if refusal is not None:
                return refusal
        return None
