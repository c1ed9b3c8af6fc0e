"""The network of the core's own tests: keys, membership, settings, and blocks that are headers chained by hashes."""

from functools import cache

from consensus.effects import Deliver
from consensus.membership import Membership
from consensus.state import Settings
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.header import BlockHeader, Validator, build_genesis_header
from primitives.ids import Epoch
from primitives.signing import SecretKey

GENESIS = compute_hash(HashDomain.GENESIS, b"a network of tests")
START_WALL_MS = 1_500_000_000_000


@cache
def build_keys(replicas: int) -> tuple[SecretKey, ...]:
    """Return the keys of a test network, the same every time."""
    return tuple(SecretKey(bytes([index + 1]) * 32) for index in range(replicas))


@cache
def build_membership(replicas: int) -> Membership:
    """Return a membership of ``replicas`` validators."""
    keys = build_keys(replicas)
    return Membership(
        Epoch(0),
        tuple(Validator(f"v{index}", key.public, bytes([index])) for index, key in enumerate(keys)),
    )


def build_settings(replicas: int, index: int, **changes: int) -> Settings:
    """Return valid settings for one replica."""
    values = {
        "depth": 2,
        "view_timeout_ms": 1000,
        "view_timeout_max_ms": 16_000,
        "resend_ms": 500,
        "drift_ms": 2000,
    } | changes
    return Settings(
        membership=build_membership(replicas), key=build_keys(replicas)[index], genesis_hash=GENESIS, **values
    )


def build_first_header() -> BlockHeader:
    """Return the header of height 0."""
    return build_genesis_header(START_WALL_MS, EMPTY_DIGEST, EMPTY_DIGEST)


def execute(parent: BlockHeader, deliver: Deliver) -> BlockHeader:
    """Return the header that every correct replica computes: a hash chain over the batches."""
    digest = deliver.batch.header.compute_digest()
    root = compute_hash(HashDomain.STATE_NODE, parent.state_root + digest)
    return BlockHeader(
        height=deliver.height,
        sequence=deliver.sequence,
        epoch=deliver.epoch,
        parent=parent.compute_digest(),
        batch_digest=digest,
        time_ms=max(parent.time_ms, deliver.batch.header.time_ms),
        state_root=root,
        receipts_root=EMPTY_DIGEST,
        next_membership=EMPTY_DIGEST,
        protocol_version=1,
    )
