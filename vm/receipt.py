"""Receipts: what became of each transaction of a block, and the proof of it that needs no node."""

from enum import StrEnum
from itertools import pairwise

from primitives.encoding import Struct, encode
from primitives.header import BlockHeader
from primitives.merkle import MerkleProof, is_merkle_proof_valid


class Rejection(StrEnum):
    """Why a transaction was refused: the whole list, one word each, with what to do about it in the docs."""

    # the envelope
    MALFORMED = "MALFORMED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    OTHER_CHAIN = "OTHER_CHAIN"
    EXPIRED = "EXPIRED"
    # the account
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    KEY_NOT_CURRENT = "KEY_NOT_CURRENT"
    SUSPENDED = "SUSPENDED"
    NONCE_USED = "NONCE_USED"
    NONCE_TOO_OLD = "NONCE_TOO_OLD"
    NONCE_TOO_FAR = "NONCE_TOO_FAR"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    # the call
    CONTRACT_UNKNOWN = "CONTRACT_UNKNOWN"
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
    NOT_ALLOWED = "NOT_ALLOWED"
    # permissions
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    KEY_UNSOUND = "KEY_UNSOUND"
    KEY_IN_USE = "KEY_IN_USE"
    NAME_TAKEN = "NAME_TAKEN"
    NOT_SUSPENDED = "NOT_SUSPENDED"
    LAST_UTILITY = "LAST_UTILITY"
    # validators
    NOT_A_VALIDATOR = "NOT_A_VALIDATOR"
    VALIDATOR_EXISTS = "VALIDATOR_EXISTS"
    VALIDATOR_UNKNOWN = "VALIDATOR_UNKNOWN"
    VALIDATOR_LIMIT = "VALIDATOR_LIMIT"
    MEMBERSHIP_CHANGING = "MEMBERSHIP_CHANGING"
    BALLOT_MISSING = "BALLOT_MISSING"
    # ledger
    AMOUNT_INVALID = "AMOUNT_INVALID"
    BALANCE_TOO_LOW = "BALANCE_TOO_LOW"
    BALANCE_OVERFLOW = "BALANCE_OVERFLOW"
    RECIPIENT_UNKNOWN = "RECIPIENT_UNKNOWN"
    PENDING_UNKNOWN = "PENDING_UNKNOWN"
    PENDING_EXPIRED = "PENDING_EXPIRED"
    PENDING_LIMIT = "PENDING_LIMIT"
    # energy
    METER_UNKNOWN = "METER_UNKNOWN"
    METER_EXISTS = "METER_EXISTS"
    METER_LIMIT = "METER_LIMIT"
    METER_REPLACED = "METER_REPLACED"
    PRICE_INVALID = "PRICE_INVALID"
    SLOT_MISALIGNED = "SLOT_MISALIGNED"
    SLOT_STARTED = "SLOT_STARTED"
    TARIFF_TOO_FAR = "TARIFF_TOO_FAR"
    READING_BEFORE_OPENING = "READING_BEFORE_OPENING"
    READING_OF_FUTURE = "READING_OF_FUTURE"
    READING_EXISTS = "READING_EXISTS"
    READING_MISSING = "READING_MISSING"
    READING_NOT_INCREASING = "READING_NOT_INCREASING"
    READING_ABOVE_LIMIT = "READING_ABOVE_LIMIT"
    READING_TOO_LATE = "READING_TOO_LATE"
    PAGINATION_REUSED = "PAGINATION_REUSED"
    GAP_TOO_LONG = "GAP_TOO_LONG"
    CORRECTION_LIMIT = "CORRECTION_LIMIT"
    # coordination
    TERMS_INVALID = "TERMS_INVALID"
    ROUND_UNKNOWN = "ROUND_UNKNOWN"
    ROUND_CLOSED = "ROUND_CLOSED"
    ROUND_OVERLAPS = "ROUND_OVERLAPS"
    ROUND_LIMIT = "ROUND_LIMIT"
    ROUND_TOO_FAR = "ROUND_TOO_FAR"
    MEMBER_UNKNOWN = "MEMBER_UNKNOWN"
    MEMBER_EXISTS = "MEMBER_EXISTS"
    MEMBER_LIMIT = "MEMBER_LIMIT"
    MEMBER_LEFT_OUT = "MEMBER_LEFT_OUT"
    ITERATION_OTHER = "ITERATION_OTHER"
    VECTOR_EXISTS = "VECTOR_EXISTS"
    VECTOR_LENGTH = "VECTOR_LENGTH"
    VECTOR_ABOVE_LIMIT = "VECTOR_ABOVE_LIMIT"
    CLAIM_EXISTS = "CLAIM_EXISTS"
    CLAIM_TOO_HIGH = "CLAIM_TOO_HIGH"
    # demand response
    EVENT_UNKNOWN = "EVENT_UNKNOWN"
    EVENT_CLOSED = "EVENT_CLOSED"
    EVENT_OVERLAPS = "EVENT_OVERLAPS"
    EVENT_LIMIT = "EVENT_LIMIT"
    EVENT_TOO_FAR = "EVENT_TOO_FAR"


class Receipt(Struct, frozen=True):
    """The result of one transaction at its place in a block; ``rejection`` is None when it was applied.

    ``consumed`` tells whether the account's nonce is spent: if not, the same transaction may still be applied later.
    """

    transaction_id: bytes
    rejection: str | None
    consumed: bool


class ReceiptProof(Struct, frozen=True):
    """A receipt with its place under a certified header.

    ``headers`` begins with the header of the receipt's block and follows the parents' links up to the header
    that the certificate signs; most often it is that one header.
    """

    receipt: Receipt
    inclusion: MerkleProof
    headers: tuple[BlockHeader, ...]


def is_receipt_included(proof: ReceiptProof) -> bool:
    """Tell whether the receipt stands under the first header and the headers are linked; the certificate is
    checked by ``consensus.certificates``.
    """
    headers = proof.headers
    if not headers or not are_headers_linked(headers):
        return False
    return is_merkle_proof_valid(encode(proof.receipt), proof.inclusion, headers[0].receipts_root)  # type: ignore[arg-type]


def are_headers_linked(headers: tuple[BlockHeader, ...]) -> bool:
    """Tell whether each header names the one before it as its parent, at the next height."""
    return all(
        later.parent == earlier.compute_digest() and later.height == earlier.height + 1
        for earlier, later in pairwise(headers)
    )
