"""What a validator says on a stream of transactions: MessagePack arrays that begin with their kind."""

from consensus.messages import Certificate
from primitives.encoding import Struct
from primitives.header import BlockHeader
from primitives.merkle import MerkleProof
from vm.receipt import Receipt


class RefusedEntry(Struct, frozen=True):
    """A transaction of a message that was not taken: its place in the message, and why."""

    index: int
    error: str
    detail: str


class Taken(Struct, frozen=True, tag=0):
    """The answer to the message with this number (the first one is 0): all but the ``refused`` are accepted or known.

    With an ``error`` nothing of the message was taken.
    """

    number: int
    refused: tuple[RefusedEntry, ...]
    error: str
    detail: str


class ProvenEntry(Struct, frozen=True):
    """A receipt and its place under the first header of its message."""

    receipt: Receipt
    inclusion: MerkleProof


class Proven(Struct, frozen=True, tag=1):
    """Receipts of one block, with what proves all of them: the links up to the certified header, and its certificate.

    With them a receipt is what ``vm.receipt.ReceiptProof`` holds.
    """

    certificate: Certificate
    headers: tuple[BlockHeader, ...]
    receipts: tuple[ProvenEntry, ...]


class Forgotten(Struct, frozen=True, tag=2):
    """Transactions that were taken and wait no more, without having been executed: to be sent again."""

    ids: tuple[bytes, ...]
