"""What a validator signed counts wherever it was seen: in a certificate, or on its own link, early or late."""

import pytest
from msgspec import structs

from node.attendance import AHEAD_MAX, BLOCKS_SHOWN, Attendance, Record
from primitives.header import BlockHeader
from primitives.ids import Height, ReplicaId
from tests.consensus.builders import batch_of, build_header, certificate, header_chain, name
from tests.consensus.constitution import build_membership
from tests.node.community import MemoryChain

FIRST, SECOND, THIRD, FOURTH = map(name, range(4))
MEMBERSHIP = build_membership(4)
HEADERS = header_chain(3 * BLOCKS_SHOWN)


def make_header(height: int) -> BlockHeader:
    return HEADERS[height]


class Watched(Attendance):
    """An attendance that blocks are added to as a running network does."""

    def add(self, height: int, *signers: ReplicaId) -> None:
        header = make_header(height)
        self.on_block(header, MEMBERSHIP)
        for signer in signers:
            self.on_checkpoint(signer, header)
        self.on_certificate(certificate(header, tuple(sorted(map(MEMBERSHIP.replicas.index, signers)))[:3]))

    def marks(self) -> list[str]:
        return [record.marks for record in self.tell(MEMBERSHIP.replicas).values()]


def test_the_fourth_of_four_honest_signatures_counts_although_no_certificate_holds_it() -> None:
    attendance = Watched()
    for height in range(1, 5):
        attendance.add(height, FIRST, SECOND, THIRD, FOURTH)
    assert attendance.marks() == ["1111"] * 4
    assert attendance.tell([FOURTH])[FOURTH] == Record("1111", Height(4))


def test_who_did_not_sign_a_block_that_was_watched_has_missed_it() -> None:
    attendance = Watched()
    attendance.add(1, FIRST, SECOND, THIRD, FOURTH)
    attendance.add(2, FIRST, SECOND, FOURTH)
    record = attendance.tell([THIRD])[THIRD]
    assert (record.marks, record.signed, record.missed, record.last_signed) == ("10", 1, 1, 1)


def test_a_signature_that_comes_late_or_before_the_block_counts() -> None:
    attendance = Watched()
    header = make_header(1)
    attendance.on_checkpoint(FOURTH, header)
    attendance.add(1, FIRST, SECOND)
    attendance.on_checkpoint(THIRD, header)
    assert attendance.marks() == ["1"] * 4


@pytest.mark.parametrize("height", [1 + AHEAD_MAX, 2**60])
def test_what_is_signed_far_ahead_is_not_kept(height: int) -> None:
    attendance = Watched()
    attendance.on_checkpoint(FOURTH, structs.replace(make_header(1), height=height))
    assert attendance._early == {}
    attendance.on_checkpoint(FOURTH, make_header(AHEAD_MAX))
    assert len(attendance._early) == 1


def test_another_header_and_a_stranger_count_for_nothing() -> None:
    attendance = Watched()
    attendance.add(1, FIRST, SECOND, THIRD)
    attendance.on_checkpoint(FOURTH, build_header(batch_of(b"another")))
    attendance.on_checkpoint(b"stranger" * 4, make_header(1))
    assert attendance.marks() == ["1", "1", "1", "0"]
    assert attendance.tell([b"stranger" * 4]) == {b"stranger" * 4: Record("-", None)}


def test_of_blocks_that_were_fetched_only_the_certificates_signers_are_known() -> None:
    attendance = Watched()
    for height in (1, 2):
        attendance.on_block(make_header(height), MEMBERSHIP)
    attendance.on_certificate(certificate(make_header(2)))
    assert attendance.marks() == ["-1", "-1", "-1", "--"]


def test_blocks_without_a_certificate_yet_are_not_told_of() -> None:
    attendance = Watched()
    attendance.add(1, FIRST, SECOND, THIRD)
    attendance.on_block(make_header(2), MEMBERSHIP)
    attendance.on_checkpoint(FIRST, make_header(2))
    assert attendance.marks() == ["1", "1", "1", "0"]


def test_the_last_hundred_blocks_are_told_of_and_older_ones_forgotten() -> None:
    attendance = Watched()
    for height in range(1, 3 * BLOCKS_SHOWN):
        attendance.add(height, FIRST, SECOND, THIRD)
    assert {len(marks) for marks in attendance.marks()} == {BLOCKS_SHOWN}
    assert len(attendance._blocks) == BLOCKS_SHOWN + AHEAD_MAX
    assert attendance.tell([FOURTH])[FOURTH].missed == BLOCKS_SHOWN


def test_after_a_restart_the_kept_certificates_tell_and_nobody_is_accused() -> None:
    attendance = Watched()
    chain = MemoryChain()
    chain.headers = {height: make_header(height) for height in range(6)}
    chain.certificates = {height: certificate(make_header(height)) for height in range(1, 5)}
    attendance.resume(chain, Height(4), Height(5), MEMBERSHIP)
    assert attendance.marks() == ["1111", "1111", "1111", "----"]
    attendance.add(6, FIRST, SECOND, FOURTH)
    assert attendance.marks() == ["1111-1", "1111-1", "1111-0", "-----1"]
