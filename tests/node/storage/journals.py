"""A sample journal with every kind of group, and what of it may be read after damage."""

from pathlib import Path

from node.storage.journal import open_journal
from primitives.ids import Digest
from tests.node.storage.simulated_files import SimulatedFiles

PATH = Path("data/journal")
GENESIS_HASH = Digest(b"g" * 32)

Group = list[tuple[bytes, bool]]

GROUPS: list[Group] = [
    [(b"view 0", True)],
    [(b"batch 1" + bytes(range(256)) * 3, False), (b"prepare 1", True)],
    [(b"prepared 1", False), (b"commit 1", True), (b"header 1", True)],
    [(b"batch 2", False)],
    [(b"prepare 2" + b"\xf7GBJ" * 9, True), (b"", True), (b"prepared 2", False)],
]
RECORDS = [record for group in GROUPS for record, _ in group]


def write_groups(files: SimulatedFiles, groups: list[Group]) -> list[bytes]:
    """Append the groups, one sync each; return the records found at opening."""
    with open_journal(PATH, GENESIS_HASH, files) as journal:
        found = list(journal.records)
        for group in groups:
            for record, twice in group:
                journal.append(record, twice=twice)
            journal.sync()
    return found


def read_records(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the records of a file of these bytes, and the file after it was opened."""
    files = SimulatedFiles()
    files.put(PATH, data)
    found = write_groups(files, [])
    return found, files.get(PATH)


def build_sample(groups: list[Group] = GROUPS) -> bytes:
    files = SimulatedFiles()
    write_groups(files, groups)
    return files.get(PATH)
