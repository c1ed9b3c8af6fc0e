"""Builders of what a network of four validators signs: a genesis, blocks with receipts, certificates."""

from dataclasses import dataclass, field

from msgspec import structs

from consensus.messages import Certificate, Handover, Signature, get_header_payload
from meter.proofs import CertifiedReceipt, TrustAnchor, build_trust_anchor
from primitives.encoding import encode
from primitives.hashing import EMPTY_DIGEST, compute_account_id
from primitives.header import PROTOCOL_VERSION, BlockHeader, Validator, compute_membership_hash
from primitives.ids import AccountId, Digest, Height, Nonce
from primitives.merkle import compute_merkle_proof, compute_merkle_root
from primitives.quorum import get_quorum
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


def get_some(keys: tuple[SecretKey, ...]) -> tuple[SecretKey, ...]:
    """A quorum of these, the last ones."""
    return keys[-get_quorum(len(keys)) :]


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
    epoch: int = 0,
) -> CertifiedReceipt:
    """The proof of one receipt of a block, certified ``later`` blocks above it."""
    headers = [build_header(height, receipts, epoch=epoch)]
    for number in range(later):
        headers.append(build_header(height + 1 + number, parent=headers[-1].compute_digest(), epoch=epoch))
    inclusion = compute_merkle_proof([encode(receipt) for receipt in receipts], index)
    proof = ReceiptProof(receipts[index], inclusion, tuple(headers))
    return CertifiedReceipt(proof, certify(headers[-1], keys, anchor))


def build_validators(keys: tuple[SecretKey, ...]) -> tuple[Validator, ...]:
    """Validators with these keys, named after them, whatever epoch they are of."""
    return tuple(
        Validator(f"node{key.public.hex()[:4]}", key.public, b"certificate of " + key.public) for key in keys
    )


def hand_over(
    epoch: int, height: int, signers: tuple[SecretKey, ...], following: tuple[SecretKey, ...]
) -> Handover:
    """How ``epoch`` ends with the block at ``height``: these sign that those validate from then on."""
    validators = build_validators(following)
    header = structs.replace(
        build_header(height, epoch=epoch), next_membership=compute_membership_hash(validators)
    )
    return Handover(certify(header, signers), validators)


FIFTH, SIXTH = SecretKey(b"\x05" * 32), SecretKey(b"\x06" * 32)
ELECTORATES = (KEYS, (*KEYS, FIFTH), (*KEYS[1:], FIFTH), (*KEYS[1:], SIXTH))
"""Who validates in the epochs 0 to 3: a fifth joins, the first leaves, the fifth changes its key."""
ENDS = (10, 20, 30)
"""The last blocks of the epochs 0 to 2."""
HANDOVERS = tuple(
    hand_over(epoch, ENDS[epoch], get_some(ELECTORATES[epoch]), ELECTORATES[epoch + 1]) for epoch in range(3)
)


@dataclass
class Ledger:
    """The blocks of a pretended network: what was executed, and the proofs of it."""

    height: int = 0
    epoch: int = 0
    proofs: dict[bytes, CertifiedReceipt] = field(default_factory=dict)
    applied: list[bytes] = field(default_factory=list)

    def execute(self, names: list[Digest], rejection: str | None = None, *, consumed: bool = True) -> None:
        self.height += 1
        receipts = tuple(Receipt(name, rejection, consumed) for name in names)
        for index, name in enumerate(names):
            self.proofs[name] = prove(
                receipts, index, self.height, keys=get_some(ELECTORATES[self.epoch]), epoch=self.epoch
            )
            self.applied.append(name)
