"""Every operation of the journal fails once, and is once the last before the power goes."""

import errno
import itertools
from collections.abc import Callable

import pytest

from node.storage.journal import Journal, JournalFailed, JournalLocked, open_journal
from tests.node.storage.journals import GENESIS_HASH, GROUPS, PATH, RECORDS, build_sample, write_groups
from tests.node.storage.simulated_files import PowerCut, SimulatedFiles

OPERATIONS_MAX = 200
"""More than any scenario here takes; reaching it would mean that a scenario never ends."""

NEW: list[tuple[bytes, bool]] = [(b"kept 1", True), (b"kept 2", False)]
SAMPLE = build_sample()


class Run:
    """What a scenario got told: records found, and those whose sync returned."""

    def __init__(self) -> None:
        self.spoken: list[bytes] = []
        self.is_rewriting = False


def append_all(files: SimulatedFiles, run: Run) -> None:
    with open_journal(PATH, GENESIS_HASH, files) as journal:
        for group in GROUPS:
            for record, twice in group:
                journal.append(record, twice=twice)
            journal.sync()
            run.spoken += [record for record, _ in group]


def rewrite(files: SimulatedFiles, run: Run) -> None:
    with open_journal(PATH, GENESIS_HASH, files) as journal:
        run.is_rewriting = True
        journal.rewrite(NEW)


def build_disk(scenario: Callable[[SimulatedFiles, Run], None]) -> SimulatedFiles:
    files = SimulatedFiles()
    if scenario is rewrite:
        files.put(PATH, SAMPLE)
    return files


def count_operations(scenario: Callable[[SimulatedFiles, Run], None]) -> int:
    files = build_disk(scenario)
    scenario(files, Run())
    assert 5 < len(files.operations) < OPERATIONS_MAX
    return len(files.operations)


def check_disk(after: SimulatedFiles, run: Run) -> None:
    found = write_groups(after, [])
    if run.is_rewriting:
        assert found in (RECORDS, [record for record, _ in NEW])
    else:
        assert found == RECORDS[: len(found)]
        assert len(found) >= len(run.spoken)
    again = write_groups(after, [[(b"later", True)]])
    assert again == found
    assert write_groups(after, []) == [*found, b"later"]


@pytest.mark.parametrize("scenario", [append_all, rewrite])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_power_cut_before_any_operation_loses_nothing_that_was_spoken_of(
    scenario: Callable[[SimulatedFiles, Run], None], kept: float, is_renamed: bool
) -> None:
    for cut_at in range(count_operations(scenario) + 1):
        files, run = build_disk(scenario), Run()
        files.cut_at = cut_at
        try:
            scenario(files, run)
        except PowerCut:
            pass
        else:
            assert cut_at == count_operations(scenario)
        check_disk(files.restart(kept=kept, is_renamed=is_renamed), run)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("scenario", [append_all, rewrite])
def test_any_failing_operation_is_named_and_loses_nothing_that_was_spoken_of(
    scenario: Callable[[SimulatedFiles, Run], None], code: int
) -> None:
    for fail_at in range(count_operations(scenario)):
        files, run = build_disk(scenario), Run()
        files.fail_at, files.code = fail_at, code
        with pytest.raises(JournalFailed) as caught:
            scenario(files, run)
        assert "\n" not in str(caught.value)
        assert not files.locks  # the next start is not refused
        for kept, is_renamed in itertools.product((0.0, 0.5, 1.0), (False, True)):
            check_disk(files.restart(kept=kept, is_renamed=is_renamed), run)


def use_in_every_way(journal: Journal) -> list[Callable[[], None]]:
    return [journal.sync, lambda: journal.rewrite(NEW)]


@pytest.mark.parametrize("way", [0, 1])
def test_after_a_failed_operation_nothing_is_written_any_more(way: int) -> None:
    failures = 0
    for fail_after in range(OPERATIONS_MAX):
        files = SimulatedFiles()
        files.put(PATH, SAMPLE)
        with open_journal(PATH, GENESIS_HASH, files) as journal:
            files.fail_at = len(files.operations) + fail_after
            if way == 0:
                journal.append(b"x", twice=True)
            try:
                use_in_every_way(journal)[way]()
            except JournalFailed:
                failures += 1
            else:
                break
            operations = len(files.operations)
            for use in use_in_every_way(journal):
                with pytest.raises(JournalFailed, match="a write failed"):
                    use()
            assert len(files.operations) == operations
    assert 3 <= failures < OPERATIONS_MAX


def test_a_failing_sync_is_not_tried_again() -> None:
    # A second fsync may report success although the pages of the first are lost (Rebello et al., ATC 2020).
    files = SimulatedFiles()
    write_groups(files, GROUPS[:1])
    last_fsync = max(number for number, name in enumerate(files.operations) if name == "fsync")
    files = SimulatedFiles(fail_at=last_fsync)
    with open_journal(PATH, GENESIS_HASH, files) as journal:
        journal.append(GROUPS[0][0][0], twice=True)
        with pytest.raises(JournalFailed, match="nothing was said that is not durable"):
            journal.sync()
        with pytest.raises(JournalFailed, match="a write failed"):
            journal.sync()
        assert files.operations[-1] == "fsync"


def test_healing_that_is_interrupted_at_any_operation_is_done_at_the_next_start() -> None:
    spoiled = bytearray(SAMPLE)
    spoiled[SAMPLE.find(b"commit 1")] ^= 1
    files = SimulatedFiles()
    files.put(PATH, bytes(spoiled))
    write_groups(files, [])
    for cut_at in range(len(files.operations)):
        damaged = SimulatedFiles(cut_at=cut_at)
        damaged.put(PATH, bytes(spoiled))
        with pytest.raises(PowerCut):
            write_groups(damaged, [])
        for kept, is_renamed in itertools.product((0.0, 0.5, 1.0), (False, True)):
            after = damaged.restart(kept=kept, is_renamed=is_renamed)
            assert write_groups(after, []) == RECORDS


def open_twice(files: SimulatedFiles) -> None:
    with open_journal(PATH, GENESIS_HASH, files), open_journal(PATH, GENESIS_HASH, files):
        raise AssertionError


def test_the_lock_is_given_back_whatever_happens_inside() -> None:
    files = SimulatedFiles()
    with pytest.raises(JournalLocked):
        open_twice(files)
    assert write_groups(files, []) == []


def test_what_a_failed_sync_left_in_memory_is_on_the_medium_before_the_next_process_speaks_of_it() -> None:
    one_more = [[(b"written, and never synced", True)]]
    rehearsal = SimulatedFiles()
    write_groups(rehearsal, GROUPS)
    write_groups(rehearsal, one_more)
    assert rehearsal.operations[-1] == "fsync"
    files = SimulatedFiles(fail_at=len(rehearsal.operations) - 1)
    write_groups(files, GROUPS)
    with pytest.raises(JournalFailed):
        write_groups(files, one_more)
    files.fail_at = None
    found = write_groups(files, [])
    assert found == [*RECORDS, b"written, and never synced"]
    assert write_groups(files.restart(kept=0, is_renamed=False), []) == found
