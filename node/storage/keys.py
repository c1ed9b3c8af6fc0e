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
``i``  transaction id (32)         height (8), place in the block (4), consumed (1)
``s``  state key                   state value
``t``  bucket (2), leaf (32)       empty: the bucket of the state tree has this leaf
``e``  number (8)                  evidence of equivocation
====== =========================== ===========================================================
"""

from collections.abc import Iterable, Iterator

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
BUCKET = b"t"
EVIDENCE = b"e"


def build_number_key(prefix: bytes, number: int) -> bytes:
    """Return the key of something that is counted: a height, or a number of evidence."""
    return prefix + number.to_bytes(8, "big")


def build_bucket_key(index: int) -> bytes:
    """Return what the keys of all leaves of a bucket of the state tree begin with."""
    return BUCKET + index.to_bytes(2, "big")


def build_leaf_keys(index: int, leaves: Iterable[bytes]) -> Iterator[bytes]:
    """Return the keys of leaves of a bucket."""
    prefix = build_bucket_key(index)
    return (prefix + leaf for leaf in leaves)
