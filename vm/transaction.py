"""Transactions: canonical bytes, signed by the key they carry (design.md, "Transactions and state").

The encoding is one MessagePack array whose last element is the signature, so the signed part is a prefix of the
exact bytes: everything but the last 66 (a two-byte length and 64 bytes).
"""

from functools import lru_cache

from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.hashing import compute_transaction_id
from primitives.ids import (
    ACCOUNT_BYTES,
    CHAIN_ID_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    AccountId,
    Digest,
    Height,
    Nonce,
)
from primitives.limits import TRANSACTION_BYTES_MAX
from primitives.signing import SecretKey, SignatureDomain, is_signature_valid

TRANSACTION_VERSION = 1
SIGNATURE_TAIL = 2 + SIGNATURE_BYTES
NONCE_MAX = 2**53
CONTRACT_NAME_BYTES_MAX = 16

DECODED_REMEMBERED = 4096
"""Transactions that are not decoded again: four full batches, 5 MB of readings and 20 MB of the largest."""


class Call(Struct, frozen=True):
    """What a transaction asks: a contract's method with its arguments as canonical bytes of the method's record."""

    contract: str
    method: str
    arguments: bytes


class Transaction(Struct, frozen=True):
    """A signed call. ``valid_until`` is the last height at which it may be executed."""

    version: int
    chain: bytes
    account: bytes
    public_key: bytes
    nonce: int
    valid_until: int
    call: Call
    signature: bytes


class SealedTransaction:
    """A transaction with its exact bytes and id, as it goes through the house; immutable by convention."""

    __slots__ = ("id", "raw", "transaction")

    def __init__(self, transaction: Transaction, raw: bytes) -> None:
        """Bind a decoded transaction to the bytes it came from."""
        self.transaction = transaction
        self.raw = raw
        self.id = compute_transaction_id(raw)


@lru_cache(DECODED_REMEMBERED)
def decode_transaction(raw: bytes) -> SealedTransaction:
    """Return the transaction of these bytes; the signature is not checked here.

    A function of its bytes alone, so the same answer is remembered: a node decodes what it is told, and again what it
    executes.

    Raises:
        DecodeError: too large, malformed, not canonical, of another version, or a field of a wrong size.

    """
    if len(raw) > TRANSACTION_BYTES_MAX:
        message = f"a transaction has at most {TRANSACTION_BYTES_MAX} bytes, this one {len(raw)}"
        raise DecodeError(message)
    transaction = decode(raw, Transaction)
    if transaction.version != TRANSACTION_VERSION:
        message = f"transaction version {transaction.version} is not {TRANSACTION_VERSION}"
        raise DecodeError(message)
    if (
        len(transaction.chain) != CHAIN_ID_BYTES
        or len(transaction.account) != ACCOUNT_BYTES
        or len(transaction.public_key) != PUBLIC_KEY_BYTES
        or len(transaction.signature) != SIGNATURE_BYTES
    ):
        message = "chain, account, public key or signature has a wrong length"
        raise DecodeError(message)
    if not (0 < transaction.nonce <= NONCE_MAX and 0 <= transaction.valid_until <= NONCE_MAX):
        message = "nonce or valid-until height is out of range"
        raise DecodeError(message)
    if (
        len(transaction.call.contract.encode()) > CONTRACT_NAME_BYTES_MAX
        or len(transaction.call.method.encode()) > CONTRACT_NAME_BYTES_MAX
    ):
        message = "contract or method name is too long"
        raise DecodeError(message)
    return SealedTransaction(transaction, raw)


def is_transaction_signed(sealed: SealedTransaction, genesis_hash: Digest) -> bool:
    """Tell whether the signature is the carried key's, for the chain of ``genesis_hash``: the stateless check."""
    transaction = sealed.transaction
    return transaction.chain == genesis_hash[:CHAIN_ID_BYTES] and is_signature_valid(
        transaction.public_key,
        transaction.signature,
        SignatureDomain.TRANSACTION,
        genesis_hash,
        sealed.raw[:-SIGNATURE_TAIL],
    )


def sign_transaction(
    key: SecretKey, genesis_hash: Digest, account: AccountId, nonce: Nonce, valid_until: Height, call: Call
) -> SealedTransaction:
    """Return the transaction of ``account`` signed with ``key``."""
    unsigned = Transaction(
        version=TRANSACTION_VERSION,
        chain=genesis_hash[:CHAIN_ID_BYTES],
        account=account,
        public_key=key.public,
        nonce=nonce,
        valid_until=valid_until,
        call=call,
        signature=bytes(SIGNATURE_BYTES),
    )
    prefix = encode(unsigned)[:-SIGNATURE_TAIL]
    signature = key.sign(SignatureDomain.TRANSACTION, genesis_hash, prefix)
    raw = prefix + b"\xc4\x40" + signature
    return decode_transaction(raw)
