"""A snapshot from one peer, question by question: what is asked next, and whether the answer is believed.

No I/O of its own but the writer's store. Everything is checked on arrival except one lie, which shows at the end: pairs
left out. Then the count of leaves is not reached, and only this peer can have left them out.
"""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from consensus.certificates import check_certificate, follow_handover
from consensus.membership import Membership
from consensus.messages import Certificate, Handover
from node.exchange import NO_ANSWER, RequestKind, decode_handovers, encode_epoch
from node.snapshots.parts import (
    BucketsPage,
    BucketsQuestion,
    Manifest,
    PairsPage,
    PairsQuestion,
    check_buckets,
    check_manifest,
    decode_buckets_page,
    decode_manifest,
    decode_pairs_page,
    is_pairs_page_full,
    measure_pair,
)
from node.snapshots.writer import SnapshotWriter
from node.storage.chain import ChainStore
from primitives.encoding import DecodeError, encode
from primitives.ids import DIGEST_BYTES, Digest, Epoch, Height
from vm.state_root import GROUPS, WIDTH, get_bucket_index, is_leaf_of


class Stage(Enum):
    """What is asked for next."""

    MANIFEST = "manifest"
    HANDOVERS = "handovers"
    BUCKETS = "buckets"
    PAIRS = "pairs"
    WHOLE = "whole"


class Fault(Enum):
    """What it says of the peer that a download ended."""

    GONE = "gone"  # it let go of this snapshot: ask for a newer one
    USELESS = "useless"  # nothing wrong, and of no use here
    LIE = "lie"  # no correct validator answers so


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a download cannot go on with this peer."""

    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the peer."""

    kind: RequestKind
    payload: bytes


class Download:
    """One attempt with one peer: ask ``question``, give its answer to ``take``, until it is refused or whole."""

    def __init__(
        self, membership: Membership, genesis_hash: Digest, own: ChainStore, writer: SnapshotWriter
    ) -> None:
        """Begin with the members that this node believes in, and the chain that the snapshot is to replace."""
        self.stage = Stage.MANIFEST
        self.certificate: Certificate | None = None
        self._membership = membership
        self._genesis_hash = genesis_hash
        self._own = own
        self._writer = writer
        self._group_digests = b""
        self._is_certified = False
        self._next_group = 0
        self._leaves = 0
        self._pairs = 0
        self._start = b""

    @property
    def height(self) -> Height:
        """Return the snapshot's block; 0 before the manifest came."""
        return Height(0 if self.certificate is None else self.certificate.header.height)

    @property
    def question(self) -> Question:
        """Return what to ask now.

        Raises:
            ValueError: it is whole: a bug of the caller.

        """
        match self.stage:
            case Stage.MANIFEST:
                return Question(RequestKind.SNAPSHOT, b"")
            case Stage.HANDOVERS:
                return Question(RequestKind.HANDOVERS, encode_epoch(self._membership.epoch))
            case Stage.BUCKETS:
                payload = encode(BucketsQuestion(self.height, self._next_group))
                return Question(RequestKind.SNAPSHOT_BUCKETS, payload)
            case Stage.PAIRS:
                return Question(RequestKind.SNAPSHOT_PAIRS, encode(PairsQuestion(self.height, self._start)))
            case Stage.WHOLE:
                raise ValueError("the snapshot is whole")
            case _:
                assert_never(self.stage)

    def take(self, answer: bytes) -> Refusal | None:
        """Check and write an answer to ``question``, or return why the download ends; nothing false is written.

        Raises:
            StoreError: it could not be written.

        """
        if answer == NO_ANSWER and self.stage is Stage.MANIFEST:
            return Refusal(Fault.USELESS, "it has no snapshot")
        if answer == NO_ANSWER:
            return Refusal(Fault.GONE, f"the snapshot of block {self.height} is not served any more")
        try:
            return self._take(answer)
        except DecodeError as error:
            return _lie(f"a malformed {self.stage.value} answer: {error}")

    def _take(self, answer: bytes) -> Refusal | None:
        match self.stage:
            case Stage.MANIFEST:
                return self._take_manifest(decode_manifest(answer))
            case Stage.HANDOVERS:
                return self._take_handovers(decode_handovers(answer))
            case Stage.BUCKETS:
                return self._take_buckets(decode_buckets_page(answer))
            case Stage.PAIRS:
                return self._take_pairs(decode_pairs_page(answer))
            case Stage.WHOLE:
                raise ValueError("the snapshot is whole")
            case _:
                assert_never(self.stage)

    def _take_manifest(self, manifest: Manifest) -> Refusal | None:
        header = manifest.certificate.header
        problem = check_manifest(manifest, self._own.get_height())
        if problem is not None:
            is_old = header.height <= self._own.get_height()
            return Refusal(Fault.USELESS if is_old else Fault.LIE, problem)
        if header.epoch < self._membership.epoch:
            return _lie(f"a snapshot of epoch {header.epoch} above the own block of {self._membership.epoch}")
        self.certificate = manifest.certificate
        self._group_digests = manifest.group_digests
        self._writer.put_evidence(self._own.iterate_evidence())
        self._writer.put_handovers(self._own.iterate_handovers(Epoch(0)))
        return self._advance_trust()

    def _take_handovers(self, handovers: tuple[Handover, ...]) -> Refusal | None:
        if not handovers:
            reason = f"how epoch {self._membership.epoch} ended is not known there"
            return Refusal(Fault.USELESS, reason)
        for handover in handovers:
            following = follow_handover(self._membership, self._genesis_hash, handover)
            if isinstance(following, str):
                return _lie(f"a handover that proves nothing: {following}")
            self._membership = following
            self._writer.put_handovers((handover,))
            refusal = self._advance_trust()
            if refusal is not None or self.stage is not Stage.HANDOVERS:
                return refusal
        return None

    def _advance_trust(self) -> Refusal | None:
        """Check the certificate once the members of its epoch are known, and ask for those who follow its block."""
        certificate = self.certificate
        if certificate is None:
            raise ValueError("there is no manifest")
        header, members = certificate.header, self._membership
        self.stage = Stage.HANDOVERS
        if members.epoch < header.epoch:
            return None
        if members.epoch == header.epoch:
            problem = check_certificate(members, self._genesis_hash, certificate)
            if problem is not None:
                return _lie(f"a snapshot that nobody certified: {problem}")
            self._is_certified = True
        if not self._is_certified or header.next_membership != members.hash:
            is_end = members.epoch == header.epoch
            return None if is_end else _lie("a handover to others than the snapshot's block names")
        self.stage = Stage.BUCKETS
        return None

    def _take_buckets(self, page: BucketsPage) -> Refusal | None:
        problem = check_buckets(page, self._next_group, self._group_digests)
        if problem is not None:
            return _lie(problem)
        contents = (
            (number * WIDTH + place, content)
            for number, group in enumerate(page.groups, self._next_group)
            for place, content in enumerate(group)
        )
        self._writer.put_buckets(contents)
        self._leaves += sum(len(content) for group in page.groups for content in group) // DIGEST_BYTES
        self._next_group += len(page.groups)
        if self._next_group == GROUPS:
            self.stage = Stage.PAIRS
            return self._finish_if_whole()
        return None

    def _take_pairs(self, page: PairsPage) -> Refusal | None:
        """In this order: a full page, or the last one; each key above the one before, each pair in its bucket."""
        is_last = self._pairs + len(page.pairs) == self._leaves
        if not is_last and not is_pairs_page_full(sum(map(measure_pair, page.pairs))):
            missing = self._leaves - self._pairs - len(page.pairs)
            return _lie(f"a page of pairs that is not full although {missing} are missing")
        least = self._start
        buckets: dict[int, bytes] = {}
        for key, value in page.pairs:
            if key < least:
                return _lie("keys that are not in order")
            index = get_bucket_index(key)
            if index not in buckets:
                buckets[index] = self._writer.get_bucket(index)
            if not is_leaf_of(buckets[index], key, value):
                return _lie(f"a pair that is not of the certified state, key {key[:24].hex()}")
            least = key + b"\x00"
        self._writer.put_pairs(page.pairs)
        self._start = least
        self._pairs += len(page.pairs)
        return self._finish_if_whole()

    def _finish_if_whole(self) -> Refusal | None:
        if self._pairs < self._leaves:
            return None
        if self.certificate is None:
            raise ValueError("there is no manifest")
        problem = self._writer.seal(self.certificate, self._own)
        if problem is not None:
            return Refusal(Fault.USELESS, problem)
        self.stage = Stage.WHOLE
        return None


def _lie(reason: str) -> Refusal:
    return Refusal(Fault.LIE, reason)
