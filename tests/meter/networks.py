"""Builders of what a network of four validators signs: a genesis, blocks with receipts, certificates."""

from dataclasses import dataclass, field

from consensus.messages import Certificate, Signature, get_header_payload
from meter.proofs import CertifiedReceipt, TrustAnchor, build_trust_anchor
from primitives.encoding import encode
from primitives.hashing import EMPTY_DIGEST, compute_account_id
from primitives.header import PROTOCOL_VERSION, BlockHeader, Validator
from primitives.ids import AccountId, Digest, Height, Nonce
from primitives.merkle import compute_merkle_proof, compute_merkle_root
from primitives.signing import SecretKey, SignatureDomain
from vm.genesis import ConsensusParameters, EnergyParameters, Genesis, GenesisAccount
from vm.receipt import Receipt, ReceiptProof
from vm.transaction import Call, SealedTransaction, sign_transaction

KEYS = tuple(SecretKey(bytes([number]) * 32) for number in range(1, 5))
STRANGER = SecretKey(b"\x63" * 32)
METER_KEY = SecretKey(b"\x2a" * 32)
METER = AccountId(compute_account_id(METER_KEY.public))
CALL = Call("energy", "submit_reading", b"\x90")


def build_genesis(name: str = "street") -> Genesis:
    validators = tuple(
        Validator(f"node{number}", key.public, f"certificate {number}".encode())
        for number, key in enumerate(KEYS)
    )
    utility = GenesisAccount(b"\x01" * 16, STRANGER.public, "utility", "utility")
    energy = EnergyParameters(3600, 60, 86400, 60, 80_000, 220_000)
    return Genesis(1, name, "EUR", 0, validators, (utility,), energy, ConsensusParameters())


GENESIS = build_genesis()
ANCHOR = build_trust_anchor(GENESIS)


def sign_call(nonce: int, valid_until: int = 1000, key: SecretKey = METER_KEY) -> SealedTransaction:
    return sign_transaction(key, ANCHOR.genesis_hash, METER, Nonce(nonce), Height(valid_until), CALL)


def build_header(
    height: int,
    receipts: tuple[Receipt, ...] = (),
    parent: bytes = EMPTY_DIGEST,
    state_root: bytes = EMPTY_DIGEST,
    epoch: int = 0,
) -> BlockHeader:
    root = compute_merkle_root([encode(receipt) for receipt in receipts])
    return BlockHeader(
        height,
        height,
        epoch,
        parent,
        EMPTY_DIGEST,
        height * 1000,
        state_root,
        root,
        ANCHOR.membership.hash,
        PROTOCOL_VERSION,
    )


def certify(
    header: BlockHeader, keys: tuple[SecretKey, ...] = KEYS[:3], anchor: TrustAnchor = ANCHOR
) -> Certificate:
    payload = get_header_payload(header)
    signatures = [
        Signature(key.public, key.sign(SignatureDomain.HEADER, anchor.genesis_hash, payload)) for key in keys
    ]
    return Certificate(header, tuple(sorted(signatures, key=lambda entry: entry.replica)))


def prove(
    receipts: tuple[Receipt, ...],
    index: int,
    height: int = 7,
    later: int = 0,
    keys: tuple[SecretKey, ...] = KEYS[:3],
    anchor: TrustAnchor = ANCHOR,
) -> CertifiedReceipt:
    """The proof of one receipt of a block, certified ``later`` blocks above it."""
    headers = [build_header(height, receipts)]
    for number in range(later):
        headers.append(build_header(height + 1 + number, parent=headers[-1].compute_digest()))
    inclusion = compute_merkle_proof([encode(receipt) for receipt in receipts], index)
    proof = ReceiptProof(receipts[index], inclusion, tuple(headers))
    return CertifiedReceipt(proof, certify(headers[-1], keys, anchor))


@dataclass
class Ledger:
    """The blocks of a pretended network: what was executed, and the proofs of it."""

    height: int = 0
    proofs: dict[bytes, CertifiedReceipt] = field(default_factory=dict)
    applied: list[bytes] = field(default_factory=list)

    def execute(self, names: list[Digest], rejection: str | None = None, *, consumed: bool = True) -> None:
        self.height += 1
        receipts = tuple(Receipt(name, rejection, consumed) for name in names)
        for index, name in enumerate(names):
            self.proofs[name] = prove(receipts, index, self.height)
            self.applied.append(name)
