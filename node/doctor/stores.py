"""The journal and the store: whether a start would open them. While the node runs they are its own."""

from pathlib import Path

from node.doctor.findings import Finding, Level
from node.errors import NodeError
from node.home import JOURNAL_NAME, Constitution
from node.inspected_journal import inspect_journal
from node.inspection import open_stored_chain
from node.snapshots.installation import CURRENT_NAME

IN_USE = "the node runs: it checked them when it started"
RECOVER = "do not delete it and restore no older copy: run `gridbft recover`"


def check_journal(home: Path, constitution: Constitution, *, is_running: bool) -> Finding:
    """Check that the journal is whole and of this network."""
    path = home / "data" / JOURNAL_NAME
    if is_running:
        return Finding("journal", Level.OK, IN_USE)
    if not path.exists():
        if (home / "data" / CURRENT_NAME).exists():
            return Finding(
                "journal", Level.PROBLEM, f"{path} is missing although the chain is there", RECOVER
            )
        return Finding("journal", Level.OK, "there is no data yet; the first start makes it")
    try:
        found = inspect_journal(home, constitution, 0, 1)
    except NodeError as error:
        return Finding("journal", Level.PROBLEM, str(error), RECOVER)
    measures = {"records": found.records, "bytes": found.size, "damages": list(found.damages)}
    if not found.is_usable:
        return Finding("journal", Level.PROBLEM, f"{path}: {found.verdict}", RECOVER, measures)
    return Finding("journal", Level.OK, f"{found.records} records: {found.verdict}", "", measures)


def check_store(home: Path, constitution: Constitution, *, is_running: bool) -> Finding:
    """Check that the store opens and has its last block; `gridbft inspect integrity` reads all of it."""
    if is_running:
        return Finding("store", Level.OK, IN_USE)
    if not (home / "data" / CURRENT_NAME).exists():
        return Finding("store", Level.OK, "there is no chain yet; the first start makes it")
    try:
        with open_stored_chain(home, constitution) as chain:
            height = chain.get_latest_header().height
            certificate = chain.get_latest_certificate()
            size = chain.estimate_size()
    except NodeError as error:
        return Finding(
            "store",
            Level.PROBLEM,
            str(error),
            "`gridbft reset data`, and start: the peers give the chain back (the journal stays)",
        )
    certified = 0 if certificate is None else certificate.header.height
    measures = {"height": height, "certified_height": certified, "bytes": size}
    return Finding("store", Level.OK, f"blocks up to {height}, certified up to {certified}", "", measures)
