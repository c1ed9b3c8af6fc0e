"""What a snapshot consists of: a manifest, pages of buckets, pages of pairs; cutting them, and checking buckets.

The manifest names a certified block and the digests of its state's 4,096 groups of buckets, which hash to the state
root that a quorum signed. Buckets hash to those digests. The key and value of every pair are in a bucket's leaves. So
each page is true or refused by itself, and the server only reads both tables in the order in which they are stored.
"""

from collections.abc import Iterable

from consensus.messages import Certificate
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.ids import Height
from vm.state_root import (
    GROUP_DIGESTS_BYTES,
    GROUPS,
    WIDTH,
    StateTree,
    collect_group_digests,
    compute_group_digest,
    compute_groups_root,
)

PAGE_BYTES = 128 * 1024
"""A page is full as soon as it holds so much: 4 ms of the server's event loop, a second on a 1 Mbit/s link."""

GROUPS_PER_PAGE_MAX = 512
"""Of a nearly empty state; eight pages cover all groups."""

PAIR_COST = 8
"""Bytes that a pair's lengths take at most beyond its key and value."""

KEY_BYTES_MAX = 4096
"""A question names the key to begin at; the ledger's longest key has 60 bytes."""

Group = tuple[bytes, ...]
"""A group's WIDTH buckets in order; none of them when all are empty."""

Pair = tuple[bytes, bytes]


class Manifest(Struct, frozen=True):
    """A certified block and the digests of its state's groups, as one string."""

    certificate: Certificate
    group_digests: bytes


class BucketsQuestion(Struct, frozen=True):
    """Asks for the groups of a snapshot from ``first`` on."""

    height: int
    first: int


class PairsQuestion(Struct, frozen=True):
    """Asks for the pairs of a snapshot from the key ``start`` on."""

    height: int
    start: bytes


class BucketsPage(Struct, frozen=True):
    """Consecutive groups, from the one asked for."""

    groups: tuple[Group, ...]


class PairsPage(Struct, frozen=True):
    """Consecutive pairs in the order of their keys."""

    pairs: tuple[Pair, ...]


def build_manifest(certificate: Certificate, tree: StateTree) -> bytes:
    """Return the encoded manifest of a certified block's state."""
    return encode(Manifest(certificate, collect_group_digests(tree)))


def check_manifest(manifest: Manifest, above: Height) -> str | None:
    """Return why a manifest is of no use, or None; its certificate is checked elsewhere.

    In this order: it is above the own block; the digests are those of all groups and hash to the header's state root.
    """
    header = manifest.certificate.header
    if header.height <= above:
        return f"a snapshot of block {header.height}, which is not above the own block {above}"
    if len(manifest.group_digests) != GROUP_DIGESTS_BYTES:
        return f"a manifest with {len(manifest.group_digests)} bytes of digests"
    if compute_groups_root(manifest.group_digests) != header.state_root:
        return "a manifest whose digests are not of the certified state"
    return None


def decode_manifest(payload: bytes) -> Manifest:
    """Return the manifest of an answer.

    Raises:
        DecodeError: not a manifest.

    """
    return decode(payload, Manifest)


def decode_buckets_page(payload: bytes) -> BucketsPage:
    """Return the groups of an answer.

    Raises:
        DecodeError: not a page of groups.

    """
    return decode(payload, BucketsPage)


def decode_pairs_page(payload: bytes) -> PairsPage:
    """Return the pairs of an answer.

    Raises:
        DecodeError: not a page of pairs.

    """
    return decode(payload, PairsPage)


def decode_buckets_question(payload: bytes) -> BucketsQuestion:
    """Return what is asked for.

    Raises:
        DecodeError: malformed, or no such group.

    """
    question = decode(payload, BucketsQuestion)
    if not 0 <= question.first < GROUPS:
        raise DecodeError("no such group of buckets")
    return question


def decode_pairs_question(payload: bytes) -> PairsQuestion:
    """Return what is asked for.

    Raises:
        DecodeError: malformed, or a key longer than any.

    """
    question = decode(payload, PairsQuestion)
    if len(question.start) > KEY_BYTES_MAX:
        raise DecodeError("a key longer than any")
    return question


def cut_buckets(first: int, buckets: Iterable[tuple[int, bytes]]) -> BucketsPage:
    """Return a page of groups from ``first`` on.

    ``buckets`` are (index, content) in order, none of an earlier group; those that are absent are empty.
    """
    groups: list[Group] = []
    contents = [b""] * WIDTH
    size = 0
    for index, content in buckets:
        while first + len(groups) < index // WIDTH:
            size += _close_group(groups, contents)
            contents = [b""] * WIDTH
            if is_buckets_page_full(size, len(groups)):
                return BucketsPage(tuple(groups))
        contents[index % WIDTH] = content
    while first + len(groups) < GROUPS and not is_buckets_page_full(size, len(groups)):
        size += _close_group(groups, contents)
        contents = [b""] * WIDTH
    return BucketsPage(tuple(groups))


def measure_group(group: Group) -> int:
    """Return how much of a page a group takes."""
    return sum(map(len, group))


def is_buckets_page_full(size: int, groups: int) -> bool:
    """Tell whether a page of so many bytes and groups is complete."""
    return size >= PAGE_BYTES or groups >= GROUPS_PER_PAGE_MAX


def check_buckets(page: BucketsPage, first: int, group_digests: bytes) -> str | None:
    """Return why a page of groups is not what the manifest promises from ``first`` on, or None.

    In this order: it has groups, and none beyond the last; it is full, or reaches the last; each group is whole, and
    hashes to its digest.
    """
    end = first + len(page.groups)
    if not page.groups or end > GROUPS:
        return f"a page of {len(page.groups)} groups from group {first} on"
    if end < GROUPS and not is_buckets_page_full(sum(map(measure_group, page.groups)), len(page.groups)):
        return "a page of groups that is not full"
    for number, group in enumerate(page.groups, first):
        if group and (len(group) != WIDTH or not any(group)):
            return f"group {number} has {len(group)} buckets"
        digest = compute_group_digest(group or (b"",) * WIDTH)
        if group_digests[number * len(digest) : (number + 1) * len(digest)] != digest:
            return f"group {number} is not of the certified state"
    return None


def cut_pairs(pairs: Iterable[Pair]) -> PairsPage:
    """Return a page of the first of ``pairs``."""
    chosen: list[Pair] = []
    size = 0
    for pair in pairs:
        chosen.append(pair)
        size += measure_pair(pair)
        if is_pairs_page_full(size):
            break
    return PairsPage(tuple(chosen))


def is_pairs_page_full(size: int) -> bool:
    """Tell whether a page of so many bytes is complete."""
    return size >= PAGE_BYTES


def measure_pair(pair: Pair) -> int:
    """Return how much of a page a pair takes."""
    return len(pair[0]) + len(pair[1]) + PAIR_COST


def _close_group(groups: list[Group], contents: list[bytes]) -> int:
    group = tuple(contents) if any(contents) else ()
    groups.append(group)
    return measure_group(group)
