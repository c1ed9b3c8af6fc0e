"""Every byte of a journal cut off or flipped: healed, refused or cut as a torn tail, and never a vote forgotten."""

import random
import time
from pathlib import Path

import pytest

from node.storage.files import SystemFiles
from node.storage.journal import JournalCorrupt, JournalMark, open_journal
from node.storage.journal_frames import BLOCK_BYTES, SECTOR_BYTES, FileHeader, build_group, read_header
from tests.node.storage.journals import (
    GENESIS_HASH,
    GROUPS,
    PATH,
    RECORDS,
    build_sample,
    read_records,
    write_groups,
)
from tests.node.storage.simulated_files import SimulatedFiles

SAMPLE = build_sample()
VOTES = [record for group in GROUPS for record, twice in group if twice]
HEADER = read_header(SAMPLE)
GROUP_OFFSETS = [len(build_sample(GROUPS[:count])) for count in range(len(GROUPS))]


def find_copies(record: bytes, data: bytes = SAMPLE) -> list[int]:
    """Return where a record's bytes stand in the file."""
    places = []
    place = data.find(record)
    while place >= 0:
        places.append(place)
        place = data.find(record, place + 1)
    return places


def spoil(data: bytes, *places: int) -> bytes:
    spoiled = bytearray(data)
    for place in places:
        spoiled[place] ^= 0x40
    return bytes(spoiled)


def test_the_sample_is_what_the_tests_below_take_it_for() -> None:
    assert read_records(SAMPLE) == (RECORDS, SAMPLE)
    assert len(find_copies(b"commit 1")) == 2
    assert len(find_copies(b"batch 2")) == 1
    assert [BLOCK_BYTES * number for number in range(1, 6)] == GROUP_OFFSETS


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_journal_cut_at_any_byte_opens_with_a_prefix_of_its_records(step: int) -> None:
    longest = 0
    for size in range(0, len(SAMPLE), step):
        try:
            found, after = read_records(SAMPLE[:size])
        except JournalCorrupt:
            assert size < SECTOR_BYTES, size  # not even one header is whole, and that was never written so
            continue
        assert found == RECORDS[: len(found)], size
        assert len(found) >= longest, size
        for number, offset in enumerate(GROUP_OFFSETS):
            assert size < offset + BLOCK_BYTES or len(found) >= sum(map(len, GROUPS[: number + 1])), size
        assert read_records(after) == (found, after), size
        longest = len(found)
    assert longest == len(RECORDS)


def test_a_journal_cut_at_any_byte_takes_new_records() -> None:
    for size in range(SECTOR_BYTES, len(SAMPLE), 61):
        files = SimulatedFiles()
        files.put(Path("data/journal"), SAMPLE[:size])
        found = write_groups(files, [[(b"new", True), (b"newer", False)]])
        assert write_groups(files, []) == [*found, b"new", b"newer"], size


@pytest.mark.parametrize(
    ("bit", "step"), [(0x01, 13), (0x80, 17), pytest.param(0x04, 1, marks=pytest.mark.slow)]
)
def test_any_byte_flipped_is_healed_or_refused_or_cut_and_no_vote_is_forgotten(bit: int, step: int) -> None:
    outcomes = {"healed": 0, "refused": 0, "cut": 0}
    tail = [record for record, _ in GROUPS[-1]]
    for place in range(0, len(SAMPLE), step):
        data = bytearray(SAMPLE)
        data[place] ^= bit
        try:
            found, after = read_records(bytes(data))
        except JournalCorrupt:
            outcomes["refused"] += 1
            continue
        if found == RECORDS:
            outcomes["healed"] += 1
        else:
            # one flip leaves a copy of every vote: what is missing is the last group's single record
            assert found == RECORDS[:-1], place
            assert tail[-1] == b"prepared 2"
            outcomes["cut"] += 1
        assert read_records(after) == (found, after), place
    assert outcomes["healed"] > 0
    assert outcomes["refused"] > 0


def test_a_flipped_copy_is_healed_on_disk_so_that_the_other_may_be_lost_later() -> None:
    first, second = find_copies(b"commit 1")
    found, after = read_records(spoil(SAMPLE, first))
    assert found == RECORDS
    assert len(find_copies(b"commit 1", after)) == 2
    assert read_records(spoil(after, find_copies(b"commit 1", after)[1]))[0] == RECORDS
    assert read_records(spoil(SAMPLE, second))[0] == RECORDS


def test_healing_keeps_the_mark_so_that_what_was_lost_beside_it_is_still_missed() -> None:
    files = SimulatedFiles()
    files.put(PATH, spoil(SAMPLE[: GROUP_OFFSETS[-1]], find_copies(b"commit 1")[0]))
    marks = []
    for _ in range(2):
        with open_journal(PATH, GENESIS_HASH, files) as journal:
            marks.append(journal.mark)
    assert marks == [JournalMark(1, len(RECORDS) - 3)] * 2


def test_a_vote_without_any_copy_is_refused_with_its_place_and_advice() -> None:
    with pytest.raises(JournalCorrupt) as caught:
        read_records(spoil(SAMPLE, *find_copies(b"commit 1")))
    text = str(caught.value)
    assert "record 4 is lost" in text
    assert "gridbft recover" in text
    assert "\n" not in text


def test_a_single_record_damaged_in_the_middle_is_refused() -> None:
    with pytest.raises(JournalCorrupt, match="record 6 is lost"):
        read_records(spoil(SAMPLE, *find_copies(b"batch 2")))


def test_a_single_record_damaged_in_a_group_whose_second_copies_are_there_is_refused() -> None:
    with pytest.raises(JournalCorrupt, match="had been written whole"):
        read_records(spoil(SAMPLE, *find_copies(b"prepared 2")))


def test_a_last_group_that_is_nowhere_intact_is_cut() -> None:
    start = GROUP_OFFSETS[-1]
    for tail in (bytes(BLOCK_BYTES), b"\xff" * BLOCK_BYTES, b"\xf7GBJ" * 700, SAMPLE[start + 1 :]):
        found, after = read_records(SAMPLE[:start] + tail)
        assert found == RECORDS[:-3]
        assert read_records(after) == (found, after)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_more_than_one_group_damaged_at_the_end_is_no_torn_tail(count: int) -> None:
    groups = GROUPS[:4]
    data = build_sample(groups)
    doomed = [record for group in groups[-count:] for record, _ in group]
    with pytest.raises(JournalCorrupt, match="and later ones are not"):
        read_records(spoil(data, *(place for record in doomed for place in find_copies(record, data))))


def test_a_whole_group_lost_in_the_middle_is_refused() -> None:
    for start in GROUP_OFFSETS[:-1]:
        with pytest.raises(JournalCorrupt):
            read_records(SAMPLE[:start] + bytes(BLOCK_BYTES) + SAMPLE[start + BLOCK_BYTES :])


def test_a_lost_sector_never_takes_both_copies_of_a_vote() -> None:
    for start in range(BLOCK_BYTES, len(SAMPLE), SECTOR_BYTES):
        data = SAMPLE[:start] + bytes(SECTOR_BYTES) + SAMPLE[start + SECTOR_BYTES :]
        try:
            found, _ = read_records(data)
        except JournalCorrupt:
            assert start < GROUP_OFFSETS[-1]
            continue
        assert found == RECORDS or start >= GROUP_OFFSETS[-1]
        assert [record for record in found if record in VOTES] == VOTES, start


def build_wide_group() -> tuple[bytes, list[tuple[bytes, bool]]]:
    """Build a journal whose last group fills sixteen sectors, and that group."""
    wide = [(bytes([65 + number]) * 400, number % 3 != 0) for number in range(9)]
    return build_sample([*GROUPS, wide]), wide


def test_sectors_of_the_last_group_that_reached_the_medium_in_any_order_are_a_torn_tail() -> None:
    data, wide = build_wide_group()
    start = len(SAMPLE)
    sectors = [
        place for place in range(start, len(data), SECTOR_BYTES) if any(data[place : place + SECTOR_BYTES])
    ]
    assert len(sectors) > 12
    rng = random.Random(5)
    whole = 0
    for _ in range(600):
        written = bytearray(data)
        chance = rng.random()
        lost = [place for place in sectors if rng.random() < chance]
        for place in lost:
            written[place : place + SECTOR_BYTES] = bytes(SECTOR_BYTES)
        found, after = read_records(bytes(written))
        assert found[: len(RECORDS)] == RECORDS, lost
        torn = found[len(RECORDS) :]
        assert torn == [record for record, _ in wide if record in torn], lost  # in order, and none twice
        votes = [record for record, twice in wide if twice]
        if set(votes) <= set(torn):
            whole += 1
        else:
            assert torn == [record for record, _ in wide[: len(torn)]], lost
        assert read_records(after) == (found, after), lost
    assert 100 < whole < 500


def test_the_same_sectors_lost_below_the_last_group_are_refused_unless_copies_are_left() -> None:
    data, wide = build_wide_group()
    data = build_sample([*GROUPS, wide, [(b"later", True)]])
    records = [*RECORDS, *(record for record, _ in wide), b"later"]
    rng = random.Random(6)
    refused = 0
    for _ in range(200):
        written = bytearray(data)
        for place in range(len(SAMPLE), len(data) - BLOCK_BYTES, SECTOR_BYTES):
            if rng.random() < 0.2:
                written[place : place + SECTOR_BYTES] = bytes(SECTOR_BYTES)
        try:
            assert read_records(bytes(written))[0] == records
        except JournalCorrupt:
            refused += 1
    assert 20 < refused < 200


def test_either_header_alone_is_enough_and_is_healed() -> None:
    for offset in (0, SECTOR_BYTES):
        found, after = read_records(spoil(SAMPLE, offset + 20))
        assert found == RECORDS
        assert read_records(spoil(after, SECTOR_BYTES - offset + 20))[0] == RECORDS
    with pytest.raises(JournalCorrupt, match="no header"):
        read_records(spoil(SAMPLE, 20, SECTOR_BYTES + 20))


@pytest.mark.parametrize("is_salt_known", [False, True])
def test_bytes_inside_a_damaged_record_pass_for_a_record_only_if_the_salt_were_known(
    is_salt_known: bool,
) -> None:
    # A stranger's transaction holds a frame that is right in everything: place, number, genesis.
    start, number = GROUP_OFFSETS[-1], len(RECORDS) - 3
    stranger = (
        HEADER
        if is_salt_known
        else FileHeader(HEADER.version, HEADER.genesis_hash, HEADER.generation, bytes(8))
    )
    forged = build_group(stranger, start + BLOCK_BYTES, number, [(b"forged", False)])
    mark = b"no head has this"  # one byte would be found in the head's check in one run of thirty
    head_bytes = build_group(HEADER, start, number, [(mark, False)]).index(mark)
    record = bytes(BLOCK_BYTES - head_bytes) + forged
    data = SAMPLE[:start] + build_group(HEADER, start, number, [(record, False)])
    assert read_records(data)[0] == [*RECORDS[:-3], record]
    found, _ = read_records(spoil(data, start + head_bytes + 5))
    assert found == [*RECORDS[:-3], *([b"forged"] if is_salt_known else [])]


def test_records_of_an_older_file_at_the_same_place_are_not_believed() -> None:
    # What a file system may show of a block that another file had: another salt, so no frame.
    start = GROUP_OFFSETS[-1]
    found, _ = read_records(SAMPLE[:start] + build_sample()[start:])
    assert found == RECORDS[:-3]


def test_a_tail_of_magic_words_is_passed_over_quickly() -> None:
    found, after = read_records(SAMPLE + b"\xf7GBJ\x00" * 200_000)
    assert (found, after) == (RECORDS, SAMPLE[: len(after)])


def test_a_torn_tail_is_cut_on_the_real_disk(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(SAMPLE + b"torn")
    with open_journal(path, GENESIS_HASH, SystemFiles()) as journal:
        assert journal.records == RECORDS
        assert journal.size == path.stat().st_size <= len(SAMPLE)
        journal.append(b"next", twice=True)
        journal.sync()
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == [*RECORDS, b"next"]


def test_a_large_journal_is_read_in_one_pass_however_it_is_damaged() -> None:
    """Copying what follows each frame took 23 s for 8 MB; the bound is generous for a slow machine."""
    data = bytearray(SAMPLE[:BLOCK_BYTES])
    for number in range(0, 3000, 3):
        data += build_group(HEADER, len(data), number, [(bytes(900), False), (b"a", True), (b"b", True)])
    garbage = SAMPLE[:BLOCK_BYTES] + b"\xf7GBJ" * (len(data) // 4)
    began_s = time.perf_counter()
    assert len(read_records(bytes(data))[0]) == 3000
    assert read_records(garbage)[0] == []
    assert time.perf_counter() - began_s < 15
