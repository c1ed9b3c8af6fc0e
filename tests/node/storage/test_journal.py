"""The journal on a real disk: what was synced is there, one process at a time, one network only."""

import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.storage import journal as journal_module
from node.storage.files import SystemFiles
from node.storage.journal import (
    JOURNAL_BYTES_MAX,
    PENDING_RECORDS_MAX,
    JournalCorrupt,
    JournalFailed,
    JournalLocked,
    JournalMark,
    JournalOfOtherChain,
    open_journal,
)
from node.storage.journal_frames import BLOCK_BYTES, RECORD_BYTES_MAX
from primitives.ids import Digest
from tests.node.storage.journals import GENESIS_HASH

ROOT = Path(__file__).parents[3]

OPEN_AND_SAY = """
import sys
from pathlib import Path
from node.storage.journal import JournalError, open_journal
try:
    with open_journal(Path(sys.argv[1]), b"g" * 32):
        print("opened")
except JournalError as error:
    print(type(error).__name__, error)
"""

APPEND_AND_SAY = """
import sys
from pathlib import Path
from node.storage.journal import open_journal
with open_journal(Path(sys.argv[1]), b"g" * 32) as journal:
    number = len(journal.records)
    while True:
        journal.append(b"%d" % number + bytes(number % 7000), twice=number % 3 != 0)
        journal.sync()
        if number % 50 == 49:
            journal.rewrite((b"%d" % n + bytes(n % 7000), n % 3 != 0) for n in range(number + 1))
        print(number, flush=True)
        number += 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_new_journal_is_empty_and_says_that_it_is_new(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        assert (journal.records, journal.is_new, journal.size) == ([], True, BLOCK_BYTES)
    with open_journal(path, GENESIS_HASH) as journal:
        assert (journal.records, journal.is_new, journal.size) == ([], False, BLOCK_BYTES)
    assert path.stat().st_mode & 0o777 == 0o600


def test_synced_records_come_back_in_order_and_others_do_not(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        for record in (b"a", b"", b"c" * 100_000):
            journal.append(record, twice=record != b"")
        journal.sync()
        journal.append(b"d", twice=True)
        journal.sync()
        journal.sync()
        assert journal.size == path.stat().st_size
        journal.append(b"never synced", twice=True)
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == [b"a", b"", b"c" * 100_000, b"d"]
        journal.append(b"e", twice=False)
        journal.sync()
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records[-2:] == [b"d", b"e"]
        assert journal.size == path.stat().st_size


def test_each_sync_begins_a_block_so_that_it_rewrites_none_of_an_earlier_one(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        for number in range(3):
            journal.append(b"%d" % number, twice=True)
            journal.sync()
            assert journal.size == (number + 2) * BLOCK_BYTES


def test_the_mark_grows_with_what_is_durable_and_never_falls_when_the_file_is_rewritten(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        marks = [journal.mark]
        journal.append(b"a", twice=True)
        assert journal.mark == marks[0]
        journal.append(b"b", twice=False)
        journal.sync()
        marks.append(journal.mark)
        journal.rewrite([(b"b", False)])
        marks.append(journal.mark)
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.mark == marks[-1]
    assert marks == [JournalMark(1, 0), JournalMark(1, 2), JournalMark(2, 1)] == sorted(marks)


def test_a_rewritten_journal_holds_exactly_the_given_records_and_goes_on(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        for number in range(20):
            journal.append(b"%d" % number, twice=True)
            journal.sync()
        journal.rewrite([(b"18", True), (b"19", False)])
        assert journal.size == 2 * BLOCK_BYTES == path.stat().st_size
        journal.append(b"20", twice=True)
        journal.sync()
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == [b"18", b"19", b"20"]
        journal.rewrite([])
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == []


def test_a_rewrite_that_would_lose_appended_records_is_refused(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        journal.append(b"a", twice=True)
        with pytest.raises(ValueError, match="sync the journal"):
            journal.rewrite([])
        journal.sync()
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == [b"a"]


def test_another_process_on_the_same_home_is_refused_by_name(path: Path) -> None:
    command = [sys.executable, "-c", OPEN_AND_SAY, str(path)]
    with open_journal(path, GENESIS_HASH) as journal:
        journal.rewrite([(b"a", True)])  # the lock outlives the file
        said = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        assert said.startswith("JournalLocked")
        assert str(path.parent) in said
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "opened\n"


def test_a_second_opening_in_the_same_process_is_refused_by_name(path: Path) -> None:
    with (
        open_journal(path, GENESIS_HASH),
        pytest.raises(JournalLocked, match="another process"),
        open_journal(path, GENESIS_HASH),
    ):
        pass


def test_the_journal_of_another_genesis_is_refused_and_left_alone(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        journal.append(b"a", twice=True)
        journal.sync()
    before = path.read_bytes()
    with (
        pytest.raises(JournalOfOtherChain, match=GENESIS_HASH.hex()[:16]),
        open_journal(path, Digest(b"h" * 32)),
    ):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"gridbft journal\n", b"something else" * 1000])
def test_a_file_without_a_header_is_not_taken_for_a_new_journal(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with (
        pytest.raises(JournalCorrupt, match="must not vote from it") as caught,
        open_journal(path, GENESIS_HASH),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_file_without_measure_is_refused_unread(path: Path) -> None:
    path.touch()
    os.truncate(path, JOURNAL_BYTES_MAX + 1)
    with pytest.raises(JournalCorrupt, match="longer than"), open_journal(path, GENESIS_HASH):
        pass


def test_a_record_or_a_queue_without_measure_is_a_bug_of_the_caller(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        with pytest.raises(ValueError, match="at most"):
            journal.append(bytes(RECORD_BYTES_MAX + 1), twice=False)
        for _ in range(PENDING_RECORDS_MAX):
            journal.append(b"", twice=False)
        with pytest.raises(ValueError, match="wait for a sync"):
            journal.append(b"", twice=False)


def test_a_closed_journal_refuses_by_name(path: Path) -> None:
    with open_journal(path, GENESIS_HASH) as journal:
        journal.append(b"a", twice=True)
    with pytest.raises(JournalFailed, match="closed"):
        journal.sync()
    with pytest.raises(JournalFailed, match="closed"):
        journal.rewrite([])


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(JournalFailed, match=os.strerror(errno.ENOENT)),
        open_journal(tmp_path / "absent" / "journal", GENESIS_HASH),
    ):
        pass


def test_the_largest_records_are_kept(path: Path) -> None:
    largest = random.Random(3).randbytes(RECORD_BYTES_MAX)
    with open_journal(path, GENESIS_HASH, SystemFiles()) as journal:
        journal.append(largest, twice=True)
        journal.sync()
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == [largest]


def test_a_process_killed_at_any_moment_keeps_every_record_it_spoke_of(path: Path) -> None:
    rng = random.Random(11)
    said = -1
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", APPEND_AND_SAY, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(rng.randint(1, 120)):
            said = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().splitlines(keepends=True)
        said = max([said, *(int(line) for line in lines if line.endswith("\n"))])
        process.wait(timeout=30)
        with open_journal(path, GENESIS_HASH) as journal:
            assert len(journal.records) > said
            assert journal.records == [b"%d" % n + bytes(n % 7000) for n in range(len(journal.records))]


def test_a_journal_that_nobody_rewrites_stops_before_it_is_too_large_to_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "JOURNAL_BYTES_MAX", 3 * BLOCK_BYTES)
    with open_journal(path, GENESIS_HASH) as journal:
        for record in (b"a", b"b"):
            journal.append(record, twice=True)
            journal.sync()
        journal.append(b"c", twice=True)
        with pytest.raises(JournalFailed, match="never rewritten"):
            journal.sync()
    with open_journal(path, GENESIS_HASH) as journal:
        assert journal.records == [b"a", b"b"]
