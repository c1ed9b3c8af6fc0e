"""Transactions for the tests of the node: valid to the eye of the pool, signed where a test needs it."""

from primitives.encoding import encode
from primitives.hashing import compute_account_id
from primitives.ids import AccountId, Digest, Height, Nonce
from primitives.signing import SecretKey
from vm.transaction import Call, SealedTransaction, Transaction, decode_transaction, sign_transaction

GENESIS_HASH = Digest(bytes(range(32)))
FAR = Height(1_000_000)


def make_account(number: int) -> AccountId:
    return compute_account_id(b"account %d" % number)


def make_unsigned(
    account: int = 0, nonce: int = 1, valid_until: int = FAR, padding: int = 0
) -> SealedTransaction:
    """Return a transaction whose signature is zeros: the pool never looks at it."""
    transaction = Transaction(
        version=1,
        chain=GENESIS_HASH[:8],
        account=make_account(account),
        public_key=bytes(32),
        nonce=nonce,
        valid_until=valid_until,
        call=Call("energy", "submit", bytes(padding)),
        signature=bytes(64),
    )
    return decode_transaction(encode(transaction))


def make_signed(number: int, nonce: int = 1, valid_until: int = FAR) -> SealedTransaction:
    key = SecretKey(number.to_bytes(32, "big"))
    account = make_account(number)
    call = Call("energy", "submit", b"\x90")
    return sign_transaction(key, GENESIS_HASH, account, Nonce(nonce), Height(valid_until), call)


def spoil_signature(sealed: SealedTransaction) -> SealedTransaction:
    return decode_transaction(sealed.raw[:-1] + bytes([sealed.raw[-1] ^ 1]))
