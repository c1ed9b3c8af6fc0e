"""The whole key layout of a node's store; numbers are big-endian, so that byte order is numeric order.

====== =========================== ===========================================================
prefix key                         value
====== =========================== ===========================================================
``F``  –                           the layout's version, 1 byte
``G``  –                           the genesis' canonical bytes
``N``  –                           height of the last block, 8 bytes
``K``  –                           height of the last certificate, 8 bytes
``J``  –                           the journal's mark at the last block: generation (8), records (8)
``h``  height (8)                  block header
``b``  height (8)                  batch: proposer, time, the transactions' bytes
``r``  height (8)                  receipts
``c``  height (8)                  certificate
``m``  epoch (8)                   handover: how the epoch ended
``P``  –                           height up to which blocks are pruned, 8 bytes
``i``  transaction id's first (20) height (8), place in the block (4), consumed (1)
``s``  state key                   state value
``t``  bucket (2), state key       leaf of the state tree
``e``  number (8)                  evidence of equivocation
``u``  bucket (2)                  a bucket of a snapshot that is not whole yet
====== =========================== ===========================================================

Two ids that begin with the same 20 bytes take some 2⁸⁰ signatures to find. Who reads what stands at a place compares
the whole id.
"""

from vm.state_root import INDEX_BYTES

FORMAT = b"F"
GENESIS = b"G"
HEIGHT = b"N"
CERTIFIED = b"K"
JOURNAL = b"J"
HEADER = b"h"
BATCH = b"b"
RECEIPTS = b"r"
CERTIFICATE = b"c"
HANDOVER = b"m"
PRUNED = b"P"
INDEX = b"i"
STATE = b"s"
LEAF = b"t"
EVIDENCE = b"e"
UNFINISHED = b"u"

INDEXED_BYTES = 20


def build_number_key(prefix: bytes, number: int) -> bytes:
    """Return the key of something that is counted: a height, or a number of evidence."""
    return prefix + number.to_bytes(8, "big")


def build_index_key(transaction_id: bytes) -> bytes:
    """Return the key of the place of a transaction."""
    return INDEX + transaction_id[:INDEXED_BYTES]


def build_bucket_key(prefix: bytes, index: int) -> bytes:
    """Return the key of a bucket, or what the keys of its leaves begin with."""
    return prefix + index.to_bytes(INDEX_BYTES, "big")
