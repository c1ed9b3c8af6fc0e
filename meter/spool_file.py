"""The file of a spool: for one process alone, of one network, and what can go wrong with it by name."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from primitives.ids import Digest

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE origin (genesis_hash BLOB NOT NULL);
CREATE TABLE accounts (account BLOB PRIMARY KEY, next_nonce INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    account BLOB NOT NULL,
    nonce INTEGER NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    height INTEGER,
    proof BLOB,
    UNIQUE (account, nonce)
);
CREATE INDEX entries_by_subject ON entries (account, subject);
CREATE INDEX entries_by_state ON entries (state, number);
CREATE TABLE signed (
    id BLOB PRIMARY KEY,
    entry INTEGER NOT NULL REFERENCES entries (number) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    valid_until INTEGER NOT NULL,
    raw BLOB NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX signed_by_entry ON signed (entry, round);
"""


class SpoolError(Exception):
    """The spool refused; the message is one line that says what to do."""


class SpoolLockedError(SpoolError):
    """Another process uses this spool."""


class SpoolFullError(SpoolError):
    """Too much waits already; nothing was stored."""


class SpoolForeignError(SpoolError):
    """The spool belongs to another network, or to another version of this program."""


class SpoolCorruptError(SpoolError):
    """The file is not a spool, or was damaged."""


class SpoolFailedError(SpoolError):
    """The file system refused (full, read-only, not permitted)."""


class SpoolNotExpiredError(SpoolError):
    """The entry may still be applied: its latest transaction has not expired at the verified height, or is final."""


@contextmanager
def open_file(path: Path, genesis_hash: Digest) -> Iterator[sqlite3.Connection]:
    """Open the file, made on first use, for this process alone.

    Raises:
        SpoolError: locked, foreign, corrupt or failed.

    """
    with _lock(path), mapped_errors(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            _prepare(path, connection, genesis_hash)
            yield connection
        finally:
            connection.close()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the spool's lock file; the lock ends with the process, whatever ends it."""
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The database's companion files take over its mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolFailedError(f"{path}: the spool cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            what = "another process uses this spool; wait until it ends, or stop it"
            raise SpoolLockedError(f"{path}: {what}") from None
        yield
    finally:
        os.close(descriptor)


def _prepare(path: Path, connection: sqlite3.Connection, genesis_hash: Digest) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # the lock file lets nobody else in anyway
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before anything is sent
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO origin VALUES (?)", (genesis_hash,))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        return
    if version != SCHEMA_VERSION:
        raise SpoolForeignError(f"{path}: made by another version of gridbft; use that one")
    origin = connection.execute("SELECT genesis_hash FROM origin").fetchone()
    if origin is None or origin[0] != genesis_hash:
        raise SpoolForeignError(f"{path}: belongs to another network; name another spool file")


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Turn the database's errors into the spool's."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            what = "damaged, or no spool; keep a copy of it and name another file"
            raise SpoolCorruptError(f"{path}: {what}") from error
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise SpoolLockedError(f"{path}: another process uses this spool; wait until it ends") from error
        raise SpoolFailedError(f"{path}: the spool failed: {error}") from error
